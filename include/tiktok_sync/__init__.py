"""The sync itself: TikTok in, Postgres out. Nothing below this package imports Airflow."""
