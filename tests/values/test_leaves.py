from __future__ import annotations

import datetime
import decimal
import fractions
import json
import pathlib
import re
import sys
import uuid
import zoneinfo
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tracker.errors import FormatError, UnstorableError
from tracker.values import decode, encode
from tracker.values.leaves import LEAF_BY_TAG, LEAVES


def no_tensor(*_: Any) -> Any:
    raise AssertionError("no tensor expected")


def roundtrip(value: Any) -> Any:
    data = json.loads(json.dumps(encode(value, "x", tensor=no_tensor), allow_nan=False))
    return decode(data, "x", tensor=no_tensor)


EXAMPLES: list[Any] = [
    b"\x00\xff",
    bytearray(b"x"),
    1 - 2j,
    complex("inf"),
    complex(-0.0, -0.0),
    ...,
    range(1, 9, 2),
    pathlib.Path("/a/b"),
    pathlib.Path("é"),
    pathlib.PurePosixPath("a"),
    datetime.datetime(2026, 1, 2, 3, 4, 5, 6),
    datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC),
    datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone(datetime.timedelta(hours=2))),
    datetime.date(2026, 1, 2),
    datetime.timedelta(-1, 2, 3),
    decimal.Decimal("1.10"),
    decimal.Decimal("-Infinity"),
    fractions.Fraction(-1, 3),
    fractions.Fraction(4),
    uuid.UUID(int=5),
    re.compile("a+", re.IGNORECASE | re.MULTILINE),
    re.compile(b"\xff"),
    re.compile("(?i)x"),
    torch.float16,
    torch.bfloat16,
    torch.float8_e4m3fn,
    torch.channels_last,
    torch.per_channel_affine,
    torch.strided,
    torch.device("cpu"),
    torch.device("cuda", 1),
    torch.Size([1, 2]),
    torch.Size([]),
    np.float32(1.5),
    np.int64(-3),
    np.bool_(True),
    np.complex64(1j),
    np.str_("é"),
    np.str_(""),
    np.bytes_(b""),
    np.bytes_(b"ab"),
    np.datetime64("2026-01-02"),
    np.timedelta64(5, "s"),
    np.float16(0.1),
    np.dtype("float32"),
    np.dtype(">i4"),
    np.dtype("U5"),
    np.dtype("M8[ns]"),
]


@pytest.mark.parametrize("value", EXAMPLES, ids=repr)
def test_leaves_come_back_equal_and_of_their_type(value: Any) -> None:
    back = roundtrip(value)
    assert back == value
    assert type(back) is type(value)
    assert repr(back) == repr(value)


def test_every_kind_of_leaf_has_an_example() -> None:
    windows = {pathlib.WindowsPath} if sys.platform != "win32" else {pathlib.PosixPath}
    assert {leaf.type for leaf in LEAVES} - {type(value) for value in EXAMPLES} == windows


def test_tags_are_unique_but_for_the_two_kinds_of_path() -> None:
    tags = [leaf.tag for leaf in LEAVES]
    assert sorted(tags) == sorted([*set(tags), "$path"])


@given(st.complex_numbers() | st.decimals() | st.fractions() | st.binary() | st.timedeltas())
def test_numbers_and_bytes_are_exact(value: Any) -> None:
    assert repr(roundtrip(value)) == repr(value)


@given(st.datetimes(timezones=st.just(datetime.UTC)) | st.datetimes() | st.dates())
def test_dates_are_exact(value: Any) -> None:
    assert repr(roundtrip(value)) == repr(value)


def test_time_zones_that_iso_8601_can_not_name_are_refused() -> None:
    value = datetime.datetime(2026, 1, 2, tzinfo=zoneinfo.ZoneInfo("UTC"))
    with pytest.raises(UnstorableError, match="UTC"):
        encode(value, "x", tensor=no_tensor)


@pytest.mark.parametrize(
    ("tag", "payload"),
    [
        ("$bytes", "%"),
        ("$bytes", 3),
        ("$complex", ["x", "1"]),
        ("$complex", []),
        ("$range", [0, 1, 0]),
        ("$range", "abc"),
        ("$path", 3),
        ("$datetime", "today"),
        ("$datetime", 3),
        ("$date", "x"),
        ("$timedelta", [10**20]),
        ("$decimal", "x"),
        ("$decimal", []),
        ("$fraction", "1/0"),
        ("$fraction", "1e5"),
        ("$fraction", 3),
        ("$uuid", "x"),
        ("$uuid", 3),
        ("$regex", ["(", 0]),
        ("$regex", ["a", re.DEBUG.value]),
        ("$regex", 3),
        ("$regex", ["a", "b"]),
        ("$dtype", "load"),
        ("$dtype", "strided"),
        ("$dtype", None),
        ("$dtype", "_dynamo"),
        ("$memory_format", "float32"),
        ("$layout", "save"),
        ("$device", "nowhere"),
        ("$device", []),
        ("$size", ["a"]),
        ("$size", 3),
        ("$numpy", ["<f4", "AAA="]),
        ("$numpy", ["O", "AAAA"]),
        ("$numpy", ["<f4", ""]),
        ("$numpy", 3),
        ("$numpy_dtype", "O"),
        ("$numpy_dtype", [["a", "O"]]),
        ("$numpy_dtype", "nonsense"),
    ],
)
def test_payloads_that_are_not_of_the_kind_are_format_errors(tag: str, payload: Any) -> None:
    assert tag in LEAF_BY_TAG
    with pytest.raises(FormatError, match=re.escape(f"x: {tag} can't be read")):
        decode({tag: payload}, "x", tensor=no_tensor)


def test_naming_a_dtype_imports_nothing() -> None:
    before = set(sys.modules)
    for name in ("_inductor", "_dynamo", "_export", "onnx", "compiler"):
        with pytest.raises(FormatError):
            decode({"$dtype": name}, "x", tensor=no_tensor)
    assert set(sys.modules) == before


def test_a_fraction_is_not_computed_from_an_exponent() -> None:
    with pytest.raises(FormatError):
        decode({"$fraction": "1e9999999999"}, "x", tensor=no_tensor)
