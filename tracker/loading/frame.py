"""Checkpoints as a pandas DataFrame, with the columns that ``mlflow.search_runs`` would give it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tracker.errors import InvalidArgumentError
from tracker.types import CheckpointRecord

if TYPE_CHECKING:
    import pandas

_TEXTS = ("id", "run_id", "experiment_id", "experiment_name", "name")
_MORE_TEXTS = ("model_class", "model_text", "rebuild", "artifact_uri")


def to_frame(records: Sequence[CheckpointRecord]) -> pandas.DataFrame:
    """Return a row for each record, in their order.

    Columns: the attributes, named as in a filter (``created_at`` as UTC timestamps, ``epoch`` and
    ``step`` as integers that may be missing); then ``metrics.*`` (NaN where absent), ``params.*``
    and ``tags.*`` (None where absent), each sorted.

    Raises:
        InvalidArgumentError: pandas is not installed.
    """
    try:
        import pandas
    except ImportError as error:
        raise InvalidArgumentError(
            "output_format='pandas' needs pandas, which is not installed: pip install pandas."
        ) from error
    columns: dict[str, Any] = {
        **{name: _texts(records, name) for name in _TEXTS},
        "epoch": pandas.array([record.epoch for record in records], dtype="Int64"),
        "step": pandas.array([record.step for record in records], dtype="Int64"),
        "created_at": pandas.to_datetime([r.created_at for r in records], unit="ms", utc=True),
        "size": pandas.array([record.size for record in records], dtype="int64"),
        **{name: _texts(records, name) for name in _MORE_TEXTS},
    }
    for kind, absent in (("metrics", float("nan")), ("params", None), ("tags", None)):
        for key in sorted({key for record in records for key in getattr(record, kind)}):
            values = [getattr(record, kind).get(key, absent) for record in records]
            column = pandas.Series(values, dtype="float64" if kind == "metrics" else "object")
            columns[f"{kind}.{key}"] = column
    return pandas.DataFrame(columns)


def _texts(records: Sequence[CheckpointRecord], name: str) -> list[str]:
    attribute = "experiment" if name == "experiment_name" else name
    return [getattr(record, attribute) for record in records]
