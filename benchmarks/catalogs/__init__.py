"""The same record of checkpoints in tracker's catalog and in MLflow's tables, for the benchmark."""
