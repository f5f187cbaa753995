"""`CheckpointDiff`: how two checkpoints differ, for people and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Generic, Literal, TypeAlias, TypeVar

Value = TypeVar("Value", str, float)

TensorState: TypeAlias = Literal["equal", "changed", "only in A", "only in B", "other shape"]


@dataclass(frozen=True, slots=True)
class Change(Generic[Value]):
    """A value that is not the same in both checkpoints.

    Attributes:
        name: What it is called.
        a: The value in A; None if there is none.
        b: The value in B; None if there is none.
    """

    name: str
    a: Value | None
    b: Value | None


@dataclass(frozen=True, slots=True)
class TensorChange:
    """One tensor of two state_dicts.

    Attributes:
        name: Its key.
        state: ``equal`` bit for bit; ``changed``; ``only in A``; ``only in B``; ``other shape``.
        a: Its dtype and shape in A, for example ``float32 [10, 384]``; None if it is not there.
        b: The same in B.
        difference: Of a changed one, the norm of the difference relative to the norm of A: 0.01 is
            a change by one percent. Infinite where A is all zeros, NaN where values are NaN.
    """

    name: str
    state: TensorState
    a: str | None
    b: str | None
    difference: float | None = None


@dataclass(frozen=True, slots=True)
class CheckpointDiff:
    """How checkpoint B differs from checkpoint A. What is the same in both is left out.

    Attributes:
        a: A's id.
        b: B's id.
        titles: Name, run and model of A and of B, for people.
        model: The class, and the constructor call that made the model.
        architecture: Modules of the model by path, each with its class and plain attributes.
        source: For each module of the archived source, a unified diff from A to B.
        params: The constructor's arguments, defaults included.
        metrics: The metrics.
        tensors: Every tensor of the state_dicts, the equal ones included.

    Example:
        >>> diff = tracker.get_checkpoint(epoch=1).diff(tracker.get_checkpoint(epoch=2))
        >>> [change.name for change in diff.tensors if change.state == "changed"]
        ['head.weight', 'head.bias']
    """

    a: str
    b: str
    titles: tuple[str, str]
    model: tuple[Change[str], ...] = ()
    architecture: tuple[Change[str], ...] = ()
    source: Mapping[str, str] = field(default_factory=dict)
    params: tuple[Change[str], ...] = ()
    metrics: tuple[Change[float], ...] = ()
    tensors: tuple[TensorChange, ...] = ()

    @property
    def same(self) -> bool:
        """Whether nothing of all that differs."""
        return not any(
            [
                *(self.model, self.architecture, self.source, self.params, self.metrics),
                *(change.state != "equal" for change in self.tensors),
            ]
        )

    def sections(self) -> Iterator[tuple[str, list[str]]]:
        """Yield headings and the lines under them, as `str` shows them."""
        for heading, changes in (
            ("model", self.model),
            ("architecture", self.architecture),
            ("params", self.params),
            ("metrics", self.metrics),
        ):
            if changes:
                yield heading, [line for change in changes for line in _change_lines(change)]
        if self.source:
            yield "source", "".join(self.source.values()).splitlines()
        equal = sum(change.state == "equal" for change in self.tensors)
        lines = _tensor_lines([change for change in self.tensors if change.state != "equal"])
        yield f"tensors ({equal} of {len(self.tensors)} are equal)", lines

    def __str__(self) -> str:
        lines = [f"A {self.titles[0]}", f"B {self.titles[1]}"]
        for heading, under in self.sections():
            lines += ["", heading, *under]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data, for JSON."""
        return {**asdict(self), "same": self.same}


def _change_lines(change: Change[Any]) -> list[str]:
    sides = (("-", change.a), ("+", change.b))
    return [f"{sign} {change.name}: {value}" for sign, value in sides if value is not None]


def _tensor_lines(changes: list[TensorChange]) -> list[str]:
    width = max((len(change.name) for change in changes), default=0)
    return [
        f"{change.state:<11}  {change.name:<{width}}  {_tensor_text(change)}" for change in changes
    ]


def _tensor_text(change: TensorChange) -> str:
    types = " → ".join(dict.fromkeys(side for side in (change.a, change.b) if side is not None))
    if change.difference is None:
        return types
    return f"{types}  ‖B - A‖ / ‖A‖ = {change.difference:.3g}"
