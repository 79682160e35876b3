"""The status page in the Airflow UI: one small web app inside Airflow's API server."""
