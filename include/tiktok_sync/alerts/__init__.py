"""Which alerts does an operator get?"""
