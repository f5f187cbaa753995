"""Finding a checkpoint; where nothing matches, the message says what there is.

Where it says so, the catalog is asked, and a tracker service over the same catalog: answers, errors
and warnings are the same.
"""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

import tracker
from tests.server.running import running
from tests.training import log
from tracker import Checkpoint, api, catalog
from tracker.errors import (
    CatalogError,
    FilterSyntaxError,
    InvalidArgumentError,
    NotFoundError,
    TrackerError,
    TrackerWarning,
)
from tracker.loading import find
from tracker.loading.mirror import open_current
from tracker.server.app import create_app
from tracker.server.viewer import look_at_everything
from tracker.service import location
from tracker.service.location import Service

pytestmark = pytest.mark.usefixtures("workplace", "asked")


@pytest.fixture(scope="module")
def service() -> Iterator[tuple[FastAPI, str]]:
    """A service without users, whose catalog each test replaces by its own."""
    app = create_app("sqlite:///mlflow.db", catalog.open_for_logging("sqlite:///unused.db"))
    with running(app) as url:
        yield app, url


@pytest.fixture
def asked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whom a test asks."""
    if getattr(request, "param", "catalog") == "catalog":
        return
    app, url = request.getfixturevalue("service")

    def in_force(tracking_uri: str) -> Service:
        app.state.engine = catalog.open_for_reading(tracking_uri)
        app.state.look = look_at_everything(app.state.engine)
        return Service(url)

    monkeypatch.setattr(location, "in_force", in_force)


of_both = pytest.mark.parametrize("asked", ["catalog", "service"], indirect=True)


@pytest.fixture
def history() -> list[Checkpoint]:
    """Epochs 0 to 4 of one run in the experiment ``digits``, epoch 3 the best."""
    mlflow.set_experiment("digits")
    with mlflow.start_run():
        return [
            log(epoch=epoch, metrics={"val_loss": loss, "m": float(epoch), "bad": math.nan})
            for epoch, loss in enumerate([0.9, math.nan, 0.5, 0.25, math.inf])
        ]


@pytest.fixture
def one() -> Checkpoint:
    return log(epoch=1)


def test_before_anything_was_logged_that_is_said() -> None:
    for ask in (
        tracker.search_checkpoints,
        tracker.get_checkpoint,
        lambda: tracker.best_checkpoint("val_loss"),
        lambda: tracker.load_model("m-1"),
    ):
        with pytest.raises(NotFoundError, match="logged"):
            ask()


def test_a_tracking_database_that_does_not_exist_is_not_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///typo.db")
    with pytest.raises((NotFoundError, CatalogError), match=r"typo\.db"):
        tracker.search_checkpoints()


@of_both
def test_the_best_over_the_history_is_not_the_last(history: list[Checkpoint]) -> None:
    assert tracker.best_checkpoint("val_loss") == history[3]
    assert tracker.best_checkpoint("val_loss", experiment="digits") == history[3]
    assert tracker.best_checkpoint("val_loss", run_id=history[0].run_id) == history[3]
    assert tracker.best_checkpoint("val_loss", mode="max") == history[4]
    assert tracker.best_checkpoint("m", mode="max") == history[4]
    assert tracker.best_checkpoint("val_loss", filter_string="attributes.epoch < 3") == history[2]


def test_ties_go_to_the_earlier_epoch() -> None:
    with mlflow.start_run():
        log(epoch=2, metrics={"accuracy": 0.5})
        first = log(epoch=1, metrics={"accuracy": 0.5})
    assert tracker.best_checkpoint("accuracy") == first


@of_both
def test_a_metric_that_nobody_logged_lists_those_there_are(history: list[Checkpoint]) -> None:
    with pytest.raises(NotFoundError, match=r"the metric 'acc'\. Metrics: bad, m, val_loss\."):
        tracker.best_checkpoint("acc")


def test_a_metric_that_is_only_nan_is_never_the_best(history: list[Checkpoint]) -> None:
    with pytest.raises(NotFoundError, match=r"NaN in all 5 checkpoints"):
        tracker.best_checkpoint("bad", mode="min")


@of_both
def test_a_metric_of_unclear_direction_asks_for_the_mode(history: list[Checkpoint]) -> None:
    with pytest.raises(InvalidArgumentError, match="mode='min' or mode='max'"):
        tracker.best_checkpoint("m")


@of_both
def test_a_filter_that_leaves_nothing_is_said_to_be_the_reason(history: list[Checkpoint]) -> None:
    with pytest.raises(
        NotFoundError, match=r"none of them matches the filter 'attributes.epoch > 9'"
    ):
        tracker.best_checkpoint("val_loss", filter_string="attributes.epoch > 9")


@of_both
def test_an_epoch_or_step_is_found_whatever_integer_names_it(history: list[Checkpoint]) -> None:
    assert tracker.get_checkpoint(epoch=3) == history[3]
    assert tracker.get_checkpoint(history[0].run_id, epoch=np.int64(3)) == history[3]  # type: ignore[arg-type]
    assert tracker.get_checkpoint() == history[4]
    assert tracker.get_checkpoint(experiment="digits") == history[4]


def test_the_newest_run_and_the_last_step_of_an_epoch_count() -> None:
    with mlflow.start_run():
        log(epoch=1, step=10)
    with mlflow.start_run():
        log(epoch=1, step=10)
        last = log(epoch=1, step=20)
    assert tracker.get_checkpoint(epoch=1) == last
    assert tracker.get_checkpoint(step=20) == last
    assert tracker.get_checkpoint(epoch=1, step=20) == last


@of_both
def test_an_epoch_that_does_not_exist_lists_those_there_are(history: list[Checkpoint]) -> None:
    with pytest.raises(NotFoundError, match=r"epoch 7\. Epochs: 0, 1, 2, 3, 4\."):
        tracker.get_checkpoint(epoch=7)
    with pytest.raises(NotFoundError, match=r"of run \w+ is of epoch -1\. Epochs: 0, 1, 2, 3, 4\."):
        tracker.get_checkpoint(history[0].run_id, epoch=-1)


def test_a_step_that_does_not_exist_lists_those_there_are() -> None:
    log(epoch=1, step=100)
    with pytest.raises(NotFoundError, match=r"step 7\. Newest steps: 100\."):
        tracker.get_checkpoint(step=7)
    with pytest.raises(NotFoundError, match=r"epoch 1 and step 7\. Steps of that epoch: 100\."):
        tracker.get_checkpoint(epoch=1, step=7)


@of_both
def test_an_experiment_that_does_not_exist_lists_those_there_are(history: list[Checkpoint]) -> None:
    for ask in (
        lambda: tracker.search_checkpoints(experiment="digit"),
        lambda: tracker.best_checkpoint("val_loss", experiment=["digits", "digit"]),
        lambda: tracker.get_checkpoint(experiment="digit"),
    ):
        with pytest.raises(
            NotFoundError, match=r"'digit'\. Did you mean 'digits'\? Experiments: digits\."
        ):
            ask()


@of_both
def test_a_run_that_does_not_exist_lists_the_newest(history: list[Checkpoint]) -> None:
    for ask in (
        lambda: tracker.search_checkpoints(run_id="nope"),
        lambda: tracker.best_checkpoint("val_loss", run_id="nope"),
        lambda: tracker.get_checkpoint("nope", epoch=1),
    ):
        with pytest.raises(
            NotFoundError, match=rf"id 'nope'\. The newest runs: {history[0].run_id}"
        ):
            ask()


@of_both
def test_two_models_of_one_run_at_one_epoch_are_ambiguous_and_both_are_named() -> None:
    with mlflow.start_run():
        one, two = log(nn.Linear(1, 1), epoch=1), log(nn.ReLU(), epoch=1)
    with pytest.raises(InvalidArgumentError, match="several models") as caught:
        tracker.get_checkpoint(epoch=1)
    assert one.id in str(caught.value)
    assert two.id in str(caught.value)


@of_both
def test_a_search_is_filtered_ordered_and_limited(history: list[Checkpoint]) -> None:
    def epochs(*arguments: Any, **named: Any) -> list[int | None]:
        return [c.epoch for c in tracker.search_checkpoints(*arguments, **named)]

    assert epochs() == [4, 3, 2, 1, 0]
    assert epochs("metrics.val_loss < 0.6") == [3, 2]
    assert epochs(order_by=["metrics.val_loss ASC"], max_results=2) == [3, 2]
    assert epochs(order_by="attributes.epoch ASC", max_results=None) == [0, 1, 2, 3, 4]
    assert epochs("params.depth = '2' AND attributes.epoch >= 3", experiment=["digits"]) == [4, 3]


@of_both
def test_a_filter_that_does_not_parse_shows_where(history: list[Checkpoint]) -> None:
    with pytest.raises(FilterSyntaxError):
        tracker.search_checkpoints("metrics.val_loss <")


@pytest.mark.parametrize(
    "arguments",
    [
        {"experiment": 5},
        {"experiment": []},
        {"experiment": [5]},
        {"run_id": 5},
        {"filter_string": 5},
        {"order_by": 5},
        {"order_by": [5]},
        {"max_results": 0},
        {"max_results": -1},
        {"max_results": True},
        {"max_results": 2.0},
        {"max_results": 2**70},
        {"offset": -1},
        {"offset": True},
        {"offset": 2**70},
    ],
    ids=str,
)
def test_arguments_of_the_wrong_type_are_refused(
    one: Checkpoint, arguments: dict[str, Any]
) -> None:
    with pytest.raises(InvalidArgumentError, match="expected"):
        tracker.search_checkpoints(**arguments)


@pytest.mark.parametrize("value", [1.0, True, "1", 2**70])
@pytest.mark.parametrize("field", ["epoch", "step"])
def test_only_integers_are_epochs(one: Checkpoint, field: str, value: object) -> None:
    with pytest.raises(InvalidArgumentError, match=f"{field}="):
        tracker.get_checkpoint(**{field: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("metric", [5, None, ""])
def test_only_text_is_a_metric(one: Checkpoint, metric: object) -> None:
    with pytest.raises(InvalidArgumentError, match="expected a metric's name"):
        tracker.best_checkpoint(metric)  # type: ignore[arg-type]


@of_both
def test_the_best_few_come_in_their_order(history: list[Checkpoint]) -> None:
    best = tracker.best_checkpoints("val_loss", k=3)
    assert best == [history[3], history[2], history[0]]
    assert tracker.best_checkpoints("m", k=1, mode="max", experiment="digits") == [history[4]]
    assert len(tracker.best_checkpoints("val_loss", run_id=history[0].run_id)) == 4
    with pytest.raises(NotFoundError, match="'acc'"):
        tracker.best_checkpoints("acc")


@pytest.mark.parametrize("k", [0, -1, None, True, 2.0, "3", 10**9])
def test_only_a_number_of_checkpoints_can_be_asked_for(one: Checkpoint, k: object) -> None:
    with pytest.raises(InvalidArgumentError, match="k="):
        tracker.best_checkpoints("val_loss", k=k)  # type: ignore[arg-type]


@of_both
def test_the_best_of_each_run_comes_with_the_best_run_first(history: list[Checkpoint]) -> None:
    with mlflow.start_run():
        other = log(epoch=0, metrics={"val_loss": 0.1})
        log(epoch=1, metrics={"val_loss": 0.2})
    with mlflow.start_run():
        log(epoch=0, metrics={"val_loss": math.nan})
    assert tracker.best_of_each_run("val_loss") == [other, history[3]]
    assert tracker.best_of_each_run("val_loss", max_results=1, experiment="digits") == [other]
    assert tracker.best_of_each_run("val_loss", filter_string="metrics.m >= 0") == [history[3]]
    with pytest.raises(NotFoundError, match="the metric 'acc'"):
        tracker.best_of_each_run("acc")
    run_ids = [other.run_id, history[0].run_id]
    assert api.metric_history(run_ids, "val_loss")[other.run_id] == [(0, 0.1), (1, 0.2)]


@of_both
def test_those_that_none_beats_in_all_metrics_are_found(history: list[Checkpoint]) -> None:
    # m is the epoch: the later, the better.
    assert tracker.pareto_checkpoints({"val_loss": None, "m": "max"}) == [history[3], history[4]]
    with pytest.raises(InvalidArgumentError, match="mode='min' or mode='max'"):
        tracker.pareto_checkpoints({"val_loss": None, "m": None})
    with pytest.raises(NotFoundError, match="the metric 'size'"):
        tracker.pareto_checkpoints({"val_loss": None, "size": "min"})
    with pytest.raises(NotFoundError, match="NaN in all 5"):
        tracker.pareto_checkpoints({"val_loss": None, "bad": "min"})
    for metrics in ({}, {"val_loss": "min"}, ["val_loss", "m"], dict.fromkeys(map(str, range(17)))):
        with pytest.raises(InvalidArgumentError, match="2 to 16 metrics"):
            tracker.pareto_checkpoints(metrics)  # type: ignore[arg-type]


def test_two_metrics_that_no_checkpoint_has_together_are_said_to_be_so() -> None:
    with mlflow.start_run():
        log(epoch=1, metrics={"loss": 0.1})
        log(epoch=2, metrics={"accuracy": 0.9})
    with pytest.raises(NotFoundError, match="a number for all of 'loss', 'accuracy'"):
        tracker.pareto_checkpoints({"loss": None, "accuracy": None})


@of_both
def test_pages_neither_overlap_nor_leave_gaps(history: list[Checkpoint]) -> None:
    pages = [tracker.search_checkpoints(max_results=2, offset=offset) for offset in (0, 2, 4, 6)]
    assert [[c.epoch for c in page] for page in pages] == [[4, 3], [2, 1], [0], []]
    assert len(tracker.search_checkpoints(max_results=2**63 - 1, offset=0)) == 5
    assert len(tracker.search_checkpoints(max_results=np.int64(2))) == 2  # type: ignore[arg-type]


@of_both
def test_near_names_are_suggested(history: list[Checkpoint]) -> None:
    run_id = history[0].run_id
    with pytest.raises(NotFoundError, match=r"Did you mean 'val_loss'\?"):
        tracker.best_checkpoint("val_los")
    with pytest.raises(NotFoundError, match=rf"Did you mean {run_id}\?"):
        tracker.search_checkpoints(run_id=run_id[:6])
    with pytest.raises(NotFoundError, match=r"the param 'detph'\. Did you mean 'depth'\?"):
        tracker.best_checkpoint("val_loss", filter_string="params.detph = '2'")


@of_both
def test_a_search_that_finds_nothing_warns_of_names_that_nothing_has(
    history: list[Checkpoint],
) -> None:
    with pytest.warns(TrackerWarning, match=r"the metric 'vall_loss'\. Did you mean 'val_loss'"):
        assert tracker.search_checkpoints("metrics.vall_loss < 1") == []
    with pytest.warns(TrackerWarning, match=r"has the tag 'x'\."):
        assert tracker.search_checkpoints("tags.x = 'y' AND metrics.val_loss < 1") == []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert tracker.search_checkpoints("metrics.val_loss < 0") == []
        assert len(tracker.search_checkpoints("tags.x IS NULL")) == 5


@of_both
def test_a_metric_may_have_any_name_that_mlflow_takes() -> None:
    names = ["a/b.c d-e_f:g", "été/損失", "x" * 250]
    checkpoint = log(epoch=1, metrics=dict.fromkeys(names, 0.5))
    for name in names:
        assert tracker.best_checkpoint(name, mode="min") == checkpoint
        assert tracker.search_checkpoints(f"metrics.`{name}` = 0.5") == [checkpoint]
        assert tracker.search_checkpoints(order_by=[f"metrics.`{name}` DESC"]) == [checkpoint]


HOSTILE = st.text() | st.sampled_from(
    [
        "' OR '1'='1",
        "'; DROP TABLE tracker_checkpoints; --",
        '" OR ""="',
        "metrics.val_loss < 1; DELETE FROM tracker_metrics",
        "metrics.val_loss < 1 UNION SELECT 1",
        "params.`'; DROP TABLE x; --` = '%s'",
        *("%(x)s", ":x", "?", "$1", "{0}", "\0", "a\0b", "\ud800", "\\", "%", "_", "m-%", "runs:/"),
        *("runs:/'/'", "models:/m-'", "x" * 100_000, "(" * 1_000),
    ]
)


@of_both
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(text=HOSTILE)
def test_whatever_is_asked_is_answered_or_refused_and_changes_nothing(
    history: list[Checkpoint], workplace: Path, text: str
) -> None:
    before = (workplace / "mlflow.db").read_bytes()
    for ask in (
        lambda: tracker.search_checkpoints(text),
        lambda: tracker.search_checkpoints(experiment=text),
        lambda: tracker.search_checkpoints(experiment=["digits", text]),
        lambda: tracker.search_checkpoints(run_id=text),
        lambda: tracker.search_checkpoints(order_by=[text]),
        lambda: tracker.best_checkpoint(text, mode="min"),
        lambda: tracker.best_checkpoint("val_loss", mode=text),
        lambda: tracker.best_checkpoint("val_loss", filter_string=text),
        lambda: tracker.best_checkpoints("val_loss", experiment=text),
        lambda: tracker.best_of_each_run(text, mode="max"),
        lambda: tracker.best_of_each_run("val_loss", filter_string=text, experiment=text),
        lambda: tracker.pareto_checkpoints({"val_loss": "min", text: "max"}),
        lambda: tracker.get_checkpoint(text, epoch=1),
        lambda: tracker.get_checkpoint(experiment=text),
        lambda: api.metric_history([text], text),
        lambda: find.by_id(open_current(), text),
        lambda: find.by_run_and_name(open_current(), text, text),
    ):
        with warnings.catch_warnings(), contextlib.suppress(TrackerError):
            warnings.simplefilter("ignore", TrackerWarning)
            ask()
    assert (workplace / "mlflow.db").read_bytes() == before


def test_long_lists_are_cut() -> None:
    with mlflow.start_run():
        log(epoch=1, metrics={f"metric_{i:02}": 1.0 for i in range(30)})
    with pytest.raises(TrackerError, match=r"metric_19 and 10 more\.$"):
        tracker.best_checkpoint("nope")
