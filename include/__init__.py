"""The product below Airflow: the sync, its schema, its sandbox and its local stack."""
