"""How is the sandbox inspected and changed while it runs?"""
