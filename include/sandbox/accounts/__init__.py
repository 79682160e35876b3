"""Which grants and tokens are there?"""
