"""What runs in a child process: saves, or loads, some models with some contenders.

    python -m corpus.worker save|load GROUP < jobs

It works in the current directory. Jobs are pairs of a case's name and its contenders. One line of
JSON for each goes to save.jsonl or load.jsonl as soon as it is known, so that a crash loses one
only. Saving and loading share the directory and nothing else: the loading process has not even
imported the corpus.
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
from corpus.contenders import CONTENDERS, Facts, NotApplicableError
from corpus.fingerprint import class_name, fingerprint, first_difference, output_of

Jobs = list[tuple[str, list[str]]]


def main(arguments: list[str]) -> None:
    action, group = arguments
    jobs: Jobs = json.load(sys.stdin)
    prepare()
    run = save_all(group, jobs) if action == "save" else load_all(jobs)
    with open(f"{action}.jsonl", "a") as file:
        for name, contender, facts in run:
            file.write(json.dumps({"name": name, "contender": contender, **facts}) + "\n")
            file.flush()


def prepare() -> None:
    """Make numbers reproducible, and let very deep models be walked."""
    torch.set_num_threads(1)
    sys.setrecursionlimit(20_000)
    warnings.simplefilter("ignore")


def save_all(group: str, jobs: Jobs) -> Iterator[tuple[str, str, Facts]]:
    from corpus.groups import cases_of

    cases = cases_of(group)
    made = {name: make(cases[name]) for name, _ in jobs if not cases[name].observed}
    if any(contender.startswith("tracker") for _, contenders in jobs for contender in contenders):
        import tracker  # noqa: F401 - importing it is what makes it observe

        cases = cases_of(group)  # again, for the modules among the arguments
    for name, contenders in jobs:
        place = Path(place_of(name))
        place.mkdir(exist_ok=True)
        case = cases[name]
        try:
            model = made.pop(name) if name in made else make(case)
            seed(case.name)
            inputs = None if case.inputs is None else case.inputs(model)
        except Exception as error:  # noqa: BLE001 - reported as a fault of the corpus
            for contender in contenders:
                yield name, contender, {"unusable": message_of(error)}
            continue
        common = write_down(case, model, inputs, place)
        for contender in contenders:
            yield name, contender, common | save(case, model, inputs, contender, place)


def load_all(jobs: Jobs) -> Iterator[tuple[str, str, Facts]]:
    """Load without the corpus: a class that is needed has to be found by the contender."""
    for name, contenders in jobs:
        for contender in contenders:
            yield name, contender, load(contender, Path(place_of(name)))


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


def write_down(case: Case, model: nn.Module, inputs: Inputs | None, place: Path) -> Facts:
    """Write down what a model is and what it computes; return what is known about it."""
    with contextlib.suppress(NotImplementedError):  # what torch.export traced stays as it is
        model.eval()  # as loading returns it
    wanted = case.stored(model)
    facts: Facts = {"refused": case.refused, "class": class_name(type(wanted))}
    facts["modules"] = sum(1 for _ in wanted.modules())
    try:
        expected, facts["forward"] = expect(wanted, inputs)
    except Exception as error:  # noqa: BLE001 - a program of torch.jit has no attributes to look at
        return facts | {"forward": message_of(error)}
    # A peer that brings back the wrapper that tracker looks through has brought back the model.
    expected["wrapped"] = None if wanted is model else fingerprint(model)
    (place / "expected.json").write_text(json.dumps(expected))
    torch.save(inputs, place / "inputs.pt")
    return facts


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


def save(case: Case, model: nn.Module, inputs: Inputs | None, contender: str, place: Path) -> Facts:
    """Store a model with one contender."""
    directory = place / contender
    directory.mkdir(exist_ok=True)
    started = time.perf_counter()
    try:
        facts = CONTENDERS[contender].save(model, case, inputs, directory)
    except NotApplicableError as error:
        return {"not_applicable": str(error)}
    except Exception as error:  # noqa: BLE001 - a contender's failure is a result
        return {"save_error": message_of(error)}
    (directory / "saved.json").write_text(json.dumps(facts))
    return facts | {"save_seconds": time.perf_counter() - started}


def load(contender: str, place: Path) -> Facts:
    """Load a stored model and compare it with what was written down."""
    directory = place / contender
    saved = json.loads((directory / "saved.json").read_text())
    started = time.perf_counter()
    try:
        model, facts = CONTENDERS[contender].load(saved, directory)
    except Exception as error:  # noqa: BLE001 - a contender's failure is a result
        return {"load_error": message_of(error)}
    facts["load_seconds"] = time.perf_counter() - started
    if not (place / "expected.json").exists():
        return {"load_error": "it was loaded, but there is nothing to compare it with"}
    expected = json.loads((place / "expected.json").read_text())
    return facts | compare(model, expected, torch.load(place / "inputs.pt", weights_only=False))


def compare(model: nn.Module, expected: dict[str, Any], inputs: Inputs | None) -> Facts:
    """Return the differences in weights, in all that makes up the model, and in its output."""
    try:
        found = json.loads(json.dumps(fingerprint(model)))
    except Exception as error:  # noqa: BLE001 - a peer returned something of another kind
        return {"load_error": f"what was loaded can't be compared: {message_of(error)}"}
    wanted = expected["fingerprint"]
    if expected["wrapped"] is not None and not first_difference(expected["wrapped"], found):
        wanted = found
    differences = {
        "weights": first_difference(by_key(wanted["state_dict"]), by_key(found["state_dict"])),
        "model": first_difference(wanted, found),
        "output": "",
    }
    if expected["output"] is not None and inputs is not None:
        try:
            output = json.loads(json.dumps(output_of(model, as_traced(model, inputs))))
            differences["output"] = first_difference(expected["output"], output, "output")
        except Exception as error:  # noqa: BLE001 - a model that can't compute is no model
            differences["output"] = f"output: {message_of(error)}"
    return {"differences": differences}


def by_key(state: dict[str, Any]) -> dict[str, Any]:
    return dict(sorted(state.items()))


def as_traced(model: nn.Module, inputs: Inputs) -> Inputs:
    """Return inputs for the model: what MLflow traced with a tuple takes no keywords."""
    traced = isinstance(model, torch.fx.GraphModule) and hasattr(model, "_guards_fn")
    return tuple(inputs.values()) if traced and isinstance(inputs, dict) else inputs


def message_of(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:2000]


if __name__ == "__main__":
    main(sys.argv[1:])
