"""The web page on which a store's manager connects the TikTok account."""
