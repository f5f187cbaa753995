"""The ``MLmodel`` file, by which MLflow's own tools accept a checkpoint as a model."""

from __future__ import annotations

from mlflow import pyfunc
from mlflow.models import Model

from tracker.types import Architecture

LOADER = "tracker.flavor"


def mlmodel(model_id: str, run_id: str, architecture: Architecture) -> bytes:
    """Return the ``MLmodel`` of a checkpoint: flavors ``tracker`` and ``python_function``."""
    model = Model(run_id=run_id, model_id=model_id)
    model.add_flavor("tracker", model_class=architecture.model_class, model=architecture.model_text)
    pyfunc.add_to_model(model, loader_module=LOADER)
    text: str = model.to_yaml()
    return text.encode()
