"""What somebody may not see is answered as if it did not exist, down to the words of an error.

Every question is asked twice: of a catalog that holds everything, restricted to what may be seen,
and of one that holds nothing else.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import event

from tests.catalog.examples import record
from tests.conftest import NewDatabase
from tracker import catalog
from tracker.catalog import Engine, Scope
from tracker.errors import TrackerError, TrackerWarning
from tracker.loading import find
from tracker.types import CheckpointRecord

VISIBLE = frozenset({"7", "9", "not in the catalog"})

Ask = Callable[[Engine, frozenset[str] | None], object]


def records() -> Iterator[CheckpointRecord]:
    """Two experiments that may be seen and two that may not, the latter better and newer."""
    for number in range(12):
        name = ("digits", "cells", "secret", "secrets")[number % 4]
        seen = number % 4 < 2
        yield replace(
            record(number),
            experiment_id=str((7, 9, 8, 10)[number % 4]),
            experiment=name,
            run_id=f"run-{name}-{number % 8}",
            metrics={"val_loss": (12.0 if seen else 1.0) - number / 100, f"of_{name}": 1.0},
            params={"depth": "7", f"param_of_{name}": "1"},
            tags={f"tag_of_{name}": "1"},
        )


def place(scope: Scope, visible: frozenset[str] | None) -> Scope:
    return replace(scope, visible=visible)


ASKED: dict[str, Ask] = {
    **{
        f"search {scope}": lambda e, v, scope=scope: find.search(  # type: ignore[misc]
            e, place(scope, v), order_by=None, max_results=None
        )
        for scope in (
            Scope(),
            Scope(("digits",)),
            Scope(("digits", "secret")),
            Scope(("secret",)),
            Scope(("secre",)),
            Scope(("digit",)),
            Scope(None, "run-digits-0"),
            Scope(None, "run-secret-2"),
            Scope(None, "run-s"),
            Scope(filter_string="params.param_of_secret = '1'"),
            Scope(filter_string="params.param_of_secrt = '1'"),
            Scope(filter_string="params.param_of_digitz = '1'"),
            Scope(filter_string="tags.tag_of_secret = '1'"),
            Scope(filter_string="metrics.of_secret > 0"),
            Scope(filter_string="metrics.of_secre > 0"),
            Scope(filter_string="attributes.experiment_name = 'secret'"),
            Scope(filter_string="attributes.experiment_name != 'digits'"),
            Scope(filter_string="metrics.val_loss < 5"),
            Scope(filter_string="tags.tag_of_secret IS NULL"),
        )
    },
    **{
        f"order by {order}": lambda e, v, order=order: find.search(  # type: ignore[misc]
            e, place(Scope(), v), order_by=[order], max_results=2, offset=1
        )
        for order in ("metrics.val_loss", "metrics.of_secret", "attributes.experiment_name DESC")
    },
    **{
        f"{question.__name__} {metric} of {scope}": lambda e, v, q=question, m=metric, s=scope: q(  # type: ignore[misc]
            e, place(s, v), m, "min"
        )
        for question in (find.best, lambda e, s, m, d: find.top(e, s, m, d, 3))
        for metric in ("val_loss", "of_secret", "of_secre", "of_digits")
        for scope in (Scope(), Scope(("secret",)), Scope(None, "run-secret-2"), Scope(("cells",)))
    },
    **{
        f"each run {metric}": lambda e, v, m=metric: find.best_of_each_run(  # type: ignore[misc]
            e, place(Scope(), v), m, "min", max_results=None
        )
        for metric in ("val_loss", "of_secret")
    },
    "each run of a run": lambda e, v: find.best_of_each_run(
        e, place(Scope(None, "run-secret-2"), v), "val_loss", "min", max_results=None
    ),
    "pareto": lambda e, v: find.pareto(
        e, place(Scope(), v), {"val_loss": "min", "of_digits": "max"}
    ),
    "pareto of what is hidden": lambda e, v: find.pareto(
        e, place(Scope(), v), {"val_loss": "min", "of_secret": "max"}
    ),
    "latest": lambda e, v: find.get(e, place(Scope(), v), epoch=None, step=None),
    "epoch": lambda e, v: find.get(e, place(Scope(), v), epoch=3, step=None),
    "no such epoch": lambda e, v: find.get(e, place(Scope(), v), epoch=99, step=None),
    "no such step": lambda e, v: find.get(e, place(Scope(), v), epoch=None, step=1),
    "history": lambda e, v: find.history(e, ["run-digits-0", "run-secret-2"], "val_loss", v),
    **{
        f"id {id_}": lambda e, v, id_=id_: find.by_id(e, id_, v)  # type: ignore[misc]
        for id_ in ("m-1", "m-2", "m-11", "1", "2", "m-", "m-99", "")
    },
    **{
        f"{run} by name": lambda e, v, run=run: find.by_run_and_name(e, run, "epoch-2", v)  # type: ignore[misc]
        for run in ("run-digits-0", "run-secret-2", "run-secrets-3")
    },
    "metrics": lambda e, v: catalog.metric_names(e, Scope(visible=v)),
    "metrics of a run": lambda e, v: catalog.metric_names(e, Scope(None, "run-secret-2", "", v)),
    "params": lambda e, v: catalog.text_names(e, "param", v),
    "experiments": lambda e, v: catalog.experiment_names(e, v),
    "runs": lambda e, v: catalog.run_ids(e, Scope(visible=v), 100),
    "counts": lambda e, v: catalog.metric_counts(e, Scope(visible=v)),
    "count": lambda e, v: catalog.count(e, Scope(visible=v)),
    "epochs": lambda e, v: catalog.epochs(e, Scope(visible=v)),
    "summaries": lambda e, v: catalog.experiment_summaries(e, Scope(visible=v)),
}


@pytest.fixture(scope="module")
def catalogs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Engine, Engine, Engine]:
    """One with everything, one with what may be seen, and an empty one."""
    folder = tmp_path_factory.mktemp("catalogs")
    seen = [each for each in records() if each.experiment_id in VISIBLE]
    return (
        filled(folder / "all.db", list(records())),
        filled(folder / "seen.db", seen),
        filled(folder / "none.db", []),
    )


def filled(file: Path, given: list[CheckpointRecord]) -> Engine:
    engine = catalog.open_for_logging(f"sqlite:///{file}")
    catalog.put_all(engine, given)
    return engine


def answer(ask: Ask, engine: Engine, visible: frozenset[str] | None) -> object:
    """What is answered: the value and the warnings, or the error with its words."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always", TrackerWarning)
        try:
            return ask(engine, visible), [str(each.message) for each in warned]
        except TrackerError as error:
            return type(error), str(error)


