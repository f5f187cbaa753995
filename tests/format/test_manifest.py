from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracker.errors import FormatError, NewerFormatError, UnstorableError
from tracker.format.manifest import Manifest, SourceEntry, from_bytes, to_bytes
from tracker.types import FileEntry, TensorEntry

from .examples import architecture

DIGEST = "a" * 64
WEIGHT = TensorEntry("float32", (3, 4), DIGEST, "model.safetensors")

EXAMPLE = Manifest(
    name="epoch-6",
    run_id="0f3c",
    created_at=1_700_000_000_000,
    epoch=6,
    step=None,
    metrics={"val_loss": 0.25},
    tags={"owner": "ada"},
    architecture=architecture(),
    tensors={"model": {"embed": WEIGHT, "head": replace(WEIGHT, same_as="embed")}},
    state_values={"extra": {"$tuple": [1]}},
    training=None,
    files={"model.safetensors": FileEntry(320, DIGEST), "source/net.py": FileEntry(3, DIGEST)},
    source=(SourceEntry("net", "/home/ada/net.py", True, False, "source/net.py"),),
    environment={"python": "3.11"},
)


def edited(path: str, value: Any) -> bytes:
    """Return the example's JSON with the value at ``path`` replaced, or removed by ``...``."""
    data: Any = json.loads(to_bytes(EXAMPLE))
    *parents, last = [int(key) if key.isdigit() else key for key in path.split(" > ")]
    place = data
    for key in parents:
        place = place[key]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return json.dumps(data).encode()


def test_a_manifest_is_read_back_equal():
    assert from_bytes(to_bytes(EXAMPLE), "x") == EXAMPLE


def test_an_example_is_kept_and_its_absence_leaves_no_key():
    with_example = replace(EXAMPLE, example={"input": {"$tuple": [1]}, "output": []})
    assert from_bytes(to_bytes(with_example), "checkpoint.json") == with_example
    assert "example" not in json.loads(to_bytes(EXAMPLE))


def test_the_bytes_are_canonical():
    data = to_bytes(EXAMPLE)
    again = json.dumps(json.loads(data), sort_keys=True, separators=(",", ":"))
    assert data == again.encode()


def test_equal_manifests_have_equal_bytes_whatever_the_order_of_their_mappings():
    turned = replace(EXAMPLE, files=dict(reversed(EXAMPLE.files.items())))
    assert to_bytes(turned) == to_bytes(EXAMPLE)


@given(st.dictionaries(st.text(), st.floats()))
def test_every_metric_keeps_its_value(metrics):
    read = from_bytes(to_bytes(replace(EXAMPLE, metrics=metrics)), "x").metrics
    assert read.keys() == metrics.keys()
    for name, value in metrics.items():
        assert repr(read[name]) == repr(value)


def test_a_nan_is_written_as_a_typed_value():
    data = json.loads(to_bytes(replace(EXAMPLE, metrics={"loss": math.nan})))
    assert data["metrics"] == {"loss": {"$float": "nan"}}


def test_unknown_keys_of_a_later_minor_version_are_ignored():
    data = json.loads(edited("version", "1.9"))
    data["novelty"] = data["architecture"]["novelty"] = data["files"]["source/net.py"]["x"] = 1
    assert from_bytes(json.dumps(data).encode(), "x") == EXAMPLE


@pytest.mark.parametrize("version", ["2.0", "3.7", "10.0"])
def test_a_newer_major_version_says_how_to_read_it(version):
    data = {"format": "tracker-checkpoint", "version": version}
    with pytest.raises(
        NewerFormatError, match=rf"{version}.*pip install --upgrade checkpoint-tracker"
    ):
        from_bytes(json.dumps(data).encode(), "checkpoint.json")


def _paths(data: Any, above: str = "") -> list[str]:
    """Return the path of every value that the format itself prescribes."""
    found = []
    for key, value in data.items() if isinstance(data, dict) else enumerate(data):
        path = f"{above} > {key}" if above else str(key)
        found.append(path)
        if isinstance(value, dict | list):
            found.extend(_paths(value, path))
    return found


