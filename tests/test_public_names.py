"""The public names are a promise, and importing them is cheap."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import tracker
from tracker import api

from .training import log

DOCUMENTED = [
    "Checkpoint",
    "CheckpointDiff",
    "LoadReport",
    "PendingCheckpoint",
    "RegisteredModel",
    "RegisteredVersion",
    "ResumeReport",
    "Retention",
    "TrackerError",
    "__version__",
    "autolog",
    "best_checkpoint",
    "best_checkpoints",
    "best_of_each_run",
    "delete_alias",
    "flush",
    "get_checkpoint",
    "import_checkpoints",
    "load_model",
    "log_checkpoint",
    "pareto_checkpoints",
    "promote",
    "reconstruct_with",
    "register",
    "registered_models",
    "registered_versions",
    "resume",
    "resume_latest",
    "rollback",
    "search_checkpoints",
    "set_alias",
    "verify_resume",
]


def modules_after(statement: str, directory: Path) -> set[str]:
    """Run a statement in a new process and return the packages that it imported."""
    program = f"import sys\ntry:\n    {statement}\nexcept SystemExit:\n    pass\n"
    program += "print('\\n'.join({n.split('.')[0] for n in sys.modules}))"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=directory, capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_the_public_names_are_exactly_the_documented_ones_in_order() -> None:
    assert tracker.__all__ == DOCUMENTED == sorted(DOCUMENTED)


@pytest.mark.parametrize("name", DOCUMENTED)
def test_every_public_name_resolves_and_is_documented(name: str) -> None:
    value = getattr(tracker, name)
    if name != "__version__":
        assert inspect.getdoc(value)
        assert value.__name__ == name


def test_every_public_name_is_found_where_it_is_said_to_live() -> None:
    for name, home in tracker._HOMES.items():
        assert getattr(importlib.import_module(home), name) is getattr(tracker, name)
    assert set(tracker._HOMES) == set(DOCUMENTED) - {"__version__"}


def test_dir_shows_the_names_that_were_not_used_yet() -> None:
    assert set(DOCUMENTED) <= set(dir(tracker))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'tracker' has no attribute 'save'"):
        tracker.save  # noqa: B018


def test_every_public_function_has_an_example_and_takes_options_by_name_only() -> None:
    for name in set(DOCUMENTED) - {"Checkpoint", "PendingCheckpoint", "TrackerError", "flush"}:
        value = getattr(tracker, name)
        if callable(value) and name != "get_checkpoint":
            assert "Example:" in (inspect.getdoc(value) or ""), name
    parameters = inspect.signature(api.log_checkpoint).parameters.values()
    assert [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY] == ["model"]


def test_importing_tracker_imports_neither_torch_nor_mlflow(tmp_path: Path) -> None:
    imported = modules_after("import tracker", tmp_path)
    assert "tracker" in imported
    assert not imported & {"torch", "mlflow", "numpy", "sqlalchemy", "click"}


@pytest.mark.parametrize("arguments", [["--help"], ["list", "--help"], ["--version"]])
def test_help_imports_neither_torch_nor_mlflow(tmp_path: Path, arguments: list[str]) -> None:
    statement = f"sys.argv[1:] = {arguments!r}; from tracker.cli import main; main()"
    assert not modules_after(statement, tmp_path) & {"torch", "mlflow", "sqlalchemy"}


def test_listing_imports_neither_torch_nor_mlflow(workplace: Path) -> None:
    log(epoch=6, metrics={"val_loss": 0.5})
    for arguments in (["list", "--json"], ["best", "val_loss"], ["show", "m-", "--json"]):
        statement = f"sys.argv[1:] = {arguments!r}; from tracker.cli import main; main()"
        imported = modules_after(statement, workplace)
        assert "tracker" in imported
        assert not imported & {"torch", "mlflow"}


def test_loading_the_best_or_that_of_an_id_imports_no_sqlalchemy(workplace: Path) -> None:
    found = log(epoch=6, metrics={"val_loss": 0.5}).id
    best = "tracker.best_checkpoint('val_loss', experiment='Default')"
    statement = f"import torch, tracker; {best}.load_model(); tracker.load_model('{found}')"
    imported = modules_after(statement, workplace)
    assert "torch" in imported
    assert not imported & {"sqlalchemy", "alembic", "mlflow"}


def test_torch_imported_later_is_observed(tmp_path: Path) -> None:
    program = textwrap.dedent(
        """
        import tracker
        import torch
        model = torch.nn.Linear(2, 3)
        from tracker.architecture.observe import observed_call
        assert observed_call(model).args == (2, 3)
        """
    )
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True)
