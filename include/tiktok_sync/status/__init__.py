"""What does the status page say?"""
