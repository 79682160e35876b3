"""How are a store and a run synced?"""
