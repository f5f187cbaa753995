"""Tensors: dtypes, layouts, sharing, parametrizations, quantisation."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize, prune
from torch.nn.utils import spectral_norm as old_spectral_norm
from torch.nn.utils import weight_norm as old_weight_norm

from corpus.case import Case, Inputs, floats, integers
from corpus.nasty.constructors import Block


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(10, 4, padding_idx=0)
        self.body = Block()
        self.head = nn.Linear(4, 10, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(self.embedding(x)))


class Buffers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("kept", torch.randn(4))
        self.register_buffer("dropped", torch.randn(4), persistent=False)
        self.register_buffer("nothing", None)
        self.modern = nn.Buffer(torch.randn(4))
        self.passing = nn.Buffer(torch.randn(4), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.kept * self.dropped + self.modern * self.passing


class BufferDict(nn.Module):
    """A container of buffers, as BoTorch, peft and others write it."""

    def __init__(self, tensors: dict[str, Tensor], persistent: bool = False) -> None:
        super().__init__()
        self.persistent = persistent
        for name, tensor in tensors.items():
            self.register_buffer(name, tensor, persistent=persistent)

    def __getitem__(self, name: str) -> Tensor:
        return getattr(self, name)

    def forward(self, x: Tensor) -> Tensor:
        return x * self["scale"]


class Views(nn.Module):
    """Tensors that look at one memory: slices, a transposed weight, an expanded buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.whole = nn.Parameter(torch.randn(4, 8))
        self.register_buffer("left", self.whole.detach()[:, :4])
        self.register_buffer("expanded", torch.randn(1, 4).expand(3, 4))
        self.register_buffer("transposed", torch.randn(5, 4).T)

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.left @ self.whole + self.expanded.sum() + self.transposed.sum()


