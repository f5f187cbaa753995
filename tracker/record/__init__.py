"""The only room that talks to MLflow: runs, logged models, artifacts. MLflow is the truth.

The modules import MLflow where they use it, so that reading a local catalog costs no import of it.
MLflow's errors stop here and travel on as `RecordError` (see `boundary`).
"""
