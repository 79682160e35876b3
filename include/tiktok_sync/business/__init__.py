"""What does TikTok's Accounts API say about a store's account and posts?"""
