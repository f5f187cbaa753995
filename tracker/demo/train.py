"""An ordinary training script; tracker is its last two statements."""

from __future__ import annotations

import argparse

import mlflow
import torch
from rich.progress import track
from torch import Tensor, nn
from torch.nn import functional

import tracker
from tracker.demo.digits import digits, evaluate


class ResidualBlock(nn.Module):
    """Two convolutions around a shortcut: a layer class of one's own."""

    def __init__(self, channels: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm = nn.BatchNorm2d(channels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` plus what the block learnt, same shape."""
        inner = functional.relu(self.norm(self.first(x)))
        out: Tensor = x + self.dropout(self.second(inner))
        return out


class DigitsNet(nn.Module):
    """A small convolutional network for 8 by 8 images."""

    def __init__(self, channels: int, depth: int, *, dropout: float = 0.1, classes: int = 10):
        super().__init__()
        self.stem = nn.Conv2d(1, channels, 3, padding=1)
        self.blocks = nn.Sequential(
            *(ResidualBlock(channels, dropout=dropout) for _ in range(depth))
        )
        self.head = nn.Linear(channels * 16, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits ``(n, classes)`` of images ``(n, 1, 8, 8)``."""
        features = functional.max_pool2d(self.blocks(functional.relu(self.stem(images))), 2)
        logits: Tensor = self.head(features.flatten(1))
        return logits


def main(epochs: int) -> None:
    """Train and log a checkpoint at every epoch."""
    torch.manual_seed(0)
    data = digits()
    model = DigitsNet(channels=24, depth=2, dropout=0.2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs)
    images, labels = data["train"]
    for epoch in track(range(epochs), description="training"):
        model.train()
        for batch in torch.randperm(len(labels)).split(64):  # type: ignore[no-untyped-call]
            loss = functional.cross_entropy(model(images[batch]), labels[batch])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        scheduler.step()
        model.eval()
        val_loss, val_accuracy = evaluate(model, data["val"])
        _, test_accuracy = evaluate(model, data["test"])
        tracker.log_checkpoint(
            model,
            epoch=epoch,
            metrics={
                "val_loss": val_loss,
                "val_accuracy": val_accuracy,
                "test_accuracy": test_accuracy,
            },
            optimizer=optimizer,
            scheduler=scheduler,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, required=True)
    arguments = parser.parse_args()
    mlflow.set_experiment("digits")
    # Without it MLflow's page opens in the view for language models.
    mlflow.set_experiment_tag("mlflow.experimentKind", "custom_model_development")
    with mlflow.start_run():
        main(arguments.epochs)
