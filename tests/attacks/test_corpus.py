"""Every attack of the corpus, against every way to load a checkpoint.

Each ends in a TrackerError where what was attacked is read, within little memory and time, and
nothing is run, imported, written, deleted, sent or unpickled.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs limits of memory and pipes")


@dataclass(frozen=True)
class Outcome:
    """What came of an attack: the name of the error, ``loaded``, or ``escaped`` for a bug."""

    attack: str
    entry_point: str
    result: str
    text: str
    heard: list[str]


def outcomes(group: str, folder: Path) -> list[Outcome]:
    """Try a group of attacks in a process of its own."""
    command = [sys.executable, "-m", "tests.attacks.laboratory", group, str(folder)]
    done = subprocess.run(
        command,
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, f"it ended in {lines[-1:]}: {done.stderr[-2000:]}"
    return [
        Outcome(begun["begun"], begun["entry_point"], end["result"], end["text"], end["heard"])
        for begun, end in zip(lines[::2], lines[1::2], strict=True)
    ]


@pytest.mark.parametrize("group", ["names", "descriptions", "files"])
def test_every_attack_is_refused_and_nothing_happens(group: str, tmp_path: Path) -> None:
    found = outcomes(group, tmp_path)
    attacks = import_module(f"tests.attacks.{group}").attacks()
    refused = {attack.name: attack.refused for attack in attacks}
    assert len(found) == sum(len(attack.entry_points) for attack in attacks)
    assert [outcome for outcome in found if outcome.heard or outcome.result == "escaped"] == []
    assert [
        (outcome.attack, outcome.entry_point)
        for outcome in found
        if outcome.result == "loaded" and outcome.entry_point in refused[outcome.attack]
    ] == []


def test_what_a_models_own_package_may_do_is_heard(tmp_path: Path) -> None:
    found = outcomes("controls", tmp_path)
    assert len(found) == 4
    assert [outcome for outcome in found if "canary" not in str(outcome.heard)] == []
