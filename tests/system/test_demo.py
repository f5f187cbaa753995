"""``tracker demo`` as somebody runs it who has just installed the package."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from .processes import TRACKER, Finished, environment, run, tracker_json

pytestmark = pytest.mark.system


@dataclass(frozen=True)
class Demo:
    """What ``tracker demo`` left behind; the user's own MLflow was configured to be elsewhere."""

    directory: Path
    variables: dict[str, str]
    finished: Finished


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory, database_template: Path) -> Demo:
    directory = tmp_path_factory.mktemp("demo")
    shutil.copy(database_template, directory / "own.db")
    own = f"sqlite:///{directory / 'own.db'}"
    variables = environment(
        directory,
        MLFLOW_TRACKING_URI=own,
        MLFLOW_EXPERIMENT_NAME="the user's own",
        TRACKER_CATALOG_URI=own,
    )
    command = (TRACKER, "demo", "--epochs", "2")
    finished = run(*command, directory=directory, variables=variables, cold=True)
    return Demo(directory / "tracker-demo", environment(directory), finished)


def test_it_says_that_the_rebuilt_models_are_exactly_the_same(demo: Demo) -> None:
    assert demo.finished.returncode == 0, demo.finished.stderr
    assert demo.finished.stdout.count("exactly the same") == 4
    assert "DIFFERENT" not in demo.finished.stdout
    assert 'tracker.best_checkpoint("val_loss", experiment="digits")' in demo.finished.stdout
    assert "Traceback" not in demo.finished.stderr


def test_it_does_not_touch_what_the_user_has_configured(
    demo: Demo, database_template: Path
) -> None:
    assert (demo.directory / "mlflow.db").exists()
    own = demo.directory.parent / "own.db"
    assert own.read_bytes() == database_template.read_bytes()


def test_its_checkpoints_are_found_from_its_directory(demo: Demo) -> None:
    listed = tracker_json("list", directory=demo.directory, variables=demo.variables)
    assert [each["epoch"] for each in listed] == [1, 0]

    best = tracker_json("best", "val_loss", directory=demo.directory, variables=demo.variables)
    assert best["metrics"]["val_loss"] == min(each["metrics"]["val_loss"] for each in listed)
    assert best["model"] == "DigitsNet(channels=24, depth=2, dropout=0.2)"
