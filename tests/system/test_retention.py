"""Retention with real processes: killed between any two steps, two at once, and over a server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .processes import (
    PYTHON,
    TRACKER,
    environment,
    finish,
    mlflow_server,
    place,
    run,
    start,
    succeed,
    tracker_json,
)

pytestmark = pytest.mark.system

TRAIN = """
import logging, os, signal, sys
import mlflow, torch, tracker

run_id, first, count, rule, step, number = sys.argv[1:]

class Kill(logging.Handler):
    left = int(number)

    def emit(self, record):
        if record.getMessage().split(":")[0] == step:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

logging.getLogger("tracker.deleting").setLevel(logging.DEBUG)
logging.getLogger("tracker.deleting").addHandler(Kill())

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = torch.nn.Linear(64, 64).requires_grad_(False)
        self.head = torch.nn.Linear(64, 64)

torch.manual_seed(0)
net = Net()
optimizer = torch.optim.Adam(net.head.parameters())
retention = tracker.Retention(**eval(rule))
with mlflow.start_run(run_id=run_id if run_id != "-" else None) as run:
    print(run.info.run_id, flush=True)
    for epoch in range(int(first), int(first) + int(count)):
        optimizer.zero_grad()
        net.head(torch.rand(1, 64)).sum().backward()
        optimizer.step()
        tracker.log_checkpoint(
            net, epoch=epoch, metrics={"loss": abs(epoch - 3)}, optimizer=optimizer,
            retention=retention, wait=True,
        )
"""

EXAMINE = """
import json
from pathlib import Path
import tracker
from tracker import api

def verified():
    found = [c.id for c in tracker.search_checkpoints()]
    for each in api.verify_checkpoints(found):
        assert each.condition == "ok", each
    return found

before = verified()
assert before, "the newest is lost"
api.reindex()
again = verified()
assert set(before) <= set(again)
for each in api.collect(api.plan_collection(0)):
    assert not each.error, each
assert verified() == again
api.reindex()
assert verified() == again
folders = {path.parent.name for path in Path("mlruns").rglob("artifacts")}
print(json.dumps({
    "epochs": sorted(c.epoch for c in tracker.search_checkpoints()),
    "others": len(folders - set(again)),
}))
"""

LAST = "{'keep_last': 1}"


def train(directory: Path, *arguments: object, variables: dict[str, str] | None = None) -> str:
    known = variables or environment(directory)
    return succeed(PYTHON, "-c", TRAIN, *map(str, arguments), directory=directory, variables=known)


def examine(directory: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads(
        succeed(PYTHON, "-c", EXAMINE, directory=directory, variables=environment(directory))
    )
    return found


# The first to go holds the frozen backbone for the others; the second goes as a whole.
@pytest.mark.parametrize(
    ("step", "number"),
    [
        *(("uncatalogued", 1), ("retired", 1), ("released", 1)),
        *(("manifest removed", 1), ("files removed", 1)),
        *(("retired", 2), ("manifest removed", 2), ("files removed", 2)),
    ],
)
def test_killed_between_two_steps_of_a_deletion(
    tmp_path: Path, database_template: Path, step: str, number: int
) -> None:
    place(database_template, tmp_path)
    arguments = ("-c", TRAIN, "-", "0", "4", LAST, step, str(number))
    done = run(PYTHON, *arguments, directory=tmp_path, variables=environment(tmp_path))
    assert done.returncode == -9, done.stderr
    run_id = done.stdout.split()[0]
    found = examine(tmp_path)
    assert max(found["epochs"]) == number  # type: ignore[call-overload]
    assert found["others"] <= 1  # type: ignore[operator]

    train(tmp_path, run_id, 10, 1, LAST, "-", 0)
    assert examine(tmp_path) == {"epochs": [10], "others": 1}


def test_two_processes_that_log_to_one_run_keep_what_each_must_keep(
    tmp_path: Path, database_template: Path
) -> None:
    place(database_template, tmp_path)
    run_id = train(tmp_path, "-", 0, 1, LAST, "-", 0).split()[0]
    rule = "{'keep_last': 1, 'keep_best': 1, 'monitor': 'loss'}"
    both = [
        start(
            *(PYTHON, "-c", TRAIN, run_id, str(first), "4", rule, "-", "0"),
            directory=tmp_path,
            variables=environment(tmp_path),
        )
        for first in (1, 11)
    ]
    for process in both:
        done = finish(process)
        assert done.returncode == 0, done.stderr
        assert "TrackerWarning" not in done.stderr
    found = examine(tmp_path)
    assert set(found["epochs"]) <= {3, 4, 14}  # type: ignore[call-overload]
    assert 3 in found["epochs"]  # type: ignore[operator]


def test_over_a_server_that_stores_the_artifacts(tmp_path: Path, database_template: Path) -> None:
    served, training, other = (tmp_path / name for name in ("served", "training", "other"))
    for directory in (served, training, other):
        directory.mkdir()
    place(database_template, served)
    options = (
        *("--backend-store-uri", f"sqlite:///{served / 'mlflow.db'}"),
        *("--artifacts-destination", str(served / "files")),
        *("--default-artifact-root", "mlflow-artifacts:/"),
    )
    with mlflow_server(served, *options) as (uri, _):
        # The experiment Default of the template has its artifacts elsewhere.
        variables = environment(
            training, MLFLOW_TRACKING_URI=uri, MLFLOW_EXPERIMENT_NAME="retention"
        )
        run_id = train(training, "-", 0, 2, LAST, "-", 0, variables=variables).split()[0]
        elsewhere = environment(other, MLFLOW_TRACKING_URI=uri)

        def listed(*arguments: str) -> list[int]:
            found = tracker_json(*arguments, directory=other, variables=elsewhere)
            return sorted(each["epoch"] for each in found)

        assert listed("list") == [1]
        rule = "{'keep_last': 1, 'keep_best': 1, 'monitor': 'loss'}"
        train(training, run_id, 2, 4, rule, "-", 0, variables=variables)
        # Who has a mirror of before is told what has gone since.
        assert listed("list") == [3, 5]
        # Each process has stored the backbone once; of what held it only that file is left.
        whole = ["MLmodel", "checkpoint.json", "model.safetensors", "training.safetensors"]
        assert sorted(_files(served)) == [
            whole,
            whole,
            ["model.safetensors"],
            ["model.safetensors"],
        ]
        done = tracker_json(
            *("prune", run_id, "--keep-last", "1", "--yes"), directory=other, variables=elsewhere
        )
        assert [(each["epoch"], each["deleted"]) for each in done] == [(5, False), (3, True)]
        assert listed("list") == [5]
        collected = tracker_json("collect", "--grace", "0", directory=other, variables=elsewhere)
        assert sorted(each["stays"] for each in collected) == ["", "needed by epoch-5"]
        assert sorted(_files(served)) == [whole, ["model.safetensors"]]
        verified = succeed(TRACKER, "verify", "--all", directory=other, variables=elsewhere)
        assert verified.startswith("ok ")


def _files(served: Path) -> list[list[str]]:
    """Return what each folder of a logged model holds, if it holds anything."""
    folders = [path for path in (served / "files").rglob("artifacts") if path.is_dir()]
    return [names for folder in folders if (names := sorted(p.name for p in folder.iterdir()))]
