"""Tries a group of attacks in a process of its own, with little memory and time.

    python -m tests.attacks.laboratory names|descriptions|files FOLDER

prints a line of JSON for each attack and entry point: what came of it, and what the canary heard.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
import time
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path

from tests.attacks.canary import Canary

MEMORY = 2 << 30
"""Bytes that an attack may use beyond what Python and torch take: a little for a manifest."""

SECONDS = 300
"""Of the processor, for the whole group."""


def main(group: str, folder: Path) -> None:
    """Try every attack of a group and print the outcomes."""
    output = folder / "writable"
    output.mkdir()
    secret = folder / "secret"
    secret.write_text("secret")
    canary = Canary(output, secret)
    planted = Path(__file__).parent / "planted"
    sys.path.insert(0, str(planted))
    os.chdir(planted)
    # Where a tensor may be in an earlier checkpoint, MLflow is asked for that.
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{output / 'mlflow.db'}"
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"

    from tests.attacks.checkpoints import ENTRY_POINTS, copied, write_good

    good, place = folder / "good", folder / "attacked"
    write_good(good)
    _warm_up(good, output)
    if group == "files":
        _ask_mlflow(good, place, output)
    attacks = importlib.import_module(f"tests.attacks.{group}").attacks()
    _limit()
    for attack in attacks:
        for name in attack.entry_points:
            print(json.dumps({"begun": attack.name, "entry_point": name}), flush=True)
            copied(good, place)
            attack.change(place)
            start = time.process_time()
            with canary.listening() as heard, warnings.catch_warnings():
                warnings.simplefilter("ignore")
                result = _outcome(lambda run=ENTRY_POINTS[name]: run(place, output))
            seconds = time.process_time() - start
            outcome = {"result": result[0], "text": result[1], "heard": heard, "seconds": seconds}
            print(json.dumps(outcome), flush=True)


def _warm_up(good: Path, output: Path) -> None:
    """Load once in every way: torch imports some of itself when it is first asked for.

    Modules that attacks name, and that are harmless to import, are imported as well.
    """
    import mlflow.pyfunc  # noqa: F401
    import sqlalchemy  # noqa: F401
    import torch.ao.quantization.fx.graph_module  # noqa: F401

    import tracker.api  # noqa: F401
    from tests.attacks.checkpoints import ENTRY_POINTS

    for run in ENTRY_POINTS.values():
        run(good, output)


def _ask_mlflow(good: Path, place: Path, output: Path) -> None:
    """Let MLflow be asked for another checkpoint once: it makes its tables and imports much."""
    from tests.attacks.checkpoints import ENTRY_POINTS, copied
    from tests.attacks.files import ELSEWHERE

    copied(good, place)
    ELSEWHERE["a checkpoint that is not there"](place)
    _outcome(lambda: ENTRY_POINTS["load_model"](place, output))


def _limit() -> None:
    used = next(_status("VmSize")) * 1024
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))


def _status(key: str) -> Iterator[int]:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            yield int(line.split()[1])


def _outcome(run: object) -> tuple[str, str]:
    from tracker.errors import TrackerError

    try:
        run()  # type: ignore[operator]
    except TrackerError as error:
        return type(error).__name__, str(error)[:500]
    except BaseException as error:  # noqa: BLE001 - what escapes is what is looked for
        return "escaped", "".join(traceback.format_exception(error)[-6:])[-2000:]
    return "loaded", ""


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
