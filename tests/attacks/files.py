"""What an attacker does to the files of a checkpoint, and to the source that it brings."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from blake3 import blake3

from tests.attacks.checkpoints import Attack, Change, manifest, module
from tracker.format import MANIFEST

WEIGHTS = "model.safetensors"
SECRET = "../secret"
PLANTED = Path(__file__).parent / "planted"


def _renamed(new: Any) -> Change:
    """Return the attack whose manifest calls the weights by another name."""

    def change(data: dict[str, Any]) -> None:
        data["files"][new] = data["files"].pop(WEIGHTS)
        for entry in data["tensors"]["model"].values():
            entry["file"] = new

    return manifest(change)


def _replaced(name: str, make: Callable[[Path], object]) -> Change:
    """Return the attack with something else in place of a file."""

    def apply(directory: Path) -> None:
        (directory / name).unlink()
        make(directory / name)

    return apply


def _header(change: Callable[[dict[str, Any]], object], length: int | None = None) -> Change:
    """Return the attack with another header of the weights, its digest put into the manifest."""

    def apply(directory: Path) -> None:
        path = directory / WEIGHTS
        content = path.read_bytes()
        count = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + count])
        change(header)
        encoded = json.dumps(header).encode().ljust(count)
        head = (len(encoded) if length is None else length).to_bytes(8, "little") + encoded
        path.write_bytes(head + content[8 + count :])
        entry = {"size": path.stat().st_size, "digest": blake3(head).hexdigest()}
        manifest(lambda data: data["files"].update({WEIGHTS: entry}))(directory)

    return apply


def _slot(**changes: Any) -> Change:
    return _header(lambda header: header["head.weight"].update(changes))


def _entry(**changes: Any) -> Change:
    """Return the attack with another entry of a weight in the manifest."""
    return manifest(lambda data: data["tensors"]["model"]["head.weight"].update(changes))


def _same_as(**names: str) -> Change:
    def change(data: dict[str, Any]) -> None:
        for name, other in names.items():
            entry = data["tensors"]["model"]
            entry[name.replace("_", ".")] = {**entry["head.weight"], "same_as": other}

    return manifest(change)


def _elsewhere(**changes: Any) -> Change:
    """Return the attack whose weights are in the file of another checkpoint."""

    def change(data: dict[str, Any]) -> None:
        own = data["files"].pop(WEIGHTS)
        data["elsewhere"] = {WEIGHTS: {"checkpoint": "m-2", "file": WEIGHTS, **own, **changes}}

    return manifest(change)


class Payload:
    """Runs a command when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("echo owned",)


def _pickled(path: Path) -> None:
    path.write_bytes(pickle.dumps(Payload()))


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


def _linked(target: str | Path) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(target)


def _folder_outside(directory: Path) -> None:
    outside = directory.parent / "outside"
    shutil.rmtree(outside, ignore_errors=True)
    (directory / "source").rename(outside)
    (directory / "source").symlink_to(outside)


REPLACED = {
    "a link to a secret": _linked(SECRET),
    "a link to all zeros": _linked("/dev/zero"),
    "a loop of links": _linked(WEIGHTS),
    "a pipe": os.mkfifo,
    "a folder": Path.mkdir,
    "a secret under a second name": lambda path: os.link(path.parent / SECRET, path),
    "a pickle": _pickled,
    "a terabyte of nothing": _sparse,
    "nothing": lambda path: None,
}

BY_NAME = {
    repr(name): _renamed(name)
    for name in (
        "../secret",
        "/etc/hostname",
        "a/../../secret",
        "..\\secret",
        "C:\\secret",
        "file:secret",
        "./x",
        "x\0",
        "",
        ".",
        "..",
        "x/" * 2000 + "x",
        "x" * 300,
        "CHECKPOINT.JSON",
        "\ud800",
        "a\nb",
    )
}

HEADERS = {
    **{
        f"a header of {length} bytes": _header(lambda header: None, length)
        for length in (0, 1, 1 << 27, 100 << 30, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)
    },
    "a tensor over another": _slot(data_offsets=[0, 8]),
    "a tensor of negative place": _slot(data_offsets=[-8, 0]),
    "a tensor past the end": _slot(data_offsets=[1 << 40, (1 << 40) + 8]),
    "a tensor that ends before it begins": _slot(data_offsets=[8, 0]),
    "a shape of 10^12": _slot(shape=[10**12, 2]),
    "a shape of 2^62 twice": _slot(shape=[1 << 62, 1 << 62]),
    "a shape of 2^63": _slot(shape=[1 << 63]),
    "a negative shape": _slot(shape=[-1, -2]),
    "another dtype": _slot(dtype="I32"),
    "a dtype that does not exist": _slot(dtype="O"),
    "a tensor more": _header(
        lambda header: header.update(x={"dtype": "F32", "shape": [0], "data_offsets": [0, 0]})
    ),
    "a tensor less": _header(lambda header: header.pop("head.weight")),
    "nested without end": _header(
        lambda header: header.update(x=json.loads("[" * 600 + "]" * 600))
    ),
}

