"""Wrapped, traced and adapted models."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from corpus.case import Case, floats
from corpus.nasty.constructors import Block


class LoRALinear(nn.Module):
    """LoRA as it is written by hand."""

    def __init__(self, base: nn.Linear, rank: int = 2, alpha: float = 4.0) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.a = nn.Parameter(torch.randn(rank, base.in_features))
        self.b = nn.Parameter(torch.zeros(base.out_features, rank))
        self.scaling = alpha / rank

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + x @ self.a.T @ self.b.T * self.scaling


def lora_by_hand() -> nn.Module:
    model = Block()
    model.first = LoRALinear(model.first)
    return model


def lora_by_peft() -> nn.Module:
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(target_modules=["first"], r=2, init_lora_weights=False)
    adapted: nn.Module = get_peft_model(Block(), config)
    return adapted


def merged_lora() -> nn.Module:
    return lora_by_peft().merge_and_unload()  # type: ignore[operator, no-any-return]


def compiled() -> nn.Module:
    return torch.compile(Block(), backend="eager")


def compiled_child() -> nn.Module:
    model = Block()
    model.first = torch.compile(model.first, backend="eager")
    return model


def compiled_in_place() -> nn.Module:
    model = Block()
    model.compile(backend="eager")
    return model


def data_parallel() -> nn.Module:
    return nn.DataParallel(Block())


def distributed() -> nn.Module:
    import tempfile

    import torch.distributed as dist

    if not dist.is_initialized():
        place = f"file://{tempfile.mkdtemp()}/rendezvous"
        dist.init_process_group("gloo", init_method=place, rank=0, world_size=1)
    return nn.parallel.DistributedDataParallel(Block())


def averaged() -> nn.Module:
    model = Block()
    average = AveragedModel(model)
    average.update_parameters(model)
    return average


def exponential_average() -> nn.Module:
    return AveragedModel(Block(), multi_avg_fn=get_ema_multi_avg_fn(0.99), use_buffers=True)


def own_average(averaged: Tensor, current: Tensor, number: Any) -> Tensor:
    return 0.9 * averaged + 0.1 * current


class Branching(Block):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("shift", torch.randn(4))

    def forward(self, x: Tensor, scale: float = 2.0) -> Tensor:
        y = super().forward(x) * scale + self.shift
        return torch.cat([y, x[:, :2].clamp(min=0)], dim=-1)


def traced() -> nn.Module:
    return fx.symbolic_trace(Branching())


def traced_child() -> nn.Module:
    return nn.Sequential(fx.symbolic_trace(Block()), nn.ReLU())


def traced_and_edited() -> nn.Module:
    module = fx.symbolic_trace(Block())
    for node in module.graph.nodes:
        if node.target is torch.relu:
            node.target = torch.tanh
    module.recompile()
    return module


def exported() -> nn.Module:
    return torch.export.export(Block(), (torch.randn(2, 4),)).module()


def functionalised() -> nn.Module:
    """A module whose weights were replaced by others of the same shape."""
    model = Block()
    weights = {name: torch.randn_like(p) for name, p in model.named_parameters()}
    model.load_state_dict(weights, assign=True)
    return model


def _without_compiled(model: nn.Module) -> nn.Module:
    """Return the model as it was before a child of it was compiled."""
    plain = copy.copy(model)
    plain._modules = {name: getattr(m, "_orig_mod", m) for name, m in model._modules.items()}
    return plain


def inner(model: Any) -> nn.Module:
    found: nn.Module = model._orig_mod if hasattr(model, "_orig_mod") else model.module
    return found


def cases() -> Iterator[Case]:
    x = floats(2, 4)
    yield Case("torch.compile", compiled, x, stored=inner)
    yield Case("torch.compile of a child", compiled_child, x, stored=_without_compiled)
    yield Case("Module.compile()", compiled_in_place, x, stored=copy.copy)
    yield Case("DataParallel", data_parallel, x, stored=inner)
    yield Case("DistributedDataParallel", distributed, x, stored=inner)
    yield Case("AveragedModel", averaged, x)
    yield Case("AveragedModel, exponential", exponential_average, x)
    yield Case("AveragedModel, own function", lambda: AveragedModel(Block(), avg_fn=own_average), x)
    yield Case("LoRA by hand", lora_by_hand, x)
    yield Case("LoRA by peft", lora_by_peft, x)
    yield Case("LoRA by peft, merged", merged_lora, x)
    yield Case("fx.symbolic_trace", traced, x)
    yield Case("fx.symbolic_trace of a child", traced_child, x)
    yield Case("fx.symbolic_trace, edited", traced_and_edited, x)
    yield Case("torch.export, as a module", exported, x)
    yield Case("weights assigned", functionalised, x)
    yield Case("torch.jit.script", partial(torch.jit.script, Block()), x, refused=True)
    yield Case(
        "torch.jit.trace of a child",
        lambda: nn.Sequential(torch.jit.trace(Block(), torch.randn(2, 4))),
        x,
        refused=True,
    )
