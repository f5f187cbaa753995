from __future__ import annotations

import io
from pathlib import Path

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from safetensors import safe_open

from tracker.errors import CorruptCheckpointError, UnstorableError
from tracker.format.dtypes import CODES, DTYPES, stored_dtype
from tracker.format.tensors import map_tensors, tensor_digests, write_tensors

from .examples import bits
from .strategies import tensor_tables

# The package writes it, but its reader has no entry for it.
_UNREADABLE_BY_SAFETENSORS = {"float8_e8m0fnu"}

_VALUES = {
    name: torch.arange(6 * dtype.item_size, dtype=torch.uint8)
    .bitwise_and(1 if name == "bool" else 255)
    .view(dtype.torch)
    .reshape(2, 3)
    for name, dtype in DTYPES.items()
}


def write_to(path, tensors, **options):
    with open(path, "wb", buffering=0) as file:
        return write_tensors(file, tensors, **options)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tensors") / "model.safetensors"


@settings(deadline=None, max_examples=200)
@given(tensor_tables)
def test_any_tensors_come_back_bit_for_bit(path, table):
    path.unlink(missing_ok=True)
    write_to(path, table)
    file = map_tensors(path)
    assert file.header.slots.keys() == table.keys()
    for name, tensor in table.items():
        read = file.tensor(name, stored_dtype(tensor, name), tuple(tensor.shape))
        assert (read.dtype, read.shape) == (tensor.dtype, tensor.shape)
        assert bits(read) == bits(tensor)
        assert read.numel() == 0 or read.data_ptr() % 64 == 0


@pytest.mark.parametrize(
    "pattern",
    [0x7FC00001, 0x7F800001, 0xFFFFFFFF, 0x80000000, 0x00000001, 0x807FFFFF],
    ids=["quiet NaN", "signalling NaN", "NaN of all ones", "-0.0", "subnormal", "-subnormal"],
)
def test_unusual_floats_keep_every_bit(path, pattern):
    path.unlink(missing_ok=True)
    value = torch.tensor([pattern], dtype=torch.uint32)
    write_to(path, {"x": value.view(torch.float32)})
    read = map_tensors(path).tensor("x", DTYPES["float32"], (1,))
    assert read.view(torch.uint32).tolist() == [pattern]


def test_the_data_begins_at_a_multiple_of_64_and_has_no_holes(path):
    path.unlink(missing_ok=True)
    written = write_to(path, _VALUES)
    header = map_tensors(path).header
    assert len(header.encoded) % 64 == 0
    assert written.size == path.stat().st_size
    ends = [slot.end for slot in header.slots.values()]
    assert [slot.begin for slot in header.slots.values()] == [0, *ends[:-1]]


def test_wider_dtypes_come_first_then_names(path):
    path.unlink(missing_ok=True)
    x = torch.zeros(3)
    write_to(
        path, {"b": x, "a": x, "small": x.bool(), "z": x.to(torch.complex128), "y": x.double()}
    )
    assert list(map_tensors(path).header.slots) == ["z", "y", "a", "b", "small"]


def test_tensors_that_leave_the_next_one_aligned_come_first(path):
    path.unlink(missing_ok=True)
    tensors = {f"odd{i}": torch.zeros(i, dtype=torch.float64) for i in (1, 3)}
    tensors |= {f"whole{i}": torch.zeros(64 * i, dtype=torch.uint8) for i in (1, 2, 3)}
    write_to(path, tensors)
    header = map_tensors(path).header
    assert list(header.slots) == ["whole1", "whole2", "whole3", "odd1", "odd3"]
    assert [header.slots[f"whole{i}"].begin % 64 for i in (1, 2, 3)] == [0, 0, 0]


def test_equal_tensors_give_equal_files():
    one, other = io.BytesIO(), io.BytesIO()
    write_tensors(one, _VALUES)
    write_tensors(other, dict(reversed(_VALUES.items())))
    assert one.getvalue() == other.getvalue()


