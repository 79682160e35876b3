"""How are an account's days and its posts read from the Accounts API?"""
