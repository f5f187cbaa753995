"""Wrote ``training`` and ``training.json`` beside this file, once: a training in its middle.

It stands for the checkpoints in users' hands, which don't change: do not write it again.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from tracker.rehearsal.stored import store

HERE = Path(__file__).parent


def live() -> dict[str, Any]:
    """Return a model and all that trains it, as a script makes them."""
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    groups = [{"params": model[1].parameters(), "lr": 0.1}, {"params": model[0].parameters()}]
    optimizer = torch.optim.Adam(groups, lr=0.01)
    decays = [
        torch.optim.lr_scheduler.LinearLR(optimizer, total_iters=4),
        torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5),
    ]
    state = {
        "noise": torch.Generator().manual_seed(3),
        "order": random.Random(3),
        "scale": np.random.default_rng(3),
        "best": 0.25,
    }
    scheduler = torch.optim.lr_scheduler.ChainedScheduler(decays)
    return {"model": model, "optimizer": optimizer, "scheduler": scheduler, "state": state}


def drawn(state: dict[str, Any]) -> list[float]:
    """Draw a number from every generator there is."""
    return [
        random.random(),
        float(np.random.random_sample()),
        torch.rand((), dtype=torch.float64).item(),
        torch.rand((), dtype=torch.float64, generator=state["noise"]).item(),
        state["order"].random(),
        float(state["scale"].random()),
    ]


def main() -> None:
    """Write it."""
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    parts = live()
    drawn(parts["state"])
    for parameter in parts["model"].parameters():
        parameter.data.fill_(0.5)
        parameter.grad = torch.full_like(parameter, 2.0)
    parts["optimizer"].step()
    parts["scheduler"].step()
    store(HERE / "training", **parts)
    rates = [group["lr"] for group in parts["optimizer"].param_groups]
    average = parts["optimizer"].state[parts["model"][0].weight]["exp_avg"].tolist()
    facts = {"drawn": drawn(parts["state"]), "rates": rates, "average": average}
    (HERE / "training.json").write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
