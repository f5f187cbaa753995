"""What the processes offer to write of a checkpoint, and what each is to leave out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tracker.errors import InvalidArgumentError
from tracker.format import Shard
from tracker.format.fields import Field
from tracker.format.parts import Box, misfit
from tracker.types import Json

_MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class Offered:
    """A tensor of which one process or more hold boxes.

    Attributes:
        dtype: Its dtype, as the manifest has it.
        shape: Its whole shape.
        boxes: Those that one process holds.
    """

    dtype: str
    shape: tuple[int, ...]
    boxes: tuple[Box, ...]


@dataclass(frozen=True, slots=True)
class Offer:
    """What one process has of a checkpoint.

    Attributes:
        checkpoint: The checkpoint's name, which has to be the same in all.
        tensors: By group and name.
    """

    checkpoint: str
    tensors: Mapping[str, Mapping[str, Offered]]


def offer(checkpoint: str, shards: Mapping[str, Sequence[Shard]]) -> Offer:
    """Return the offer of a process that holds these boxes."""
    tensors: dict[str, dict[str, Offered]] = {}
    for group, held in shards.items():
        named = tensors.setdefault(group, {})
        for shard in held:
            dtype = str(shard.tensor.dtype).removeprefix("torch.")
            before = named[shard.name].boxes if shard.name in named else ()
            named[shard.name] = Offered(dtype, shard.shape, (*before, shard.box))
    return Offer(checkpoint, tensors)


Duplicates = dict[int, set[tuple[str, str, Box]]]
"""By rank: boxes, with group and name, that a lower rank writes."""


def agree(offers: Mapping[int, Offer], whole: Mapping[str, Mapping[str, object]]) -> Duplicates:
    """Return which boxes are offered more than once: the lowest rank writes them.

    Args:
        offers: By rank, those of all.
        whole: What rank 0 writes whole, by group and name.

    Raises:
        InvalidArgumentError: The processes log different checkpoints, or parts are missing.
    """
    names = {rank: each.checkpoint for rank, each in offers.items()}
    if len(set(names.values())) > 1:
        shown = ", ".join(f"rank {rank} {name}" for rank, name in sorted(names.items()))
        raise InvalidArgumentError(
            f"The processes log different checkpoints at once ({shown}); each must call "
            "log_checkpoint equally often, with the same epoch and step."
        )
    duplicates: Duplicates = {rank: set() for rank in offers}
    seen: dict[tuple[str, str], tuple[str, tuple[int, ...], dict[Box, int]]] = {}
    problems: list[str] = []
    for rank in sorted(offers):
        for group, tensors in offers[rank].tensors.items():
            for name, offered in tensors.items():
                key = group, name
                dtype, shape, boxes = seen.setdefault(key, (offered.dtype, offered.shape, {}))
                if (dtype, shape) != (offered.dtype, offered.shape):
                    problems.append(f"{name} has other dtypes or shapes in different processes")
                for box in offered.boxes:
                    if box in boxes or name in whole.get(group, {}):
                        duplicates[rank].add((group, name, box))
                    else:
                        boxes[box] = rank
    for (group, name), (_, shape, boxes) in seen.items():
        wrong = "" if name in whole.get(group, {}) else misfit(shape, list(boxes))
        problems += [f"{name}: {wrong}"] if wrong else []
    if problems:
        more = f" and {len(problems) - _MOST_NAMED} more" if len(problems) > _MOST_NAMED else ""
        raise InvalidArgumentError(
            "What the processes hold does not make up whole tensors: "
            f"{'; '.join(problems[:_MOST_NAMED])}{more}. Each must log the same model, spread by "
            "fully_shard, parallelize_module or distribute_tensor."
        )
    return duplicates


def without(
    shards: Mapping[str, Sequence[Shard]], duplicates: set[tuple[str, str, Box]]
) -> dict[str, list[Shard]]:
    """Return the boxes that are left to be written."""
    return {
        group: [each for each in held if (group, each.name, each.box) not in duplicates]
        for group, held in shards.items()
    }


def offer_to_json(made: Offer) -> Json:
    """Return an offer as JSON, to be told to rank 0."""
    return {
        "checkpoint": made.checkpoint,
        "tensors": {
            group: {
                name: [each.dtype, [*each.shape], [_box_to_json(box) for box in each.boxes]]
                for name, each in tensors.items()
            }
            for group, tensors in made.tensors.items()
        },
    }


def offer_from_json(data: Json, where: str) -> Offer:
    """Return the offer of another process.

    Raises:
        FormatError: It is none.
    """
    root = Field(data, where)
    return Offer(
        root.at("checkpoint").text(),
        {
            group: {name: _offered(field) for name, field in tensors.members()}
            for group, tensors in root.at("tensors").members()
        },
    )


def _offered(field: Field) -> Offered:
    dtype, shape, boxes = field.items()
    return Offered(dtype.text(), shape.shape(), tuple(_box(box) for box in boxes.items()))


def _box_to_json(box: Box) -> Json:
    return [[*box[0]], [*box[1]]]


def _box(field: Field) -> Box:
    offset, shape = field.items()
    return offset.shape(), shape.shape()


def duplicates_to_json(duplicates: set[tuple[str, str, Box]]) -> Json:
    """Return what a process is to leave out as JSON."""
    return [[group, name, _box_to_json(box)] for group, name, box in sorted(duplicates)]


def duplicates_from_json(data: Json, where: str) -> set[tuple[str, str, Box]]:
    """Return what this process is to leave out.

    Raises:
        FormatError: It is something else.
    """
    found: set[tuple[str, str, Box]] = set()
    for each in Field(data, where).items():
        group, name, box = each.items()
        found.add((group.text(), name.text(), _box(box)))
    return found
