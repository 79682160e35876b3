"""How are all stores stopped, looked through or emptied at once?"""
