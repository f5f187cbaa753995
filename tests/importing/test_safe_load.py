"""Files of strangers are read without their code, and within the bytes that they have."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import pathlib
import pickle
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from tests.models import Net
from tracker.errors import (
    CorruptCheckpointError,
    FormatError,
    TrackerError,
    UntrustedCheckpointError,
)
from tracker.importing.layouts import recognise
from tracker.importing.safe_load import kind_of, load_safetensors, load_torch


class Calls:
    """A pickle of it makes a file when it is executed."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.canary),)


@pytest.fixture
def saved(tmp_path: Path) -> Callable[..., Path]:
    def save(value: Any, **options: Any) -> Path:
        torch.save(value, tmp_path / "file.pth", **options)
        return tmp_path / "file.pth"

    return save


def test_tensors_and_plain_values_come_as_they_were(saved: Callable[..., Path]) -> None:
    path = saved({"epoch": 3, 7: (1.5, None, [b"x", True]), "t": torch.arange(3), "n": {"a": {1}}})
    loaded = load_torch(path)
    assert torch.equal(loaded.pop("t"), torch.arange(3))
    assert loaded == {"epoch": 3, 7: (1.5, None, [b"x", True]), "n": {"a": {1}}}


@pytest.mark.parametrize(
    ("dtype", "as_archive"),
    [
        (torch.bfloat16, True),
        (torch.float8_e4m3fn, True),
        (torch.bfloat16, False),
        (torch.complex64, False),
    ],
)
def test_every_dtype_is_read_from_both_formats_of_torch(
    saved: Callable[..., Path], dtype: torch.dtype, as_archive: bool
) -> None:
    tensor = torch.randn(3, 2).to(dtype)
    loaded = load_torch(saved({"w": tensor}, _use_new_zipfile_serialization=as_archive))["w"]
    assert loaded.dtype == dtype
    assert torch.equal(loaded.view(torch.uint8), tensor.view(torch.uint8))


def test_numbers_of_numpy_arguments_and_paths_are_made_without_their_code(
    saved: Callable[..., Path],
) -> None:
    arguments = argparse.Namespace(lr=0.1, data=pathlib.PurePosixPath("/data"))
    array = np.arange(6, dtype=">i4").reshape(2, 3, order="F")
    loaded = load_torch(saved({"args": arguments, "acc": np.float32(0.5), "array": array}))
    assert loaded["args"] == {"lr": 0.1, "data": pathlib.PurePosixPath("/data")}
    assert loaded["acc"] == 0.5
    assert np.array_equal(loaded["array"], array)


def test_objects_of_numpy_are_refused(saved: Callable[..., Path]) -> None:
    with pytest.raises(CorruptCheckpointError, match="dtype"):
        load_torch(saved({"x": np.array([{}], dtype=object)}))


@pytest.mark.parametrize("as_archive", [True, False])
def test_a_pickle_that_calls_something_is_named_and_not_executed(
    saved: Callable[..., Path], tmp_path: Path, as_archive: bool
) -> None:
    value = {"model": Net().state_dict(), "x": Calls(tmp_path / "canary")}
    path = saved(value, _use_new_zipfile_serialization=as_archive)
    with pytest.raises(UntrustedCheckpointError, match=r"posix\.mkdir|nt\.mkdir"):
        load_torch(path)
    path.write_bytes(pickle.dumps(Calls(tmp_path / "canary")))
    with pytest.raises(UntrustedCheckpointError, match="not executed"):
        load_torch(path)
    assert not (tmp_path / "canary").exists()


def test_the_environment_can_not_switch_safety_off(
    saved: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    path = saved({"x": Calls(tmp_path / "canary")})
    with pytest.raises((UntrustedCheckpointError, CorruptCheckpointError)):
        load_torch(path)
    assert not (tmp_path / "canary").exists()


def test_a_whole_module_is_refused_with_what_to_do(saved: Callable[..., Path]) -> None:
    with pytest.raises(UntrustedCheckpointError, match=r"tests\.models\.Net.*state_dict"):
        load_torch(saved(Net()))


def test_a_program_of_torchscript_is_refused(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), tmp_path / "program.pt")
    with pytest.raises(UntrustedCheckpointError, match="TorchScript"):
        load_torch(tmp_path / "program.pt")


def test_truncated_and_foreign_archives_are_refused(saved: Callable[..., Path]) -> None:
    path = saved(Net().state_dict())
    whole = path.read_bytes()
    for data in (whole[: len(whole) // 2], whole[:100], b"PK\x03\x04", b"\x80"):
        path.write_bytes(data)
        with pytest.raises((CorruptCheckpointError, UntrustedCheckpointError)):
            load_torch(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("notes.txt", "hello")
    with pytest.raises(CorruptCheckpointError):
        load_torch(path)


def test_a_compressed_archive_is_not_unpacked(saved: Callable[..., Path]) -> None:
    path = saved({"w": torch.zeros(1_000_000)})
    packed = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    path.write_bytes(packed.getvalue())
    with pytest.raises(FormatError, match="compressed"):
        load_torch(path)


def test_a_tensor_that_claims_more_than_the_file_has_is_refused(saved: Callable[..., Path]) -> None:
    with pytest.raises(FormatError, match="several times as many bytes"):
        load_torch(saved({"w": torch.zeros(1).expand(10**12)}))


def test_values_that_repeat_themselves_without_end_are_refused(saved: Callable[..., Path]) -> None:
    nested: list[Any] = []
    for _ in range(50):
        nested = [nested, nested]
    with pytest.raises(FormatError, match="repeats itself"):
        load_torch(saved(nested))
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(FormatError, match="levels deep"):
        load_torch(saved(circle))


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_bytes_that_were_changed_are_read_or_refused_and_nothing_else(data: st.DataObject) -> None:
    buffer = io.BytesIO()
    torch.save({"model": Net().state_dict(), "epoch": 3}, buffer)
    changed = bytearray(buffer.getvalue())
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, len(changed) - 1))
        changed[at] = data.draw(st.integers(0, 255))
    with tempfile.NamedTemporaryFile(suffix=".pth") as file:
        file.write(changed)
        file.flush()
        with contextlib.suppress(TrackerError):
            recognise(load_torch(Path(file.name)), file.name)


def test_safetensors_of_others_are_read_and_absurd_headers_are_not(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"w": torch.ones(2, dtype=torch.bfloat16)}, path, metadata={"epoch": "3"})
    tensors, metadata = load_safetensors(path, copy=True)
    assert torch.equal(tensors["w"], torch.ones(2, dtype=torch.bfloat16))
    assert metadata == {"epoch": "3"}
    path.write_bytes((10 << 30).to_bytes(8, "little") + b'{"w":' + b" " * 100)
    with pytest.raises(CorruptCheckpointError, match="10737418240"):
        load_safetensors(path, copy=True)


def test_what_is_no_file_is_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.pth")
    with pytest.raises(CorruptCheckpointError, match="not a regular file"):
        kind_of(tmp_path / "pipe.pth")
