"""The embedded stack of ``make up``: Postgres, the sandbox and Airflow on one machine."""
