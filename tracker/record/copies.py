"""The logged models that hold the files of registered versions.

Each registered model has an experiment of its own for them, ``registry/NAME``. So neither deleting
a checkpoint, its run or its experiment nor ``mlflow gc`` afterwards takes a version's files, and
who may see them is set for each registered model. To the catalog they are no checkpoints: the tag
that would make them such is missing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from tracker.errors import NotFoundError, RecordError
from tracker.record.boundary import mlflow_errors
from tracker.record.runs import MAX_PARAM_LENGTH
from tracker.record.tags import COPY_OF, MODEL_TYPE, PREFIX
from tracker.types import CheckpointRecord

EXPERIMENT = "registry/"
"""What the names of these experiments begin with."""

_OF_MODEL = PREFIX + "registered_model"
_MANIFEST = PREFIX + "copy_manifest"
_SIZE = PREFIX + "copy_size"


@dataclass(frozen=True, slots=True)
class Copy:
    """A logged model that holds, or will hold, the files of a registered version.

    Attributes:
        id: Its id.
        artifact_uri: Where its files are.
        manifest_digest: BLAKE3 (hex) of its ``checkpoint.json``; "" while it is written.
        size: Bytes of its files.
    """

    id: str
    artifact_uri: str
    manifest_digest: str = ""
    size: int = 0


def experiment_for(client: MlflowClient, name: str) -> str:
    """Return the id of the experiment for the versions of a registered model; make it if need be.

    Raises:
        RecordError: MLflow refused, could not be reached, or the experiment was deleted.
    """
    experiment = EXPERIMENT + name
    with mlflow_errors(f"making the experiment {experiment!r} for registered versions"):
        found = client.get_experiment_by_name(experiment)
        if found is None:
            try:
                return str(
                    client.create_experiment(
                        experiment,
                        tags={
                            _OF_MODEL: name,
                            "mlflow.experimentKind": "custom_model_development",
                        },
                    )
                )
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
                found = client.get_experiment_by_name(experiment)
    if found is None or found.lifecycle_stage != "active":
        raise RecordError(
            f"The experiment {experiment!r}, which holds the files of registered versions of "
            f"{name!r}, was deleted in MLflow. Restore it: mlflow experiments restore "
            f"--experiment-id {found.experiment_id if found else '…'}"
        )
    return str(found.experiment_id)


def origin(client: MlflowClient, model_id: str) -> str:
    """Return the id of the checkpoint that a logged model is a copy of; its own if it is none.

    Raises:
        RecordError: MLflow refused or could not be reached.
    """
    try:
        with mlflow_errors(f"looking up the logged model {model_id}"):
            tags = client.get_logged_model(model_id).tags or {}
    except NotFoundError:
        return model_id
    return str(tags.get(COPY_OF, model_id))


def registered_model_of(client: MlflowClient, model_id: str) -> str | None:
    """Return the registered model that a logged model is a copy for, or None.

    Raises:
        RecordError: MLflow refused or could not be reached.
    """
    try:
        with mlflow_errors(f"looking up the logged model {model_id}"):
            return (client.get_logged_model(model_id).tags or {}).get(_OF_MODEL)
    except NotFoundError:
        return None


def complete(client: MlflowClient, experiment_id: str, checkpoint_id: str) -> Iterator[Copy]:
    """Yield whole copies of a checkpoint: those of versions that were deleted, or never came.

    Raises:
        RecordError: MLflow refused or could not be reached.
    """
    with mlflow_errors(f"looking for copies of {checkpoint_id}"):
        found = client.search_logged_models(
            [experiment_id], filter_string=f"tags.`{COPY_OF}` = '{checkpoint_id}'"
        )
    for each in found:
        digest = (each.tags or {}).get(_MANIFEST)
        if str(each.status) == "READY" and digest:
            size = int((each.tags or {}).get(_SIZE, "0"))
            yield Copy(each.model_id, each.artifact_location, digest, size)


def create(
    client: MlflowClient, experiment_id: str, name: str, record: CheckpointRecord, origin: str
) -> Copy:
    """Make the PENDING logged model of a version.

    Args:
        client: MLflow.
        experiment_id: Where to.
        name: The registered model.
        record: The checkpoint.
        origin: Its id, or that of the checkpoint that it is itself a copy of.

    Raises:
        RecordError: MLflow refused or could not be reached.
    """
    with mlflow_errors(f"creating the logged model of a version of {name!r}"):
        made = client.create_logged_model(
            experiment_id,
            name=record.name,
            source_run_id=record.run_id or None,
            tags={COPY_OF: origin, _OF_MODEL: name},
            params={key: value[:MAX_PARAM_LENGTH] for key, value in record.params.items()},
            model_type=MODEL_TYPE,
        )
    return Copy(made.model_id, made.artifact_location)


def finish(client: MlflowClient, copy: Copy) -> None:
    """Make the logged model READY, when all of its files are where they belong.

    Raises:
        RecordError: MLflow refused or could not be reached.
    """
    with mlflow_errors(f"finishing the logged model {copy.id}"):
        client.set_logged_model_tags(
            copy.id, {_MANIFEST: copy.manifest_digest, _SIZE: str(copy.size)}
        )
        client.finalize_logged_model(copy.id, "READY")