@pytest.mark.parametrize("question", ASKED)
def test_a_question_is_answered_as_if_the_rest_did_not_exist(
    catalogs: tuple[Engine, Engine, Engine], question: str
) -> None:
    everything, seen, nothing = catalogs
    ask = ASKED[question]
    assert answer(ask, everything, VISIBLE) == answer(ask, seen, None)
    assert answer(ask, everything, frozenset()) == answer(ask, nothing, None)
    assert answer(ask, everything, frozenset({"7", "8", "9", "10"})) == answer(
        ask, everything, None
    )


@pytest.mark.system
@pytest.mark.parametrize(
    "ask",
    [
        lambda e, s: catalog.search(e, s),
        lambda e, s: catalog.latest(e, s),
        lambda e, s: catalog.at(e, s, epoch=1),
        lambda e, s: catalog.best(e, s, "val_loss", "min"),
        lambda e, s: catalog.top(e, s, "val_loss", "min", 2),
        lambda e, s: catalog.best_of_each_run(e, s, "val_loss", "min"),
    ],
    ids=["search", "latest", "at", "best", "top", "each run"],
)
def test_an_experiment_that_appears_meanwhile_is_not_seen(
    new_postgresql_database: NewDatabase, ask: Callable[[Engine, Scope], object]
) -> None:
    uri = new_postgresql_database()
    catalog.create_or_upgrade(uri)
    engine = catalog.open_catalog(uri)
    hidden = replace(record(1), experiment_id="8", experiment="secret", run_id="run-8")

    appeared: list[str] = []

    def appear(_c: object, _cursor: object, statement: str, *_: object) -> None:
        # Between the look for what may be seen, which is everything, and the question itself.
        if "FROM tracker_experiments" in statement and not appeared:
            appeared.append(statement)
            catalog.put(engine, hidden)

    event.listen(engine, "after_cursor_execute", appear)
    assert not ask(engine, Scope(visible=frozenset({"7"})))
    assert catalog.count(engine, Scope()) == len(appeared) == 1
