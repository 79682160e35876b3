"""Who am I at TikTok, and how is that kept secret?"""
