from __future__ import annotations

import io
import json

import pytest

from tracker.errors import CorruptCheckpointError, FormatError
from tracker.format.dtypes import DTYPES
from tracker.format.header import parse_header, plan_header, read_header_bytes


def encoded(content: str) -> bytes:
    return len(content).to_bytes(8, "little") + content.encode()


def one(dtype: object = "F32", shape: object = (2,), offsets: object = (0, 8), name: str = "x"):
    return {name: {"dtype": dtype, "shape": shape, "data_offsets": offsets}}


def parse(content: object, data: int):
    head = encoded(json.dumps(content))
    return parse_header(head, len(head) + data, "model.safetensors")


def test_what_is_planned_is_parsed_back():
    planned = plan_header(
        {"x": (DTYPES["complex128"], (3,)), "y": (DTYPES["bool"], ())}, {"a": "b"}
    )
    assert parse_header(planned.encoded, planned.size, "x") == planned


@pytest.mark.parametrize(
    ("content", "data"),
    [
        (one(), 9),
        (one(), 7),
        (one(offsets=[1, 9]), 9),
        (one(offsets=[8, 0]), 8),
        (one(offsets=[0, 2**63]), 8),
        (one(offsets=[0]), 8),
        (one(shape=[3]), 8),
        (one(shape=[-2]), 8),
        (one(shape=[True, 2]), 8),
        (one(shape=[2**62] * 65), 8),
        (one(shape=[2**62] * 100_000), 8),
        (one(shape="2"), 8),
        (one(dtype="F4"), 8),
        (one(dtype=None), 8),
        ({"x": None}, 0),
        ({"x": {"dtype": "F32"}}, 0),
        ({"__metadata__": {"a": 1}}, 0),
        (one() | one(offsets=[4, 12], name="y"), 12),
        (one() | one(offsets=[0, 8], name="y"), 8),
        (one() | one(offsets=[12, 20], name="y"), 20),
    ],
)
def test_a_header_that_does_not_describe_the_file_is_refused(content, data):
    with pytest.raises(FormatError, match=r"model\.safetensors"):
        parse(content, data)


def test_the_sizes_of_an_empty_tensor_cost_no_memory():
    assert parse(one(shape=[2**62, 0], offsets=[0, 0]), 0).size


def test_a_tensor_that_stands_twice_is_refused():
    entry = '{"dtype":"F32","shape":[2],"data_offsets":[0,8]}'
    head = encoded(f'{{"x":{entry},"x":{entry}}}')
    with pytest.raises(FormatError, match="twice"):
        parse_header(head, len(head) + 8, "x")


def test_a_header_that_is_no_object_is_refused():
    head = encoded("[]")
    with pytest.raises(FormatError, match="not a JSON object"):
        parse_header(head, len(head), "x")


@pytest.mark.parametrize("length", [101, 2**31, 2**63 - 1, 2**63, 2**64 - 1])
def test_an_absurd_length_is_refused_before_it_is_read(length):
    file = io.BytesIO(length.to_bytes(8, "little") + b" " * 100)
    with pytest.raises(CorruptCheckpointError, match="not a whole tensor file"):
        read_header_bytes(file, 108, "x")


@pytest.mark.parametrize("size", range(8))
def test_a_file_shorter_than_the_length_is_refused(size):
    with pytest.raises(CorruptCheckpointError):
        read_header_bytes(io.BytesIO(bytes(size)), size, "x")
