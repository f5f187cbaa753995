"""What checkpoints MLflow holds, page by page, in the order in which they were last updated.

A page begins where the one before ended, by time and not by number: what is updated meanwhile moves
to the end and is seen there, and who was interrupted goes on with the last page that was complete.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from mlflow.entities import LoggedModel, ViewType
from mlflow.tracking import MlflowClient

from tracker.record.boundary import mlflow_errors
from tracker.record.tags import LET_GO, to_record
from tracker.types import CheckpointRecord

_PAGE = 1000
_RUN_ID = re.compile(r"[\w-]+")
_ORDER = [{"field_name": "last_updated_timestamp"}, {"field_name": "model_id"}]


@dataclass(frozen=True, slots=True)
class Page:
    """Some of the checkpoints that MLflow holds.

    Attributes:
        records: The checkpoints.
        until: Everything that was updated before is in this page or an earlier one; milliseconds
            by the server's clock.
        gone: By run, the ids of checkpoints that were deleted, as these records say.
    """

    records: list[CheckpointRecord]
    until: int
    gone: Mapping[str, frozenset[str]] = field(default_factory=dict)


def pages(
    experiments: Mapping[str, str], *, since: int = 0, run_id: str | None = None
) -> Iterator[Page]:
    """Yield the checkpoints that MLflow holds.

    Args:
        experiments: The names of the experiments to look in, by id.
        since: Only those updated since then, in milliseconds.
        run_id: Only those of this run.

    Raises:
        RecordError: MLflow can't be reached.
    """
    of_run = "" if run_id is None else f" AND source_run_id = '{run_id}'"
    token: str | None = None
    with mlflow_errors("listing the logged models"):
        client = MlflowClient()
        while experiments:
            found = client.search_logged_models(
                list(experiments),
                filter_string=f"last_updated_timestamp >= {since}{of_run}",
                max_results=_PAGE,
                order_by=_ORDER,
                page_token=token,
            )
            until = found[-1].last_updated_timestamp if found else since
            yield Page(_records(found, experiments), until, _gone(found))
            if not found.token:
                return
            # Many of the same millisecond are paged by number.
            since, token = (until, None) if until > since else (since, found.token)


def _records(
    models: Collection[LoggedModel], experiments: Mapping[str, str]
) -> list[CheckpointRecord]:
    records = (to_record(model, experiments[model.experiment_id]) for model in models)
    return [record for record in records if record is not None]


def _gone(models: Collection[LoggedModel]) -> dict[str, frozenset[str]]:
    """Return by run what models say was deleted of it; of other runs they have nothing to say."""
    found: dict[str, set[str]] = {}
    for model in models:
        for key, value in (model.tags or {}).items():
            if key.startswith(LET_GO) and model.source_run_id:
                found.setdefault(model.source_run_id, set()).update(value.split(","))
    return {run_id: frozenset(ids) for run_id, ids in found.items()}


def deleted_runs(experiment_ids: Collection[str]) -> set[str]:
    """Return the runs with checkpoints that were deleted, and can be restored.

    Raises:
        RecordError: MLflow can't be reached.
    """
    return _runs(experiment_ids, "params.`model.class` != ''", ViewType.DELETED_ONLY)


def active_runs(experiment_ids: Collection[str], run_ids: Collection[str]) -> set[str]:
    """Return those of some runs that are there: neither deleted nor collected by ``mlflow gc``.

    Logged models outlive their run when that is collected.

    Raises:
        RecordError: MLflow can't be reached.
    """
    found: set[str] = set()
    # Anyone may make a logged model that names any text as its run.
    ordered = sorted(filter(_RUN_ID.fullmatch, run_ids))
    for start in range(0, len(ordered), _PAGE):
        quoted = ", ".join(f"'{run_id}'" for run_id in ordered[start : start + _PAGE])
        found |= _runs(experiment_ids, f"attributes.run_id IN ({quoted})", ViewType.ACTIVE_ONLY)
    return found


def _runs(experiment_ids: Collection[str], filter_string: str, view: int) -> set[str]:
    found: set[str] = set()
    token: str | None = None
    with mlflow_errors("listing the runs"):
        client = MlflowClient()
        while experiment_ids:
            page = client.search_runs(
                list(experiment_ids),
                filter_string=filter_string,
                run_view_type=view,
                max_results=_PAGE,
                page_token=token,
            )
            found.update(run.info.run_id for run in page)
            token = page.token
            if not token:
                break
    return found
