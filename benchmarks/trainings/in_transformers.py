"""The training with the Trainer of Transformers."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from transformers import Trainer, TrainerCallback, TrainingArguments

from trainings.job import BATCH, LEARNING_RATE, Job, NamedDataset, Net


def prepare(job: Job, experiment: str) -> Callable[[], Any]:
    """Return what trains: everything else is done."""
    os.environ["MLFLOW_EXPERIMENT_NAME"] = experiment
    os.environ["HF_MLFLOW_LOG_ARTIFACTS"] = str(job.way == "own")
    callbacks: list[TrainerCallback] = []
    if job.way == "tracker":
        from tracker.integrations.transformers import TrackerCallback

        callbacks.append(TrackerCallback(checkpoint_folders=False))
    arguments = TrainingArguments(
        "checkpoints",
        num_train_epochs=job.epochs,
        per_device_train_batch_size=BATCH,
        learning_rate=LEARNING_RATE,
        save_strategy="no" if job.way == "none" else "epoch",
        logging_strategy="epoch",
        report_to="mlflow",
        use_cpu=True,
        disable_tqdm=True,
    )
    trainer = Trainer(
        Net(job.hidden), arguments, train_dataset=NamedDataset(job), callbacks=callbacks
    )
    return trainer.train
