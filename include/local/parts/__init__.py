"""What does each part of the stack need in order to start?"""
