"""How is the sandbox looked at and changed while it runs?"""
