"""What does ``make sync`` show while it runs, and at the end?"""
