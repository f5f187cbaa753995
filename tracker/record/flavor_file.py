"""The files by which MLflow's own tools accept a checkpoint as a model: ``MLmodel`` and others."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping

from mlflow import pyfunc
from mlflow.exceptions import MlflowException
from mlflow.models import Model
from torch import Tensor

from tracker.record.serving_example import (
    INPUT_FILE,
    SERVING_FILE,
    serving_example,
)
from tracker.types import Architecture, Json

LOADER = "tracker.flavor"

_CONDA, _PYTHON, _REQUIREMENTS = "conda.yaml", "python_env.yaml", "requirements.txt"
_log = logging.getLogger("tracker")


def flavor_files(
    model_id: str,
    run_id: str,
    architecture: Architecture,
    example: Json = None,
    fetch: Callable[[str], Tensor] | None = None,
    environment: Mapping[str, Json] | None = None,
) -> dict[str, bytes]:
    """Return ``MLmodel``, with flavors ``tracker`` and ``python_function``, and what it names.

    Args:
        model_id: The logged model.
        run_id: Its run.
        architecture: The model.
        example: An input and the output for it, as `tracker.example` records them. Where MLflow
            can express it, it becomes the signature and, if it is small, MLflow's input example.
        fetch: Returns a tensor of the example by name.
        environment: Versions as the manifest holds them. With them come the files from which
            MLflow makes an environment; they are given, for inferring them takes it seconds.
    """
    model = Model(run_id=run_id, model_id=model_id)
    model.add_flavor("tracker", model_class=architecture.model_class, model=architecture.model_text)
    files = {} if environment is None else _environment_files(environment)
    environments = {"conda_env": _CONDA, "python_env": _PYTHON} if files else {}
    pyfunc.add_to_model(model, loader_module=LOADER, **environments)
    if fetch is not None:
        files |= _describe(model, example, fetch)
    text: str = model.to_yaml()
    return {"MLmodel": text.encode(), **files}


def _describe(model: Model, example: Json, fetch: Callable[[str], Tensor]) -> dict[str, bytes]:
    """Tell in ``MLmodel`` what goes in and comes out; return the files of the example."""
    served = serving_example(example, fetch)
    if served is None:
        return {}
    try:
        model.signature = served.signature()
    except (MlflowException, TypeError, ValueError) as error:
        # No checkpoint may be lost for what MLflow's tools alone need.
        _log.info("MLflow has no signature for this example: %s", error)
        return {}
    files = served.files()
    if files:
        model.saved_input_example_info = {
            "artifact_path": INPUT_FILE,
            "type": "ndarray",
            "format": "tf-serving",
            "serving_input_path": SERVING_FILE,
        }
    return files


def _environment_files(environment: Mapping[str, Json]) -> dict[str, bytes]:
    python = str(environment.get("python", "3.11"))
    packages = environment.get("packages")
    known = packages if isinstance(packages, dict) else {}
    lines = [_requirement(name, version) for name, version in sorted(known.items())]
    listed = "".join(f"  - {line}\n" for line in lines)
    conda = (
        f"channels:\n- conda-forge\ndependencies:\n- python={python}\n- pip\n- pip:\n{listed}"
        "name: mlflow-env\n"
    )
    plain = (
        f"python: {python}\nbuild_dependencies:\n- pip\n- setuptools\n- wheel\n"
        f"dependencies:\n- -r {_REQUIREMENTS}\n"
    )
    return {
        _CONDA: conda.encode(),
        _PYTHON: plain.encode(),
        _REQUIREMENTS: "".join(f"{line}\n" for line in lines).encode(),
    }


def _requirement(name: str, version: Json) -> str:
    """Return a package as pip finds it: builds such as ``2.10.0+cpu`` are in no index."""
    if not re.fullmatch(r"[\w.\-]+", name):
        return "# a package of no known name"
    public = str(version or "").partition("+")[0]
    return f"{name}=={public}" if re.fullmatch(r"[\w.!]+", public) else name
