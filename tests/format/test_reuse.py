"""What an earlier checkpoint of the run holds is not stored again, and is read as if it were."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tracker.format import (
    MANIFEST,
    content_of,
    export_state_dict,
    known_tensors,
    limited,
    open_checkpoint,
    write_checkpoint,
)
from tracker.format.reuse import (
    MOST_CHECKPOINTS,
    SMALLEST,
    StoredTensor,
    TensorKey,
    candidates,
)
from tracker.types import FileElsewhere, FileEntry

from .examples import bits, content
from .run import Run

N = SMALLEST // 4
"""Numbers of the smallest tensor that is not stored again."""


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def size_on_disk(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


def test_a_frozen_tensor_is_in_the_first_checkpoint_only(run):
    frozen = torch.randn(100_000)
    for epoch in range(3):
        run.log({"model": {"backbone": frozen, "head": torch.full((N,), float(epoch))}})
    assert run.written[0].size > 400_000
    for number, later in enumerate(run.written[1:], 1):
        assert later.size == size_on_disk(run.directory(f"m-{number}")) < 10_000
        stored = run.open(number)
        stored.verify()
        assert stored.tensor("model", "backbone").equal(frozen)
        assert stored.tensor("model", "head").eq(number).all()


def test_the_first_checkpoint_of_a_run_is_as_it_would_be_alone(run, tmp_path):
    written = run.log(content().tensors)
    alone = write_checkpoint(tmp_path / "alone", content(source=(), extra_files={}))
    assert written.manifest_digest == alone.manifest_digest
    assert b"elsewhere" not in (run.directory("m-0") / MANIFEST).read_bytes()


def test_a_reference_leads_to_the_bytes_and_never_to_a_reference(run):
    one, other = torch.randn(N), torch.randn(N)
    run.log({"model": {"a": one, "b": torch.zeros(N)}})
    run.log({"model": {"a": one, "b": other}})
    last = run.log({"model": {"a": one, "b": other}}).manifest
    assert last.references == ["m-0", "m-1"]
    assert [last.tensors["model"][name].file for name in "ab"] == [
        "m-0/model.safetensors",
        "m-1/model.safetensors",
    ]
    assert last.files == {}
    shutil.rmtree(run.directory("m-1"))
    assert run.open(2).tensor("model", "a").equal(one)


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.index_fill(0, torch.tensor([5]), 1.0),
        lambda t: t.reshape(2, -1),
        lambda t: t.view(torch.int32),
        lambda t: torch.where(t == 0, -0.0, t),
    ],
    ids=["one number", "shape", "dtype", "a sign of zero"],
)
def test_whatever_differs_is_stored_again(run, change):
    tensor = torch.randn(N)
    tensor[7] = 0.0
    run.log({"model": {"x": tensor}})
    changed = change(tensor)
    assert run.log({"model": {"x": changed}}).manifest.references == []
    assert bits(run.open(1).tensor("model", "x")) == bits(changed)


def test_what_differs_in_one_byte_that_no_sample_has_is_stored_again(run):
    first = torch.zeros(100_000, dtype=torch.uint8)
    second = first.clone()
    second[1000] = 1
    run.log({"model": {"x": first}})
    assert set(run.written[0].samples.values()) == {bytes(3 * 64)}
    run.log({"model": {"x": second}})
    assert run.open(1).tensor("model", "x").equal(second)
    assert run.written[1].size > 100_000


def test_what_another_process_wrote_is_found_without_samples(run):
    written = run.log({"model": {"x": torch.arange(100_000)}})
    run.known = known_tensors(written.manifest, "m-0")
    assert run.log({"model": {"x": torch.arange(100_000)}}).size < 10_000


def test_only_what_may_be_known_is_hashed_before_it_is_written(run):
    backbone, head = torch.randn(N), torch.randn(N)
    run.log({"model": {"backbone": backbone, "head": head}})
    head.add_(1)
    assert candidates({"backbone": backbone, "head": head}, run.known) == {"backbone": backbone}


def test_small_tensors_are_stored_again(run):
    tensors = {"model": {"large": torch.randn(N), "small": torch.randn(N - 1)}}
    run.log(tensors)
    entries = run.log(tensors).manifest.tensors["model"]
    assert entries["small"].file == "model.safetensors"
    assert entries["large"].file == "m-0/model.safetensors"


def test_a_model_needs_no_file_of_training_state(run):
    x = torch.randn(N)
    tensors = {"training": {"average": x}, "model": {"x": x.clone()}}
    run.log(tensors)
    entries = run.log(tensors).manifest.tensors
    assert entries["model"]["x"].file == entries["training"]["average"].file
    assert entries["model"]["x"].file == "m-0/model.safetensors"


def test_it_is_found_under_another_name_and_in_another_group(run):
    x = torch.randn(N)
    run.log({"model": {"old": x}})
    written = run.log({"training": {"new": x}})
    entry = written.manifest.tensors["training"]["new"]
    assert (entry.file, entry.tensor) == ("m-0/model.safetensors", "old")
    again = run.log({"model": {"old": x}}).manifest.tensors["model"]["old"]
    assert (again.file, again.tensor) == ("m-0/model.safetensors", None)
    for number, group, name in ((1, "training", "new"), (2, "model", "old")):
        run.open(number).verify()
        assert run.open(number).tensor(group, name).equal(x)


def test_tied_tensors_stay_tied(run):
    tied = torch.randn(N)
    tensors = {"model": {"embed": tied, "head": tied}}
    run.log(tensors)
    entry = run.log(tensors).manifest.tensors["model"]["head"]
    assert (entry.same_as, entry.file) == ("embed", "m-0/model.safetensors")
    stored = run.open(1)
    assert stored.tensor("model", "head") is stored.tensor("model", "embed")


def test_tensors_that_are_tied_under_other_names_now_are_found(run):
    tied = torch.randn(N)
    run.log({"model": {"x": tied}})
    run.log({"model": {"a": tied, "b": tied}})
    stored = run.open(1)
    stored.verify()
    assert stored.tensor("model", "b").equal(tied)
    assert stored.tensor("model", "b") is stored.tensor("model", "a")


def test_tensors_that_only_happen_to_be_equal_are_not_tied(run):
    equal = {"model": {"a": torch.zeros(N), "b": torch.zeros(N), "c": torch.zeros(N)}}
    run.log(equal)
    run.log(equal | {"training": {"a": torch.zeros(N)}})
    stored = run.open(1)
    read = [*stored.tensors("model").values(), *stored.tensors("training").values()]
    for number, tensor in enumerate(read):
        tensor.fill_(number)
    assert [tensor.mean().item() for tensor in read] == [0, 1, 2, 3]
    run.open(0).verify()


def test_writing_to_a_tensor_changes_no_file(run):
    tensors = {"model": {"x": torch.zeros(N)}}
    run.log(tensors)
    run.log(tensors)
    run.open(1).tensor("model", "x").fill_(1)
    assert run.open(1).tensor("model", "x").sum() == 0
    assert run.open(0).tensor("model", "x").sum() == 0


def test_a_checkpoint_that_waited_keeps_its_references_when_it_is_amended(run):
    from tracker.format import amend_manifest

    tensors = {"model": {"x": torch.randn(N)}}
    run.log(tensors)
    run.log(tensors)
    amended = amend_manifest(run.directory("m-1"), run_id="new", extra_files={"MLmodel": b""})
    assert amended.manifest.references == ["m-0"]
    run.written[1] = amended
    assert run.open(1).tensor("model", "x").equal(tensors["model"]["x"])


def test_an_export_has_every_tensor(run, tmp_path):
    from safetensors.torch import load_file

    tensors = {"model": {"x": torch.randn(N), "y": torch.randn(3)}}
    run.log(tensors)
    run.log(tensors)
    export_state_dict(run.open(1), tmp_path / "x.safetensors")
    read = load_file(tmp_path / "x.safetensors")
    assert read["x"].equal(tensors["model"]["x"])
    assert read["y"].equal(tensors["model"]["y"])


def test_the_content_of_a_checkpoint_written_again_is_whole(run, tmp_path):
    frozen = torch.randn(N)
    tensors = {"model": {"a": frozen, "b": frozen, "c": torch.randn(2)}}
    extra = {"extra_files": {"MLmodel": b"x"}, "source": content().source}
    run.log(tensors)
    run.log(tensors, **extra)
    whole = write_checkpoint(tmp_path / "whole", content_of(run.open(1)))
    at_once = write_checkpoint(tmp_path / "at_once", content(tensors=tensors, **extra))
    assert whole.manifest_digest == at_once.manifest_digest
    shutil.rmtree(run.directory("m-0"))
    open_checkpoint(tmp_path / "whole", manifest_digest=whole.manifest_digest).verify()


def test_a_failed_write_leaves_the_checkpoint_that_it_refers_to_alone(run):
    tensors = {"model": {"x": torch.randn(N)}}
    before = run.log(tensors)
    with pytest.raises(TypeError):
        run.log(tensors, environment={"x": object()})
    assert os.listdir(run.folder) == ["m-0"]
    open_checkpoint(run.directory("m-0"), manifest_digest=before.manifest_digest).verify()


# Whatever a training loop does

values = st.sampled_from([0.0, 1.0, 2.0])
shapes = st.sampled_from([(N,), (2, N), (3,)])
tables = st.dictionaries(st.sampled_from("abcd"), st.tuples(values, shapes), max_size=4)
epochs = st.lists(st.fixed_dictionaries({"model": tables, "training": tables}), max_size=5)


def made(table: dict[str, tuple[float, tuple[int, ...]]], tie: bool) -> dict[str, Tensor]:
    """Return tensors; equal ones are one object if ``tie``."""
    objects: dict = {}
    return {
        name: objects.setdefault(what if tie else name, torch.full(what[1], what[0]))
        for name, what in table.items()
    }


@settings(deadline=None, max_examples=20)
@given(epochs, st.booleans())
def test_every_checkpoint_of_any_run_is_read_as_it_was(tmp_path_factory, epochs, tie):
    run = Run(tmp_path_factory.mktemp("run"))
    logged = [{group: made(table, tie) for group, table in epoch.items()} for epoch in epochs]
    for tensors in logged:
        run.log(tensors)
    for number, tensors in enumerate(logged):
        stored = run.open(number)
        stored.verify()
        for group, named in tensors.items():
            read = stored.tensors(group)
            assert {name: bits(t) for name, t in read.items()} == {
                name: bits(t) for name, t in named.items()
            }
            # Tied where they were tied, and only there.
            assert len({t.data_ptr() for t in read.values()}) == len(
                {id(t) for t in named.values()}
            )
        holders = {file.checkpoint for file in stored.manifest.elsewhere.values()}
        for holder in holders:
            own = run.written[int(holder[2:])].manifest.files
            assert {
                f.file for f in stored.manifest.elsewhere.values() if f.checkpoint == holder
            } <= own.keys()


# How many checkpoints one may refer to


def known_in(checkpoint: str, size: int) -> tuple[TensorKey, StoredTensor]:
    place = FileElsewhere(checkpoint, "model.safetensors", FileEntry(size, "a" * 64))
    return TensorKey(checkpoint, "uint8", (size,)), StoredTensor(place, "x")


def test_the_checkpoints_that_hold_least_are_not_referred_to_where_they_are_too_many():
    known = dict(known_in(f"m-{number}", 5000 + number) for number in range(5))
    kept = limited(known, 3)
    assert {stored.file.checkpoint for stored in kept.values()} == {"m-2", "m-3", "m-4"}
    assert limited(known, 5) == known


def test_as_many_ids_as_one_may_refer_to_fit_a_tag_of_mlflow():
    assert len(",".join(["m-" + "0" * 32] * MOST_CHECKPOINTS)) <= 5000


def test_what_is_known_of_a_checkpoint_is_what_it_holds_and_refers_to(run):
    one, other = torch.randn(N), torch.randn(N)
    run.log({"model": {"a": one, "small": torch.ones(2)}})
    last = run.log({"model": {"a": one, "b": other, "c": other}}).manifest
    places = {stored.file.checkpoint: stored.name for stored in known_tensors(last, "m-1").values()}
    assert places == {"m-0": "a", "m-1": "b"}
