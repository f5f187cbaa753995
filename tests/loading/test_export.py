"""What was exported is read by programs that know neither tracker nor the model's class."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.cli.running import invoke
from tests.models import Net, Tied
from tests.training import log
from tracker.errors import ArchitectureError, InvalidArgumentError, TrackerError

pytestmark = pytest.mark.usefixtures("workplace")

READ = """
import sys, torch
assert "tracker" not in sys.modules
x = torch.load("x.pt", weights_only=True)
state = torch.load("net.pt", weights_only=True)
program = torch.export.load("net.pt2").module()
torch.save({"state": state, "output": program(x)}, "read.pt")
"""


def in_another_process(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


class Branching(nn.Module):
    """Takes another way for other values, which no graph can."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + 1 if x.sum().item() > 0 else x - 1


def test_a_state_dict_and_a_program_are_what_was_logged() -> None:
    model, x = Net(hidden=4, depth=2).eval(), torch.randn(3, 4)
    checkpoint = log(model, epoch=1, example_input=x)
    torch.save(x, "x.pt")
    Path("net.pt2").write_text("of before")
    for name in ("net.pt", "net.pt2"):
        assert checkpoint.export(name) == Path(name)
    in_another_process(READ)
    read = torch.load("read.pt", weights_only=True)
    model.load_state_dict(read["state"])
    assert torch.equal(read["output"], model(x))
    assert not [path for path in Path().iterdir() if ".partial" in path.name]


def test_tied_weights_are_one_tensor_in_a_state_dict_too() -> None:
    log(Tied()).export("tied.pth")
    state = torch.load("tied.pth", weights_only=True)
    assert state["head.weight"].data_ptr() == state["embedding.weight"].data_ptr()
    assert set(state) == set(Tied().state_dict())


def test_the_command_takes_a_format_and_an_example_from_a_file() -> None:
    checkpoint = log(Net(hidden=4))
    torch.save({"x": torch.randn(2, 4)}, "example.pt")
    said = invoke("export", checkpoint.id, "program", "--format", "pt2", "--example", "example.pt")
    assert said.output.startswith("program (")
    assert "the model of checkpoint" in said.output
    torch.export.load("program")


def test_a_program_needs_an_example_and_a_format_that_there_is() -> None:
    checkpoint = log(Net(hidden=4))
    for arguments, reason in (
        ({"path": "net.pt2"}, "has no example input"),
        ({"path": "net.pt", "format": "tflite"}, "expected one of safetensors, pt, pt2, onnx"),
        ({"path": "net.pt2", "example_input": "text"}, "example_input is a str"),
    ):
        with pytest.raises(InvalidArgumentError, match=reason):
            checkpoint.export(**arguments)  # type: ignore[arg-type]
    assert not list(Path().glob("*net*"))


def test_a_model_that_no_graph_holds_is_refused_and_what_was_there_stays() -> None:
    checkpoint = log(Branching())
    Path("old.pt2").write_text("of before")
    with pytest.raises(ArchitectureError, match=r"can't export Branching\(\) to pt2"):
        checkpoint.export("old.pt2", example_input=torch.ones(2))
    assert [path.name for path in Path().glob("*.pt2")] == ["old.pt2"]
    assert Path("old.pt2").read_text() == "of before"


def test_onnx_without_its_packages_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = log(Net(hidden=4))
    found: Any = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if "onnx" in name else found(name)
    )
    with pytest.raises(TrackerError, match="pip install onnx onnxscript"):
        checkpoint.export("net.onnx", example_input=torch.ones(2, 4))
