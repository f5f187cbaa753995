"""Rebuilds a checkpoint's model in a process of its own, and brings the report back.

So the code of one checkpoint can't disturb the next, what a model prints stays out of the output, a
crash is a result, and whoever only prints the report imports no torch. The process imports what
Python started here would import: the working directory first.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Collection
from dataclasses import asdict
from typing import Any

from tracker.errors import InvalidArgumentError
from tracker.loading.report import LoadReport
from tracker.types import CheckpointRecord


def explain_apart(
    record: CheckpointRecord,
    *,
    trust: Collection[str] = (),
    weights: bool = True,
    download: bool = True,
) -> LoadReport | None:
    """Return what `explain` reports, in a process of its own.

    Args:
        record: The checkpoint.
        trust: See `restore.restore_model`.
        weights: Whether to read the weights; without them only the architecture is rebuilt.
        download: Whether to fetch files that are not on this machine.

    Returns:
        The report; None if the files are not on this machine, and were not to be fetched.

    Raises:
        InvalidArgumentError: ``trust`` is not usable.
    """
    request = {
        "record": asdict(record),
        "trust": list(trust),
        "weights": weights,
        "download": download,
    }
    done = subprocess.run(
        [sys.executable, "-m", __name__],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = done.stderr.strip().rpartition("\n")[2]
        return LoadReport(
            record.id,
            f"{record.name} of run {record.run_id}: {record.model_text}",
            error=f"The process that rebuilt it ended with exit status {done.returncode}. {last}",
        )
    answer = json.loads(done.stdout)
    if "refused" in answer:
        raise InvalidArgumentError(answer["refused"])
    return LoadReport.from_dict(answer["report"]) if "report" in answer else None


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    from tracker.loading.explain import explain
    from tracker.loading.fetch import is_at_hand

    record = CheckpointRecord(**request["record"])
    if not request["download"] and not is_at_hand(record):
        return {}
    try:
        report = explain(record, trust=request["trust"], weights=request["weights"])
    except InvalidArgumentError as error:
        return {"refused": str(error)}
    return {"report": report.to_dict()}


def _main() -> None:
    with os.fdopen(os.dup(1), "w") as answer:
        os.dup2(2, 1)  # what a model prints is no part of the answer
        json.dump(_answer(json.load(sys.stdin)), answer)


if __name__ == "__main__":
    _main()