_FREE = (
    "state_values > ",
    "environment > ",
    "architecture > constructor",
    "architecture > structure",
)
_OPTIONAL = {"training", "tensors > model > head > same_as"}
_PRESCRIBED = [
    path
    for path in _paths(json.loads(to_bytes(EXAMPLE)))
    if not path.startswith(_FREE) and path not in _OPTIONAL
]
_NAMED_BY_THE_USER = ("metrics > ", "tags > ", "architecture > params > ")
_MAY_BE_ABSENT = ("tensors > model", "tensors > model > head")
_REQUIRED = [
    path
    for path in _PRESCRIBED
    if not path.startswith(_NAMED_BY_THE_USER)
    and path not in _MAY_BE_ABSENT
    and not path[-1].isdigit()
]

_ANY_TEXT = {
    "name", "run_id", "tags > owner", "architecture > model_class", "architecture > model_text",
    "architecture > params > hidden", "architecture > problems > 0 > path",
    "architecture > problems > 0 > message", "source > 0 > path", "source > 0 > module",
}  # fmt: skip
_ANY_NUMBER = {"created_at", "epoch", "step", "metrics > val_loss"}
_ANY_FLAG = {"source > 0 > script", "source > 0 > package"}
_ANY_OBJECT = {"environment", "state_values"}
_WRONG: list[tuple[Any, set[str]]] = [
    ([[]], set()),
    ({"a": {"b": []}}, _ANY_OBJECT),
    (1.5, {"metrics > val_loss"}),
    (True, _ANY_FLAG),
    (-1, _ANY_NUMBER),
    ("\x00", _ANY_TEXT),
]


@pytest.mark.parametrize("path", _REQUIRED)
def test_a_missing_key_is_refused(path):
    with pytest.raises(FormatError, match=r"checkpoint\.json"):
        from_bytes(edited(path, ...), "checkpoint.json")


@pytest.mark.parametrize(
    ("path", "wrong"),
    [(path, wrong) for wrong, right in _WRONG for path in _PRESCRIBED if path not in right],
)
def test_a_wrong_value_is_refused(path, wrong):
    with pytest.raises(FormatError, match=r"^checkpoint\.json: "):
        from_bytes(edited(path, wrong), "checkpoint.json")


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("format", "other", "format must be"),
        ("version", "one", "version must be"),
        ("version", "0.9", "version must be"),
        ("version", "1." + "9" * 5000, "version must be"),
        ("architecture > rebuild", "magic", "rebuild must be"),
        ("tensors > model > embed > dtype", "qint8", "dtype must be"),
        ("tensors > model > embed > digest", "A" * 64, "digest must be"),
        ("tensors > model > embed > file", "other.safetensors", "not in files"),
        ("tensors > model > head > same_as", "nowhere", "same_as"),
        ("tensors > model > head > same_as", "head", "same_as"),
        ("tensors > model > head > shape", [4, 3], "same_as"),
        ("tensors > model > embed > same_as", "head", "same_as"),
        ("source > 0 > file", "source/other.py", "not in files"),
        ("metrics > val_loss", {"$float": "1.5"}, "val_loss must be"),
        ("metrics > val_loss", {"$float": ["nan"]}, "val_loss must be"),
        ("metrics > val_loss", 10**400, "val_loss must be"),
        ("files > model.safetensors > size", 2**63, "size must be"),
        ("created_at", True, "created_at must be"),
    ],
)
def test_a_contradiction_is_refused_with_its_path(path, value, expected):
    with pytest.raises(FormatError, match=expected):
        from_bytes(edited(path, value), "checkpoint.json")


_DATA = to_bytes(EXAMPLE)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(_DATA) - 1), st.integers(0, 255))
def test_a_changed_byte_is_refused_or_makes_another_valid_manifest(position, byte):
    data = bytearray(_DATA)
    data[position] = byte
    try:
        read = from_bytes(bytes(data), "x")
    except FormatError:
        return
    assert isinstance(read, Manifest)


@pytest.mark.parametrize(
    "changes",
    [
        {"environment": {"python": object()}},
        {"environment": {"load": math.nan}},
        {"metrics": {"loss": "low"}},
        {"state_values": {"x": {1, 2}}},
    ],
    ids=["object", "NaN", "metric", "set"],
)
def test_what_is_not_json_is_refused_when_it_is_written(changes):
    with pytest.raises(UnstorableError):
        to_bytes(replace(EXAMPLE, **changes))
