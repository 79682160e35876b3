"""How is the database reached, shaped and kept?"""
