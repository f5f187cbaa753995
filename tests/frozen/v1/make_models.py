"""Made the frozen models of format 1.0: one rebuilt by constructor, one by structure.

Run once; what it wrote stays as it is.
"""

import copy
import json
from pathlib import Path

import torch
from torch import nn

import tracker  # noqa: F401 - observes the constructors
from tracker.format import Content, write_checkpoint
from tracker.saving.snapshot import take

HERE = Path(__file__).parent


def example() -> torch.Tensor:
    return torch.linspace(-1, 1, 3 * 8 * 8).reshape(1, 3, 8, 8)


def trained() -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.GELU(), nn.Flatten(), nn.Linear(144, 5)
    )
    optimizer = torch.optim.Adam(model.parameters())
    model(example()).sum().backward()
    optimizer.step()
    return model, optimizer


def write(name: str, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    snapshot = take(model, optimizer=optimizer, scheduler=None, state={"seed": 7})
    description = snapshot.description
    assert description.architecture.rebuild == name
    content = Content(
        name="epoch-3",
        run_id="0f3c0000000000000000000000000000",
        created_at=1_700_000_000_000,
        epoch=3,
        architecture=description.architecture,
        state_values=dict(description.state_values),
        training=snapshot.training,
        tensors={
            "model": description.state,
            "architecture": description.extra,
            "training": snapshot.training_tensors,
        },
    )
    written = write_checkpoint(HERE / name, content)
    with torch.no_grad():
        output = model.eval()(example()).double().tolist()
    facts = {"manifest_digest": written.manifest_digest, "output": output}
    (HERE / f"{name}.json").write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    model, optimizer = trained()
    write("constructor", model, optimizer)
    model, optimizer = trained()
    write("structure", copy.deepcopy(model), optimizer)
