"""Which links do store managers connect their accounts with?"""
