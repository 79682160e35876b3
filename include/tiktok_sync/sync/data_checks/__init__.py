"""Do a run's rows make sense? One SQL file a question, and what runs them."""
