"""Which stores are there, how do they come and go?"""
