"""What does TikTok's second API answer, the Accounts API of its API for Business?"""
