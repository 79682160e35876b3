"""What does TikTok's Business Accounts API say about a store's account and posts?"""
