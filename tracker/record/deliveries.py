"""Logged models of checkpoints that come by way of the spool, found again by the delivery's id.

A delivery may be begun several times, by several processes, and MLflow's client repeats a request
to create whose answer it did not get. The tag ``tracker.delivery`` tells what is there already.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mlflow.entities import LoggedModel, LoggedModelOutput
from mlflow.tracking import MlflowClient

from tracker.record.boundary import mlflow_errors
from tracker.record.logged_models import Created
from tracker.record.runs import Run
from tracker.record.tags import PREFIX, to_record
from tracker.types import CheckpointRecord

_DELIVERY = PREFIX + "delivery"


@dataclass(frozen=True, slots=True)
class Begun:
    """What earlier attempts at a delivery have left in MLflow.

    Attributes:
        delivered: The READY checkpoint, if one got so far.
        pending: Logged models that are not READY; one of them may be finished.
    """

    delivered: CheckpointRecord | None
    pending: tuple[Created, ...]


def tags(delivery_id: str, created_at: int) -> Mapping[str, str]:
    """Return the tags of a logged model that is delivered later than it was logged."""
    return {_DELIVERY: delivery_id, PREFIX + "created_at": str(created_at)}


def begun(client: MlflowClient, run: Run, delivery_id: str) -> Begun:
    """Return what there is of a delivery.

    Raises:
        RecordError: MLflow refused or could not be reached.
    """
    with mlflow_errors(f"looking for delivery {delivery_id}", client.tracking_uri):
        models = list(
            client.search_logged_models(
                [run.experiment_id], filter_string=f"tags.`{_DELIVERY}` = '{delivery_id}'"
            )
        )
    records = [to_record(model, run.experiment) for model in models]
    return Begun(
        delivered=next((record for record in records if record is not None), None),
        pending=tuple(_created(m) for m, r in zip(models, records, strict=True) if r is None),
    )


def _created(model: LoggedModel) -> Created:
    return Created(model.model_id, model.artifact_location, model.creation_timestamp)


def take_over(client: MlflowClient, run: Run, created: Created, step: int) -> Created:
    """Return the logged model of an earlier attempt, linked to its run for certain.

    Raises:
        RecordError: MLflow refused or could not be reached.
    """
    with mlflow_errors(f"linking {created.id} to run {run.id}", client.tracking_uri):
        outputs = client.get_run(run.id).outputs
        linked = {output.model_id for output in outputs.model_outputs} if outputs else set()
        if created.id not in linked:
            client.log_outputs(run.id, [LoggedModelOutput(created.id, step)])
    return created
