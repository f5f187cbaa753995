"""LightningModules as people write them, and their training on handwritten digits."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import lightning
import torch
import torchmetrics
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset
from torchdata.stateful_dataloader import StatefulDataLoader

from tracker.demo.digits import digits

for name in ("lightning.pytorch", "lightning.fabric"):
    logging.getLogger(name).setLevel(logging.ERROR)

BATCHES = 4
"""Batches of an epoch."""


class Backbone(nn.Module):
    """A part that is given to the module's constructor."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(64, hidden), nn.ReLU(), nn.Dropout(0.2))
        self.hidden = hidden

    def forward(self, images: Tensor) -> Tensor:
        return self.net(images)


class Classifier(lightning.LightningModule):
    """Never calls save_hyperparameters(); has metrics as modules, dropout and a schedule."""

    def __init__(self, backbone: nn.Module, *, classes: int = 10, lr: float = 1e-2) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(backbone.hidden, classes)
        self.lr = lr
        self.train_accuracy = torchmetrics.Accuracy(task="multiclass", num_classes=classes)
        self.val_accuracy = torchmetrics.Accuracy(task="multiclass", num_classes=classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.backbone(images))

    def training_step(self, batch: Any, index: int) -> Tensor:
        images, labels = batch
        logits = self(images)
        loss = functional.cross_entropy(logits, labels)
        self.train_accuracy(logits, labels)
        self.log("train_accuracy", self.train_accuracy, on_epoch=True, on_step=False)
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch: Any, index: int) -> None:
        images, labels = batch
        logits = self(images)
        self.val_accuracy(logits, labels)
        self.log("val_accuracy", self.val_accuracy)
        self.log("val_loss", functional.cross_entropy(logits, labels))

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.Adam(self.parameters(), lr=self.lr)
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 2)]


class TwoOptimizers(lightning.LightningModule):
    """Steps two optimizers by itself."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.features, self.head = nn.Linear(64, width), nn.Linear(width, 10)

    def training_step(self, batch: Any, index: int) -> None:
        images, labels = batch
        for optimizer in self.optimizers():
            self.toggle_optimizer(optimizer)
            loss = functional.cross_entropy(self.head(self.features(images.flatten(1))), labels)
            optimizer.zero_grad()
            self.manual_backward(loss)
            optimizer.step()
            self.untoggle_optimizer(optimizer)
        self.log("loss", loss)
        self.lr_schedulers().step()

    def configure_optimizers(self) -> Any:
        adam = torch.optim.Adam(self.features.parameters())
        sgd = torch.optim.SGD(self.head.parameters(), lr=0.1, momentum=0.9)
        return [adam, sgd], [torch.optim.lr_scheduler.StepLR(adam, 3)]


class WithHyperparameters(Classifier):
    """Calls save_hyperparameters()."""

    def __init__(self, hidden: int = 8, options: Any = None) -> None:
        super().__init__(Backbone(hidden))
        self.save_hyperparameters()


class ChangesItsDump(Classifier):
    """Leaves frozen weights out of Lightning's dump, and puts in what has no plain form."""

    strict_loading = False

    def __init__(self) -> None:
        super().__init__(Backbone(8))
        self.frozen = nn.Linear(3, 3).requires_grad_(False)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        for key in [key for key in checkpoint["state_dict"] if key.startswith("frozen")]:
            del checkpoint["state_dict"][key]
        checkpoint["notes"] = {"seen": {1, 2}, "function": lambda: None}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.loaded_notes = checkpoint["notes"]
        self.loaded_keys = set(checkpoint["state_dict"])


def classifier() -> Classifier:
    return Classifier(Backbone(8))


def loaders(kind: type[Any] = DataLoader) -> tuple[Any, Any]:
    """Return a shuffled loader of four batches, and one to validate with."""
    train, val = digits()["train"], digits()["val"]
    images = TensorDataset(train.images[: 64 * BATCHES], train.labels[: 64 * BATCHES])
    return kind(images, batch_size=64, shuffle=True), DataLoader(TensorDataset(*val), 300)


def stateful_loaders() -> tuple[Any, Any]:
    return loaders(StatefulDataLoader)


def fit(
    module: Any,
    *callbacks: Any,
    epochs: int = 3,
    seed: int = 0,
    ckpt_path: str | None = None,
    data: Sequence[Any] | None = None,
    **arguments: Any,
) -> lightning.Trainer:
    """Train and return the Trainer; ``module`` may be a function, called after seeding."""
    lightning.seed_everything(seed, verbose=False)
    trainer = lightning.Trainer(
        max_epochs=epochs,
        callbacks=list(callbacks),
        **{
            "accelerator": "cpu",
            "enable_model_summary": False,
            "enable_progress_bar": False,
            "logger": False,
            "log_every_n_steps": 1,
            **arguments,
        },
    )
    built = module if isinstance(module, nn.Module) else module()
    trainer.fit(built, *(data or loaders()), ckpt_path=ckpt_path)
    return trainer
