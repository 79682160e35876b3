"""What does marketing's weekly report say, and how does it look?"""
