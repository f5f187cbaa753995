"""Whatever happens to the bytes of a checkpoint, it is refused, or nothing of it has changed."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracker.errors import CorruptCheckpointError, FormatError
from tracker.format import MANIFEST, open_checkpoint

from .examples import bits, content, copy_of

FILES = (
    "MLmodel",
    "architecture.safetensors",
    "checkpoint.json",
    "model.safetensors",
    "source/vision/net.py",
    "training.safetensors",
)
WEIGHTS = {name: bits(tensor) for name, tensor in content().tensors["model"].items()}

files = st.sampled_from(FILES)
damage = settings(deadline=None, max_examples=150)


@pytest.fixture(scope="module")
def copy(original, tmp_path_factory):
    return copy_of(original[0], tmp_path_factory.mktemp("damaged") / "copy")


def check_refused(directory: Path, manifest_digest: str) -> None:
    """The damaged checkpoint is refused when its manifest's digest is known, and never wrong."""
    with pytest.raises(CorruptCheckpointError):
        open_checkpoint(directory, manifest_digest=manifest_digest).verify()
    try:
        stored = open_checkpoint(directory)
        weights = stored.tensors("model")
        stored.verify()
    except FormatError:
        return
    # Only a manifest without a known digest can change unseen: a metric, a name.
    for name in weights.keys() & WEIGHTS.keys():
        assert bits(weights[name]) == WEIGHTS[name]


class Damaged:
    """A file that is damaged inside the block and whole again after it."""

    def __init__(self, path: Path, data: bytes) -> None:
        self._path, self._data, self._before = path, data, path.read_bytes()

    def __enter__(self) -> None:
        self._path.write_bytes(self._data)

    def __exit__(self, *_: object) -> None:
        self._path.write_bytes(self._before)


@damage
@given(files, st.integers(0), st.integers(1, 255))
def test_a_flipped_byte_is_never_loaded(copy, original, name, position, difference):
    data = bytearray((copy / name).read_bytes())
    data[position % len(data)] ^= difference
    with Damaged(copy / name, bytes(data)):
        check_refused(copy, original[1].manifest_digest)


@damage
@given(files, st.integers(0))
def test_a_truncated_file_is_never_loaded(copy, original, name, length):
    data = (copy / name).read_bytes()
    with Damaged(copy / name, data[: length % len(data)]):
        check_refused(copy, original[1].manifest_digest)


@damage
@given(files, st.binary(min_size=1, max_size=100))
def test_a_longer_file_is_never_loaded(copy, original, name, more):
    with Damaged(copy / name, (copy / name).read_bytes() + more):
        check_refused(copy, original[1].manifest_digest)


@damage
@given(files, st.binary(max_size=200))
def test_a_file_of_other_bytes_is_never_loaded(copy, original, name, data):
    with Damaged(copy / name, data):
        check_refused(copy, original[1].manifest_digest)


@pytest.mark.parametrize(("name", "other"), list(permutations(FILES, 2)))
def test_files_that_changed_places_are_never_loaded(copy, original, name, other):
    with Damaged(copy / name, (copy / other).read_bytes()):
        check_refused(copy, original[1].manifest_digest)


def test_the_copy_that_these_tests_damage_is_whole_without_damage(copy, original):
    open_checkpoint(copy, manifest_digest=original[1].manifest_digest).verify()
    assert sorted(FILES) == sorted([*original[1].manifest.files, MANIFEST])
