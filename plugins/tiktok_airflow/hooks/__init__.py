"""Airflow hooks of the TikTok store sync."""
