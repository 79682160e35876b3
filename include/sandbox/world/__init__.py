"""Which stores and videos are there, and how do they change?"""
