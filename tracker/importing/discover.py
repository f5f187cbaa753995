"""Which checkpoints there are among files: pure, over names alone.

A checkpoint is one file, or several that belong together: a Trainer's folder, the shards of a
model, a file and the metrics that MLflow's autologging puts beside it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from posixpath import basename, dirname, join

from tracker.format import MANIFEST
from tracker.importing import hugging_face
from tracker.importing.file_names import read_name, stem

_WEIGHTS = re.compile(
    r"(.+\.(pt|pth|ckpt|safetensors)|.+\.(pt|pth|ckpt)\.tar"
    r"|(pytorch_model|adapter_model|diffusion_pytorch_model|model)[^/]*\.bin)",
    re.IGNORECASE,
)
_NUMBERS = re.compile(r"(\d+)")
_SIDECARS = ("checkpoint_metrics.json", "latest_checkpoint_metrics.json")
_MARKS = ("trainer_state.json", "config.json", "adapter_config.json", "optimizer.pt",
          "optimizer.bin")  # fmt: skip
_CONTAINERS = ("checkpoints", "checkpoint", "ckpt", "ckpts", "weights")


@dataclass(frozen=True, slots=True)
class Found:
    """One checkpoint among the files of a place.

    Attributes:
        name: The path of its file or folder, relative to the place.
        files: The paths of its files; the first is the weights, or their index.
        metrics: The path of a file of metrics beside it, or "".
    """

    name: str
    files: tuple[str, ...]
    metrics: str = ""

    @property
    def is_folder(self) -> bool:
        """Whether it consists of several files."""
        return self.name != self.files[0]

    @property
    def home(self) -> str:
        """The folder whose checkpoints are of one run: not the one that it has for itself.

        Example:
            >>> Found("run/checkpoints/epoch_3/checkpoint.pth", (…,)).home
            'run'
        """
        folder = dirname(self.name)
        said = read_name(basename(folder))
        if not self.is_folder and (said.epoch is not None or said.step is not None):
            folder = dirname(folder)
        return dirname(folder) if basename(folder).lower() in _CONTAINERS else folder


def find(paths: Iterable[str]) -> list[Found]:
    """Return the checkpoints among files, in the order of the numbers in their names.

    Args:
        paths: Paths of files, relative to one place, with slashes.

    Example:
        >>> [found.name for found in find(["a/epoch_10.pth", "a/epoch_9.pth", "notes.txt"])]
        ['a/epoch_9.pth', 'a/epoch_10.pth']
    """
    folders: dict[str, set[str]] = defaultdict(set)
    for path in paths:
        folders[dirname(path)].add(basename(path))
    found = [each for folder, names in folders.items() for each in _in_folder(folder, names)]
    return sorted(found, key=lambda each: natural(each.name))


def natural(text: str) -> list[tuple[int, int, str]]:
    """Return a key that sorts numbers in names as numbers."""
    return [
        (1, int(part), "") if part.isdecimal() and part.isascii() else (0, 0, part)
        for part in _NUMBERS.split(text)
        if part
    ]


def _in_folder(folder: str, names: set[str]) -> list[Found]:
    if MANIFEST in names:
        return []  # a checkpoint of tracker's own
    found: list[Found] = []
    taken: set[str] = set()
    trainer = _trainer_files(names)
    if trainer:
        taken |= set(trainer) | {n for n in names if hugging_face.COMPANIONS.fullmatch(n)}
        found.append(Found(folder or ".", tuple(join(folder, name) for name in trainer)))
    for name in sorted(names - taken):
        shard = hugging_face.shard_of(name)
        if name in taken or not _WEIGHTS.fullmatch(name):
            continue
        parts = [
            n for n in sorted(names) if n == name or (shard and hugging_face.shard_of(n) == shard)
        ]
        taken.update(parts)
        shown = join(folder, shard[0] if shard else name)
        files = tuple(join(folder, part) for part in parts)
        found.append(Found(shown, files, _sidecar(folder, name, names)))
    return found


def _trainer_files(names: set[str]) -> list[str]:
    """Return the files of a Trainer's folder, the weights first; none if it is no such folder."""
    weights = next((name for name in hugging_face.WEIGHTS if name in names), None)
    if weights is None or not (weights.endswith(".json") or names & {*_MARKS}):
        return []
    shards = sorted(n for n in names if hugging_face.shard_of(n)) if ".index." in weights else []
    known = {hugging_face.STATE, "training_args.bin", *hugging_face.CONFIGURATIONS}
    known |= {file for files in hugging_face.TRAINING.values() for file in files}
    return [weights, *shards, *sorted(names & known)]


def _sidecar(folder: str, name: str, names: set[str]) -> str:
    """Return the metrics that MLflow's autologging wrote beside a checkpoint, or ""."""
    plain = stem(name).removesuffix(".weights")
    wanted = {"checkpoint": _SIDECARS[0], "latest_checkpoint": _SIDECARS[1]}.get(plain, "")
    return join(folder, wanted) if wanted in names else ""
