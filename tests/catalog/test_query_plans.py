"""The best checkpoint is found in one index alone, however many there are."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, event, insert, text

from tracker.catalog import Scope, at, best, latest, search
from tracker.catalog.tables import Checkpoint, Experiment, Metric
from tracker.catalog.writes import checkpoint_row, metric_rows

from .examples import record

RUNS, EPOCHS = 30, 100


@pytest.fixture
def filled(catalog: Engine) -> Engine:
    """A few thousand checkpoints of three experiments, with two metrics each."""
    records = [
        record(
            number,
            run_id=f"run-{number // EPOCHS}",
            experiment_id=str(number % 3),
            epoch=number % EPOCHS,
            metrics={"loss": (number * 7919 % 1_000) / 10, "accuracy": 1.0},
        )
        for number in range(RUNS * EPOCHS)
    ]
    with catalog.begin() as connection:
        experiments = [{"id": str(n), "name": f"experiment-{n}"} for n in range(3)]
        connection.execute(insert(Experiment), experiments)
        connection.execute(insert(Checkpoint), [checkpoint_row(r) for r in records])
        connection.execute(insert(Metric), [row for r in records for row in metric_rows(r)])
        connection.execute(text("ANALYZE"))
    return catalog


def plans(engine: Engine, table: str, question: object) -> list[str]:
    """The plans of the queries on a table that a question asks."""
    asked: list[tuple[str, object]] = []

    def note(_c: object, _cursor: object, statement: str, parameters: object, *_: object) -> None:
        if statement.startswith("SELECT") and f"FROM {table}" in statement:
            asked.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", note)
    question(engine)  # type: ignore[operator]
    event.remove(engine, "before_cursor_execute", note)
    explain = "EXPLAIN QUERY PLAN" if engine.dialect.name == "sqlite" else "EXPLAIN"
    with engine.connect() as connection:
        return [
            "\n".join(
                str(row[-1]) for row in connection.exec_driver_sql(f"{explain} {query}", values)
            )
            for query, values in asked
        ]


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("metric", ["loss", "accuracy"])
@pytest.mark.parametrize(
    ("scope", "index"),
    [
        (Scope(("experiment-1",)), "tracker_metrics_best_of_experiment"),
        (Scope(run_id="run-7"), "tracker_metrics_best_of_run"),
        (Scope(), "tracker_metrics_best_of_all"),
    ],
    ids=["experiment", "run", "all"],
)
def test_the_best_is_looked_up_in_one_index_without_sorting(
    filled: Engine, scope: Scope, index: str, metric: str, mode: str
) -> None:
    value, earliest, *_ = plans(
        filled,
        "tracker_metrics",
        lambda engine: best(engine, scope, metric, mode),  # type: ignore[arg-type]
    )

    if filled.dialect.name == "sqlite":
        for plan in (value, earliest):
            assert f"USING COVERING INDEX {index}" in plan
            assert "TEMP B-TREE" not in plan
    else:
        assert f"Index Only Scan using {index}" in value.replace(" Backward", "")
        assert not any(costly in value + earliest for costly in ("Seq Scan", " Sort"))


@pytest.mark.parametrize(
    ("question", "index"),
    [
        (lambda e: search(e, Scope(("experiment-1",))), "tracker_checkpoints_of_experiment"),
        (lambda e: search(e, Scope()), "tracker_checkpoints_by_time"),
        (lambda e: latest(e, Scope()), "tracker_checkpoints_by_time"),
        (lambda e: at(e, Scope(run_id="run-7"), epoch=3), "tracker_checkpoints_by_epoch"),
        (lambda e: at(e, Scope(run_id="run-7"), step=72_000), "tracker_checkpoints_by_step"),
    ],
    ids=["experiment", "all", "latest", "epoch", "step"],
)
def test_checkpoints_are_looked_up_in_an_index(
    filled: Engine, question: object, index: str
) -> None:
    plan = plans(filled, "tracker_checkpoints", question)[0]

    # PostgreSQL may choose another one that serves, by its statistics.
    assert index in plan if filled.dialect.name == "sqlite" else "Seq Scan" not in plan