@pytest.mark.parametrize("name", sorted(_VALUES.keys() - _UNREADABLE_BY_SAFETENSORS))
def test_the_safetensors_package_reads_what_we_write(path, name):
    path.unlink(missing_ok=True)
    dtype, tensor = DTYPES[name], _VALUES[name]
    write_to(path, {"x": tensor}, metadata={"format": "pt"})
    read = safetensors.torch.load_file(path)["x"]
    assert read.dtype == CODES[dtype.code].torch
    assert tuple(read.shape) == dtype.stored_shape((2, 3))
    assert bits(read) == bits(tensor)
    with safe_open(path, "pt") as file:
        assert file.metadata() == {"format": "pt"}


@pytest.mark.parametrize("name", sorted(n for n, dtype in DTYPES.items() if not dtype.is_view))
def test_we_read_what_the_safetensors_package_writes(path, name):
    path.unlink(missing_ok=True)
    others = {"b": torch.zeros(5, dtype=torch.uint8), "empty": torch.zeros(0, 3)}
    safetensors.torch.save_file({"x": _VALUES[name], **others}, path, metadata={"who": "me"})
    file = map_tensors(path)
    assert file.header.metadata == {"who": "me"}
    assert bits(file.tensor("x", DTYPES[name], (2, 3))) == bits(_VALUES[name])
    assert file.tensor("empty", DTYPES["float32"], (0, 3)).shape == (0, 3)


def test_the_digest_is_of_the_values_not_of_their_layout():
    x = torch.randn(3, 4)
    digests = tensor_digests({"x": x, "same": x.t().contiguous().t(), "other": x.t()})
    assert digests["x"] == digests["same"] != digests["other"]


def test_a_large_tensor_has_the_digest_of_its_bytes(path):
    from blake3 import blake3

    path.unlink(missing_ok=True)
    x = torch.randn(600, 1000)
    write_to(path, {"x": x})
    assert tensor_digests({"x": x}) == {"x": blake3(x.numpy().tobytes()).hexdigest()}
    assert map_tensors(path).tensor("x", DTYPES["float32"], (600, 1000)).equal(x)


def test_writing_to_a_mapped_tensor_leaves_the_file_alone(path):
    path.unlink(missing_ok=True)
    write_to(path, {"x": torch.zeros(4)})
    before = path.read_bytes()
    map_tensors(path).tensor("x", DTYPES["float32"], (4,)).add_(1)
    assert path.read_bytes() == before


def test_a_mapped_tensor_outlives_its_file(path):
    path.unlink(missing_ok=True)
    write_to(path, {"x": torch.ones(4)})
    read = map_tensors(path).tensor("x", DTYPES["float32"], (4,))
    path.unlink()
    assert read.sum() == 4


@pytest.mark.parametrize(
    "tensor",
    [
        torch.zeros(3, dtype=torch.float4_e2m1fn_x2),
        torch.zeros(2).to_sparse(),
        torch.zeros(2, device="meta"),
        torch.quantize_per_tensor(torch.zeros(2), 1.0, 0, torch.qint8),
        torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)]),
        torch.zeros([1] * 70),
    ],
    ids=["sub-byte", "sparse", "meta", "quantised", "nested", "70 dimensions"],
)
def test_a_tensor_without_plain_bytes_is_refused_by_name(tensor):
    with pytest.raises(UnstorableError, match=r"layer\.weight"):
        write_tensors(io.BytesIO(), {"layer.weight": tensor})


def test_a_name_that_the_container_reserves_is_refused():
    with pytest.raises(UnstorableError, match="__metadata__"):
        write_tensors(io.BytesIO(), {"__metadata__": torch.zeros(1)})


def test_a_header_that_differs_from_its_digest_is_refused(path):
    path.unlink(missing_ok=True)
    write_to(path, {"x": torch.zeros(1)})
    with pytest.raises(CorruptCheckpointError, match="header differs"):
        map_tensors(path, header_digest="0" * 64)
