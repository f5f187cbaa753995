"""Models of further libraries: EEG, neural operators, tables, equivariant layers."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import nn

from corpus.case import Case, InputMaker, Inputs, floats

# Some models are made for one length of signal.
TIMES = {
    **dict.fromkeys(("ATCNet", "EEGInceptionMI"), 450),
    **dict.fromkeys(("DeepSleepNet", "SleepStagerEldele2021", "USleep"), 3000),
    **dict.fromkeys(("SleepStagerBlanco2020", "SleepStagerChambon2018"), 3000),
}
MORE: dict[str, dict[str, Any]] = {
    "EEGResNet": {"n_first_filters": 8, "final_pool_length": 4},
    "DeepSleepNet": {"n_chans": 1},
    "SleepStagerEldele2021": {"n_chans": 1},
}


def braindecode() -> Iterator[Case]:
    from braindecode import models

    common: dict[str, Any] = {"n_chans": 4, "n_outputs": 2, "sfreq": 100}
    for name in (
        "ATCNet",
        "Deep4Net",
        "DeepSleepNet",
        "EEGConformer",
        "EEGITNet",
        "EEGInceptionERP",
        "EEGInceptionMI",
        "EEGNetv1",
        "EEGNetv4",
        "EEGResNet",
        "HybridNet",
        "ShallowFBCSPNet",
        "SleepStagerBlanco2020",
        "SleepStagerChambon2018",
        "SleepStagerEldele2021",
        "TIDNet",
        "USleep",
    ):
        cls = getattr(models, name)
        times = TIMES.get(name, 1000)
        keywords = {**common, "n_times": times, **MORE.get(name, {})}
        if name in ("HybridNet", "TIDNet"):
            del keywords["sfreq"]
        inputs = floats(2, keywords["n_chans"], times)
        yield Case(f"braindecode {name}", partial(cls, **keywords), inputs)


def neuraloperator() -> Iterator[Case]:
    from neuralop import models

    grid = floats(1, 1, 16, 16)
    spectral: dict[str, Any] = {
        "n_modes": (4, 4),
        "in_channels": 1,
        "out_channels": 1,
        "hidden_channels": 8,
        "n_layers": 2,
    }
    yield Case("neuraloperator FNO", partial(models.FNO, **spectral), grid)
    tensorised = partial(models.TFNO, **spectral, factorization="tucker", rank=0.4)
    yield Case("neuraloperator TFNO", tensorised, grid)
    yield Case(
        "neuraloperator UNO",
        partial(
            models.UNO,
            1,
            1,
            8,
            lifting_channels=8,
            projection_channels=8,
            n_layers=2,
            channel_mlp_skip="linear",
            uno_out_channels=[8, 8],
            uno_n_modes=[[4, 4], [4, 4]],
            uno_scalings=[[1.0, 1.0], [1.0, 1.0]],
        ),
        grid,
    )
    yield Case("neuraloperator UQNO", lambda: models.UQNO(models.FNO(**spectral)), grid)


def tabnet() -> Iterator[Case]:
    from pytorch_tabnet.tab_network import TabNet, TabNetPretraining

    groups = torch.eye(8)
    yield Case("TabNet", partial(TabNet, 8, 3, group_attention_matrix=groups), floats(4, 8))
    yield Case(
        "TabNetPretraining",
        partial(TabNetPretraining, 8, group_attention_matrix=groups),
        floats(4, 8),
    )
    yield Case("TabNet, embeddings", partial(_embedding_tabnet, TabNet), _categories)


def _embedding_tabnet(cls: type[nn.Module]) -> nn.Module:
    return cls(
        4,
        3,
        cat_idxs=[0],
        cat_dims=[5],
        cat_emb_dim=[2],
        group_attention_matrix=torch.eye(4),
    )


def _categories(model: nn.Module) -> Inputs:
    return (torch.cat([torch.randint(5, (4, 1)).float(), torch.randn(4, 3)], dim=1),)


def e3nn() -> Iterator[Case]:
    from e3nn import nn as equivariant
    from e3nn import o3

    irreps = "4x0e + 4x1o"
    x: InputMaker = floats(3, 16)
    yield Case("e3nn Norm", partial(o3.Norm, irreps), x)
    yield Case("e3nn BatchNorm", partial(equivariant.BatchNorm, irreps), x)
    yield Case("e3nn Activation", partial(equivariant.Activation, "16x0e", [torch.tanh]), x)
    yield Case("e3nn FullyConnectedNet", partial(equivariant.FullyConnectedNet, [16, 8, 2]), x)


def cases() -> Iterator[Case]:
    yield from braindecode()
    yield from neuraloperator()
    yield from tabnet()
    yield from e3nn()
