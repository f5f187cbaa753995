"""All that MLflow holds of tracker's, checkpoint or not.

Who deletes has to see more than who reads: PENDING and FAILED logged models, those that were
replaced, and what holds files of others. Logged models of another origin, and the files of
registered versions, are none of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from mlflow.entities import LoggedModel
from mlflow.tracking import MlflowClient

from tracker.record.boundary import mlflow_errors
from tracker.record.tags import (
    COPY_OF,
    KEEP,
    KEPT,
    KEPT_FILES,
    MODEL_TYPE,
    PREFIX,
    REFERENCES,
    REPLACED_BY,
    to_record,
)
from tracker.types import CheckpointRecord

_PAGE = 1000

Condition: TypeAlias = Literal["checkpoint", "unfinished", "failed", "replaced", "holder"]
"""``checkpoint``: READY, and to be found. ``unfinished``: PENDING; it is being written, or was.
``failed``: it could not be written. ``replaced``: on its way out of MLflow. ``holder``: no
checkpoint any more, kept for the files that checkpoints need."""


@dataclass(frozen=True, slots=True)
class Holding:
    """A logged model of tracker's, as MLflow holds it.

    Attributes:
        id: Its id.
        name: Its name, ``epoch-6``.
        run_id: The run it was logged to.
        experiment_id: That run's experiment.
        condition: What it is.
        artifact_uri: Where its files are, or are to be.
        updated_at: When MLflow changed it last, in milliseconds by the server's clock.
        references: The ids of those whose files it needs.
        kept_files: Of a holder: the names of the files that it keeps; None: all.
        keep: Whether the user has said, by the tag ``tracker.keep``, that it stays.
        registered_as: What MLflow has noted on it about versions made from it; "" if nothing.
        record: The checkpoint, if it is one.
    """

    id: str
    name: str
    run_id: str
    experiment_id: str
    condition: Condition
    artifact_uri: str
    updated_at: int
    references: frozenset[str] = frozenset()
    kept_files: frozenset[str] | None = None
    keep: bool = False
    registered_as: str = ""
    record: CheckpointRecord | None = None

    @property
    def needs_others(self) -> bool:
        """Whether what it refers to must stay: it is a checkpoint, or may become one."""
        return self.condition in ("checkpoint", "unfinished")


@dataclass(frozen=True, slots=True)
class Survey:
    """All logged models of an experiment.

    Attributes:
        all_ids: The ids of all, of whatever origin.
        holdings: Those of tracker's.
    """

    all_ids: frozenset[str]
    holdings: list[Holding]


def survey(client: MlflowClient, experiment_id: str, experiment: str) -> Survey:
    """Return all logged models of an experiment.

    Raises:
        RecordError: MLflow refused or could not be reached.
    """
    models = list(_models(client, experiment_id, None))
    found = (holding_of(model, experiment) for model in models)
    return Survey(
        frozenset(model.model_id for model in models),
        [holding for holding in found if holding is not None],
    )


def holdings(
    client: MlflowClient, experiment_id: str, experiment: str, *, run_id: str | None = None
) -> list[Holding]:
    """Return all logged models of tracker's in an experiment, or in one of its runs.

    Args:
        client: MLflow.
        experiment_id: The experiment.
        experiment: Its name.
        run_id: Only those of this run.

    Raises:
        RecordError: MLflow refused or could not be reached.
    """
    of_run = None if run_id is None else f"source_run_id = '{run_id}'"
    found = (holding_of(model, experiment) for model in _models(client, experiment_id, of_run))
    return [holding for holding in found if holding is not None]


def referrers(client: MlflowClient, holder: Holding, experiment: str) -> list[Holding]:
    """Return those that need files of a logged model.

    Raises:
        RecordError: MLflow refused or could not be reached.
    """
    naming = f"tags.`{REFERENCES}` LIKE '%{holder.id}%'"
    found = (holding_of(m, experiment) for m in _models(client, holder.experiment_id, naming))
    return [each for each in found if each is not None and each.needs_others]


def _models(
    client: MlflowClient, experiment_id: str, filter_string: str | None
) -> Iterator[LoggedModel]:
    token: str | None = None
    with mlflow_errors("listing the logged models", client.tracking_uri):
        while True:
            page = client.search_logged_models(
                [experiment_id],
                filter_string=filter_string,
                max_results=_PAGE,
                # What is logged meanwhile comes last, and moves nothing to a page that was read.
                order_by=[{"field_name": "creation_timestamp"}, {"field_name": "model_id"}],
                page_token=token,
            )
            yield from page
            token = page.token
            if not token:
                return


def holding_of(model: LoggedModel, experiment: str) -> Holding | None:
    """Return what a logged model is, or None if it is not tracker's, or a registered version's."""
    tags = model.tags or {}
    is_ours = model.model_type == MODEL_TYPE and PREFIX + "model_class" in tags
    if not is_ours or COPY_OF in tags:
        return None
    record = to_record(model, experiment)
    kept_files = tags.get(KEPT_FILES)
    return Holding(
        id=model.model_id,
        name=model.name,
        run_id=model.source_run_id or "",
        experiment_id=model.experiment_id,
        condition=_condition(model, record),
        artifact_uri=model.artifact_location,
        updated_at=int(model.last_updated_timestamp),
        references=frozenset(filter(None, tags.get(REFERENCES, "").split(","))),
        kept_files=None if kept_files is None else frozenset(filter(None, kept_files.split(","))),
        keep=tags.get(KEEP, "false").strip().lower() not in ("false", "0", "no", ""),
        registered_as=tags.get("mlflow.modelVersions", ""),
        record=record,
    )


def _condition(model: LoggedModel, record: CheckpointRecord | None) -> Condition:
    tags = model.tags or {}
    if REPLACED_BY in tags:
        return "holder" if KEPT in tags else "replaced"
    if str(model.status) == "FAILED":
        return "failed"
    if str(model.status) == "READY":
        return "checkpoint"  # even if its tags can't be read: then nobody knows what it needs
    return "unfinished"
