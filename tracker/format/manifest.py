"""The manifest: the one file that says what a checkpoint consists of."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import get_args

from tracker.errors import FormatError, NewerFormatError, UnstorableError
from tracker.format.canonical import dumps, loads
from tracker.format.entries import (
    check_tensors,
    read_file_elsewhere,
    read_file_entry,
    read_tensor,
    write_file_elsewhere,
    write_file_entry,
    write_tensor,
)
from tracker.format.fields import Field
from tracker.types import (
    Architecture,
    FileElsewhere,
    FileEntry,
    Json,
    Problem,
    Rebuild,
    TensorEntry,
)
from tracker.values.leaves import FLOAT

FORMAT_NAME = "tracker-checkpoint"
FORMAT_VERSION = (1, 2)
"""Major and minor. A reader takes every minor of its major: new keys are additions it ignores."""

_VERSION = re.compile(r"([0-9]{1,6})\.([0-9]{1,6})")


@dataclass(frozen=True, slots=True)
class SourceEntry:
    """One archived file of first-party source.

    Attributes:
        module: The module's name.
        path: Where the file was when the checkpoint was logged.
        script: Whether it was run as ``__main__``.
        package: Whether it is a package's ``__init__.py``.
        file: Its name in the checkpoint, under ``source/``.
    """

    module: str
    path: str
    script: bool
    package: bool
    file: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What ``checkpoint.json`` says.

    Attributes:
        name: The checkpoint's name, for example ``epoch-6``.
        run_id: The MLflow run it belongs to.
        created_at: Milliseconds since 1970-01-01 UTC.
        epoch: Epoch given when logging, or None.
        step: Step given when logging, or None.
        metrics: Metrics by name; NaN and the infinities are kept.
        tags: Tags by name.
        architecture: How the model is rebuilt.
        tensors: The tensors by group and name.
        state_values: The state_dict's entries that are not tensors: typed JSON by key.
        training: Optimizer, scheduler and other state as typed JSON whose tensors are names of the
            group ``training``; None if it was not stored.
        files: Every file but the manifest, by name.
        source: The archived source.
        environment: Versions and the like, for people.
        example: An input and the model's output for it, as typed JSON whose tensors are names of
            the group ``example``; None if it was not stored.
        elsewhere: Files of earlier checkpoints of the run that hold some of the tensors, under the
            names by which the tensors' entries call them.
    """

    name: str
    run_id: str
    created_at: int
    epoch: int | None
    step: int | None
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    architecture: Architecture
    tensors: Mapping[str, Mapping[str, TensorEntry]]
    state_values: Json
    training: Json
    files: Mapping[str, FileEntry]
    source: tuple[SourceEntry, ...]
    environment: Mapping[str, Json]
    example: Json = None
    elsewhere: Mapping[str, FileElsewhere] = field(default_factory=dict)

    @property
    def tensor_files(self) -> set[str]:
        """The files that hold tensors, by what the manifest calls them."""
        entries = list(chain.from_iterable(named.values() for named in self.tensors.values()))
        parts = chain.from_iterable(entry.parts for entry in entries if entry.parts)
        return {entry.file for entry in entries if not entry.parts} | {p.file for p in parts}

    @property
    def references(self) -> list[str]:
        """The ids of the earlier checkpoints that hold some of its tensors."""
        return sorted({file.checkpoint for file in self.elsewhere.values()})


def to_bytes(manifest: Manifest) -> bytes:
    """Return the content of ``checkpoint.json``: equal manifests give equal bytes.

    Raises:
        UnstorableError: A part of it is not plain JSON.
    """
    optional: dict[str, Json] = {} if manifest.example is None else {"example": manifest.example}
    if manifest.elsewhere:
        optional["elsewhere"] = {
            name: write_file_elsewhere(file) for name, file in manifest.elsewhere.items()
        }
    return dumps(
        {
            "format": FORMAT_NAME,
            "version": f"{FORMAT_VERSION[0]}.{FORMAT_VERSION[1]}",
            "name": manifest.name,
            "run_id": manifest.run_id,
            "created_at": manifest.created_at,
            "epoch": manifest.epoch,
            "step": manifest.step,
            "metrics": {name: _write_metric(v, name) for name, v in manifest.metrics.items()},
            "tags": dict(manifest.tags),
            "architecture": _write_architecture(manifest.architecture),
            "tensors": {
                group: {name: write_tensor(entry) for name, entry in entries.items()}
                for group, entries in manifest.tensors.items()
            },
            "state_values": manifest.state_values,
            "training": manifest.training,
            "files": {name: write_file_entry(entry) for name, entry in manifest.files.items()},
            "source": [_write_source(entry) for entry in manifest.source],
            "environment": dict(manifest.environment),
            **optional,
        }
    )


