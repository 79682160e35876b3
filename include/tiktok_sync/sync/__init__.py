"""How is one store, and one run, done?"""
