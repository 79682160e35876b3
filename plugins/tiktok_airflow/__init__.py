"""The product's layer on Airflow."""
