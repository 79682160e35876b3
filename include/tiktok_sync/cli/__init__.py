"""How do I do it from a terminal?"""
