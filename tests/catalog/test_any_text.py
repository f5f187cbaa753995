"""Whatever text a question holds, it is answered or refused, and no row changes."""

from __future__ import annotations

import contextlib
import warnings

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, select

from tracker.catalog import Scope, history, put, run_ids
from tracker.catalog.tables import Table
from tracker.errors import TrackerError, TrackerWarning
from tracker.loading import find

from .examples import record

HOSTILE = st.text() | st.sampled_from(
    [
        *("' OR '1'='1", "'; DROP TABLE tracker_checkpoints; --", '" OR ""="', "a\0b", "\ud800"),
        *("%(x)s", ":x", "?", "$1", "%", "_", "\\", "m-%", "x" * 100_000, "digits' --"),
        "params.`'; DROP TABLE x; --` = '%s'",
        "metrics.loss < 1; DELETE FROM tracker_metrics",
    ]
)


def rows(catalog: Engine) -> dict[str, list[object]]:
    with catalog.connect() as connection:
        return {
            name: [tuple(row) for row in connection.execute(select(table))]
            for name, table in Table.metadata.tables.items()
        }


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(text=HOSTILE)
def test_any_text_is_answered_or_refused_and_changes_nothing(catalog: Engine, text: str) -> None:
    put(catalog, record(1, metrics={"loss": 0.5, "it's": 1.0}, tags={'"': "%s"}))
    before = rows(catalog)
    place = find.make_scope("digits", None)

    for ask in (
        lambda: find.search(
            catalog, find.make_scope(text, text), order_by=[text], max_results=None
        ),
        lambda: find.search(
            catalog, find.make_scope(None, None, text), order_by=None, max_results=1
        ),
        lambda: find.search(catalog, Scope((text,), text), order_by=None, max_results=1),
        lambda: find.top(catalog, place, text, "min", 3),
        lambda: find.best(catalog, find.make_scope(["digits", text], None), "loss", text),
        lambda: find.best_of_each_run(
            catalog, Scope(("digits", text), None, text), text, "max", max_results=None
        ),
        lambda: find.pareto(catalog, place, {"loss": "min", text: "max"}),
        lambda: find.get(catalog, Scope((text,), text), epoch=1, step=None),
        lambda: find.by_id(catalog, text),
        lambda: find.by_run_and_name(catalog, "run-1", text),
        lambda: history(catalog, [text], text),
        lambda: run_ids(catalog, Scope((text,)), 3),
    ):
        with warnings.catch_warnings(), contextlib.suppress(TrackerError):
            warnings.simplefilter("ignore", TrackerWarning)
            ask()

    assert rows(catalog) == before
