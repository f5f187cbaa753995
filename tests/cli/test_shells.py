"""What the shells that are there really offer, names with spaces, commas and stars included."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import mlflow
import pytest

from tests.system.processes import TRACKER
from tests.training import log

pytestmark = pytest.mark.usefixtures("workplace")

NAMES = ["[x] *", "it's $HOME", "letters, of Ada"]

SHELLS = {
    # What is quoted for the command line is taken apart as the command line would be.
    "bash": (
        'eval "$(_TRACKER_COMPLETE=bash_source tracker)"; COMP_CWORD=3; '
        "COMP_WORDS=(tracker list --experiment ''); _tracker_completion tracker; "
        'eval "set -- ${COMPREPLY[*]}"; printf "%s\\n" "$@"'
    ),
    "zsh": (
        'compdef() { }; eval "$(_TRACKER_COMPLETE=zsh_source tracker)"; CURRENT=4; '
        "words=(tracker list --experiment ''); compadd() { print -rl -- $completions }; "
        "_tracker_completion"
    ),
    "fish": (
        "_TRACKER_COMPLETE=fish_source tracker | source; complete -C 'tracker list --experiment '"
    ),
}


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_offers_names_as_they_are(shell: str) -> None:
    found = shutil.which(shell)
    if found is None:
        pytest.skip(f"there is no {shell} on this machine")
    for name in NAMES:
        mlflow.end_run()
        mlflow.set_experiment(name)
        log(epoch=1)
    path = f"{Path(TRACKER).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        [found, "-c", SHELLS[shell]],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert sorted(done.stdout.splitlines()) == NAMES, done.stderr
