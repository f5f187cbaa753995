"""The training in Lightning."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.loggers import MLFlowLogger
from torch import Tensor

from trainings.job import Job, Net, loader, optimizer_of


class Module(LightningModule):
    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.net = Net(hidden)

    def training_step(self, batch: list[Tensor], index: int) -> Tensor:
        loss = self.net(*batch)["loss"]
        self.log("train_loss", loss, on_step=False, on_epoch=True)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return optimizer_of(self)


def prepare(job: Job, experiment: str) -> Callable[[], Any]:
    """Return what trains: everything else is done."""
    callbacks: list[Callback] = []
    if job.way == "own":
        callbacks.append(ModelCheckpoint(dirpath="checkpoints", save_top_k=-1))
    elif job.way == "tracker":
        from tracker.integrations.lightning import TrackerCheckpoint

        callbacks.append(TrackerCheckpoint(save_top_k=-1))
    logger = MLFlowLogger(
        experiment_name=experiment,
        tracking_uri="sqlite:///mlflow.db",
        log_model="all" if job.way == "own" else False,
    )
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=job.epochs,
        logger=logger,
        callbacks=callbacks,
        enable_checkpointing=job.way != "none",
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=job.batches,
    )
    module, batches = Module(job.hidden), loader(job)
    return lambda: trainer.fit(module, batches)
