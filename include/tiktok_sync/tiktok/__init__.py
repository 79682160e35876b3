"""How is TikTok called, within its rate limit, and what do its answers mean?"""
