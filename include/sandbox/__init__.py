"""A local TikTok Display API over real HTTP, for tests, the demo and the benchmark."""
