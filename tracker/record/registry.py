"""MLflow's model registry: which checkpoints have been given a name."""

from __future__ import annotations

from mlflow.tracking import MlflowClient

from tracker.record import versions


def aliased_checkpoints() -> list[str]:
    """Return ``models:/NAME@alias`` for each alias whose version was made from a checkpoint.

    A version whose logged model is gone counts as well; one of another origin does not.

    Raises:
        RecordError: MLflow can't be reached.
    """
    client = MlflowClient()
    return [
        f"models:/{model.name}@{alias}"
        for model in versions.models(client)
        for alias, number in sorted(model.aliases.items())
        if versions.is_checkpoint(client, versions.version(client, model.name, str(number)))
    ]
