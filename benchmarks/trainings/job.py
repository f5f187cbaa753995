"""What is trained, the same in every framework: a network on scikit-learn's handwritten digits."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset, TensorDataset

BATCH = 64
LEARNING_RATE = 1e-3


@dataclass(frozen=True, slots=True)
class Job:
    """A training with a checkpoint at the end of every epoch.

    Attributes:
        way: ``none``: without checkpoints; ``own``: as the framework and MLflow offer them, with
            their files uploaded; ``tracker``.
        hidden: The width of the network.
        epochs: How many epochs, and so checkpoints.
        batches: How many batches of 64 images make an epoch.
    """

    way: str
    hidden: int
    epochs: int
    batches: int


class Net(nn.Module):
    """A perceptron with two wide layers; returns what the Trainer of Transformers expects."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Linear(64, hidden), nn.ReLU()),
            *(nn.Linear(hidden, hidden), nn.ReLU()),
            *(nn.Linear(hidden, hidden), nn.ReLU()),
            nn.Linear(hidden, 10),
        )

    def forward(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        logits = self.layers(images)
        return {"loss": functional.cross_entropy(logits, labels), "logits": logits}


def images_and_labels(job: Job) -> tuple[Tensor, Tensor]:
    """Return as many images as an epoch has, ``(n, 64)`` in 0..1, and labels ``(n,)``."""
    data = load_digits()
    count = job.batches * BATCH
    order = torch.arange(count) % len(data.target)
    images = torch.tensor(data.data, dtype=torch.float32)[order] / 16
    return images, torch.tensor(data.target)[order]


def loader(job: Job) -> DataLoader[tuple[Tensor, ...]]:
    return DataLoader(TensorDataset(*images_and_labels(job)), batch_size=BATCH, shuffle=True)


class NamedDataset(Dataset[dict[str, Tensor]]):
    """The same as dicts, by the names of the network's arguments."""

    def __init__(self, job: Job) -> None:
        self.images, self.labels = images_and_labels(job)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"images": self.images[index], "labels": self.labels[index]}


def optimizer_of(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