class Shapes(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scalar = nn.Parameter(torch.tensor(0.5))
        self.empty = nn.Parameter(torch.empty(0, 3))
        self.register_buffer("flag", torch.tensor(True))
        self.register_buffer("bytes", torch.arange(5, dtype=torch.uint8))
        self.register_buffer("wide", torch.tensor([1, 2**63], dtype=torch.uint64))
        self.register_buffer("eighth", torch.randn(3).to(torch.float8_e4m3fn))
        self.register_buffer("complex", torch.randn(3, dtype=torch.complex64))
        self.register_buffer("nan", torch.tensor([float("nan"), float("inf"), -0.0]))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scalar + self.bytes.sum() + self.complex.abs().sum()


class Symmetric(nn.Module):
    """A parametrization of the user's own."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return (x.triu() + x.triu(1).transpose(-1, -2)) * self.factor

    def right_inverse(self, x: Tensor) -> Tensor:
        return x / self.factor


def channels_last() -> nn.Module:
    model = nn.Sequential(nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6), nn.Conv2d(6, 4, 3))
    return model.to(memory_format=torch.channels_last)


def mixed_dtypes() -> nn.Module:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.LayerNorm(4))
    model[1].to(torch.bfloat16)
    model[2].to(torch.float64)
    return model


def frozen() -> nn.Module:
    model = Block()
    model.first.requires_grad_(False)
    model.second.bias.requires_grad_(False)
    return model


def trained() -> nn.Module:
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    optimizer = torch.optim.Adam(model.parameters())
    for _ in range(3):
        model(torch.randn(8, 4)).sum().backward()
        optimizer.step()
    return model


def parametrized(kind: str, top: bool) -> nn.Module:
    layer = nn.Linear(4, 4)
    if kind == "own":
        parametrize.register_parametrization(layer, "weight", Symmetric(0.5))
        parametrize.register_parametrization(layer, "weight", Symmetric(2.0))
    else:
        getattr(parametrizations, kind)(layer)
    return layer if top else nn.Sequential(layer, nn.ReLU())


def old_norms(top: bool) -> nn.Module:
    if top:
        return old_weight_norm(nn.Linear(4, 4))
    return nn.Sequential(
        old_weight_norm(nn.Linear(4, 4), dim=None), old_spectral_norm(nn.Linear(4, 4))
    )


def pruned(top: bool) -> nn.Module:
    layer = nn.Linear(4, 4)
    prune.l1_unstructured(layer, "weight", amount=0.3)
    prune.random_unstructured(layer, "bias", amount=1)
    prune.ln_structured(layer, "weight", amount=1, n=2, dim=0)
    return layer if top else nn.Sequential(layer, nn.ReLU())


def pruned_for_good() -> nn.Module:
    layer = nn.Linear(4, 4)
    prune.l1_unstructured(layer, "weight", amount=0.3)
    prune.remove(layer, "weight")
    return nn.Sequential(layer)


def lazy() -> nn.Module:
    model = nn.Sequential(nn.LazyLinear(5), nn.LazyBatchNorm1d(), nn.LazyLinear(2))
    model(torch.randn(3, 4))
    return model


def sparse() -> nn.Module:
    model = nn.Linear(4, 4)
    model.register_buffer("adjacency", torch.eye(4).to_sparse())
    model.register_buffer("compressed", torch.eye(4).to_sparse_csr())
    return model


def dynamic_quantised() -> nn.Module:
    return torch.ao.quantization.quantize_dynamic(Block(), {nn.Linear}, dtype=torch.qint8)


def dynamic_lstm() -> nn.Module:
    model = nn.Sequential(nn.LSTM(4, 3))
    return torch.ao.quantization.quantize_dynamic(model, {nn.LSTM}, dtype=torch.qint8)


class Quantisable(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.quant = torch.ao.quantization.QuantStub()
        self.conv = nn.Conv2d(4, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.relu = nn.ReLU()
        self.dequant = torch.ao.quantization.DeQuantStub()

    def forward(self, x: Tensor) -> Tensor:
        return self.dequant(self.relu(self.norm(self.conv(self.quant(x)))))


def prepared() -> nn.Module:
    model = Quantisable().eval()
    model.qconfig = torch.ao.quantization.get_default_qconfig("x86")
    fused = torch.ao.quantization.fuse_modules(model, [["conv", "norm", "relu"]])
    ready: nn.Module = torch.ao.quantization.prepare(fused)
    ready(torch.randn(2, 4, 8, 8))
    return ready


def static_quantised() -> nn.Module:
    converted: nn.Module = torch.ao.quantization.convert(prepared())
    return converted


def trained_quantised() -> nn.Module:
    model = Quantisable().train()
    model.qconfig = torch.ao.quantization.get_default_qat_qconfig("x86")
    fused = torch.ao.quantization.fuse_modules_qat(model, [["conv", "norm", "relu"]])
    ready: nn.Module = torch.ao.quantization.prepare_qat(fused)
    ready(torch.randn(2, 4, 8, 8))
    return ready


def quantised_by_torchao(bits: str) -> nn.Module:
    from torchao import quantization

    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 32))
    config = {
        "int8": quantization.Int8WeightOnlyConfig,
        "int8 dynamic": quantization.Int8DynamicActivationInt8WeightConfig,
        "float8": quantization.Float8WeightOnlyConfig,
    }[bits]()
    quantization.quantize_(model, config)
    return model


def copied_tie() -> nn.Module:
    return copy.deepcopy(Tied())


def halves(model: nn.Module) -> Inputs:
    return (torch.randn(2, 4, dtype=torch.bfloat16),)


def cases() -> Iterator[Case]:
    x, image = floats(2, 4), floats(2, 4, 8, 8)
    tokens = integers(10, 2, 3)
    yield Case("tied weights", Tied, tokens)
    yield Case("tied weights, deepcopied", copied_tie, tokens)
    yield Case("buffers of every kind", Buffers, x)
    yield Case("BufferDict", lambda: BufferDict({"scale": torch.randn(4)}), x)
    yield Case("views of one memory", Views, x)
    yield Case("odd shapes and dtypes", Shapes, x)
    yield Case("channels last", channels_last, image)
    yield Case("bfloat16", lambda: Block().to(torch.bfloat16), halves)
    yield Case("mixed dtypes", mixed_dtypes)
    yield Case("requires_grad False", frozen, x)
    yield Case("trained, with gradients", trained, x)
    for kind in ("weight_norm", "spectral_norm", "orthogonal", "own"):
        for top in (False, True):
            where = "the model itself" if top else "a layer"
            yield Case(f"parametrization {kind} of {where}", partial(parametrized, kind, top), x)
    for top in (False, True):
        where = "the model itself" if top else "a layer"
        yield Case(f"old weight_norm, spectral_norm of {where}", partial(old_norms, top), x)
        yield Case(f"pruned: {where}", partial(pruned, top), x)
    yield Case("pruned for good", pruned_for_good, x)
    yield Case("lazy modules after a forward", lazy, x)
    yield Case("sparse buffers", sparse, x)
    yield Case("quantised dynamically", dynamic_quantised, x)
    yield Case("LSTM quantised dynamically", dynamic_lstm, floats(2, 3, 4))
    yield Case("prepared for quantisation", prepared, image)
    yield Case("quantised statically", static_quantised, image)
    yield Case("quantisation-aware training", trained_quantised, image)
    for bits in ("int8", "int8 dynamic", "float8"):
        yield Case(
            f"quantised by torchao, {bits}", partial(quantised_by_torchao, bits), floats(2, 64)
        )
