"""Who saves a model: tracker, what people do without it, and what the hardware allows.

A contender is started, which is no part of a save, and then saves again and again. Its save returns
when training may go on; what it returns says when the checkpoint is on the disk.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import mlflow
import torch
import torch.distributed.checkpoint as distributed
from torch import nn
from torch.distributed.checkpoint.staging import DefaultStager, StagingOptions

import tracker

ARTIFACTS = Path("mlruns")


class Pending(Protocol):
    """A checkpoint that is being written; futures are such."""

    def done(self) -> bool: ...

    def result(self) -> Any: ...


Save = Callable[[nn.Module, int], Pending]
"""Saves a model as checkpoint number so-and-so of a run."""


class Written:
    """A checkpoint whose bytes the system has: to wait for it is to wait for the disk."""

    def done(self) -> bool:
        return True

    def result(self) -> None:
        for path in ARTIFACTS.rglob("*"):
            if path.is_file():
                descriptor = os.open(path, os.O_RDONLY)
                os.fsync(descriptor)  # costs nothing for those that were synced before
                os.close(descriptor)


def start_run() -> None:
    """Start a run whose files lie here: the database is a copy, and names another folder."""
    where = ARTIFACTS.resolve()
    mlflow.set_experiment(experiment_id=mlflow.create_experiment(str(where), where.as_uri()))
    mlflow.start_run()


def start_tracker() -> Save:
    start_run()
    tracker.log_checkpoint(nn.Linear(1, 1), epoch=0, wait=True)  # opens the catalog
    return lambda model, number: tracker.log_checkpoint(model, epoch=number)


def start_torch_save() -> Save:
    start_run()
    mlflow.log_param("started", True)

    def save(model: nn.Module, number: int) -> Pending:
        torch.save(model.state_dict(), "state.pt")
        mlflow.log_artifact("state.pt", f"epoch-{number}")
        os.unlink("state.pt")
        return Written()

    return save


def start_log_model(**options: Any) -> Save:
    """As a traced graph, which is its default and needs an input; it finds out the requirements."""
    start_run()

    def save(model: nn.Module, number: int) -> Pending:
        example = torch.zeros(2, next(model.parameters()).shape[1]).numpy()
        mlflow.pytorch.log_model(
            model, name=f"epoch-{number}", step=number, input_example=example, **options
        )
        return Written()

    save(nn.Linear(1, 1), 0)
    return save


def start_log_model_pickled() -> Save:
    """As fast as it goes: neither a graph to trace, nor requirements to find out."""
    return start_log_model(serialization_format="pickle", pip_requirements=["torch"])


def start_async_save() -> Save:
    return lambda model, number: distributed.async_save(
        model.state_dict(), checkpoint_id=ARTIFACTS / f"epoch-{number}"
    )


def start_async_save_with_kept_memory() -> Save:
    """With a stager that is given and stays, as only experts know."""
    stager = DefaultStager(StagingOptions(False, False, False, False))
    return lambda model, number: distributed.async_save(
        model.state_dict(), checkpoint_id=ARTIFACTS / f"epoch-{number}", async_stager=stager
    )


def start_raw_write(*, sync: bool = False) -> Save:
    def save(model: nn.Module, number: int) -> Pending:
        with open(ARTIFACTS / f"epoch-{number}", "wb", buffering=0) as file:
            for parameter in model.parameters():
                data = parameter.detach().numpy().data.cast("B")
                while data:
                    data = data[file.write(data) :]
            if sync:
                os.fsync(file.fileno())
        return Written()

    return save


def start_memory_copy() -> Save:
    """Into memory that is kept, with all of torch's threads."""
    copies: list[torch.Tensor] = []

    def save(model: nn.Module, number: int) -> Pending:
        if not copies:
            copies.extend(torch.empty_like(parameter) for parameter in model.parameters())
        with torch.no_grad():
            for copy, parameter in zip(copies, model.parameters(), strict=True):
                copy.copy_(parameter)
        return Written()

    return save


TRACKER = "tracker"
TORCH_SAVE = "torch.save + mlflow.log_artifact"
LOG_MODEL = "mlflow.pytorch.log_model"
LOG_MODEL_PICKLED = "log_model, pickled, requirements given"
ASYNC_SAVE = "torch.distributed async_save"
ASYNC_SAVE_WITH_KEPT_MEMORY = "async_save, memory kept"
RAW_WRITE = "raw write"
SYNCED_WRITE = "raw write, each synced"
MEMORY_COPY = "memory copy"

CONTENDERS: dict[str, Callable[[], Save]] = {
    TRACKER: start_tracker,
    TORCH_SAVE: start_torch_save,
    LOG_MODEL: start_log_model,
    LOG_MODEL_PICKLED: start_log_model_pickled,
    ASYNC_SAVE: start_async_save,
    ASYNC_SAVE_WITH_KEPT_MEMORY: start_async_save_with_kept_memory,
    RAW_WRITE: start_raw_write,
    SYNCED_WRITE: partial(start_raw_write, sync=True),
    MEMORY_COPY: start_memory_copy,
}
