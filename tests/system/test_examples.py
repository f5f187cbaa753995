"""A script that trains, and another that gets the model back: two processes, nothing in common.

The training scripts have no ``if __name__`` guard. Those that define classes write a line to
``trained.txt`` in the working directory, so that a loading process that ran them again would be
noticed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from .processes import PYTHON, environment, succeed

pytestmark = pytest.mark.system

NOT_RUN = "this script must not run"

SIMPLE = """
import torch
from torch import nn
import tracker

with open("trained.txt", "a") as file:
    file.write("trained\\n")

class SimpleLinearModel(nn.Module):
    def __init__(self, input_size, output_size):
        super().__init__()
        self.linear = nn.Linear(input_size, output_size)

    def forward(self, x):
        return self.linear(x)

torch.manual_seed(0)
model = SimpleLinearModel(input_size=10, output_size=3)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
x = torch.randn(32, 10)
for epoch in range(2):
    loss = model(x).pow(2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    tracker.log_checkpoint(model, epoch=epoch, metrics={"loss": loss})
torch.save((x, model(x).detach()), "expected.pt")
"""

LOAD_SIMPLE = """
import sys
import torch
import tracker

model = tracker.best_checkpoint("loss").load_model()
x, y = torch.load(sys.argv[1], weights_only=True)
assert torch.equal(model(x), y)
assert not model.training
assert type(model).__name__ == "SimpleLinearModel"
print(model.linear.in_features, model.linear.out_features)
"""

COUNT_WARNINGS = """
import warnings
import tracker

checkpoint = tracker.get_checkpoint()
for trust in (None, "source"):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        checkpoint.load_model(trust=trust)
    print(sum("is not what it was" in str(warning.message) for warning in caught), end=" ")
"""

CUSTOM = """
import torch
import torch.nn.functional as F
from torch import nn
import tracker

open("trained.txt", "a").write("trained\\n")

WIDTH_FACTOR = 2


class MyCustomLayer(nn.Module):
    def __init__(self, in_features, out_features, activation=F.gelu):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_features, in_features))
        self.bias = nn.Parameter(torch.zeros(out_features))
        self.activation = activation
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    def forward(self, x):
        if self.training:
            self.calls += 1
        return self.activation(F.linear(x, self.weight, self.bias))


class CustomModel(nn.Module):
    def __init__(self, sizes, *, dropout):
        super().__init__()
        wide = [size * WIDTH_FACTOR for size in sizes[1:-1]]
        sizes = [sizes[0], *wide, sizes[-1]]
        self.layers = nn.ModuleList(MyCustomLayer(a, b) for a, b in zip(sizes, sizes[1:]))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):
        for layer in self.layers:
            x = self.dropout(layer(x))
        return x


torch.manual_seed(1)
model = CustomModel([6, 8, 4, 2], dropout=0.5)
model(torch.randn(3, 6))
tracker.log_checkpoint(model, epoch=0, metrics={"accuracy": 0.5})
model.eval()
x = torch.randn(5, 6)
torch.save((x, model(x).detach()), "expected.pt")
"""

LOAD_CUSTOM = """
import sys
import torch
import tracker

model = tracker.get_checkpoint().load_model()
x, y = torch.load(sys.argv[1], weights_only=True)
assert torch.equal(model(x), y)
assert not model.training
assert model.layers[0].calls == 1
print([type(layer).__name__ for layer in model.layers], model.dropout.p)
"""

TRAINING = """
import torch
from torch import nn

torch.manual_seed(2)
model = nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 1))
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=10)


def train_epoch(epoch):
    model.train()
    data = torch.Generator().manual_seed(epoch)
    for _ in range(3):
        x = torch.randn(8, 4, generator=data)
        loss = (model(x) - x.sum(1, keepdim=True)).pow(2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    scheduler.step()
    return loss
"""

EVERY_SECOND_EPOCH = f"""
import tracker
{TRAINING}
for epoch in range(1, 11):
    loss = train_epoch(epoch)
    if epoch % 2 == 0:
        tracker.log_checkpoint(
            model,
            epoch=epoch,
            metrics={{"train_loss": loss}},
            optimizer=optimizer,
            scheduler=scheduler,
        )
    if epoch == 6:
        model.eval()
        x = torch.ones(2, 4)
        torch.save((x, model(x).detach()), "expected.pt")
torch.save((model.state_dict(), optimizer.state_dict(), scheduler.state_dict()), "final.pt")
"""

LOAD_EPOCH_6 = """
import sys
import torch
import tracker

model = tracker.get_checkpoint(epoch=6).load_model()
x, y = torch.load(sys.argv[1], weights_only=True)
assert not any(module.training for module in model.modules())
assert torch.equal(model(x), y)
print([c.epoch for c in tracker.search_checkpoints(order_by=["attributes.epoch ASC"])])
"""

RESUME_FROM_6 = f"""
import sys
import tracker
{TRAINING}
checkpoint = tracker.get_checkpoint(epoch=6)
tracker.resume(checkpoint, model=model, optimizer=optimizer, scheduler=scheduler)
for epoch in range(checkpoint.epoch + 1, 11):
    train_epoch(epoch)

final = torch.load(sys.argv[1], weights_only=False)
ours = (model.state_dict(), optimizer.state_dict(), scheduler.state_dict())


def check(a, b):
    assert type(a) is type(b), (a, b)
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b)
    elif isinstance(a, dict):
        assert a.keys() == b.keys()
        [check(a[key], b[key]) for key in a]
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b)
        [check(x, y) for x, y in zip(a, b)]
    else:
        assert a == b, (a, b)


