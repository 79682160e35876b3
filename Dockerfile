# The product on Airflow's own image, with the very versions that the local set-up and CI use.
FROM apache/airflow:3.3.2-python3.11 AS product

COPY --chown=root:0 requirements.txt constraints.txt /opt/airflow/
RUN pip install --no-cache-dir -r /opt/airflow/requirements.txt -c /opt/airflow/constraints.txt

# Owned by root: the processes run as `airflow` and must not be able to change their own code.
COPY --chown=root:0 dags /opt/airflow/dags
COPY --chown=root:0 plugins /opt/airflow/plugins
COPY --chown=root:0 include /opt/airflow/include
COPY --chown=root:0 airflow_settings.yaml /opt/airflow/airflow_settings.yaml

# Users by number: a host, or Kubernetes' runAsNonRoot, cannot look a name up in the image.
USER 0
# An empty configuration: Airflow would write one with every default, and cannot on a read-only disk.
RUN rm -rf /opt/airflow/include/sandbox /opt/airflow/include/local \
 && touch /opt/airflow/airflow.cfg \
 && install -d -o airflow -g 0 -m 0770 /opt/airflow/logs /opt/airflow/auth /state
# `airflow` in Airflow's image.
USER 50000

# `from include.tiktok_sync…` works as it does under the Astro CLI and in the local stack.
ENV PYTHONPATH=/opt/airflow \
    PYTHONDONTWRITEBYTECODE=1

# The local TikTok, for the profile `sandbox`; production images do not have it.
FROM product AS sandbox
COPY --chown=root:0 include/sandbox /opt/airflow/include/sandbox

# What `docker build` makes by default.
FROM product
