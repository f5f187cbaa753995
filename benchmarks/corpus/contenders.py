"""The ways to store a model that are compared: each saves in one process and loads in another."""

from __future__ import annotations

import functools
import importlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from corpus.case import Case, Inputs

Facts = dict[str, Any]


class NotApplicableError(Exception):
    """A contender has no way to store this model."""


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to store a model.

    Attributes:
        save: Stores a model in a directory and returns what loading needs to know.
        load: Returns the model, and facts to report.
        environment: Variables that its processes get.
        whole: Whether it claims to bring back the model as an object; otherwise only weights and
            outputs are compared.
    """

    save: Callable[[nn.Module, Case, Inputs | None, Path], Facts]
    load: Callable[[Facts, Path], tuple[nn.Module, Facts]]
    environment: dict[str, str] = field(default_factory=dict)
    whole: bool = True


def _save_tracker(model: nn.Module, case: Case, inputs: Inputs | None, directory: Path) -> Facts:
    import mlflow

    import tracker

    with mlflow.start_run(run_name=case.name):
        checkpoint = tracker.log_checkpoint(model, epoch=0, wait=True).result()
    problems = [str(problem) for problem in checkpoint.architecture.problems]
    return {"id": checkpoint.id, "by": checkpoint.rebuild, "problems": problems}


def _load_tracker(saved: Facts, directory: Path) -> tuple[nn.Module, Facts]:
    """Load as a user would: what the error says to trust is trusted, and reported."""
    import tracker
    from tracker.errors import UntrustedCheckpointError

    trusted: list[str] = []
    while True:
        try:
            model = tracker.load_model(saved["id"], trust=trusted or None)
        except UntrustedCheckpointError as error:
            asked = re.search(r"trust='([^']+)'", str(error))
            if asked is None or asked[1] in trusted:
                raise
            trusted.append(asked[1])
        else:
            return model, {"trusted": trusted}


def _save_mlflow(
    format_name: str, model: nn.Module, case: Case, inputs: Inputs | None, directory: Path
) -> Facts:
    import mlflow.pytorch

    example: Any = None
    if format_name == "pt2":
        if inputs is None:
            raise NotApplicableError("no example input to trace it with")
        example = tuple(inputs.values()) if isinstance(inputs, dict) else inputs
    mlflow.pytorch.save_model(
        model,
        directory / "model",
        serialization_format=format_name,
        input_example=example,
        signature=None if example is None else _signature(example),
        pip_requirements=["torch"],  # or else it loads the model once more to find them
    )
    return {}


def _signature(example: tuple[Any, ...]) -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    return ModelSignature(
        Schema(
            [
                TensorSpec(value.numpy().dtype, tuple(value.shape), f"input_{index}")
                for index, value in enumerate(example)
            ]
        )
    )


def _load_mlflow(format_name: str, saved: Facts, directory: Path) -> tuple[nn.Module, Facts]:
    """Load it; a pickle only with the switch that allows code to run."""
    import mlflow.pytorch

    os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] = str(format_name == "pickle").lower()
    return mlflow.pytorch.load_model(str(directory / "model")), {}


def _save_torch(model: nn.Module, case: Case, inputs: Inputs | None, directory: Path) -> Facts:
    torch.save(model, directory / "model.pt")
    return {}


def _load_torch(saved: Facts, directory: Path) -> tuple[nn.Module, Facts]:
    return torch.load(directory / "model.pt", weights_only=True), {}


def _save_hub(model: nn.Module, case: Case, inputs: Inputs | None, directory: Path) -> Facts:
    """Store it as a user would who had written the mixin into the class."""
    if not isinstance(case.make, functools.partial) or not isinstance(case.make.func, type):
        raise NotApplicableError("it is not made by one call of its class")
    cls = case.make.func
    if hasattr(cls, "save_pretrained"):
        raise NotApplicableError("the class has its own save_pretrained")
    twin = _with_mixin(cls)(*case.make.args, **case.make.keywords)
    twin.load_state_dict(model.state_dict())
    twin.eval().save_pretrained(directory / "model")
    return {"class": f"{cls.__module__}:{cls.__qualname__}"}


def _load_hub(saved: Facts, directory: Path) -> tuple[nn.Module, Facts]:
    module, _, name = saved["class"].partition(":")
    cls = getattr(importlib.import_module(module), name)
    return _with_mixin(cls).from_pretrained(directory / "model").eval(), {}


def _with_mixin(cls: type) -> Any:
    from huggingface_hub import PyTorchModelHubMixin

    return type(cls.__name__, (cls, PyTorchModelHubMixin), {"__module__": cls.__module__})


def _mlflow(format_name: str, whole: bool) -> Contender:
    save = functools.partial(_save_mlflow, format_name)
    return Contender(save, functools.partial(_load_mlflow, format_name), whole=whole)


CONTENDERS = {
    "tracker": Contender(_save_tracker, _load_tracker),
    "tracker, unobserved": Contender(_save_tracker, _load_tracker, {"TRACKER_OBSERVE": "0"}),
    "PyTorchModelHubMixin": Contender(_save_hub, _load_hub, whole=False),
    "torch.save, weights_only": Contender(_save_torch, _load_torch),
    "mlflow pickle": _mlflow("pickle", whole=True),
    "mlflow pt2": _mlflow("pt2", whole=False),
}
