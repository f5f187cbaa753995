"""The benchmarks run, tiny; their numbers are for the README, not for tests."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.system.forked import FORKED_CHILDREN
from tests.system.processes import PYTHON, succeed

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
ARGUMENTS = ("--json", "--megabytes", "0.5", "--repeat", "1", "--directory")


def benchmark(name: str, *arguments: str) -> str:
    """Run a benchmark, which has to succeed; return what it prints."""
    return succeed(
        *(PYTHON, BENCHMARKS / f"{name}.py", *arguments),
        directory=Path.cwd(),
        variables={**os.environ, FORKED_CHILDREN: "1"},
    )


@pytest.mark.system
def test_what_is_found_and_loaded_is_exact_and_every_row_is_measured(tmp_path: Path) -> None:
    rows = ["find tracker", "find search_runs, torch.load", "resume tracker", "list tracker"]
    measured = json.loads(benchmark("loading", *ARGUMENTS, str(tmp_path), "--row", *rows))
    assert [*measured] == rows
    assert all(row["seconds"] > 0 for row in measured.values())
    assert not [*tmp_path.iterdir()]


@pytest.mark.system
def test_saving_measures_who_is_asked_for_and_leaves_no_file(tmp_path: Path) -> None:
    contenders = ["tracker", "raw write"]
    printed = benchmark("saving", *ARGUMENTS, str(tmp_path), "--contender", *contenders)
    rows = json.loads(printed)["0.5"]
    assert [*rows] == contenders
    assert all(row[key] > 0 for row in rows.values() for key in ("wait", "sustained", "lost"))
    assert rows["raw write"]["frozen"] == rows["raw write"]["state"]
    assert 0 < rows["tracker"]["frozen"] < rows["tracker"]["state"]
    assert not [*tmp_path.iterdir()]


@pytest.mark.system
def test_the_corpus_is_rebuilt_in_another_process_and_a_miss_is_told(tmp_path: Path) -> None:
    contenders = ("tracker", "torch.save, weights_only")
    printed = benchmark(
        *("rebuild", "--directory", str(tmp_path)),
        *("--only", "torch.nn", "--case", "Linear", "--case", LAZY),
        *(part for name in contenders for part in ("--contender", name)),
    )
    results = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    by = {(r["name"], r["contender"]): r for r in results}
    for name, description in (("Linear", "constructor"), (LAZY, "structure")):
        result = by[name, "tracker"]
        assert result["by"] == description
        assert result["forward"] == "yes"
        assert not any(result["differences"].values()), result["differences"]
        assert "Unsupported global" in by[name, "torch.save, weights_only"]["load_error"]
    assert "| torch.nn | 2 | 2 | 1 | 1 | 2 | 0 | 0 | 100.0 % |" in printed


@pytest.mark.system
def test_every_question_is_asked_of_the_catalog(tmp_path: Path) -> None:
    # Not of MLflow, whose tables take most of ten seconds to be made.
    printed = benchmark(
        *("catalog", "--json", "--database", "sqlite"),
        *("--checkpoints", "300", "--calls", "3", "--peer", "0", "--directory", str(tmp_path)),
    )
    (found,) = json.loads(printed).values()
    assert all(rate > 0 for rate in found.pop("inserted").values())
    assert len(found) == 16
    assert all(each["calls"] == 3 for results in found.values() for each in results.values())


@pytest.mark.system
def test_a_training_is_measured_without_checkpoints_with_its_own_and_with_ours(
    tmp_path: Path,
) -> None:
    arguments = ("--quick", "--json", "--framework", "ignite", "--directory", str(tmp_path))
    # Not forked, since it forks its trainings from a process that has imported no tracker.
    printed = subprocess.run(
        [PYTHON, BENCHMARKS / "frameworks.py", *arguments],
        stdout=subprocess.PIPE,
        check=True,
    ).stdout
    (sizes,) = json.loads(printed).values()
    found = sizes["ignite"]
    assert [*found] == ["none", "own", "tracker"]
    assert all(way["seconds"] > 0 for way in found.values())
    assert found["none"]["bytes"] == 0
    assert 0 < found["tracker"]["bytes"] < found["own"]["bytes"]  # which are there twice
    assert not [*tmp_path.iterdir()]


LAZY = "LazyLinear after a forward"  # whose constructor alone would not know its size


class Compared(nn.Module):
    """A model with something of everything that the corpus compares."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.again = self.layer
        self.register_buffer("kept", torch.zeros(2))
        self.rates = [0.1, {"deep": (1, torch.zeros(1))}]
        self.act: Callable[..., Any] = torch.relu


def _flip_a_bit(model: Any) -> None:
    with torch.no_grad():
        model.layer.weight[1, 1] = torch.nextafter(model.layer.weight[1, 1], torch.tensor(9.0))


def _negate_zero(model: Any) -> None:
    model.kept.neg_()


def _part(model: Any) -> None:
    model.again = nn.Linear(2, 2)
    model.again.load_state_dict(model.layer.state_dict())


def _set(name: str, value: Any) -> Callable[[Any], None]:
    return lambda model: setattr(model, name, value)


@pytest.mark.parametrize(
    "change",
    [
        _flip_a_bit,
        _negate_zero,
        _part,
        _set("act", torch.tanh),
        _set("rates", [0.1, {"deep": (1, torch.ones(1))}]),
        _set("rates", (0.1, {"deep": (1, torch.zeros(1))})),
        _set("extra", None),
        lambda model: model.layer.requires_grad_(False),
        lambda model: model.half(),
        lambda model: model.layer.train(),
        lambda model: model.layer.register_forward_hook(print),
        lambda model: model._non_persistent_buffers_set.add("kept"),
        lambda model: setattr(
            model.layer, "__class__", nn.modules.linear.NonDynamicallyQuantizableLinear
        ),
    ],
)
def test_the_corpus_sees_every_difference(
    change: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    from corpus.fingerprint import fingerprint, first_difference

    torch.manual_seed(0)
    model = Compared().eval()
    before = fingerprint(model)
    assert first_difference(before, fingerprint(model)) == ""
    change(model)
    assert first_difference(before, fingerprint(model)) != ""
