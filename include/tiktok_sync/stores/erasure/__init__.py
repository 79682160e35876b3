"""Where does a store's account still stand by name, once its rows are gone?"""
