"""The catalog's first schema.

A migration's file name starts with its revision (``0002_…``), and revisions count up: tracker reads
them from the names. A migration is frozen once released and imports nothing of tracker.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
PREFIX = sa.String(64).with_variant(sa.String(64, collation="C"), "postgresql")


def upgrade() -> None:
    _create_experiments()
    _create_checkpoints()
    _create_metrics()
    for name in ("params", "tags"):
        _create_texts(f"tracker_{name}")


def downgrade() -> None:
    for name in ("tags", "params", "metrics", "checkpoints", "experiments"):
        op.drop_table(f"tracker_{name}")


def _create_experiments() -> None:
    op.create_table(
        "tracker_experiments",
        sa.Column("id", TEXT, primary_key=True, nullable=False),
        sa.Column("name", TEXT, nullable=False),
    )
    op.create_index("tracker_experiments_by_name", "tracker_experiments", ["name"])


def _create_checkpoints() -> None:
    table = "tracker_checkpoints"
    op.create_table(
        table,
        sa.Column("id", TEXT, primary_key=True, nullable=False),
        sa.Column("run_id", TEXT, nullable=False),
        sa.Column("experiment_id", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("epoch", sa.BigInteger),
        sa.Column("step", sa.BigInteger),
        sa.Column("model_class", TEXT, nullable=False),
        sa.Column("model_text", TEXT, nullable=False),
        sa.Column("rebuild", TEXT, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("artifact_uri", TEXT, nullable=False),
        sa.Column("manifest_digest", TEXT, nullable=False),
    )
    newest_first = sa.text("created_at DESC")
    op.create_index("tracker_checkpoints_by_epoch", table, ["run_id", "epoch"])
    op.create_index("tracker_checkpoints_by_step", table, ["run_id", "step"])
    op.create_index(
        "tracker_checkpoints_of_experiment", table, ["experiment_id", newest_first, "id"]
    )
    op.create_index("tracker_checkpoints_by_time", table, [newest_first, "id"])


def _create_metrics() -> None:
    table = "tracker_metrics"
    op.create_table(
        table,
        sa.Column("checkpoint_id", TEXT, primary_key=True, nullable=False),
        sa.Column("key", TEXT, primary_key=True, nullable=False),
        sa.Column("value", sa.Double),
        sa.Column("experiment_id", TEXT, nullable=False),
        sa.Column("run_id", TEXT, nullable=False),
        sa.Column("epoch", sa.BigInteger),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    order = ["key", "value", "epoch", "created_at", "checkpoint_id"]
    op.create_index("tracker_metrics_best_of_experiment", table, ["experiment_id", *order])
    op.create_index("tracker_metrics_best_of_run", table, ["run_id", *order])
    op.create_index("tracker_metrics_best_of_all", table, order)


def _create_texts(table: str) -> None:
    op.create_table(
        table,
        sa.Column("checkpoint_id", TEXT, primary_key=True, nullable=False),
        sa.Column("key", TEXT, primary_key=True, nullable=False),
        sa.Column("value", TEXT, nullable=False),
        sa.Column("value_prefix", PREFIX, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index(f"{table}_by_value", table, ["key", "value_prefix", "checkpoint_id"])
