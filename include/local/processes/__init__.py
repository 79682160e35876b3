"""Which programs run, and who watches them?"""
