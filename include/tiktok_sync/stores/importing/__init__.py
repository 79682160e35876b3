"""How do stores come in from a CSV, and which of its rows can be loaded?"""
