"""Which tokens does a store have, and how are they kept secret?"""
