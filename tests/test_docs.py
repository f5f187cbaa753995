"""The examples in README and docs run as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from tests.system.processes import PYTHON, environment, finish, free_port, start, succeed

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def python_blocks(text: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


@pytest.mark.system
def test_the_readme_trains_loads_and_resumes(tmp_path: Path) -> None:
    train, load, resume, find = python_blocks(README)
    _run(tmp_path, "train.py", train, cold=True)
    assert "Net(" in _run(tmp_path, "load.py", f"{load}\nprint(model)")
    assert _run(tmp_path, "find.py", find) == ""
    # The trained model and optimizer of the first block are what the third one resumes.
    assert _run(tmp_path, "again.py", f"{train}\n{resume}").startswith("3 {'val_loss':")


@pytest.mark.system
def test_the_guide_to_the_registry_runs_after_the_readmes_training(tmp_path: Path) -> None:
    guide = (ROOT / "docs" / "registry.md").read_text()
    blocks = "\n".join(python_blocks(guide))
    printed = _run(tmp_path, "train.py", f"{python_blocks(README)[0]}\n{blocks}")
    assert printed.startswith("models:/sum-net/1 ")
    assert printed.endswith("(2, 1)\n")


@pytest.mark.system
def test_the_guide_to_importing_runs(tmp_path: Path) -> None:
    guide = (ROOT / "docs" / "importing.md").read_text()
    printed = _run(tmp_path, "old.py", "\n".join(python_blocks(guide)))
    assert printed.startswith("imported 0 {'val_loss': 0.3}\nimported 1 ")


@pytest.mark.system
def test_the_guide_to_resuming_goes_on_where_it_was(tmp_path: Path) -> None:
    guide = python_blocks((ROOT / "docs" / "resuming.md").read_text())
    assert _run(tmp_path, "train.py", guide[0].replace("0, 5)", "0, 3)")) == "2\n"
    printed = _run(tmp_path, "train.py", "\n".join(guide))
    assert printed.startswith("went on after epoch 2\nresume is not exact")
    assert printed.endswith("['batches', 'noise']\n")


@pytest.mark.system
def test_the_guide_to_retention_runs(tmp_path: Path) -> None:
    guide = (ROOT / "docs" / "retention.md").read_text()
    printed = _run(tmp_path, "train.py", "\n".join(python_blocks(guide)))
    assert printed == "[0, 4, 10, 11]\n[12, 13]\n"
    assert all(f"prints `{line}`" in guide for line in printed.splitlines())


@pytest.mark.system
def test_the_guide_to_lightning_trains_resumes_and_logs_by_itself(tmp_path: Path) -> None:
    guide = (ROOT / "docs" / "lightning.md").read_text()
    printed = _run(tmp_path, "train.py", "\n".join(python_blocks(guide)))
    assert re.search(r"^runs:/[0-9a-f]{32}/epoch-2-step-57$", printed, re.MULTILINE)
    assert re.search(r"^tensor\(True\)$", printed, re.MULTILINE)
    assert printed.endswith("Classifier(hidden=16)\n")


@pytest.mark.system
def test_the_guide_to_transformers_runs(tmp_path: Path) -> None:
    guide = (ROOT / "docs" / "transformers.md").read_text()
    printed = _run(tmp_path, "train.py", "\n".join(python_blocks(guide)))
    own = [line for line in printed.splitlines() if not line.startswith("{")]
    assert own == ["3 ViTForImageClassification", "equal: True", "PeftModel"]


@pytest.mark.system
def test_the_guide_to_ignite_trains_and_goes_on(tmp_path: Path) -> None:
    guide = (ROOT / "docs" / "ignite.md").read_text()
    printed = _run(tmp_path, "train.py", "\n".join(python_blocks(guide)))
    assert printed.splitlines() == [
        "went on after None",
        "Net(hidden=32) True",
        "went on after 3",
    ]


@pytest.mark.system
def test_the_guide_to_several_processes_trains_in_two_and_loads_in_one(tmp_path: Path) -> None:
    guide = (ROOT / "docs" / "distributed.md").read_text()
    train, load = python_blocks(guide)
    (tmp_path / "train.py").write_text(train)
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "2"}
    ranks = [
        start(
            PYTHON,
            "train.py",
            directory=tmp_path,
            variables=environment(tmp_path, **meeting, RANK=str(rank)),
        )
        for rank in range(2)
    ]
    for done in [finish(process) for process in ranks]:
        assert done.returncode == 0, done.stderr
    assert f"prints `{_run(tmp_path, 'load.py', load).strip()}`" in guide


def _run(directory: Path, name: str, code: str, *, cold: bool = False) -> str:
    (directory / name).write_text(code)
    variables = environment(directory)
    return succeed(PYTHON, name, directory=directory, variables=variables, cold=cold)


def test_the_readme_names_every_command_and_no_other() -> None:
    from tracker.cli import cli

    shown = set(re.findall(r"^tracker ([a-z]+(?: upgrade)?)", README, re.MULTILINE))
    assert shown | {"demo"} == _commands(cli)


def _commands(group: click.Group, prefix: str = "") -> set[str]:
    names: set[str] = set()
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            names |= _commands(command, f"{prefix}{name} ")
        else:
            names.add(prefix + name)
    return names


def test_every_file_of_the_package_has_its_place_in_the_architecture() -> None:
    plan = (ROOT / "docs" / "architecture.md").read_text()
    files = [
        p for p in (ROOT / "tracker").rglob("*.py") if p.name not in ("__init__.py", "__main__.py")
    ]
    assert [str(p) for p in files if p.name not in plan] == []


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_lead_somewhere(document: str) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / document).read_text()):
        if not target.startswith("http"):
            assert (ROOT / target).exists(), target
