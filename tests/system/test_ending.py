"""Processes that end, are told to end, or fork, while checkpoints are being saved."""

from __future__ import annotations

import signal
import subprocess
import threading
from pathlib import Path

import pytest

from .forked import WHOLE_END
from .processes import PYTHON, environment, finish, kill, place, run, start, tracker_json

pytestmark = pytest.mark.system

SLOW = """
import logging
import os
import signal
import sys
import threading
import time
import mlflow
import torch
import tracker
from torch import nn


class Slow(logging.Handler):
    '''Saving rests in the middle of every checkpoint, and says so.'''

    def createLock(self):
        self.lock = None  # the end of the process must not wait for it

    def emit(self, record):
        if record.getMessage().startswith("created"):
            print("in the middle", flush=True)
            time.sleep(float(os.environ.get("REST", "0.5")))


logging.getLogger("tracker.saving").addHandler(Slow())
logging.getLogger("tracker.saving").setLevel(logging.DEBUG)


def log(epoch, **arguments):
    return tracker.log_checkpoint(nn.Linear(300, 1000), epoch=epoch, **arguments)

"""
"""A linear layer of more than 1 MiB: hashing it takes an executor, which an exit refuses."""

TRAIN_ON = "print('training', flush=True)\nwhile True: time.sleep(0.01)\n"


@pytest.fixture
def variables(tmp_path: Path, database_template: Path) -> dict[str, str]:
    place(database_template, tmp_path)
    return environment(tmp_path, **{WHOLE_END: "1"})


def epochs(directory: Path, variables: dict[str, str]) -> list[int]:
    found = tracker_json("list", directory=directory, variables=variables)
    return sorted(each["epoch"] for each in found)


def begin(script: str, directory: Path, variables: dict[str, str]) -> subprocess.Popen[str]:
    """Start a script and wait until it saves a checkpoint and trains on."""
    process = start(PYTHON, "-c", SLOW + script, directory=directory, variables=variables)
    guard = threading.Timer(60, kill, [process])
    guard.start()
    assert process.stdout is not None
    missing = {"in the middle", "training"}
    for line in process.stdout:
        missing.discard(line.strip())
        if not missing:
            break
    guard.cancel()
    assert not missing, process.stderr and process.stderr.read()
    return process


@pytest.mark.parametrize(
    ("end", "code"),
    [
        ("", 0),
        ("sys.exit(3)", 3),
        ("raise ValueError('my mistake')", 1),
        ("mlflow.end_run(); mlflow.start_run(); log(2); mlflow.end_run()", 0),
        ("threading.Thread(target=log, args=(2,)).start()", 0),
    ],
    ids=["the end", "exit", "error", "runs", "thread"],
)
def test_what_was_handed_over_is_saved_before_the_process_ends(
    end: str, code: int, tmp_path: Path, variables: dict[str, str]
) -> None:
    script = f"{SLOW}log(0)\nlog(1)\n{end}\n"
    done = run(PYTHON, "-c", script, directory=tmp_path, variables=variables, cold=not end)
    assert done.returncode == code, done.stderr
    assert " not saved" not in done.stderr
    assert epochs(tmp_path, variables) == ([0, 1, 2] if "log" in end else [0, 1])


def test_what_could_not_be_saved_is_said_at_the_end(
    tmp_path: Path, variables: dict[str, str]
) -> None:
    script = """
from tracker.record import flavor_file
flavor_file.flavor_files = None
log(0)
"""
    variables["TRACKER_SPOOL_DIR"] = "/proc/nowhere"
    done = run(PYTHON, "-c", SLOW + script, directory=tmp_path, variables=variables)
    assert "tracker: The checkpoint epoch-0 of run " in done.stderr
    assert "TypeError: 'NoneType' object is not callable" in done.stderr
    assert epochs(tmp_path, variables) == []


def test_what_another_exit_handler_logs_is_saved_or_said(
    tmp_path: Path, variables: dict[str, str]
) -> None:
    script = "log(0)\nimport atexit\natexit.register(log, 1)\n"
    done = run(PYTHON, "-c", SLOW + script, directory=tmp_path, variables=variables)
    saved = epochs(tmp_path, variables)
    assert saved == [0, 1] or "epoch-1" in done.stderr or "can't" in done.stderr, done.stderr


def test_sigterm_ends_the_process_when_everything_is_saved(
    tmp_path: Path, variables: dict[str, str]
) -> None:
    process = begin("log(0)\nlog(1)\n" + TRAIN_ON, tmp_path, variables)
    process.send_signal(signal.SIGTERM)
    done = finish(process)
    assert done.returncode == -signal.SIGTERM, done.stderr
    assert epochs(tmp_path, variables) == [0, 1]


def test_sigterm_during_nothing_ends_the_process_at_once(
    tmp_path: Path, variables: dict[str, str]
) -> None:
    process = begin("log(0)\ntracker.flush()\n" + TRAIN_ON, tmp_path, variables)
    process.send_signal(signal.SIGTERM)
    assert finish(process, timeout=5).returncode == -signal.SIGTERM


def test_a_second_sigterm_does_not_wait(tmp_path: Path, variables: dict[str, str]) -> None:
    variables["REST"] = "60"
    process = begin("log(0)\n" + TRAIN_ON, tmp_path, variables)
    process.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1)
    process.send_signal(signal.SIGTERM)
    assert finish(process, timeout=5).returncode == -signal.SIGTERM
    assert epochs(tmp_path, variables) == []


