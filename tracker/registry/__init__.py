"""Registered models over MLflow's registry: versions, aliases, and what had an alias before."""