def _write_metric(value: float, name: str) -> Json:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise UnstorableError(f"metrics.{name}", f"is not a number: {error}") from error
    return number if math.isfinite(number) else {FLOAT.tag: FLOAT.write(number)}


def _write_architecture(architecture: Architecture) -> Json:
    return {
        "rebuild": architecture.rebuild,
        "model_class": architecture.model_class,
        "model_text": architecture.model_text,
        "params": dict(architecture.params),
        "constructor": architecture.constructor,
        "structure": architecture.structure,
        "problems": [{"path": p.path, "message": p.message} for p in architecture.problems],
    }


def _write_source(entry: SourceEntry) -> Json:
    return {
        "module": entry.module,
        "path": entry.path,
        "script": entry.script,
        "package": entry.package,
        "file": entry.file,
    }


def from_bytes(data: bytes, where: str) -> Manifest:
    """Return the manifest that ``data`` holds; keys that this version does not know are ignored.

    Args:
        data: The content of ``checkpoint.json``.
        where: Its path, for errors.

    Raises:
        NewerFormatError: It has a newer major version.
        FormatError: It is malformed; names the field.
    """
    root = Field(loads(data, where), where)
    _check_version(root)
    manifest = Manifest(
        name=root.at("name").text(),
        run_id=root.at("run_id").text(),
        created_at=root.at("created_at").integer(),
        epoch=root.at("epoch").optional(Field.integer),
        step=root.at("step").optional(Field.integer),
        metrics={name: _read_metric(field) for name, field in root.at("metrics").members()},
        tags=root.at("tags").texts(),
        architecture=_read_architecture(root.at("architecture")),
        tensors={
            group: {name: read_tensor(field) for name, field in entries.members()}
            for group, entries in root.at("tensors").members()
        },
        state_values={key: field.value for key, field in root.at("state_values").members()},
        training=root.at("training").value,
        files={name: read_file_entry(name, field) for name, field in root.at("files").members()},
        source=tuple(_read_source(field) for field in root.at("source").items()),
        environment={key: field.value for key, field in root.at("environment").members()},
        elsewhere=_read_elsewhere(root.get("elsewhere")),
        example=root.get("example").value,
    )
    _check_files(manifest, where)
    return manifest


def _check_version(root: Field) -> None:
    if root.at("format").text() != FORMAT_NAME:
        raise root.at("format").refuse(f"{FORMAT_NAME!r}")
    version = root.at("version").text()
    match = _VERSION.fullmatch(version)
    if match is None:
        raise root.at("version").refuse("two numbers such as '1.0'")
    major = int(match[1])
    if major > FORMAT_VERSION[0]:
        raise NewerFormatError(
            f"{root.where}: was written in version {version} of the checkpoint format; this "
            f"tracker reads up to {FORMAT_VERSION[0]}.x. Run: "
            "pip install --upgrade checkpoint-tracker"
        )
    if major < 1:
        raise root.at("version").refuse("1.0 or later")


def _read_metric(field: Field) -> float:
    if isinstance(field.value, float):
        return field.value
    if type(field.value) is int and abs(field.value) < 1 << 1023:
        return float(field.value)
    word = field.at(FLOAT.tag) if isinstance(field.value, dict) else None
    if word is None or word.value not in ("nan", "inf", "-inf"):
        raise field.refuse("a number, or an object such as {'$float': 'nan'}")
    return float(word.text())


def _read_architecture(field: Field) -> Architecture:
    rebuild: Rebuild | None = None
    for choice in get_args(Rebuild):
        rebuild = choice if field.at("rebuild").text() == choice else rebuild
    if rebuild is None:
        raise field.at("rebuild").refuse(f"one of {', '.join(get_args(Rebuild))}")
    return Architecture(
        rebuild=rebuild,
        model_class=field.at("model_class").text(),
        model_text=field.at("model_text").text(),
        params=field.at("params").texts(),
        constructor=field.at("constructor").value,
        structure=field.at("structure").value,
        problems=tuple(
            Problem(problem.at("path").text(), problem.at("message").text())
            for problem in field.at("problems").items()
        ),
    )


def _read_elsewhere(field: Field) -> dict[str, FileElsewhere]:
    if field.value is None:
        return {}
    return {name: read_file_elsewhere(file) for name, file in field.members()}


def _read_source(field: Field) -> SourceEntry:
    return SourceEntry(
        module=field.at("module").text(),
        path=field.at("path").text(),
        script=field.at("script").flag(),
        package=field.at("package").flag(),
        file=field.at("file").text(),
    )


def _check_files(manifest: Manifest, where: str) -> None:
    """Refuse names of files and tensors that the manifest does not list."""
    for index, source in enumerate(manifest.source):
        if source.file not in manifest.files:
            raise FormatError(f"{where}: source.{index}.file {source.file!r} is not in files.")
    check_tensors(manifest.tensors, manifest.files, manifest.elsewhere, where)