def test_after_the_grace_period_sigterm_ends_the_process_and_says_what_is_lost(
    tmp_path: Path, variables: dict[str, str]
) -> None:
    variables["REST"] = "60"
    script = "from tracker.saving import ending\nending.GRACE_SECONDS = 0.5\nlog(0)\n"
    process = begin(script + TRAIN_ON, tmp_path, variables)
    process.send_signal(signal.SIGTERM)
    done = finish(process, timeout=10)
    assert done.returncode == -signal.SIGTERM
    assert "tracker: 1 checkpoint is not saved: epoch-0 of run" in done.stderr


def test_a_handler_of_the_script_is_left_alone_and_its_exit_saves_everything(
    tmp_path: Path, variables: dict[str, str]
) -> None:
    script = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\nlog(0)\nlog(1)\n"
    process = begin(script + TRAIN_ON, tmp_path, variables)
    process.send_signal(signal.SIGTERM)
    done = finish(process)
    assert done.returncode == 7, done.stderr
    assert epochs(tmp_path, variables) == [0, 1]


def test_ctrl_c_in_training_ends_it_and_everything_is_saved(
    tmp_path: Path, variables: dict[str, str]
) -> None:
    process = begin("log(0)\nlog(1)\n" + TRAIN_ON, tmp_path, variables)
    process.send_signal(signal.SIGINT)
    done = finish(process)
    assert done.stderr.rstrip().endswith("KeyboardInterrupt")
    assert epochs(tmp_path, variables) == [0, 1]


@pytest.mark.parametrize("waiting", ["tracker.flush()", "pending.result()", "log(1, wait=True)"])
def test_ctrl_c_while_the_script_waits_loses_nothing(
    waiting: str, tmp_path: Path, variables: dict[str, str]
) -> None:
    script = f"pending = log(0)\nprint('training', flush=True)\n{waiting}\n"
    process = begin(script, tmp_path, variables)
    process.send_signal(signal.SIGINT)
    done = finish(process)
    assert done.stderr.rstrip().endswith("KeyboardInterrupt")
    assert epochs(tmp_path, variables) == ([0, 1] if "log(" in waiting else [0])


def test_ctrl_c_while_the_process_ends_gets_out_and_says_what_is_lost(
    tmp_path: Path, variables: dict[str, str]
) -> None:
    variables["REST"] = "60"
    process = begin("log(0)\nlog(1)\nprint('training', flush=True)\n", tmp_path, variables)
    assert process.stderr is not None
    line = process.stderr.readline()
    while "before the process ends; Ctrl-C to give up." not in line:
        line = process.stderr.readline()
        assert line
    process.send_signal(signal.SIGINT)
    done = finish(process, timeout=20)
    assert "tracker: 2 checkpoints are not saved: epoch-0 of run" in done.stderr
    assert epochs(tmp_path, variables) == []


FORKS = {
    "os.fork": """
child = os.fork()
if child == 0:
    pending = log(1, run_id=run_id)
    pending.result()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
""",
    "multiprocessing": """
import multiprocessing
process = multiprocessing.get_context("fork").Process(
    target=log, args=(1,), kwargs={"run_id": run_id}
)
process.start()
process.join()
assert process.exitcode == 0
""",
}


@pytest.mark.parametrize("fork", FORKS.values(), ids=FORKS)
def test_a_forked_child_logs_its_own_and_leaves_the_parents_alone(
    fork: str, tmp_path: Path, variables: dict[str, str]
) -> None:
    script = f"run_id = mlflow.start_run().info.run_id\nlog(0)\n{fork}\nlog(2)\n"
    done = run(PYTHON, "-c", SLOW + script, directory=tmp_path, variables=variables)
    assert done.returncode == 0, done.stderr
    assert " not saved" not in done.stderr
    assert epochs(tmp_path, variables) == [0, 1, 2]


def test_a_forked_child_knows_that_the_parents_checkpoint_is_not_its_own(
    tmp_path: Path, variables: dict[str, str]
) -> None:
    script = """
pending = log(0)
child = os.fork()
if child == 0:
    tracker.flush()
    print(type(pending.exception()).__name__, pending.exception(), flush=True)
    os._exit(signal.getsignal(signal.SIGTERM) != signal.SIG_DFL)
assert os.waitpid(child, 0)[1] == 0
assert pending.result().epoch == 0
"""
    done = run(PYTHON, "-c", SLOW + script, directory=tmp_path, variables=variables)
    assert done.returncode == 0, done.stderr
    assert "TrackerError The checkpoint epoch-0 of run" in done.stdout
    assert "was handed over in process" in done.stdout


def test_workers_of_a_data_loader_start_and_end_while_checkpoints_are_saved(
    tmp_path: Path, variables: dict[str, str]
) -> None:
    script = """
from torch.utils.data import DataLoader, TensorDataset
torch.set_num_threads(1)
data = TensorDataset(torch.randn(64, 4))
for epoch in range(4):
    for (batch,) in DataLoader(data, batch_size=8, num_workers=2):
        assert batch.shape == (8, 4)
    log(epoch)
"""
    variables["REST"] = "0.1"
    done = run(PYTHON, "-c", SLOW + script, directory=tmp_path, variables=variables)
    assert done.returncode == 0, done.stderr
    assert epochs(tmp_path, variables) == [0, 1, 2, 3]
