"""What the tasks of the Dags do."""
