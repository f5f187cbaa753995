"""The benchmarks run, tiny; their numbers are for the README, not for tests."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
ARGUMENTS = ("--json", "--megabytes", "0.5", "--repeat", "1", "--directory")


@pytest.mark.system
def test_the_round_trip_is_exact_and_every_row_is_measured(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / "roundtrip.py"), *ARGUMENTS, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert {row.partition(" ")[0] for row in rows} == {"save", "load", "resume"}
    assert all(row["seconds"] > 0 for row in rows.values())
