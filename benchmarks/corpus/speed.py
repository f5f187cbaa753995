"""What describing, proving, rebuilding and observing cost."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

Rows = list[tuple[str, str, str]]

_OBSERVED = """
import os, time
if os.environ["OBSERVED"] == "1":
    import tracker
import torch
from torch import nn

class Empty(nn.Module):
    def __init__(self, a, b=2):
        super().__init__()

best = float("inf")
for _ in range(200):
    start = time.process_time()
    for _ in range(200):
        Empty(1, b=3)
    best = min(best, (time.process_time() - start) / 200)
print(best * 1e6)
"""


class Transformer(nn.Module):
    def __init__(self, width: int, depth: int, vocabulary: int = 32_000) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(width, 8, 4 * width, batch_first=True) for _ in range(depth)
        )
        self.head = nn.Linear(width, vocabulary, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        x: Tensor = self.embedding(tokens)
        for layer in self.layers:
            x = layer(x)
        return self.head(x)


def measure() -> Rows:
    """Return rows of what was measured, the number, and what it should be."""
    torch.set_num_threads(1)
    import tracker  # noqa: F401 - what is constructed below has to be observed
    from tracker.architecture.describe import describe
    from tracker.architecture.imports import Imports
    from tracker.architecture.instantiate import instantiate

    rows: Rows = []
    describe(nn.Linear(1, 1))  # what is imported at the first use is not counted
    with torch.device("meta"):
        large = Transformer(width=2048, depth=20).to(torch.bfloat16)
    large = large.to_empty(device="cpu")  # no page of it is touched
    seconds, description = timed(lambda: describe(large))
    size, modules = count(large)
    assert description.architecture.rebuild != "none", description.architecture.problems
    how = f"{size / 1e9:.2f} billion parameters, {modules} modules"
    how += f", by {description.architecture.rebuild}"
    rows.append((f"describe and prove, {how}", f"{seconds:.2f} s", "< 1 s"))
    groups = {"model": description.state, "architecture": description.extra}
    seconds, _ = timed(
        lambda: instantiate(
            description.architecture, {}, Imports(), lambda group, name: groups[group][name]
        )
    )
    rows.append((f"rebuild without weights, {how}", f"{seconds:.2f} s", "< 0.5 s"))
    small = Transformer(width=32, depth=29)
    describe(small)
    again = min(timed(lambda: describe(small))[0] for _ in range(50))
    told = f"describe again, fastest of 50, {count(small)[1]} modules"
    rows.append((told, f"{again * 1e3:.2f} ms", "< 1 ms"))
    cost = statistics.median(observing_cost() for _ in range(3))
    rows.append(("observe one module's construction", f"{cost:.1f} µs", "< 5 µs"))
    return rows


def count(model: nn.Module) -> tuple[int, int]:
    return sum(p.numel() for p in model.parameters()), sum(1 for _ in model.modules())


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result


def observing_cost() -> float:
    """Return the microseconds that observing adds to one construction."""
    observed, plain = (
        float(
            subprocess.run(
                [sys.executable, "-c", _OBSERVED],
                env={**os.environ, "OBSERVED": flag},
                capture_output=True,
                text=True,
                check=True,
            ).stdout
        )
        for flag in ("1", "0")
    )
    return observed - plain


def table(rows: Rows) -> str:
    head = "| | measured | goal |\n|---|---:|---:|\n"
    return head + "\n".join(f"| {what} | {number} | {goal} |" for what, number, goal in rows)
