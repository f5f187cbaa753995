"""Boxes that make up a tensor."""

from __future__ import annotations

import pytest

from tracker.errors import FormatError
from tracker.format.parts import check_parts, misfit, overlapping, within
from tracker.types import FileEntry, TensorEntry, TensorPart

FILES = {"a": FileEntry(1, "0" * 64)}


def part(offset: tuple[int, ...], shape: tuple[int, ...], file: str = "a") -> TensorPart:
    return TensorPart(offset, shape, "0" * 64, file)


@pytest.mark.parametrize(
    ("shape", "boxes"),
    [
        ((4, 3), [((0, 0), (4, 3))]),
        ((4, 3), [((0, 0), (2, 3)), ((2, 0), (2, 3))]),
        ((5,), [((0,), (2,)), ((2,), (2,)), ((4,), (1,))]),
        ((2, 2), [((y, x), (1, 1)) for y in range(2) for x in range(2)]),
        ((3, 2), [((0, 0), (3, 1)), ((0, 1), (1, 1)), ((1, 1), (2, 1))]),
        ((), [((), ())]),
    ],
)
def test_boxes_that_fill_a_tensor(shape, boxes):
    assert misfit(shape, boxes) == ""
    assert misfit(shape, boxes[::-1]) == ""


@pytest.mark.parametrize(
    ("boxes", "problem"),
    [
        ([], "0 of its 12"),
        ([((0, 0), (2, 3))], "6 of its 12"),
        ([((0, 0), (4, 3)), ((0, 0), (4, 3))], "24 of its 12"),
        ([((0, 0), (2, 3)), ((1, 0), (2, 3))], "overlaps"),
        ([((0, 0), (3, 3)), ((3, 1), (1, 3))], "not inside"),
        ([((0,), (4,))], "1 dimensions, and it 2"),
    ],
)
def test_boxes_that_do_not(boxes, problem):
    assert problem in misfit((4, 3), boxes)


def test_so_many_cuts_that_they_could_not_be_looked_at_are_refused():
    size = 120
    boxes = [((n, n, n), (1, 1, 1)) for n in range(size)]
    # As many elements as the tensor has, so that only the cuts tell.
    boxes.append(((0, 0, 0), (size, size, size)))
    boxes = [*boxes[:-1], ((0, 0, 0), (size, size, size - 1)), ((0, 0, 0), (1, size, size - 1))]
    assert "pieces" in misfit((size, size, size), boxes)


def test_a_part_in_a_file_that_is_not_listed_is_refused():
    entry = TensorEntry("float32", (2,), "", "", parts=(part((0,), (2,), "b"),))
    with pytest.raises(FormatError, match=r"tensors\.model\.x: the file 'b'"):
        check_parts(entry, FILES, "checkpoint.json: tensors.model.x")


def test_what_two_boxes_have_in_common():
    parts = [part((0, 0), (2, 3)), part((2, 0), (2, 3))]
    found = overlapping(parts, ((1, 1), (2, 2)))
    assert [common for _, common in found] == [((1, 1), (1, 2)), ((2, 1), (1, 2))]
    assert overlapping(parts, ((0, 0), (1, 1)))[0][0] is parts[0]


def test_the_index_of_a_box_in_what_holds_it():
    assert within(((3, 0), (2, 5)), (2, 0)) == (slice(1, 3), slice(0, 5))
