from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.errors import FormatError, UnstorableError
from tracker.format import canonical
from tracker.format.canonical import MAX_NESTING, dumps, loads

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(json_values)
def test_any_json_is_read_back_equal(value):
    assert loads(dumps(value), "x") == value


@given(st.dictionaries(st.text(), st.integers()))
def test_the_order_of_insertion_does_not_change_the_bytes(value):
    assert dumps(value) == dumps(dict(reversed(value.items())))


def test_text_is_utf_8_not_escapes():
    assert dumps({"ü": "→"}) == '{"ü":"→"}'.encode()


def test_a_file_name_that_is_not_utf_8_survives():
    assert loads(dumps({"path": "/tmp/\udce9.py"}), "x") == {"path": "/tmp/\udce9.py"}


@given(st.binary(max_size=40))
def test_any_bytes_are_json_or_refused(data):
    try:
        value = loads(data, "x")
    except FormatError:
        return
    assert loads(dumps(value), "x") == value


@pytest.mark.parametrize(
    "data",
    [
        b'{"a":1,"a":1}',
        b'{"a":NaN}',
        b"[Infinity]",
        b"[1e999]",
        b"\xff\xfe{}",
        '{"a":1}'.encode("utf-16"),
        b"\xef\xbb\xbf{}",
        b"{} {}",
        b"",
        b'"\xed\xa0\x80"',
        b"[" + b"9" * 5000 + b"]",
    ],
    ids=lambda data: repr(data[:12]),
)
def test_json_that_parsers_disagree_about_is_refused(data):
    with pytest.raises(FormatError, match=r"checkpoint\.json"):
        loads(data, "checkpoint.json")


@pytest.mark.parametrize("depth", [MAX_NESTING + 1, 100_000])
@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_nesting_without_end_is_refused(depth, opening, closing):
    with pytest.raises(FormatError, match="nested"):
        loads(opening * depth + b"1" + closing * depth, "x")


@pytest.mark.parametrize("value", [float("nan"), object(), {1: 2, "a": 3}, [10**5000]])
def test_what_is_not_json_is_not_written(value):
    with pytest.raises(UnstorableError):
        dumps({"value": value})


def test_more_containers_than_any_manifest_has_are_not_parsed(monkeypatch):
    monkeypatch.setattr(canonical, "MAX_CONTAINERS", 3)
    assert loads(b'[[],{"a":1}]', "x") == [[], {"a": 1}]
    with pytest.raises(FormatError, match="more than 3 objects and lists"):
        loads(b"[[],[],[]]", "x")
    with pytest.raises(UnstorableError, match="3 objects and lists"):
        dumps([[], [], []])
