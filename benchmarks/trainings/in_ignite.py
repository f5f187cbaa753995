"""The training in Ignite."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mlflow
from ignite.engine import Engine, Events
from ignite.handlers import Checkpoint, DiskSaver
from ignite.handlers.mlflow_logger import MLflowLogger
from torch import Tensor

from trainings.job import Job, Net, loader, optimizer_of


def prepare(job: Job, experiment: str) -> Callable[[], Any]:
    """Return what trains: everything else is done."""
    mlflow.set_experiment(experiment)
    model = Net(job.hidden)
    optimizer = optimizer_of(model)

    def step(engine: Engine, batch: list[Tensor]) -> float:
        model.train()
        optimizer.zero_grad()
        loss = model(*batch)["loss"]
        loss.backward()
        optimizer.step()
        return loss.item()

    trainer = Engine(step)
    logger = MLflowLogger()
    logger.attach_output_handler(
        trainer, Events.EPOCH_COMPLETED, tag="train", output_transform=lambda x: {"loss": x}
    )
    to_save = {"model": model, "optimizer": optimizer, "trainer": trainer}
    if job.way == "own":
        saver = DiskSaver("checkpoints", create_dir=True)
        handler = Checkpoint(to_save, saver, n_saved=None)
        trainer.add_event_handler(Events.EPOCH_COMPLETED, handler)
        trainer.add_event_handler(
            Events.EPOCH_COMPLETED, lambda: mlflow.log_artifact(str(handler.last_checkpoint))
        )
    elif job.way == "tracker":
        from tracker.integrations.ignite import TrackerSaver

        handler = Checkpoint(to_save, TrackerSaver(to_save), n_saved=None)
        trainer.add_event_handler(Events.EPOCH_COMPLETED, handler)
    batches = loader(job)

    def train() -> None:
        trainer.run(batches, max_epochs=job.epochs)
        logger.close()  # ends the run, and finishes what is on its way there

    return train
