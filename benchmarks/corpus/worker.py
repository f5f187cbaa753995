"""What runs in a child process: saves, or loads, some cases of a group with one contender.

    python -m corpus.worker save|load GROUP CONTENDER < names

It works in the current directory. One line of JSON for each case goes to save.jsonl or load.jsonl
as soon as it is known, so that a crash loses one case only. Saving and loading share the directory
and nothing else: the loading process has not even imported the corpus.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from corpus.case import Case, Inputs
from corpus.contenders import CONTENDERS, Contender, Facts, NotApplicableError
from corpus.fingerprint import class_name, fingerprint, first_difference, output_of


def main(arguments: list[str]) -> None:
    action, group, contender = arguments
    names = json.load(sys.stdin)
    prepare()
    run = save_all(group, contender, names) if action == "save" else load_all(contender, names)
    with open(f"{action}.jsonl", "a") as file:
        for name, facts in run:
            file.write(json.dumps({"name": name, **facts}) + "\n")
            file.flush()


def prepare() -> None:
    """Make numbers reproducible, and let very deep models be walked."""
    torch.set_num_threads(1)
    sys.setrecursionlimit(20_000)
    warnings.simplefilter("ignore")


def save_all(group: str, contender: str, names: list[str]) -> Iterator[tuple[str, Facts]]:
    from corpus.groups import cases_of

    cases = cases_of(group)
    made = {name: make(cases[name]) for name in names if not cases[name].observed}
    if contender.startswith("tracker"):
        import tracker  # noqa: F401 - importing it is what makes it observe
    for name in names:
        place = Path(place_of(name))
        place.mkdir(exist_ok=True)
        facts = save(cases[name], CONTENDERS[contender], place, made.pop(name, None))
        (place / "saved.json").write_text(json.dumps(facts))
        yield name, facts


def load_all(contender: str, names: list[str]) -> Iterator[tuple[str, Facts]]:
    """Load without the corpus: a class that is needed has to be found by the contender."""
    for name in names:
        place = Path(place_of(name))
        saved = json.loads((place / "saved.json").read_text())
        yield name, load(saved, CONTENDERS[contender], place)


def place_of(name: str) -> str:
    """Return the name of a case's directory."""
    return hashlib.blake2b(name.encode(), digest_size=8).hexdigest()


def make(case: Case) -> nn.Module:
    seed(case.name)
    return case.make()


def seed(name: str) -> None:
    number = int(place_of(name)[:8], 16)
    torch.manual_seed(number)
    np.random.seed(number)
    random.seed(number)


def save(case: Case, contender: Contender, place: Path, made: nn.Module | None) -> Facts:
    """Make a model, write down what it is and what it computes, and store it."""
    started = time.perf_counter()
    try:
        model = make(case) if made is None else made
        seed(case.name)
        inputs = None if case.inputs is None else case.inputs(model)
    except Exception as error:  # noqa: BLE001 - reported as a fault of the corpus
        return {"unusable": message_of(error)}
    wanted = case.stored(model)
    with contextlib.suppress(NotImplementedError):  # what torch.export traced stays as it is
        model.eval()  # as loading returns it
    facts: Facts = {
        "refused": case.refused,
        "class": class_name(type(wanted)),
        "made_in": time.perf_counter() - started,
    }
    facts["parameters"] = sum(p.numel() for p in wanted.parameters() if not is_lazy(p))
    facts["modules"] = sum(1 for _ in wanted.modules())
    if case.refused:
        expected: dict[str, Any] = {}
    else:
        expected, facts["forward"] = expect(wanted, inputs)
    (place / "expected.json").write_text(json.dumps(expected))
    torch.save(inputs, place / "inputs.pt")
    started = time.perf_counter()
    try:
        facts |= contender.save(model, case, inputs, place)
    except NotApplicableError as error:
        return facts | {"not_applicable": str(error)}
    except Exception as error:  # noqa: BLE001 - a contender's failure is a result
        return facts | {"save_error": message_of(error)}
    return facts | {"save_seconds": time.perf_counter() - started}


def is_lazy(parameter: Any) -> bool:
    return isinstance(parameter, nn.parameter.UninitializedTensorMixin)


def expect(model: nn.Module, inputs: Inputs | None) -> tuple[dict[str, Any], str]:
    """Return the fingerprint with the output, and "yes" or why no output is compared."""
    if inputs is None:
        return {"fingerprint": fingerprint(model), "output": None}, "no input"
    try:
        first, second = output_of(model, inputs), output_of(model, inputs)
    except Exception as error:  # noqa: BLE001 - the model is compared without
        return {"fingerprint": fingerprint(model), "output": None}, message_of(error)
    # Some models keep what they computed last: they are told as they are when stored.
    told = {"fingerprint": fingerprint(model), "output": first}
    if first != second:
        return told | {"output": None}, "computes something else each time"
    return told, "yes"


def load(saved: Facts, contender: Contender, place: Path) -> Facts:
    """Load a stored model and compare it with what was written down."""
    expected = json.loads((place / "expected.json").read_text())
    started = time.perf_counter()
    try:
        model, facts = contender.load(saved, place)
    except Exception as error:  # noqa: BLE001 - a contender's failure is a result
        return {"load_error": message_of(error)}
    facts["load_seconds"] = time.perf_counter() - started
    return facts | compare(model, expected, torch.load(place / "inputs.pt", weights_only=False))


def compare(model: nn.Module, expected: dict[str, Any], inputs: Inputs | None) -> Facts:
    """Return the differences in weights, in all that makes up the model, and in its output."""
    found = json.loads(json.dumps(fingerprint(model)))
    differences = {
        "weights": first_difference(expected["fingerprint"]["state_dict"], found["state_dict"]),
        "model": first_difference(expected["fingerprint"], found),
        "output": "",
    }
    if expected["output"] is not None and inputs is not None:
        try:
            output = json.loads(json.dumps(output_of(model, inputs)))
            differences["output"] = first_difference(expected["output"], output, "output")
        except Exception as error:  # noqa: BLE001 - a model that can't compute is no model
            differences["output"] = f"output: {message_of(error)}"
    return {"differences": differences}


def message_of(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:2000]


if __name__ == "__main__":
    main(sys.argv[1:])