ENTRIES = {
    "a shape of 10^12 for two elements": _entry(shape=[10**12]),
    "a shape of 2^63": _entry(shape=[1 << 63]),
    "a negative shape": _entry(shape=[-2]),
    "a thousand dimensions": _entry(shape=[1] * 1000),
    "another dtype": _entry(dtype="int32"),
    "a dtype of objects": _entry(dtype="object"),
    "another digest": _entry(digest="0" * 64),
    "a file of source": _entry(file="source/ours/net.py"),
    "a file that is not listed": _entry(file="secret"),
    "the same as itself": _same_as(head_weight="head.weight"),
    "the same as what is the same": _same_as(head_weight="head.bias", head_bias="head.weight"),
    "the same as what is not there": _same_as(head_weight="x"),
}

ELSEWHERE = {
    "a checkpoint that is not there": _elsewhere(),
    "a checkpoint outside of the store": _elsewhere(checkpoint="../.."),
    "a checkpoint by its path": _elsewhere(checkpoint="/etc"),
    "a pattern of checkpoints": _elsewhere(checkpoint="*"),
    "a file outside of the checkpoint": _elsewhere(file=SECRET),
    "half a character": _elsewhere(checkpoint="\ud800"),
    "a file without end": _elsewhere(file="x" * 10_000),
}


def _source(
    text: str, name: str = "evil", *, path: str = "", script: bool = False, cls: str = "Net"
) -> Change:
    """Return the attack whose model is of a module that the checkpoint brings itself."""

    def apply(directory: Path) -> None:
        (directory / "source" / "evil.py").write_text(text)
        content = text.encode()
        file = {"size": len(content), "digest": blake3(content).hexdigest()}
        entry = {"module": name, "path": path, "script": script, "package": False}
        data = json.loads((directory / MANIFEST).read_bytes())
        data["files"]["source/evil.py"] = file
        data["source"] = [{**entry, "file": "source/evil.py"}]
        tree = {"modules": [module(**{"class": f"{name}:{cls}"})], "objects": []}
        data["architecture"] |= {"rebuild": "structure", "constructor": None, "structure": tree}
        data["state_values"] = {}
        (directory / MANIFEST).write_text(json.dumps(data))

    return apply


EVIL = "import sys, torch\nsys.audit('canary', 'archived')\nclass Net(torch.nn.Module): ...\n"
HERE = (PLANTED / "bystander.py").read_text()
SCRIPT = PLANTED / "trainer.py"

SOURCE = {
    "a module of its own": _source(EVIL),
    "a module of a name that is taken": _source(EVIL, "ours.other"),
    "a module of the standard library": _source(EVIL, "os"),
    "a script of its own": _source(EVIL, script=True),
    "a file of this machine as a module": _source(HERE, path=str(PLANTED / "bystander.py")),
    "a file of this machine by its name": _source(
        HERE, "bystander", path=str(PLANTED / "bystander.py")
    ),
    "a path that has no end": _source(EVIL, path="/dev/zero"),
    "a path that is half a character": _source(EVIL, path="\ud800"),
    "an assignment of a script here": _source(
        SCRIPT.read_text(), "trainer", path=str(SCRIPT), script=True, cls="result"
    ),
    "an annotated assignment of a script here": _source(
        EVIL, "trainer", path="/gone/trainer.py", script=True, cls="results"
    ),
    "an import of a script here": _source(EVIL, "trainer", script=True, cls="sys"),
    "a function of a script here": _source(EVIL, "trainer", script=True, cls="train"),
    "text without end": _source("-" * 1_000_000 + "1", "trainer", script=True, cls="no_such"),
    "text that is no Python": _source("\0", "trainer", script=True, cls="no_such"),
    "text of many megabytes": _source("x = 1\n" * 3_000_000, "trainer", script=True, cls="sys"),
}


def _script(make: Callable[[Path], object]) -> Change:
    """Return the attack whose model is a program in torch's own format."""

    def apply(directory: Path) -> None:
        path = directory / "model.torchscript"
        make(path)
        entry = {"size": path.stat().st_size, "digest": blake3(path.read_bytes()).hexdigest()}

        def change(data: dict[str, Any]) -> None:
            data["files"][path.name] = entry
            data["architecture"] |= {"rebuild": "torchscript", "constructor": None}

        manifest(change)(directory)

    return apply


SCRIPTS = {
    "a program": lambda path: torch.jit.script(torch.nn.ReLU()).save(str(path)),
    "a pickle": _pickled,
    "a pickle of torch.save": lambda path: torch.save(Payload(), path),
}


def attacks() -> list[Attack]:
    """Return every attack of this file."""
    weights = ("load_model", "pyfunc", "load_state_dict", "resume", "export")
    found = [
        Attack(f"{file} is {name}", _replaced(file, make), weights)
        for file in (WEIGHTS, MANIFEST)
        for name, make in REPLACED.items()
    ]
    found.append(Attack("a folder is a link to one outside", _folder_outside, ("load_model",)))
    for table, changes in (
        ("weights called", BY_NAME),
        ("header", HEADERS),
        ("entry", ENTRIES),
        ("elsewhere", ELSEWHERE),
    ):
        found += [Attack(f"{table}: {name}", change, weights) for name, change in changes.items()]
    found += [Attack(f"source: {name}", change) for name, change in SOURCE.items()]
    found += [Attack(f"torchscript: {name}", _script(make)) for name, make in SCRIPTS.items()]
    return found
