"""Is everything there that the night needs?"""