check(ours, final)
print("continued from", checkpoint.epoch)
"""


@dataclass(frozen=True)
class Trained:
    """A directory in which a training script ran, and the environment it ran in."""

    directory: Path
    variables: dict[str, str]

    def load(
        self, script: str, directory: Path, data: str = "expected.pt", *, cold: bool = False
    ) -> str:
        """Run a loading script in ``directory``; return what it printed."""
        file = directory / "load.py"
        file.write_text(script)
        return succeed(
            *(PYTHON, file, self.directory / data),
            directory=directory,
            variables=self.variables,
            cold=cold,
        ).strip()

    def times_trained(self) -> int:
        return len((self.directory / "trained.txt").read_text().splitlines())


def train(script: str, directory: Path, database: Path, *, cold: bool = False) -> Trained:
    (directory / "train.py").write_text(script)
    (directory / "mlflow.db").write_bytes(database.read_bytes())
    variables = environment(directory, MLFLOW_TRACKING_URI=f"sqlite:///{directory / 'mlflow.db'}")
    succeed(PYTHON, "train.py", directory=directory, variables=variables, cold=cold)
    return Trained(directory, variables)


@pytest.fixture(scope="module")
def simple(tmp_path_factory: pytest.TempPathFactory, database_template: Path) -> Trained:
    return train(SIMPLE, tmp_path_factory.mktemp("simple"), database_template, cold=True)


@pytest.fixture(scope="module")
def custom(tmp_path_factory: pytest.TempPathFactory, database_template: Path) -> Trained:
    return train(CUSTOM, tmp_path_factory.mktemp("custom"), database_template)


@pytest.fixture(scope="module")
def every_second_epoch(
    tmp_path_factory: pytest.TempPathFactory, database_template: Path
) -> Trained:
    return train(EVERY_SECOND_EPOCH, tmp_path_factory.mktemp("epochs"), database_template)


def test_a_simple_model_in_the_same_directory(simple: Trained) -> None:
    assert simple.load(LOAD_SIMPLE, simple.directory) == "10 3"
    assert simple.times_trained() == 1


def test_a_simple_model_in_another_directory(simple: Trained, tmp_path: Path) -> None:
    assert simple.load(LOAD_SIMPLE, tmp_path, cold=True) == "10 3"
    assert not (tmp_path / "trained.txt").exists()


def test_a_simple_model_where_another_script_has_the_name_of_the_training_script(
    simple: Trained, tmp_path: Path
) -> None:
    (tmp_path / "train.py").write_text(f"raise SystemExit('{NOT_RUN}')\n")
    assert simple.load(LOAD_SIMPLE, tmp_path) == "10 3"


def test_a_simple_model_where_another_script_of_the_same_name_has_another_class(
    simple: Trained, tmp_path: Path
) -> None:
    (tmp_path / "train.py").write_text(SIMPLE.replace("self.linear(x)", "2 * self.linear(x)"))
    assert simple.load(LOAD_SIMPLE, tmp_path) == "10 3"


def test_a_class_that_was_changed_after_training_is_loaded_with_a_warning(
    tmp_path: Path, database_template: Path
) -> None:
    trained = train(SIMPLE, tmp_path, database_template)
    edited = SIMPLE.replace("self.linear(x)", "2 * self.linear(x)")
    (tmp_path / "train.py").write_text(edited)
    assert trained.load(COUNT_WARNINGS, tmp_path) == "1 0"


def test_a_model_of_custom_layers_in_the_same_directory(custom: Trained) -> None:
    printed = custom.load(LOAD_CUSTOM, custom.directory)
    assert printed == "['MyCustomLayer', 'MyCustomLayer', 'MyCustomLayer'] 0.5"
    assert custom.times_trained() == 1


def test_a_model_of_custom_layers_in_another_directory(custom: Trained, tmp_path: Path) -> None:
    printed = custom.load(LOAD_CUSTOM, tmp_path)
    assert printed == "['MyCustomLayer', 'MyCustomLayer', 'MyCustomLayer'] 0.5"
    assert not (tmp_path / "trained.txt").exists()


def test_epoch_6_of_a_checkpoint_every_second_epoch(
    every_second_epoch: Trained, tmp_path: Path
) -> None:
    assert every_second_epoch.load(LOAD_EPOCH_6, tmp_path) == "[2, 4, 6, 8, 10]"


def test_training_resumed_from_epoch_6_ends_bit_for_bit_like_the_uninterrupted_one(
    every_second_epoch: Trained, tmp_path: Path
) -> None:
    printed = every_second_epoch.load(RESUME_FROM_6, tmp_path, "final.pt")
    assert printed == "continued from 6"
