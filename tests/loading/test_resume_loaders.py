"""Training goes on with the batch that would have come next."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset
from torchdata.stateful_dataloader import StatefulDataLoader

from tests.loading.resuming import Perceptron, Training, resumed_is_the_same, seed
from tracker.errors import MismatchError, UnstorableError
from tracker.loading.resume import resume_training
from tracker.rehearsal.stored import store


class Noisy(Dataset[Tensor]):
    """Every item is drawn anew, in whatever process it is loaded."""

    def __len__(self) -> int:
        return 24

    def __getitem__(self, index: int) -> Tensor:
        return torch.full((4,), float(index)) + torch.rand(4)


class Counting(IterableDataset[Tensor]):
    """Keeps where it is, as torchdata's protocol asks."""

    def __init__(self) -> None:
        self.position = 0

    def __iter__(self) -> Iterator[Tensor]:
        while self.position < 24:
            self.position += 1
            yield torch.full((4,), float(self.position))
        self.position = 0

    def state_dict(self) -> dict[str, Any]:
        return {"position": self.position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.position = state["position"]


def with_loader(make_loader: Any) -> Training:
    """A training that draws its batches one by one, epoch after epoch."""
    model = Perceptron()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    loader = make_loader()

    def endless() -> Iterator[Tensor]:
        while True:
            yield from loader

    batches = endless()

    def step() -> Any:
        x = next(batches)
        x = x[0] if isinstance(x, list) else x
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(model(x), x[:, :2])
        loss.backward()
        optimizer.step()
        return x, loss.item()

    return Training(model, step, optimizer, state={"loader": loader})


NUMBERS = TensorDataset(torch.arange(96.0).reshape(24, 4))

LOADERS: dict[str, Any] = {
    "shuffled": lambda: StatefulDataLoader(NUMBERS, batch_size=4, shuffle=True),
    "in order": lambda: StatefulDataLoader(NUMBERS, batch_size=4),
    "a generator of its own": lambda: StatefulDataLoader(
        NUMBERS, batch_size=4, shuffle=True, generator=torch.Generator().manual_seed(5)
    ),
    "an iterable": lambda: StatefulDataLoader(Counting(), batch_size=4),
    "random items": lambda: StatefulDataLoader(Noisy(), batch_size=4, shuffle=True),
}


@pytest.mark.parametrize("steps", [3, 6], ids=["in an epoch", "after an epoch"])
@pytest.mark.parametrize("kind", LOADERS)
def test_batches_go_on_in_the_middle_of_an_epoch_and_after_it(
    kind: str, steps: int, tmp_path: Path
) -> None:
    resumed_is_the_same(lambda: with_loader(LOADERS[kind]), tmp_path / "c", steps=(steps, 8))


def test_batches_of_worker_processes_go_on(tmp_path: Path) -> None:
    def make() -> Training:
        return with_loader(
            lambda: StatefulDataLoader(NUMBERS, batch_size=4, shuffle=True, num_workers=2)
        )

    resumed_is_the_same(make, tmp_path / "checkpoint", steps=(2, 6))


def test_a_plain_loader_goes_on_with_the_next_epoch(tmp_path: Path) -> None:
    def make() -> Training:
        made = with_loader(lambda: DataLoader(Noisy(), batch_size=4, shuffle=True))
        return Training(made.model, made.step, made.optimizer)

    resumed_is_the_same(make, tmp_path / "checkpoint", steps=(6, 9))


def test_a_loader_that_was_not_begun_begins_as_it_would_have(tmp_path: Path) -> None:
    resumed_is_the_same(lambda: with_loader(LOADERS["shuffled"]), tmp_path / "c", steps=(0, 8))


def test_a_plain_loader_is_no_state_and_says_what_is(tmp_path: Path) -> None:
    training = with_loader(lambda: DataLoader(NUMBERS, batch_size=4))
    with pytest.raises(UnstorableError, match=r"state\.loader: is a .*DataLoader.*StatefulData"):
        store(tmp_path / "checkpoint", **training.parts())


def test_a_loader_is_where_it_was_if_something_else_refuses_its_state(tmp_path: Path) -> None:
    class Picky:
        def __init__(self, own: int) -> None:
            self.own = own

        def state_dict(self) -> dict[str, Any]:
            return {"own": self.own}

        def load_state_dict(self, state: dict[str, Any]) -> None:
            if state["own"] != self.own:
                raise KeyError("other")

    seed(0)
    training = with_loader(LOADERS["a generator of its own"])
    training.state["last"] = Picky(1)
    training.step()
    stored = store(tmp_path / "checkpoint", **training.parts())
    twins = []
    for _ in range(2):
        seed(3)
        twins.append(with_loader(LOADERS["a generator of its own"]))
        twins[-1].step()
    twins[0].state["last"] = Picky(2)
    before = torch.get_rng_state()
    with pytest.raises(MismatchError, match="nothing was changed"):
        resume_training(stored, **twins[0].parts())
    assert torch.equal(torch.get_rng_state(), before)
    for _ in range(8):
        seed(4)
        one = twins[0].step()
        seed(4)
        assert torch.equal(one[0], twins[1].step()[0])
