# The product on Airflow's own image, with the very versions that the local set-up and CI use.
FROM apache/airflow:3.3.2-python3.11

COPY --chown=airflow:0 requirements.txt constraints.txt /opt/airflow/
RUN pip install --no-cache-dir -r /opt/airflow/requirements.txt -c /opt/airflow/constraints.txt

COPY --chown=airflow:0 dags /opt/airflow/dags
COPY --chown=airflow:0 plugins /opt/airflow/plugins
COPY --chown=airflow:0 include/__init__.py include/airflow_settings.py /opt/airflow/include/
COPY --chown=airflow:0 include/data_checks /opt/airflow/include/data_checks
COPY --chown=airflow:0 include/tiktok_sync /opt/airflow/include/tiktok_sync
COPY --chown=airflow:0 include/migrations /opt/airflow/include/migrations
COPY --chown=airflow:0 airflow_settings.yaml /opt/airflow/airflow_settings.yaml

# `from include.tiktok_sync…` works as it does under the Astro CLI and in the local stack.
ENV PYTHONPATH=/opt/airflow
