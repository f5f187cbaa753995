# MLflow's image, with what a server needs that MLflow's image does not bring: a driver for
# PostgreSQL, a client for S3, and the forms of its basic-auth app.
FROM ghcr.io/mlflow/mlflow:v3.17.2
RUN pip install --no-cache-dir psycopg[binary]==3.3.9 boto3==1.44.5 Flask-WTF==1.3.0
# A volume takes its first owner from here. The server writes large artifacts to a file on their
# way; in memory (a tmpfs) a few uploads at once would not fit.
RUN useradd --uid 10001 --no-create-home mlflow && install --directory --owner mlflow /passing
ENV TMPDIR=/passing HOME=/passing
USER mlflow
