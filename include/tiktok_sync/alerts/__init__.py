"""What must an operator be told?"""
