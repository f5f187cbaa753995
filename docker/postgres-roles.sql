-- Run by the PostgreSQL image when the database directory is empty, as its superuser: a role for
-- each server, with its own databases, which nobody else may connect to.
\getenv mlflow_password MLFLOW_DB_PASSWORD
\getenv tracker_password TRACKER_DB_PASSWORD
CREATE ROLE mlflow LOGIN PASSWORD :'mlflow_password';
CREATE ROLE tracker LOGIN PASSWORD :'tracker_password';
CREATE DATABASE mlflow OWNER mlflow;
CREATE DATABASE mlflow_auth OWNER mlflow;
CREATE DATABASE tracker OWNER tracker;
REVOKE ALL ON DATABASE mlflow, mlflow_auth, tracker, postgres FROM PUBLIC;
