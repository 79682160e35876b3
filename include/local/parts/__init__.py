"""What does each part of the stack need?"""
