"""Frozen records that the rooms of the house hand to each other. No behaviour, no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

Rebuild: TypeAlias = Literal["constructor", "structure", "torchscript", "none"]
"""Which description of an architecture was proven; ``torchscript``: it is a program of torch's own,
kept as such; ``none``: a model instance is needed."""

Mode: TypeAlias = Literal["min", "max"]

Verdict: TypeAlias = Literal["identical", "within tolerance", "same shapes", "different"]


@dataclass(frozen=True, slots=True)
class CheckpointRecord:
    """One checkpoint as the catalog and MLflow know it, without its bytes.

    Attributes:
        id: MLflow's logged-model id, for example ``m-0f3c…``.
        run_id: The MLflow run it was logged to.
        experiment_id: The run's experiment.
        experiment: That experiment's name.
        name: The logged model's name, for example ``epoch-6``.
        epoch: Epoch given when logging, or None.
        step: Step given when logging, or None.
        metrics: Metrics logged with this checkpoint; a NaN is kept as NaN.
        params: The model's constructor arguments, as text.
        tags: Tags given when logging.
        model_class: ``module:qualname`` of the model's class.
        model_text: The model as a constructor call, for people: ``Net(hidden=384)``.
        rebuild: Which description of its architecture was proven.
        size: Bytes of all its own files.
        created_at: Milliseconds since 1970-01-01 UTC.
        artifact_uri: Where its files are.
        manifest_digest: BLAKE3 (hex) of ``checkpoint.json``.
    """

    id: str
    run_id: str
    experiment_id: str
    experiment: str
    name: str
    epoch: int | None
    step: int | None
    metrics: Mapping[str, float]
    params: Mapping[str, str]
    tags: Mapping[str, str]
    model_class: str
    model_text: str
    rebuild: Rebuild
    size: int
    created_at: int
    artifact_uri: str
    manifest_digest: str


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that stood in the way of a description.

    Attributes:
        path: The attribute path in the model, for example ``encoder.layers.0.act``.
        message: What is there, and what to do about it.
    """

    path: str
    message: str

    def __str__(self) -> str:
        named = self.message.startswith(self.path)
        return self.message if named else f"{self.path}: {self.message}"


@dataclass(frozen=True, slots=True)
class TensorPart:
    """A box of a tensor that several processes have written together.

    Attributes:
        offset: Where it begins in the tensor, a number for each dimension.
        shape: Its shape.
        digest: BLAKE3 (lowercase hex) of its bytes, C order, little endian.
        file: The checkpoint's file that holds them.
        tensor: Its name in the file, if that is not the tensor's.
    """

    offset: tuple[int, ...]
    shape: tuple[int, ...]
    digest: str
    file: str
    tensor: str | None = None


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """One tensor of a checkpoint, as the manifest describes it.

    Attributes:
        dtype: torch's name without the prefix, for example ``float32``.
        shape: Its shape.
        digest: BLAKE3 (lowercase hex) of its bytes, C order, little endian; empty if it has parts.
        file: The file that holds its bytes: one of the checkpoint's own, or one elsewhere; empty
            if it has parts.
        same_as: For a tied tensor, the name in the same group under which its bytes are stored;
            all else is as in that entry. None for a stored tensor.
        tensor: Its name in a file elsewhere, if it has another there.
        parts: The boxes that it consists of, in the order of their offsets, if several processes
            have written it; each element of it is in exactly one.
    """

    dtype: str
    shape: tuple[int, ...]
    digest: str
    file: str
    same_as: str | None = None
    tensor: str | None = None
    parts: tuple[TensorPart, ...] = ()

    @property
    def files(self) -> frozenset[str]:
        """The files that hold its bytes."""
        return frozenset([part.file for part in self.parts] or [self.file])


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One file of a checkpoint.

    Attributes:
        size: Its bytes.
        digest: BLAKE3 (lowercase hex) of them; of a tensor file, of the bytes before its data,
            because every byte of the data is covered by the digest of exactly one tensor.
    """

    size: int
    digest: str


@dataclass(frozen=True, slots=True)
class FileElsewhere:
    """A file of tensors that an earlier checkpoint of the run holds for later ones, too.

    Attributes:
        checkpoint: The earlier checkpoint's id, for example ``m-0f3c…``.
        file: The file's name in it.
        entry: The file's size and digest.
    """

    checkpoint: str
    file: str
    entry: FileEntry


@dataclass(frozen=True, slots=True)
class Architecture:
    """What is known about how to rebuild a model, as plain JSON.

    Attributes:
        rebuild: The description that was proven when the checkpoint was logged.
        model_class: ``module:qualname`` of the model's class.
        model_text: The model as a constructor call, for people.
        params: The constructor's arguments by name, as text.
        constructor: The constructor description, or None if there is none.
        structure: The module tree; leaves that can't be stored are marked opaque.
        problems: What stood in the way of the descriptions that were not chosen.
    """

    rebuild: Rebuild
    model_class: str
    model_text: str
    params: Mapping[str, str] = field(default_factory=dict)
    constructor: Json = None
    structure: Json = None
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class Comparison:
    """How a rebuilt model's output for the example compares with what was logged.

    Attributes:
        verdict: ``identical`` bit for bit; ``within tolerance`` as `torch.testing.assert_close`
            has it for the dtype; ``same shapes`` if values can't be compared; ``different``.
        path: Where the difference is largest, for example ``output.logits[0, 3]``; else empty.
        difference: The largest absolute difference, if the values could be compared.
        reason: What differs, or why values were not compared, in words.
    """

    verdict: Verdict
    path: str = ""
    difference: float | None = None
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.verdict}: {self.reason}" if self.reason else self.verdict
