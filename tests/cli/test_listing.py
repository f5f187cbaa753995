"""``tracker list`` and ``tracker search``: pages, formats, and tables that fit."""

from __future__ import annotations

import csv
import io
import json
import math
import re

import mlflow
import pytest
from rich.console import Console

from tests.cli.running import in_terminal, invoke, refused
from tests.models import Net
from tests.training import log
from tracker import Checkpoint
from tracker.cli.checkpoint_table import checkpoint_table

pytestmark = pytest.mark.usefixtures("workplace", "forking")

FIXED = [
    *("id", "run_id", "experiment", "name", "epoch", "step", "created_at", "size", "model_class")
]


@pytest.fixture
def history() -> list[Checkpoint]:
    mlflow.set_experiment("digits, small")
    with mlflow.start_run():
        return [
            log(Net(hidden=4, depth=2), epoch=epoch, metrics={"val_loss": loss, "acc": 1 / 3})
            for epoch, loss in enumerate([0.1 + 0.2, math.nan, -math.inf])
        ]


def epochs(*arguments: str) -> list[int]:
    return [found["epoch"] for found in json.loads(invoke(*arguments, "--json").stdout)]


def rows(*arguments: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(invoke(*arguments, "--csv").stdout)))


def test_search_takes_the_filter_as_its_argument(history: list[Checkpoint]) -> None:
    assert epochs("search", "attributes.epoch > 0") == [2, 1]
    assert epochs("search", "attributes.epoch > 0", "--order-by", "attributes.epoch ASC") == [1, 2]
    assert epochs("search", "metrics.acc > 0", "--experiment", "digits, small", "--limit", "1") == [
        2
    ]


def test_pages_follow_each_other_and_say_if_there_are_more(history: list[Checkpoint]) -> None:
    assert epochs("list", "--limit", "2") == [2, 1]
    assert epochs("list", "--limit", "2", "--offset", "2") == [0]
    more = invoke("list", "--limit", "2").stderr
    assert more == "There are more: --offset 2 shows the next page.\n"
    assert invoke("list", "--limit", "3").stderr == ""


def test_a_page_behind_the_last_is_no_empty_catalog(history: list[Checkpoint]) -> None:
    done = invoke("list", "--offset", "7")
    assert (done.stdout, done.stderr) == ("", "No more of them match.\n")
    assert epochs("list", "--offset", "7") == []


def test_csv_has_every_digit_and_what_json_calls_nan(history: list[Checkpoint]) -> None:
    found = rows("list")
    assert [*found[0]] == [
        *FIXED,
        *("metrics.acc", "metrics.val_loss"),
        *("params.act", "params.bias", "params.depth", "params.hidden"),
    ]
    assert [row["metrics.val_loss"] for row in found] == ["-Infinity", "NaN", "0.30000000000000004"]
    assert float(found[0]["metrics.acc"]) == 1 / 3
    first = history[0]
    assert {name: found[2][name] for name in FIXED} == {
        "id": first.id,
        "run_id": first.run_id,
        "experiment": "digits, small",
        "name": "epoch-0",
        "epoch": "0",
        "step": "",
        "created_at": first.created_at.isoformat(),
        "size": str(first.size),
        "model_class": "tests.models:Net",
    }


def test_csv_of_nothing_is_the_heading_alone(history: list[Checkpoint]) -> None:
    assert invoke("search", "attributes.epoch > 9", "--csv").stdout == ",".join(FIXED) + "\n"


def test_what_one_checkpoint_lacks_is_empty_in_its_row(history: list[Checkpoint]) -> None:
    log(Net(), step=7, metrics={"other": 1.0})
    found = rows("list")
    assert [row["metrics.other"] for row in found] == ["1.0", "", "", ""]
    assert found[0]["metrics.acc"] == ""
    assert found[0]["step"] == "7"


def test_two_formats_at_once_are_refused() -> None:
    assert refused("list", "--json", "--csv") == (
        "--json and --csv are two formats; give one of them."
    )


def test_no_line_is_wider_than_the_terminal_and_no_number_is_cut(
    history: list[Checkpoint],
) -> None:
    for width in (24, 40, 60, 80, 100, 140):
        console = Console(width=width, file=io.StringIO())
        with console.capture() as capture:
            console.print(checkpoint_table(history, width=width))
        heading, *lines = capture.get().splitlines()
        assert max(map(len, (heading, *lines))) <= width
        assert [line.split()[0] for line in lines] == [each.id[:10] for each in history]
        assert ("0.333333" in lines[0]) == ("acc" in heading)


def test_a_terminal_gets_colours_unless_they_are_forbidden(history: list[Checkpoint]) -> None:
    coloured = in_terminal("list", columns=60)
    assert "\x1b[1m" in coloured
    lines = re.sub(r"\x1b\[[0-9;]*m", "", coloured).splitlines()
    assert max(map(len, lines)) <= 60
    assert "SIZE" not in lines[0]
    assert in_terminal("list", columns=60, NO_COLOR="1").splitlines() == [
        line.rstrip() for line in lines
    ]


def test_what_would_move_the_cursor_is_not_printed(history: list[Checkpoint]) -> None:
    log(Net(), epoch=9, metrics={"a": 1.0}, tags={"note": "one\x1b[2Jtwo\nthree"})
    shown = invoke("best", "a", "--mode", "min").output
    assert "\x1b" not in shown
    assert "one·[2Jtwo" in shown
