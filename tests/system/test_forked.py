"""What is forked is like what is started: the other tests rely on that."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from subprocess import PIPE, Popen

import pytest

from .forked import FORKED_CHILDREN, ForkedPopen, can_fork
from .processes import PYTHON, TRACKER, environment, finish, kill, run, start, succeed

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(sys.platform != "linux", reason="orphans can be adopted on Linux only"),
]

ABOUT = """
import atexit, json, os, sys, threading

atexit.register(print, "the end")
print(json.dumps({
    "name": __name__, "file": globals().get("__file__"), "argv": sys.argv, "path": sys.path[:2],
    "directory": os.getcwd(), "variables": dict(os.environ), "session": os.getsid(0) == os.getpid(),
    "parent": os.getppid(), "threads": threading.active_count(), "input": sys.stdin.read(),
    "descriptors": sorted(int(each) for each in os.listdir("/proc/self/fd"))[:-1],
    "main": sys.modules["__main__"].__dict__ is globals(),
    "ours": [each for each in sys.modules if each.startswith("tests")],
}))
threading.Thread(target=print, args=("a thread",)).start()
sys.exit(sys.argv[-1])
"""


def about(*command: str | Path, directory: Path, cold: bool, **variables: str) -> list[object]:
    process = start(
        *(*command, "an argument"),
        directory=directory,
        variables=environment(directory, **variables),
        cold=cold,
        stdin=PIPE,
    )
    assert isinstance(process, ForkedPopen) != cold
    printed, error = process.communicate("what is read")
    first, *rest = printed.splitlines()
    return [json.loads(first), rest, error, process.returncode]


@pytest.mark.parametrize("how", ["-c", "-m", "file"])
def test_a_forked_script_finds_what_a_started_one_would(how: str, tmp_path: Path) -> None:
    (tmp_path / "about.py").write_text(ABOUT)
    command = {"-c": ("-c", ABOUT), "-m": ("-m", "about"), "file": ("about.py",)}[how]
    more = {"PYTHONPATH": str(tmp_path / "more"), "MLFLOW_EXPERIMENT_NAME": "mine"}
    forked = about(PYTHON, *command, directory=tmp_path, cold=False, **more)
    assert forked == about(PYTHON, *command, directory=tmp_path, cold=True, **more)
    assert forked[1:] == [["a thread", "the end"], "an argument\n", 1]


def test_each_ends_as_it_would(tmp_path: Path) -> None:
    ends = {
        "": 0,
        "raise SystemExit": 0,
        "import sys; sys.exit(7)": 7,
        "1 / 0": 1,
        "raise KeyboardInterrupt": -signal.SIGINT,
        "import os; os.kill(os.getpid(), 9)": -signal.SIGKILL,
        "import os; os._exit(5)": 5,
        "print(": 1,
    }
    for end, status in ends.items():
        done = [
            run(PYTHON, "-c", end, directory=tmp_path, variables=environment(tmp_path), cold=cold)
            for cold in (False, True)
        ]
        assert [each.returncode for each in done] == [status] * 2, end
        assert done[0].stderr == done[1].stderr


def test_it_is_a_child_that_is_told_to_end(tmp_path: Path) -> None:
    script = "import time\nprint('begun', flush=True)\ntime.sleep(600)"
    process = start(PYTHON, "-c", script, directory=tmp_path, variables=environment(tmp_path))
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    assert process.poll() is None
    assert os.getpgid(process.pid) == process.pid
    process.send_signal(signal.SIGTERM)
    assert finish(process).returncode == -signal.SIGTERM
    other = start(PYTHON, "-c", script, directory=tmp_path, variables=environment(tmp_path))
    kill(other)
    assert other.returncode == -signal.SIGKILL


def test_two_of_them_share_no_random_numbers_and_no_module_of_their_own(tmp_path: Path) -> None:
    script = "import random, numpy, uuid; print(random.random(), numpy.random.rand(), uuid.uuid4())"
    of_both = [
        succeed(PYTHON, "-c", script, directory=tmp_path, variables=environment(tmp_path)).split()
        for _ in range(2)
    ]
    assert not {*of_both[0]} & {*of_both[1]}
    for number in ("1", "2"):
        (tmp_path / number).mkdir()
        (tmp_path / number / "own.py").write_text(f"NUMBER = {number}")
        printed = succeed(
            *(PYTHON, "-c", "import own; print(own.NUMBER)"),
            directory=tmp_path / number,
            variables=environment(tmp_path),
        )
        assert printed == f"{number}\n"


def test_its_own_processes_are_forked_where_that_is_wanted(tmp_path: Path) -> None:
    script = """
import os, subprocess, sys
child = "import os, sys; print(os.getppid(), os.getpgrp(), 'torch' in sys.modules); sys.exit(3)"
done = subprocess.run([sys.executable, "-c", child], capture_output=True, text=True)
assert done.stdout.split() == [str(os.getpid()), str(os.getpgrp()), sys.argv[1]], done
assert done.returncode == 3
assert subprocess.check_output("echo said", shell=True) == b"said\\n"
"""
    for wanted in (True, False):
        variables = environment(tmp_path, **({FORKED_CHILDREN: "1"} if wanted else {}))
        succeed(PYTHON, "-c", script, str(wanted), directory=tmp_path, variables=variables)


def test_what_counts_from_the_beginning_is_not_forked(tmp_path: Path) -> None:
    variables = environment(tmp_path)
    assert can_fork([PYTHON, "train.py"], variables)
    assert can_fork([TRACKER, "list"], {**variables, "MLFLOW_TRACKING_URI": "x", "HOME": "/"})
    assert not can_fork([PYTHON, "-X", "dev", "train.py"], variables)
    assert not can_fork(["/usr/bin/python3", "train.py"], variables)
    assert not can_fork([PYTHON, "train.py"], {**variables, "OMP_NUM_THREADS": "7"})
    assert not can_fork([PYTHON, "train.py"], {**variables, "PYTHONHASHSEED": "7"})


def test_it_begins_where_python_begins_its_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The private method that `ProcessElsewhere` overrides is the one that is called."""
    for _ in range(2):
        succeed(PYTHON, "-c", "", directory=tmp_path, variables=environment(tmp_path))
        monkeypatch.delattr(Popen, "_execute_child", raising=False)  # the server runs by now
