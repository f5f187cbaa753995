"""What is copied is a checkpoint of one instant, and its memory is used again."""

from __future__ import annotations

import threading
import weakref
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import tracker
from tests.models import MyTensor, Net, Tied
from tests.training import log, same, state_of, train_epoch
from tracker.format.dtypes import DTYPES
from tracker.saving import host_copy
from tracker.saving.host_copy import ALIGNMENT, Pool
from tracker.saving.snapshot import Snapshot, take


def snapshot_of(model: nn.Module | None = None, **state: Any) -> Snapshot:
    return take(model or nn.Module(), optimizer=None, scheduler=None, state=state or None)


def copied(snapshot: Snapshot, pool: Pool | None = None) -> Snapshot:
    with ExitStack() as until:
        made = host_copy.copy(snapshot, host_copy.plan(snapshot), pool or Pool(), until)
        until.pop_all()
    return made


def copy_of(tensor: Tensor) -> Tensor:
    """Return what a checkpoint holds of one tensor."""
    copy = copied(snapshot_of(tensor=tensor)).training_tensors["state.tensor"]
    return copy


@st.composite
def tensors(draw: st.DrawFn) -> Tensor:
    """Tensors of every dtype, of any shape, also empty, strided, expanded, conjugated."""
    dtype = DTYPES[draw(st.sampled_from(sorted(DTYPES)))].torch
    shape = draw(st.lists(st.integers(0, 4), max_size=3))
    count = torch.Size(shape).numel() * dtype.itemsize
    data = torch.tensor(list(draw(st.binary(min_size=count, max_size=count))), dtype=torch.uint8)
    if dtype == torch.bool:
        data %= 2
    tensor = data.view(dtype).view(shape) if count else torch.empty(shape, dtype=dtype)
    change = draw(st.sampled_from(["none", "transposed", "expanded", "conjugated"]))
    if change == "transposed" and tensor.ndim > 1:
        return tensor.transpose(0, -1)
    if change == "expanded":
        return tensor.unsqueeze(0).expand(2, *shape)
    return tensor.conj() if change == "conjugated" and dtype.is_complex else tensor


def bits(tensor: Tensor) -> bytes:
    plain = tensor.detach().resolve_conj().contiguous()
    return plain.reshape(-1).view(torch.uint8).numpy().tobytes() if plain.numel() else b""


@given(tensors())
def test_a_copy_has_the_dtype_the_shape_and_every_bit_in_plain_memory(tensor: Tensor) -> None:
    copy = copy_of(tensor)
    assert (copy.dtype, copy.shape, bits(copy)) == (tensor.dtype, tensor.shape, bits(tensor))
    assert copy.is_contiguous()
    assert copy.data_ptr() % ALIGNMENT == 0
    assert not copy.requires_grad


def test_tensors_beside_each_other_do_not_overlap() -> None:
    parts = {str(size): torch.full((size,), size, dtype=torch.uint8) for size in range(1, 200)}
    snapshot = copied(snapshot_of(**parts))
    assert all(same(snapshot.training_tensors[f"state.{name}"], parts[name]) for name in parts)


def test_a_tensor_subclass_becomes_a_plain_tensor() -> None:
    copy = copy_of(torch.arange(3).as_subclass(MyTensor))
    assert type(copy) is Tensor
    assert same(copy, torch.arange(3))


def test_what_is_one_tensor_is_copied_once_and_stays_one() -> None:
    model = Tied()
    snapshot = copied(snapshot_of(model, weight=next(model.parameters())))
    live = snapshot_of(model).description.state
    copies = snapshot.description.state
    for a in live:
        for b in live:
            assert (live[a] is live[b]) == (copies[a] is copies[b]), (a, b)
    assert snapshot.training_tensors["state.weight"] in copies.values()


def test_views_of_one_storage_become_tensors_of_their_own() -> None:
    whole = torch.arange(6.0)
    snapshot = copied(snapshot_of(whole=whole, part=whole[2:4]))
    a, b = snapshot.training_tensors["state.whole"], snapshot.training_tensors["state.part"]
    assert same(b, whole[2:4])
    a.zero_()
    assert same(b, whole[2:4])


def test_a_default_device_of_the_script_changes_nothing() -> None:
    snapshot = snapshot_of(x=torch.ones(3))
    with torch.device("meta"):
        copy = copied(snapshot).training_tensors["state.x"]
    assert same(copy, torch.ones(3))


