"""TikTok's endpoints."""
