"""The catalog's tables. They live beside MLflow's in one database and refer to none of them.

There is no foreign key to MLflow's tables, because it would make ``mlflow gc`` fail, and every
name starts with ``tracker_``, because MLflow's own names are plain words (``tags``, ``jobs``, …).

The metrics repeat what the best checkpoint is looked for by (experiment, run, epoch, time), so that
"the best of an experiment", "of a run" and "of all" are each answered from one index alone.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Double, Index, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

PREFIX_LENGTH = 64
"""Characters of a param's or tag's value that are indexed: PostgreSQL refuses long index rows."""

BYTE_ORDERED = Text().with_variant(Text(collation="C"), "postgresql")
"""Text that compares by its bytes on every database, as SQLite does: same order, same prefixes."""

BYTE_ORDERED_PREFIX = String(PREFIX_LENGTH).with_variant(
    String(PREFIX_LENGTH, collation="C"), "postgresql"
)


class Table(DeclarativeBase):
    """Base of the catalog's tables; its metadata holds them and nothing of MLflow's."""


class Experiment(Table):
    """The name of an experiment, once, so that renaming it changes one row."""

    __tablename__ = "tracker_experiments"

    id: Mapped[str] = mapped_column(BYTE_ORDERED, primary_key=True)
    name: Mapped[str] = mapped_column(BYTE_ORDERED)

    __table_args__ = (Index("tracker_experiments_by_name", "name"),)


class Checkpoint(Table):
    """One checkpoint; the columns are the attributes of `tracker.types.CheckpointRecord`."""

    __tablename__ = "tracker_checkpoints"

    id: Mapped[str] = mapped_column(BYTE_ORDERED, primary_key=True)
    run_id: Mapped[str] = mapped_column(BYTE_ORDERED)
    experiment_id: Mapped[str] = mapped_column(BYTE_ORDERED)
    name: Mapped[str] = mapped_column(BYTE_ORDERED)
    epoch: Mapped[int | None] = mapped_column(BigInteger)
    step: Mapped[int | None] = mapped_column(BigInteger)
    model_class: Mapped[str] = mapped_column(BYTE_ORDERED)
    model_text: Mapped[str] = mapped_column(BYTE_ORDERED)
    rebuild: Mapped[str] = mapped_column(BYTE_ORDERED)
    size: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[int] = mapped_column(BigInteger)
    artifact_uri: Mapped[str] = mapped_column(BYTE_ORDERED)
    manifest_digest: Mapped[str] = mapped_column(BYTE_ORDERED)

    __table_args__ = (
        Index("tracker_checkpoints_by_epoch", "run_id", "epoch", created_at.desc(), "id"),
        Index("tracker_checkpoints_by_step", "run_id", "step", created_at.desc(), "id"),
        Index("tracker_checkpoints_of_run", "run_id", created_at.desc(), *("id", "epoch", "step")),
        Index(
            "tracker_checkpoints_of_experiment",
            *("experiment_id", created_at.desc(), "id", "epoch", "step"),
        ),
        Index("tracker_checkpoints_by_time", created_at.desc(), "id", "epoch", "step"),
        Index("tracker_checkpoints_runs", "experiment_id", "run_id"),
    )


class Metric(Table):
    """A metric of a checkpoint. A NaN is NULL: SQLite can't hold it, and it never wins."""

    __tablename__ = "tracker_metrics"

    checkpoint_id: Mapped[str] = mapped_column(BYTE_ORDERED, primary_key=True)
    key: Mapped[str] = mapped_column(BYTE_ORDERED, primary_key=True)
    value: Mapped[float | None] = mapped_column(Double)
    experiment_id: Mapped[str] = mapped_column(BYTE_ORDERED)
    run_id: Mapped[str] = mapped_column(BYTE_ORDERED)
    epoch: Mapped[int | None] = mapped_column(BigInteger)
    created_at: Mapped[int] = mapped_column(BigInteger)

    __table_args__ = (
        Index(
            "tracker_metrics_best_of_experiment",
            *("experiment_id", "key", "value", "epoch", "created_at", "checkpoint_id"),
        ),
        Index(
            "tracker_metrics_best_of_run",
            *("run_id", "key", "value", "epoch", "created_at", "checkpoint_id"),
        ),
        Index(
            "tracker_metrics_best_of_all",
            *("key", "value", "epoch", "created_at", "checkpoint_id"),
        ),
        {"sqlite_with_rowid": False},
    )


class Param(Table):
    """A constructor argument of a checkpoint's model, as text."""

    __tablename__ = "tracker_params"

    checkpoint_id: Mapped[str] = mapped_column(BYTE_ORDERED, primary_key=True)
    key: Mapped[str] = mapped_column(BYTE_ORDERED, primary_key=True)
    value: Mapped[str] = mapped_column(BYTE_ORDERED)
    value_prefix: Mapped[str] = mapped_column(BYTE_ORDERED_PREFIX)

    __table_args__ = (
        Index("tracker_params_by_value", "key", "value_prefix", "checkpoint_id"),
        {"sqlite_with_rowid": False},
    )


class Tag(Table):
    """A tag of a checkpoint."""

    __tablename__ = "tracker_tags"

    checkpoint_id: Mapped[str] = mapped_column(BYTE_ORDERED, primary_key=True)
    key: Mapped[str] = mapped_column(BYTE_ORDERED, primary_key=True)
    value: Mapped[str] = mapped_column(BYTE_ORDERED)
    value_prefix: Mapped[str] = mapped_column(BYTE_ORDERED_PREFIX)

    __table_args__ = (
        Index("tracker_tags_by_value", "key", "value_prefix", "checkpoint_id"),
        {"sqlite_with_rowid": False},
    )


class State(Table):
    """What a mirror remembers between two updates, as text by name."""

    __tablename__ = "tracker_state"

    key: Mapped[str] = mapped_column(BYTE_ORDERED, primary_key=True)
    value: Mapped[str] = mapped_column(BYTE_ORDERED)
