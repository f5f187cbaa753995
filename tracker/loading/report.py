"""`LoadReport`: the receipt of a load, for people and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from tracker.loading.versions import VersionChange
from tracker.types import Comparison, Rebuild

_WAYS: dict[Rebuild, str] = {
    "constructor": "by its constructor, proven when it was logged to give the same model",
    "structure": "from its module tree as it stood, proven when it was logged to give the same "
    "model",
    "torchscript": "as the TorchScript program that it is",
    "none": "not by itself: the weights have to be loaded into an instance",
}


@dataclass(frozen=True, slots=True)
class LoadReport:
    """How a checkpoint's model came to be when it was rebuilt, or why it could not be.

    Attributes:
        checkpoint: The checkpoint's id.
        title: Its name, run and model, for people.
        rebuilt: The description that led to the model; None if none did.
        device: Where its constructor ran: ``meta`` (without memory) or ``cpu``; else empty.
        tried: What stood in the way of other descriptions, when it was logged or now.
        classes: Where each class was found, by ``module:qualname``.
        source: Files of the archived source by module, as they were called when it was logged.
        diffs: For each of these modules that is another now, a unified diff from then to now.
        packages: Versions that it was made with, by package.
        versions: Those whose major or minor version is another here.
        tensors: How many tensors' bytes were compared with their digests.
        size: How many bytes these are.
        example: How the model's output for the example compares with what was logged; None if it
            was not run, or there is no example.
        error: Why there is no model, or None.

    Example:
        >>> report = checkpoint.explain()
        >>> print(report)
        epoch-6 of run 0a1b2c: Net(hidden=384)
        rebuilt: by its constructor, proven when it was logged to give the same model (on meta)
        class tests.models:Net: already imported
        verified: 12 tensors, 4815162 bytes
        example: identical
        >>> print(report.diff)
    """

    checkpoint: str
    title: str
    rebuilt: Rebuild | None = None
    device: str = ""
    tried: tuple[str, ...] = ()
    classes: Mapping[str, str] = field(default_factory=dict)
    source: Mapping[str, str] = field(default_factory=dict)
    diffs: Mapping[str, str] = field(default_factory=dict)
    packages: Mapping[str, str] = field(default_factory=dict)
    versions: tuple[VersionChange, ...] = ()
    tensors: int = 0
    size: int = 0
    example: Comparison | None = None
    error: str | None = None

    @property
    def loads(self) -> bool:
        """Whether there is a model."""
        return self.error is None

    @property
    def diff(self) -> str:
        """How the code that is importable now differs from the archived source: unified diffs."""
        return "".join(self.diffs.values())

    def __str__(self) -> str:
        return "\n".join([self.title, *(f"{name}: {text}" for name, text in self._lines())])

    def _lines(self) -> list[tuple[str, str]]:
        lines = [("rebuilt", self._way())]
        lines += [(f"class {name}", where) for name, where in self.classes.items()]
        lines += [(f"source of {name}", self._source(name)) for name in self.source]
        if self.packages:
            lines.append(("made with", ", ".join(f"{k} {v}" for k, v in self.packages.items())))
        lines += [("version differs", str(change)) for change in self.versions]
        if self.tensors:
            lines.append(("verified", f"{self.tensors} tensors, {self.size} bytes"))
        if self.example is not None:
            lines.append(("example", str(self.example)))
        lines += [("stood in the way", problem) for problem in self.tried]
        return lines

    def _way(self) -> str:
        if self.error is not None:
            return f"NO. {self.error}"
        if self.rebuilt is None:
            return "NO"
        return _WAYS[self.rebuilt] + (f" (on {self.device})" if self.device else "")

    def _source(self, module: str) -> str:
        kept = f"kept in the checkpoint ({self.source[module] or 'a notebook'})"
        return f"{kept}, and has changed since" if module in self.diffs else kept

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data, for JSON."""
        return {**asdict(self), "loads": self.loads}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> LoadReport:
        """Return the report that `to_dict` was called on, also after a way through JSON."""
        fields = {name: value for name, value in data.items() if name != "loads"}
        fields["tried"] = tuple(fields["tried"])
        fields["versions"] = tuple(VersionChange(**change) for change in fields["versions"])
        if fields["example"] is not None:
            fields["example"] = Comparison(**fields["example"])
        return cls(**fields)