class TestPool:
    def test_the_next_checkpoint_gets_the_same_memory(self) -> None:
        pool = Pool()
        slab = pool.take(1000)
        pool.give_back(slab)
        assert pool.take(900) is slab

    def test_two_in_flight_have_memory_of_their_own(self) -> None:
        pool = Pool()
        first, second = pool.take(1000), pool.take(1000)
        assert first.data_ptr() != second.data_ptr()

    def test_memory_that_is_too_small_is_let_go_before_more_is_taken(self) -> None:
        pool = Pool()
        slab = pool.take(1024)
        gone = weakref.ref(slab)
        pool.give_back(slab)
        del slab
        larger = pool.take(2048)
        assert gone() is None
        assert pool.size == larger.numel() == 2048

    def test_checkpoints_one_after_the_other_never_hold_more_than_one(self) -> None:
        pool = Pool()
        for size in (640, 6400, 640, 64, 6400, 6400):
            pool.give_back(pool.take(size))
            assert pool.size <= 6400

    def test_the_memory_of_a_large_model_is_let_go_when_smaller_ones_follow(self) -> None:
        pool = Pool()
        pool.give_back(pool.take(1 << 20))
        for _ in range(20):
            pool.give_back(pool.take(1 << 10))
        assert pool.size == 1 << 10

    def test_after_a_burst_only_what_one_needs_is_kept(self) -> None:
        pool = Pool()
        for slab in [pool.take(1024) for _ in range(5)]:
            pool.give_back(slab)
        assert pool.size == 5 * 1024
        for _ in range(20):
            pool.give_back(pool.take(1024))
        assert pool.size == 1024

    def test_it_can_be_emptied_while_some_is_in_use(self) -> None:
        pool = Pool()
        used, free = pool.take(64), pool.take(64)
        pool.give_back(free)
        pool.clear()
        assert pool.size == 64
        pool.give_back(used)

    def test_a_copy_that_fails_gives_its_memory_back(self) -> None:
        class Refusing(Tensor):
            def detach(self) -> Any:
                raise RuntimeError("no")

        pool = Pool()
        model = nn.Module()
        model.register_buffer("b", torch.ones(16).as_subclass(Refusing))
        snapshot = Snapshot(snapshot_of(model).description, None, {})
        with pytest.raises(RuntimeError, match="no"):
            copied(snapshot, pool)
        assert pool.take(64).numel() == pool.size == 64


@pytest.fixture
def trained() -> tuple[nn.Module, torch.optim.Optimizer]:
    model = Net(hidden=4, depth=60)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    train_epoch(model, optimizer, 0)
    return model, optimizer


def test_a_step_right_after_the_call_does_not_reach_the_checkpoint(
    trained: tuple[nn.Module, torch.optim.Optimizer], workplace: Path
) -> None:
    model, optimizer = trained
    for epoch in range(5):
        then = state_of(model, optimizer)
        pending = tracker.log_checkpoint(model, epoch=epoch, optimizer=optimizer)
        train_epoch(model, optimizer, epoch)
        checkpoint = pending.result()
        again = Net(hidden=4, depth=60)
        optimizer_again = torch.optim.Adam(again.parameters(), lr=0.1)
        tracker.resume(checkpoint, model=again, optimizer=optimizer_again)
        assert same(state_of(again, optimizer_again), then)


def test_a_thread_that_never_stops_changing_the_weights_does_not_reach_the_checkpoint(
    workplace: Path,
) -> None:
    model = nn.Sequential(*[nn.Linear(64, 64) for _ in range(20)])
    may_change, stop = threading.Event(), threading.Event()

    def change() -> None:
        value = 0
        while not stop.is_set():
            may_change.wait()
            value += 1
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.fill_(value)

    thread = threading.Thread(target=change, daemon=True)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(-1.0)
    thread.start()
    pending = tracker.log_checkpoint(model, epoch=1)
    may_change.set()
    saved = pending.result().load_state_dict()
    stop.set()
    thread.join()
    assert {float(tensor.min()) for tensor in saved.values()} == {-1.0}
    assert {float(tensor.max()) for tensor in saved.values()} == {-1.0}
    assert float(model[0].weight.detach().max()) > 0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
class TestOnAGpu:
    def test_what_training_queued_before_is_in_the_copy_and_what_follows_is_not(self) -> None:
        weight = torch.zeros(1 << 24, device="cuda")
        for _ in range(100):
            weight += 1
        snapshot = snapshot_of(weight=weight)
        copy = copied(snapshot).training_tensors["state.weight"]
        weight.fill_(-1)
        assert copy.is_pinned()
        assert bool((copy == 100).all())

    def test_tensors_of_the_gpu_and_of_the_host_are_one_checkpoint(self, workplace: Path) -> None:
        model = Net(hidden=8).to("cuda")
        checkpoint = log(model, epoch=1, state={"host": torch.arange(3)})
        assert same(state_of(checkpoint.load_model()), state_of(model.cpu()))
