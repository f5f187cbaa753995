"""Every public module class of torch.nn, with arguments that fit."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from corpus.case import Case, InputMaker, Inputs, floats, integers, several

# Bases that a model derives from; alone they are no model.
ABSTRACT = {"Container", "RNNBase", "RNNCellBase", "LinearCrossEntropyOptions"}


def distance(a: Tensor, b: Tensor) -> Tensor:
    return (a - b).abs().sum(-1)


def _dimensions(name: str) -> int:
    return int(name.rstrip("dD")[-1])


def _image(name: str, channels: int = 4, size: int = 8) -> InputMaker:
    return floats(2, channels, *[size] * _dimensions(name))


_labels = integers(5, 3)


def _signs(model: nn.Module) -> Inputs:
    return (torch.randint(2, (3,)).float() * 2 - 1,)


def _probabilities(model: nn.Module) -> Inputs:
    return (torch.rand(3, 5),)


def _arguments() -> dict[str, tuple[tuple[Any, ...], dict[str, Any], InputMaker | None]]:
    """Return, by class name: positional arguments, keyword arguments, inputs."""
    row, wide = floats(3, 8), floats(3, 5)
    encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    decoder = nn.TransformerDecoderLayer(8, 2, 16, batch_first=True)
    sequences = several(floats(2, 5, 8), floats(2, 4, 8))
    return {
        "AdaptiveLogSoftmaxWithLoss": (
            (8, 20, [5, 10]),
            {},
            several(floats(3, 8), integers(20, 3)),
        ),
        "BCELoss": ((), {}, several(_probabilities, _probabilities)),
        "BCEWithLogitsLoss": ((torch.ones(5),), {}, several(wide, _probabilities)),
        "Bilinear": ((8, 6, 4), {}, several(floats(3, 8), floats(3, 6))),
        "CTCLoss": (
            (),
            {"blank": 1},
            lambda model: (
                torch.randn(9, 2, 5).log_softmax(2),
                torch.randint(2, 5, (2, 3)),
                torch.tensor([9, 9]),
                torch.tensor([3, 2]),
            ),
        ),
        "ChannelShuffle": ((2,), {}, floats(2, 4, 8, 8)),
        "CosineEmbeddingLoss": ((0.1,), {}, several(wide, wide, _signs)),
        "CosineSimilarity": ((), {"dim": 1}, several(wide, wide)),
        "CrossEntropyLoss": (
            (),
            {"weight": torch.rand(5), "label_smoothing": 0.1},
            several(wide, _labels),
        ),
        "CrossMapLRN2d": ((2,), {}, floats(2, 4, 8, 8)),
        "Embedding": ((20, 8), {"padding_idx": 0}, integers(20, 3, 5)),
        "EmbeddingBag": ((20, 8), {"mode": "sum"}, integers(20, 3, 5)),
        "Flatten": ((), {"start_dim": 2}, floats(2, 4, 8, 8)),
        "Fold": (((4, 5), (2, 2)), {}, floats(2, 3 * 4, 12)),
        "FractionalMaxPool2d": ((3,), {"output_size": (4, 5)}, floats(2, 4, 9, 9)),
        "FractionalMaxPool3d": ((3,), {"output_size": (4, 5, 4)}, floats(2, 4, 9, 9, 9)),
        "GLU": ((), {}, row),
        "GRU": ((8, 6), {"num_layers": 2, "bidirectional": True}, floats(5, 2, 8)),
        "GRUCell": ((8, 6), {}, row),
        "GaussianNLLLoss": ((), {"full": True}, several(wide, wide, _probabilities)),
        "GroupNorm": ((2, 4), {}, floats(2, 4, 8)),
        "HingeEmbeddingLoss": ((), {}, several(floats(3), _signs)),
        "HuberLoss": ((), {"delta": 0.5}, several(wide, wide)),
        "KLDivLoss": (("batchmean",), {"log_target": True}, several(wide, wide)),
        "L1Loss": ((), {}, several(wide, wide)),
        "LSTM": ((8, 6), {"num_layers": 2, "dropout": 0.1, "proj_size": 3}, floats(5, 2, 8)),
        "LSTMCell": ((8, 6), {}, row),
        "LayerNorm": (((4, 8),), {}, floats(2, 4, 8)),
        "LazyLinear": ((5,), {}, row),
        "Linear": ((8, 6), {}, row),
        "LinearCrossEntropyLoss": ((8, 5), {}, several(row, _labels)),
        "LocalResponseNorm": ((2,), {}, floats(2, 4, 8, 8)),
        "LogSoftmax": ((1,), {}, row),
        "MSELoss": ((), {}, several(wide, wide)),
        "MarginRankingLoss": ((0.2,), {}, several(floats(3), floats(3), _signs)),
        "MultiLabelMarginLoss": ((), {}, several(wide, integers(5, 3, 5))),
        "MultiLabelSoftMarginLoss": ((torch.rand(5),), {}, several(wide, _probabilities)),
        "MultiMarginLoss": ((), {"p": 2}, several(wide, _labels)),
        "MultiheadAttention": (
            (8, 2),
            {"batch_first": True, "kdim": 6, "vdim": 4},
            several(floats(2, 5, 8), floats(2, 3, 6), floats(2, 3, 4)),
        ),
        "NLLLoss": ((), {"ignore_index": 1}, several(wide, _labels)),
        "NLLLoss2d": ((), {}, several(floats(2, 5, 4, 4), integers(5, 2, 4, 4))),
        "PReLU": ((4,), {}, floats(2, 4, 8)),
        "PairwiseDistance": ((), {"p": 1}, several(wide, wide)),
        "ParameterDict": (({"b": torch.ones(2), "a": torch.zeros(1)},), {}, None),
        "ParameterList": (([torch.ones(2), torch.zeros(1)],), {}, None),
        "ModuleDict": (({"z": nn.Linear(2, 2), "a": nn.ReLU()},), {}, None),
        "ModuleList": (([nn.Linear(2, 2), nn.ReLU()],), {}, None),
        "PixelShuffle": ((2,), {}, floats(2, 4, 8, 8)),
        "PixelUnshuffle": ((2,), {}, floats(2, 4, 8, 8)),
        "PoissonNLLLoss": ((), {"full": True}, several(wide, _probabilities)),
        "RMSNorm": ((8,), {"eps": 1e-5}, row),
        "RNN": ((8, 6, 1, "relu"), {}, floats(5, 2, 8)),
        "RNNCell": ((8, 6), {"nonlinearity": "relu"}, row),
        "Sequential": ((nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 2)), {}, row),
        "SmoothL1Loss": ((), {"beta": 0.3}, several(wide, wide)),
        "SoftMarginLoss": ((), {}, several(floats(3), _signs)),
        "Softmax": ((1,), {}, row),
        "Softmin": ((1,), {}, row),
        "Softmax2d": ((), {}, floats(2, 4, 8, 8)),
        "SyncBatchNorm": ((4,), {}, floats(2, 4, 8)),
        "Threshold": ((0.1, 20), {}, row),
        "Transformer": ((8, 2, 1, 1, 16), {"batch_first": True}, sequences),
        "TransformerDecoder": ((decoder, 2), {"norm": nn.LayerNorm(8)}, sequences),
        "TransformerDecoderLayer": ((8, 2, 16), {"batch_first": True}, sequences),
        "TransformerEncoder": ((encoder, 2), {}, floats(2, 5, 8)),
        "TransformerEncoderLayer": (
            (8, 2, 16),
            {"activation": nn.functional.gelu, "batch_first": True},
            floats(2, 5, 8),
        ),
        "TripletMarginLoss": ((), {"swap": True}, several(wide, wide, wide)),
        "TripletMarginWithDistanceLoss": (
            (),
            {"distance_function": distance},
            several(wide, wide, wide),
        ),
        "Unflatten": ((1, (2, 4)), {}, row),
        "Unfold": (((2, 2),), {}, floats(2, 4, 6, 6)),
        "Upsample": ((), {"scale_factor": 2, "mode": "bilinear"}, floats(2, 4, 8, 8)),
        "UpsamplingBilinear2d": ((), {"size": (5, 6)}, floats(2, 4, 8, 8)),
        "UpsamplingNearest2d": ((), {"scale_factor": 2}, floats(2, 4, 8, 8)),
    }


def _by_pattern(name: str) -> tuple[tuple[Any, ...], dict[str, Any], InputMaker | None]:
    """Return arguments and inputs of the families that differ in their dimensions only."""
    if name.startswith("Adaptive"):
        return (3,), {}, _image(name)
    if name.startswith("LazyConv"):
        return (6, 3), {}, _image(name)
    if name.startswith("Lazy"):
        return (), {}, _image(name)
    if name.startswith("Conv"):
        return (4, 6, 3), {"stride": 2, "padding": 1, "groups": 2}, _image(name)
    if name.startswith(("BatchNorm", "InstanceNorm")):
        return (4,), {"affine": True}, _image(name)
    if name.startswith("MaxUnpool"):
        return (2,), {}, functools.partial(_unpool, name)
    if name.startswith(("AvgPool", "MaxPool")):
        return (2,), {}, _image(name)
    if name.startswith("LPPool"):
        return (2, 3), {}, _image(name)
    if "Pad" in name:
        arguments = (1, 0.5) if name.startswith("Constant") else (1,)
        return arguments, {}, _image(name)
    if name.startswith("Dropout") and name != "Dropout":
        return (0.3,), {}, _image(name)
    return (), {}, floats(3, 8)


def _unpool(name: str, model: nn.Module) -> Inputs:
    pool = getattr(nn, name.replace("Unpool", "Pool"))(2, return_indices=True)
    pooled: Inputs = pool(*(_image(name)(model) or ()))
    return pooled


def _lazy(cls: Callable[..., nn.Module], arguments: functools.partial[Any], inputs: Any) -> Any:
    def make() -> nn.Module:
        module = cls(*arguments.args, **arguments.keywords)
        module(*inputs(module))
        return module

    return make


def cases() -> Iterator[Case]:
    fixed = _arguments()
    for name in nn.modules.__all__:
        cls = getattr(nn, name)
        if name in ABSTRACT:
            continue
        args, kwargs, inputs = fixed.get(name) or _by_pattern(name)
        make = functools.partial(cls, *args, **kwargs)
        bare = name.startswith("Lazy")  # has no values yet that could be stored
        inputs_now = None if bare or name == "Module" else inputs
        yield Case(name, make, inputs_now, refused=bare)
        if name.startswith("Lazy"):
            yield Case(f"{name} after a forward", _lazy(cls, make, inputs), inputs)
