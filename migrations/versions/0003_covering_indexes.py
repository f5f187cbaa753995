"""Indexes that answer the usual questions alone, without a look at the table.

The latest of all, of an experiment and of a run; the newest page; an epoch or step of a run; and
the runs of an experiment, for the best of each.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TABLE = "tracker_checkpoints"
NEWEST_FIRST = sa.text("created_at DESC")
LATER_FIRST = [NEWEST_FIRST, "id", "epoch", "step"]


def upgrade() -> None:
    _replace("by_epoch", ["run_id", "epoch", NEWEST_FIRST, "id"])
    _replace("by_step", ["run_id", "step", NEWEST_FIRST, "id"])
    _replace("of_experiment", ["experiment_id", *LATER_FIRST])
    _replace("by_time", LATER_FIRST)
    op.create_index(f"{TABLE}_of_run", TABLE, ["run_id", *LATER_FIRST])
    op.create_index(f"{TABLE}_runs", TABLE, ["experiment_id", "run_id"])


def downgrade() -> None:
    for name in ("of_run", "runs"):
        op.drop_index(f"{TABLE}_{name}", TABLE)
    _replace("by_epoch", ["run_id", "epoch"])
    _replace("by_step", ["run_id", "step"])
    _replace("of_experiment", ["experiment_id", NEWEST_FIRST, "id"])
    _replace("by_time", [NEWEST_FIRST, "id"])


def _replace(name: str, columns: list[object]) -> None:
    op.drop_index(f"{TABLE}_{name}", TABLE)
    op.create_index(f"{TABLE}_{name}", TABLE, columns)  # type: ignore[arg-type]
