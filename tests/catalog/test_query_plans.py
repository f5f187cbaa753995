"""The usual questions are answered by an index alone, whatever a database knows of its tables.

Ten thousand checkpoints with five metrics each; the plans are read before the database has any
statistics, and again after ANALYZE.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain

import pytest
from sqlalchemy import Connection, Engine, event, text

from tracker.catalog import (
    Scope,
    at,
    best,
    best_of_each_run,
    by_id,
    create_or_upgrade,
    history,
    latest,
    metric_names,
    open_catalog,
    pareto,
    search,
    top,
)

from ..conftest import NewDatabase
from .conftest import DATABASES

Question = Callable[[Engine], object]
Plans = dict[tuple[str, bool], list[str]]
"""The plans of each query about checkpoints or metrics, by question and whether analyzed."""

ALL, EXPERIMENT, RUN = Scope(), Scope(("experiment-1",)), Scope(run_id="run-7")
METRICS = ("loss", "accuracy", "constant", "nan", "other")

BEST: dict[str, tuple[Question, str]] = {
    f"{asked.__name__} of {place} by {metric}, {mode}": (
        partial(asked, scope=scope, metric=metric, mode=mode, **more),
        f"tracker_metrics_best_of_{place}",
    )
    for place, scope in (("experiment", EXPERIMENT), ("run", RUN), ("all", ALL))
    for metric in ("loss", "constant")
    for mode in ("min", "max")
    for asked, more in ((best, {}), (top, {"limit": 10}))
}
BEST |= {
    f"page of {place} by metric": (
        lambda e, scope=scope: search(e, scope, order_by=["metrics.loss"], max_results=10),  # type: ignore[misc]
        f"tracker_metrics_best_of_{place}",
    )
    for place, scope in (("experiment", EXPERIMENT), ("run", RUN), ("all", ALL))
}
LOOKED_UP: dict[str, tuple[Question, str]] = {
    "latest of all": (lambda e: latest(e, ALL), "tracker_checkpoints_by_time"),
    "latest of experiment": (lambda e: latest(e, EXPERIMENT), "tracker_checkpoints_of_experiment"),
    "latest of run": (lambda e: latest(e, RUN), "tracker_checkpoints_of_run"),
    "page of all": (lambda e: search(e, ALL), "tracker_checkpoints_by_time"),
    "page of experiment": (lambda e: search(e, EXPERIMENT), "tracker_checkpoints_of_experiment"),
    "page of run": (lambda e: search(e, RUN), "tracker_checkpoints_of_run"),
    "epoch of run": (lambda e: at(e, RUN, epoch=3), "tracker_checkpoints_by_epoch"),
    "step of run": (lambda e: at(e, RUN, step=703), "tracker_checkpoints_by_step"),
    "id": (lambda e: by_id(e, "m-5x"), "sqlite_autoindex_tracker_checkpoints_1"),
    "history": (lambda e: history(e, ["run-7", "run-8"], "loss"), "tracker_metrics_best_of_run"),
}
SEVERAL: dict[str, Question] = {
    f"best of several, {mode}": partial(
        best, scope=Scope(("experiment-1", "experiment-2")), metric="loss", mode=mode
    )
    for mode in ("min", "max")
}
OF_EACH_RUN: dict[str, Question] = {
    "all": lambda e: best_of_each_run(e, ALL, "loss", "min"),
    "all, max": lambda e: best_of_each_run(e, ALL, "loss", "max"),
    "experiment": lambda e: best_of_each_run(e, EXPERIMENT, "loss", "min"),
    "filtered": lambda e: best_of_each_run(e, Scope(filter_string="epoch > 3"), "loss", "min"),
}
NAMES: dict[str, Question] = {
    "names of all": lambda e: metric_names(e, ALL),
    "names of experiment": lambda e: metric_names(e, EXPERIMENT),
    "names of run": lambda e: metric_names(e, RUN),
}
PARETO: dict[str, Question] = {
    "pareto": lambda e: pareto(e, EXPERIMENT, {"loss": "min", "accuracy": "max"}),
}
SEEN = Scope(visible=frozenset({"0", "1", "of no checkpoint"}))
OF_THOSE_SEEN: dict[str, Question] = {
    "best seen": lambda e: best(e, SEEN, "loss", "min"),
    "top seen": lambda e: top(e, SEEN, "loss", "min", 10),
    "latest seen": lambda e: latest(e, SEEN),
    "best of each run seen": lambda e: best_of_each_run(e, SEEN, "loss", "min"),
    "pareto seen": lambda e: pareto(e, SEEN, {"loss": "min", "accuracy": "max"}),
    "names seen": lambda e: metric_names(e, SEEN),
}
QUESTIONS: dict[str, Question] = {
    **OF_THOSE_SEEN,
    **{name: question for name, (question, _) in {**BEST, **LOOKED_UP}.items()},
    **SEVERAL,
    **OF_EACH_RUN,
    **NAMES,
    **PARETO,
}


@pytest.fixture(scope="module", params=DATABASES)
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """Ten thousand checkpoints of a hundred runs in three experiments."""
    if request.param == "sqlite":
        uri = f"sqlite:///{tmp_path_factory.mktemp('plans') / 'catalog.db'}"
    else:
        new_database: NewDatabase = request.getfixturevalue("new_postgresql_database")
        uri = new_database()
    create_or_upgrade(uri)
    engine = open_catalog(uri)
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            for table in ("tracker_checkpoints", "tracker_metrics"):  # it analyzes by itself, too
                connection.execute(text(f"ALTER TABLE {table} SET (autovacuum_enabled = false)"))
        _fill(connection)
    return engine


def _fill(connection: Connection) -> None:
    numbers = "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {most}) "
    connection.execute(
        text(
            f"INSERT INTO tracker_experiments {numbers.format(most=2)}"
            "SELECT CAST(i AS TEXT), 'experiment-' || i FROM n"
        )
    )
    connection.execute(
        text(
            "INSERT INTO tracker_checkpoints (id, run_id, experiment_id, name, epoch, step, "
            "model_class, model_text, rebuild, size, created_at, artifact_uri, manifest_digest) "
            f"{numbers.format(most=9_999)}"
            "SELECT 'm-' || i, 'run-' || (i / 100), CAST(i / 100 % 3 AS TEXT), "
            "'epoch-' || (i % 100), i % 100, i, 'Net', 'Net()', 'constructor', 1000, "
            "1700000000000 + i, '/m', '0' "
            "FROM n"
        )
    )
    for metric, value in {
        "loss": "(step * 7919 % 1000) / 10.0",
        "accuracy": "(step * 7907 % 1000) / 10.0",
        "constant": "1.0",
        "nan": "NULL",
        "other": "step % 7",
    }.items():
        connection.execute(
            text(
                "INSERT INTO tracker_metrics (checkpoint_id, key, value, experiment_id, run_id, "
                "epoch, created_at) SELECT id, :key, "
                f"{value}, experiment_id, run_id, epoch, created_at "
                "FROM tracker_checkpoints"
            ),
            {"key": metric},
        )


@pytest.fixture(scope="module")
def plans(database: Engine) -> Plans:
    found: Plans = {}
    for analyzed in (False, True):
        if analyzed:
            _analyze(database)
        for name, question in QUESTIONS.items():
            found[name, analyzed] = list(_plans(database, question))
    for plan in chain(*found.values()):
        assert accesses(plan), plan
    return found


def _analyze(engine: Engine) -> None:
    if engine.dialect.name == "sqlite":
        with engine.begin() as connection:
            connection.execute(text("ANALYZE"))
    else:  # what its autovacuum does after a while
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))


def _plans(engine: Engine, question: Question) -> Iterator[str]:
    asked: list[tuple[str, object]] = []

    def note(_c: object, _cursor: object, statement: str, parameters: object, *_: object) -> None:
        # Records that were found are then read from the tables, by their ids.
        by_ids = re.search(r"(tracker_checkpoints\.id|checkpoint_id) IN \(|unnest", statement)
        if re.search("FROM tracker_(checkpoints|metrics)", statement) and not by_ids:
            asked.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", note)
    question(engine)
    event.remove(engine, "before_cursor_execute", note)
    explain = "EXPLAIN QUERY PLAN" if engine.dialect.name == "sqlite" else "EXPLAIN"
    with engine.connect() as connection:
        for query, values in asked:
            rows = connection.exec_driver_sql(f"{explain} {query}", values)  # type: ignore[arg-type]
            yield "\n".join(str(row[-1]) for row in rows)


def accesses(plan: str) -> list[str]:
    """The lines of a plan that look for checkpoints or metrics.

    On PostgreSQL the same statement then reads those that were found, by their ids.
    """
    found = re.findall(r".*(?:SEARCH|SCAN|Scan)\b.* tracker_(?:checkpoints|metrics).*", plan)
    by_id = re.compile(
        r"Index Scan (using|on) tracker_\w+_pkey|Bitmap Heap Scan on tracker_metrics"
    )
    return [line for line in found if not by_id.search(line)]


def is_index_only(access: str) -> bool:
    return "USING COVERING INDEX" in access or "Index Only Scan" in access


def sorts_all(plan: str) -> bool:
    """Whether more is sorted than those with equal values."""
    return bool(re.search(r"USE TEMP B-TREE FOR ORDER BY|^\s*(->)?\s*Sort  \(", plan, re.MULTILINE))


every_plan = pytest.mark.parametrize("analyzed", [False, True], ids=["unknown", "analyzed"])


def check_one_index(plan: str, index: str, *, analyzed: bool) -> None:
    """PostgreSQL chooses by its statistics, and without them only an index that serves."""
    if "Scan" not in plan:
        for access in accesses(plan):
            assert f"USING COVERING INDEX {index} " in f"{access} ", plan
        return
    assert not re.search("Seq Scan on tracker_(checkpoints|metrics)", plan), plan
    if analyzed:
        assert all(is_index_only(access) for access in accesses(plan)), plan


@every_plan
@pytest.mark.parametrize("name", BEST)
def test_the_best_is_looked_up_in_one_index(plans: Plans, name: str, analyzed: bool) -> None:
    for plan in plans[name, analyzed]:
        check_one_index(plan, BEST[name][1], analyzed=analyzed)
        # PostgreSQL may sort the few that are better than the tenth, if it does not know they are.
        if analyzed or "Scan" not in plan or name.startswith("best"):
            assert not sorts_all(plan), plan


@every_plan
@pytest.mark.parametrize("name", SEVERAL)
def test_the_best_of_several_experiments_is_a_look_up_in_each(
    plans: Plans, name: str, analyzed: bool
) -> None:
    (plan,) = plans[name, analyzed]

    assert "tracker_metrics_best_of_experiment" in plan
    assert not re.search(r"SCAN tracker_[cm]|Seq Scan on tracker_(checkpoints|metrics)", plan), plan


@every_plan
@pytest.mark.parametrize("name", LOOKED_UP)
def test_checkpoints_are_looked_up_in_one_index(plans: Plans, name: str, analyzed: bool) -> None:
    for plan in plans[name, analyzed]:
        check_one_index(plan, LOOKED_UP[name][1], analyzed=analyzed)
        if "Scan" not in plan and name != "history":
            assert not sorts_all(plan), plan


@every_plan
@pytest.mark.parametrize("name", OF_EACH_RUN)
def test_the_best_of_each_run_is_a_look_up_for_each(
    plans: Plans, name: str, analyzed: bool
) -> None:
    (plan,) = plans[name, analyzed]

    assert "tracker_metrics_best_of_run" in plan
    assert "tracker_checkpoints_runs" in plan
    assert not re.search(r"SCAN tracker_[cm]|Seq Scan on tracker_(checkpoints|metrics)", plan), plan


@every_plan
@pytest.mark.parametrize("name", OF_THOSE_SEEN)
def test_what_may_be_seen_is_found_without_looking_at_all_there_is(
    plans: Plans, name: str, analyzed: bool
) -> None:
    for plan in plans[name, analyzed]:
        assert "USING" in plan or "Index" in plan, plan
        assert not re.search(r"SCAN tracker_[cm]\w+$|Seq Scan on tracker_metrics", plan), plan


@every_plan
@pytest.mark.parametrize("name", NAMES)
def test_names_are_a_look_up_each(plans: Plans, name: str, analyzed: bool) -> None:
    (plan,) = plans[name, analyzed]

    assert "tracker_metrics_best_of" in plan
    assert all(is_index_only(access) for access in accesses(plan)), plan


@every_plan
def test_the_pareto_front_comes_sorted_from_an_index(plans: Plans, analyzed: bool) -> None:
    _, plan = plans["pareto", analyzed]

    assert "tracker_metrics_best_of_experiment" in plan
    assert not sorts_all(plan), plan
