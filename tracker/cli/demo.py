"""``tracker demo``: train in one process, find the best epoch, rebuild it in another."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import click

from tracker.errors import StorageError, TrackerError


@click.command()
@click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("tracker-demo"),
    show_default=True,
    help="Where its database goes.",
)
@click.option("--epochs", type=click.IntRange(min=2), default=8, show_default=True)
def demo(directory: Path, epochs: int) -> None:
    """Train on handwritten digits, then rebuild the best model in another process."""
    from tracker import api
    from tracker.cli.checkpoint_table import print_checkpoints

    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"The folder {directory} can't be created: {error.strerror}.") from error
    database = directory.resolve() / "mlflow.db"
    uri = f"sqlite:///{database}"
    _use_only(uri)

    _say(f"1. Train {epochs} epochs on 1,197 images and log a checkpoint at each")
    _python("tracker.demo.train", "--epochs", str(epochs), directory=directory)

    run_id = api.get_checkpoint(experiment="digits").run_id
    best = api.best_checkpoint("val_loss", run_id=run_id)
    _say("2. The checkpoints, the best marked")
    print_checkpoints(
        api.search_checkpoints(run_id=run_id, order_by=["attributes.epoch ASC"]), best=best.id
    )

    click.echo(f"Best val_loss: {best.metrics['val_loss']:.6f} at epoch {best.epoch}.")

    earlier = _another_epoch(best.epoch, epochs)
    _say(f"3. Rebuild epochs {best.epoch} (best) and {earlier} in a process that never trained")
    chosen = [str(best.epoch), str(earlier)]
    _python("tracker.demo.evaluate", "--run", run_id, "--epochs", *chosen, directory=directory)

    _say("What you would write")
    click.echo(
        "  import tracker\n"
        '  model = tracker.best_checkpoint("val_loss", experiment="digits").load_model()\n'
        f"(in Python started from {directory}, or anywhere with MLFLOW_TRACKING_URI={uri})"
    )
    _say("See it in MLflow")
    click.echo(f"  {_command('mlflow')} ui --backend-store-uri {uri}")


def _use_only(uri: str) -> None:
    """Keep the demo, and the processes it starts, out of whatever the user has configured."""
    for name in list(os.environ):
        if name.startswith(("MLFLOW_", "TRACKER_CATALOG")):
            del os.environ[name]
    os.environ["MLFLOW_TRACKING_URI"] = uri
    os.environ["MLFLOW_LOGGING_LEVEL"] = "WARNING"


def _another_epoch(best: int | None, epochs: int) -> int:
    middle = epochs // 2
    return middle - 1 if best == middle else middle


def _python(module: str, *arguments: str, directory: Path) -> None:
    done = subprocess.run([sys.executable, "-m", module, *arguments], cwd=directory, check=False)
    if done.returncode:
        raise TrackerError(f"python -m {module} failed with exit status {done.returncode}.")


def _command(name: str) -> str:
    """Return how a command of this environment is called: by its path if it is not on PATH."""
    beside = Path(sys.executable).with_name(name)
    found = shutil.which(name)
    return name if found and Path(found) == beside else str(beside)


def _say(text: str) -> None:
    click.secho(f"\n{text}", bold=True)
