"""How are the videos of a store read, and which of them count as gone?"""
