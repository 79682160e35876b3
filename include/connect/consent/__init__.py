"""What TikTok has to do with a consent, for each of its two APIs."""
