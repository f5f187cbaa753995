"""Every command: what it prints, as text and as JSON, and how it fails."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import mlflow
import pytest
from click.testing import CliRunner, Result

from tests.models import Anything, Net
from tests.training import log
from tracker import Checkpoint, __version__
from tracker.cli import cli
from tracker.cli.printing import size

pytestmark = pytest.mark.usefixtures("workplace", "forking")

ROOT = Path(__file__).parents[2]


def commands(group: click.Group = cli, prefix: tuple[str, ...] = ()) -> dict[str, click.Command]:
    found: dict[str, click.Command] = {}
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            found.update(commands(command, (*prefix, name)))
        else:
            found[" ".join((*prefix, name))] = command
    return found


def invoke(*arguments: str) -> Result:
    done = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done


def process(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tracker", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def history() -> list[Checkpoint]:
    mlflow.set_experiment("digits")
    with mlflow.start_run():
        return [
            log(
                Net(hidden=4, depth=2),
                epoch=epoch,
                metrics={"val_loss": loss, "acc": 1 - loss},
                tags={"note": "[bold]x[/]"},
            )
            for epoch, loss in enumerate([0.5, math.nan, math.inf, 0.25])
        ]


def test_the_commands_are_these() -> None:
    assert sorted(commands()) == [
        *("best", "check", "collect", "db upgrade", "demo", "diff", "doctor", "export", "import"),
        *("list", "models", "promote", "prune", "pull", "register", "reindex"),
        *("runs", "search", "serve", "show", "sync", "verify"),
    ]


@pytest.mark.parametrize("name", commands())
def test_every_command_and_option_has_a_help_text(name: str) -> None:
    command = commands()[name]
    assert command.help
    assert command.help.splitlines()[0].endswith((".", ","))
    for parameter in command.params:
        if isinstance(parameter, click.Option) and parameter.name != "epochs":
            assert parameter.help, f"{name} {parameter.opts}"
    for flag in ("--help", "-h"):
        assert invoke(*name.split(), flag).output.startswith(f"Usage: cli {name}")


@pytest.mark.parametrize("name", commands())
def test_every_command_is_in_the_documentation(name: str) -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    assert any(f"tracker {name}" in page.read_text() for page in pages), f"tracker {name}"


def test_the_version_is_printed() -> None:
    assert invoke("--version").output == f"tracker, version {__version__}\n"


def test_list_shows_the_newest_first(history: list[Checkpoint]) -> None:
    header, *rows = invoke("list").output.splitlines()
    assert header.split() == [
        *("ID EXPERIMENT RUN EPOCH acc val_loss MODEL SIZE CREATED (UTC)".split())
    ]
    assert [row.split()[3] for row in rows] == ["3", "2", "1", "0"]
    assert rows[0].split()[:6] == [
        *(history[3].id[:10], "digits", history[3].run_id[:8], "3", "0.75", "0.25")
    ]
    assert "nan" in rows[2]
    assert "inf" in rows[1]
    assert "Net(hidden=4, depth=2)" in rows[0]


def test_list_takes_a_scope_an_order_and_a_limit(history: list[Checkpoint]) -> None:
    def epochs(*arguments: str) -> list[int]:
        return [found["epoch"] for found in json.loads(invoke("list", "--json", *arguments).stdout)]

    assert epochs() == [3, 2, 1, 0]
    assert epochs("--limit", "1") == [3]
    assert epochs("--filter", "metrics.val_loss < 0.4") == [3]
    assert epochs("--order-by", "attributes.epoch ASC") == [0, 1, 2, 3]
    assert epochs("--experiment", "digits", "--run", history[0].run_id) == [3, 2, 1, 0]


def test_a_list_of_nothing_says_so_beside_the_output(history: list[Checkpoint]) -> None:
    done = invoke("list", "--filter", "attributes.epoch > 9")
    assert done.stdout == ""
    assert done.stderr == "No checkpoint matches.\n"
    assert json.loads(invoke("list", "--filter", "attributes.epoch > 9", "--json").stdout) == []


def refuse(text: str) -> None:
    raise AssertionError(f"{text} is no JSON")


def test_json_is_json_even_of_nan_and_infinity(history: list[Checkpoint]) -> None:
    listed = json.loads(invoke("list", "--json").stdout, parse_constant=refuse)
    assert [found["metrics"]["val_loss"] for found in listed] == [0.25, "Infinity", "NaN", 0.5]
    assert listed[1]["metrics"]["acc"] == "-Infinity"


def test_json_of_one_checkpoint_holds_everything(history: list[Checkpoint]) -> None:
    shown = json.loads(invoke("show", history[3].id[:12], "--json").stdout)
    best = json.loads(invoke("best", "val_loss", "--json").stdout)
    load = shown.pop("load")
    assert load["loads"], load["error"]
    assert load["classes"] == {"tests.models:Net": load["classes"]["tests.models:Net"]}
    assert shown == best
    checkpoint = history[3]
    assert shown == {
        "id": checkpoint.id,
        "run_id": checkpoint.run_id,
        "experiment": "digits",
        "name": "epoch-3",
        "epoch": 3,
        "step": None,
        "metrics": {"acc": 0.75, "val_loss": 0.25},
        "params": {"hidden": "4", "depth": "2", "act": "relu", "bias": "True"},
        "tags": {"note": "[bold]x[/]"},
        "model_class": "tests.models:Net",
        "model": "Net(hidden=4, depth=2)",
        "rebuild": "constructor",
        "size": checkpoint.size,
        "created_at": checkpoint.created_at.isoformat(),
        "artifact_uri": checkpoint.record.artifact_uri,
    }


def test_show_prints_everything_and_the_lines_that_load_it(history: list[Checkpoint]) -> None:
    output = invoke("show", f"runs:/{history[3].run_id}/epoch-3").output
    for text in ("Net(hidden=4, depth=2)", "constructor", "digits", "[bold]x[/]"):
        assert text in output
    assert "\n\nepoch-3 of run " in output
    assert "\nrebuilt: by its constructor, " in output
    assert output.endswith(f'\nimport tracker\nmodel = tracker.load_model("{history[3].id}")\n')


def test_best_takes_a_mode_and_a_scope(history: list[Checkpoint]) -> None:
    def epoch(*arguments: str) -> Any:
        return json.loads(invoke("best", *arguments, "--json").stdout)["epoch"]

    assert epoch("val_loss") == 3
    assert epoch("val_loss", "--mode", "max") == 2
    assert epoch("val_loss", "--filter", "attributes.epoch < 3", "--experiment", "digits") == 0


def test_export_writes_a_file_and_says_what_it_holds(
    history: list[Checkpoint], workplace: Path
) -> None:
    from safetensors.torch import load_file

    file = workplace / "out.safetensors"
    assert invoke("export", history[3].id, str(file)).output == (
        f"{file} ({size(file.stat().st_size)}): the weights of epoch-3, Net(hidden=4, depth=2)\n"
    )
    assert load_file(file).keys() == history[3].load_state_dict().keys()
    done = json.loads(invoke("export", history[3].id, str(file), "--json").stdout)
    assert done == {"id": history[3].id, "path": str(file), "size": file.stat().st_size}


def test_reindex_counts(history: list[Checkpoint]) -> None:
    for option in ([], ["--anew"]):
        assert invoke("reindex", *option).output == "4 checkpoints are in the catalog.\n"
    assert json.loads(invoke("reindex", "--json").stdout) == {"checkpoints": 4}


def test_db_upgrade_names_the_database_and_its_schema() -> None:
    done = json.loads(invoke("db", "upgrade", "--json").stdout)
    assert done["uri"] == "sqlite:///mlflow.db"
    assert invoke("db", "upgrade").output == (
        f"sqlite:///mlflow.db: the catalog is at schema {done['revision']}.\n"
    )


def test_doctor_prints_findings(history: list[Checkpoint]) -> None:
    lines = invoke("doctor").output.splitlines()
    assert all(line.startswith("ok") for line in lines)
    found = json.loads(invoke("doctor", "--json").stdout)
    assert found[0]["name"] == "tracking store"
    assert len(found) == len(lines)


def test_doctor_fails_where_something_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKER_CATALOG_URI", "mysql://nowhere/x")
    done = CliRunner().invoke(cli, ["doctor"])
    assert done.exit_code == 1
    assert "FAILS catalog" in done.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["list", "--experiment", "nope"], "Experiments: digits."),
        (["list", "--filter", "metrics.x <"], "<"),
        (["list", "--run", "nope"], "The newest runs"),
        (["best", "acc_"], "Metrics: acc, val_loss."),
        (["show", "m-zzz"], "The newest: m-"),
        (["show", "/tmp/x.pt"], "expected a Checkpoint"),
        (["export", "m-", "out"], "several ids"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_an_error_is_one_message_without_a_traceback_and_the_status_is_1(
    history: list[Checkpoint], arguments: list[str], message: str
) -> None:
    done = process(*arguments)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("Error: ")
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_an_export_that_fails_is_a_message_too(history: list[Checkpoint]) -> None:
    done = process("export", history[0].id, "mlflow.db/out.safetensors")
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments", [["nope"], ["list", "--limit", "0"], ["best"], ["list", "--x"]]
)
def test_a_wrong_call_prints_the_usage(arguments: list[str]) -> None:
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 2
    assert "Usage: " in done.output


def test_notes_of_an_error_are_printed(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    from tracker import api
    from tracker.cli import main
    from tracker.errors import CatalogError

    error = CatalogError("the disk is full")
    error.add_note("Try again.")

    def fail(seen: object, *, anew: bool) -> int:
        raise error

    monkeypatch.setattr(api, "reindex", fail)
    monkeypatch.setattr(sys, "argv", ["tracker", "reindex"])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 1
    assert capsys.readouterr().err == "Error: the disk is full\nTry again.\n"


def test_output_in_a_pipe_is_plain_text_without_trailing_blanks(history: list[Checkpoint]) -> None:
    long = "x" * 3000
    checkpoint = log(Anything(text=long), epoch=9, metrics={f"metric_{i}": 1.0 for i in range(9)})
    for arguments in (["list"], ["show", checkpoint.id], ["show", history[0].id]):
        done = process(*arguments)
        assert done.returncode == 0
        assert done.stderr == ""
        assert "\x1b" not in done.stdout
        assert [line for line in done.stdout.splitlines() if line != line.rstrip()] == []
        assert not done.stdout.endswith("\n\n")
    assert re.search(f"^param text +{long}$", process("show", checkpoint.id).stdout, re.MULTILINE)


def test_a_reader_that_stops_reading_is_no_traceback(history: list[Checkpoint]) -> None:
    command = f"{sys.executable} -m tracker list --json | head -c 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.stdout == "["
    assert "Traceback" not in done.stderr


def test_python_m_tracker_is_the_command(tmp_path: Path) -> None:
    done = process("--version")
    assert done.stdout == f"tracker, version {__version__}\n"


def test_a_demo_directory_that_can_not_be_made_is_an_error(workplace: Path) -> None:
    done = process("demo", "--directory", str(workplace / "mlflow.db" / "x"))
    assert done.returncode == 1
    assert "can't be created" in done.stderr
    assert "Traceback" not in done.stderr
