"""Models of the small packages of research code, one paper each."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import nn

from corpus.case import Case, InputMaker, Inputs, floats, integers

tokens = integers(50, 1, 16)
sequence = floats(1, 16, 32)
picture = floats(1, 3, 32, 32)


def _points(model: nn.Module) -> Inputs:
    return (torch.randn(1, 6, 32), torch.randn(1, 6, 3))


def _frames(model: nn.Module) -> Inputs:
    eye = torch.eye(3).expand(1, 6, 3, 3)
    return {
        "single_repr": torch.randn(1, 6, 32),
        "pairwise_repr": torch.randn(1, 6, 6, 32),
        "rotations": eye,
        "translations": torch.zeros(1, 6, 3),
    }


def _atoms(model: nn.Module) -> Inputs:
    return (torch.randn(1, 6, 8), torch.randn(1, 6, 3), torch.ones(1, 6).bool())


def _graph(model: nn.Module) -> Inputs:
    return (torch.randn(1, 6, 32), torch.randn(1, 6, 6, 32))


MODELS: dict[str, tuple[str, dict[str, Any], InputMaker | None]] = {
    "Perceiver": (
        "perceiver_pytorch:Perceiver",
        {
            "input_channels": 3,
            "input_axis": 2,
            "num_freq_bands": 4,
            "max_freq": 10.0,
            "depth": 2,
            "num_latents": 8,
            "latent_dim": 16,
            "num_classes": 3,
            "weight_tie_layers": True,
        },
        floats(1, 16, 16, 3),
    ),
    "PerceiverIO": (
        "perceiver_pytorch:PerceiverIO",
        {"dim": 32, "queries_dim": 16, "depth": 1, "num_latents": 8, "latent_dim": 16},
        sequence,
    ),
    "Performer": (
        "performer_pytorch:Performer",
        {"dim": 32, "depth": 1, "heads": 2, "dim_head": 16},
        sequence,
    ),
    "PerformerLM": (
        "performer_pytorch:PerformerLM",
        {"num_tokens": 50, "max_seq_len": 16, "dim": 32, "depth": 1, "heads": 2, "dim_head": 16},
        tokens,
    ),
    "VectorQuantize": (
        "vector_quantize_pytorch:VectorQuantize",
        {"dim": 32, "codebook_size": 16},
        sequence,
    ),
    "ResidualVQ": (
        "vector_quantize_pytorch:ResidualVQ",
        {"dim": 32, "codebook_size": 16, "num_quantizers": 2},
        sequence,
    ),
    "GroupedResidualVQ": (
        "vector_quantize_pytorch:GroupedResidualVQ",
        {"dim": 32, "codebook_size": 16, "num_quantizers": 2, "groups": 2},
        sequence,
    ),
    "FSQ": ("vector_quantize_pytorch:FSQ", {"levels": [4, 4, 4]}, floats(1, 16, 3)),
    "LFQ": ("vector_quantize_pytorch:LFQ", {"codebook_size": 16, "dim": 4}, floats(1, 16, 4)),
    "Conformer": (
        "conformer:Conformer",
        {"dim": 32, "depth": 1, "dim_head": 16, "heads": 2},
        sequence,
    ),
    "ConformerBlock": (
        "conformer:ConformerBlock",
        {"dim": 32, "dim_head": 16, "heads": 2},
        sequence,
    ),
    "EGNN": ("egnn_pytorch:EGNN", {"dim": 32}, _points),
    "EGNN_Network": (
        "egnn_pytorch:EGNN_Network",
        {"num_tokens": 9, "dim": 16, "depth": 1, "num_nearest_neighbors": 3},
        lambda model: (torch.randint(9, (1, 6)), torch.randn(1, 6, 3)),
    ),
    "Linformer": (
        "linformer:Linformer",
        {"dim": 32, "seq_len": 16, "depth": 1, "heads": 2, "k": 8},
        sequence,
    ),
    "LinformerLM": (
        "linformer:LinformerLM",
        {"num_tokens": 50, "dim": 32, "seq_len": 16, "depth": 1, "heads": 2, "k": 8},
        tokens,
    ),
    "LocalTransformer": (
        "local_attention:LocalTransformer",
        {
            "num_tokens": 50,
            "max_seq_len": 16,
            "dim": 32,
            "depth": 1,
            "local_attn_window_size": 8,
        },
        tokens,
    ),
    "LocalAttention": (
        "local_attention:LocalAttention",
        {"dim": 32, "window_size": 8, "causal": True},
        lambda model: tuple(torch.randn(1, 2, 16, 32) for _ in range(3)),
    ),
    "ReformerLM": (
        "reformer_pytorch:ReformerLM",
        {
            "num_tokens": 50,
            "dim": 32,
            "depth": 2,
            "max_seq_len": 32,
            "heads": 2,
            "bucket_size": 8,
            "n_hashes": 2,
        },
        integers(50, 1, 32),
    ),
    "LSHSelfAttention": (
        "reformer_pytorch:LSHSelfAttention",
        {"dim": 32, "heads": 2, "bucket_size": 8, "n_hashes": 2},
        floats(1, 16, 32),
    ),
    "AxialAttention": (
        "axial_attention:AxialAttention",
        {"dim": 32, "dim_index": 1, "heads": 2, "num_dimensions": 2},
        floats(1, 32, 8, 8),
    ),
    "AxialImageTransformer": (
        "axial_attention:AxialImageTransformer",
        {"dim": 32, "depth": 1, "reversible": True},
        floats(1, 32, 8, 8),
    ),
    "SoftMoE": (
        "soft_moe_pytorch:SoftMoE",
        {"dim": 32, "seq_len": 16, "num_experts": 2},
        sequence,
    ),
    "NystromAttention": (
        "nystrom_attention:NystromAttention",
        {"dim": 32, "dim_head": 16, "heads": 2, "num_landmarks": 8},
        sequence,
    ),
    "Nystromformer": (
        "nystrom_attention:Nystromformer",
        {"dim": 32, "dim_head": 16, "heads": 2, "depth": 1, "num_landmarks": 8},
        sequence,
    ),
    "LambdaLayer": (
        "lambda_networks:LambdaLayer",
        {"dim": 32, "dim_out": 32, "r": 5, "dim_k": 8, "heads": 4, "dim_u": 1},
        floats(1, 32, 8, 8),
    ),
    "gMLP": (
        "g_mlp_pytorch:gMLP",
        {"num_tokens": 50, "dim": 32, "depth": 2, "seq_len": 16},
        tokens,
    ),
    "gMLPVision": (
        "g_mlp_pytorch:gMLPVision",
        {"image_size": 32, "patch_size": 8, "num_classes": 3, "dim": 32, "depth": 2},
        picture,
    ),
    "MLPMixer": (
        "mlp_mixer_pytorch:MLPMixer",
        {
            "image_size": 32,
            "channels": 3,
            "patch_size": 8,
            "dim": 32,
            "depth": 2,
            "num_classes": 3,
        },
        picture,
    ),
    "ResMLP": (
        "res_mlp_pytorch:ResMLP",
        {"image_size": 32, "patch_size": 8, "dim": 32, "depth": 2, "num_classes": 3},
        picture,
    ),
    "HaloAttention": (
        "halonet_pytorch:HaloAttention",
        {"dim": 32, "block_size": 4, "halo_size": 2, "dim_head": 16, "heads": 2},
        floats(1, 32, 8, 8),
    ),
    "TimeSformer": (
        "timesformer_pytorch:TimeSformer",
        {
            "dim": 32,
            "image_size": 32,
            "patch_size": 16,
            "num_frames": 2,
            "num_classes": 3,
            "depth": 1,
            "heads": 2,
            "dim_head": 16,
        },
        floats(1, 2, 3, 32, 32),
    ),
    "Mega": ("mega_pytorch:Mega", {"num_tokens": 50, "dim": 32, "depth": 1}, tokens),
    "MegaLayer": ("mega_pytorch:MegaLayer", {"dim": 32}, sequence),
    "InvariantPointAttention": (
        "invariant_point_attention:InvariantPointAttention",
        {"dim": 32, "heads": 2},
        _frames,
    ),
    "IPABlock": (
        "invariant_point_attention:IPABlock",
        {"dim": 32, "heads": 2},
        lambda model: {
            **{k: v for k, v in _frames(model).items() if k != "single_repr"},  # type: ignore[union-attr]
            "x": torch.randn(1, 6, 32),
        },
    ),
    "SE3Transformer": (
        "se3_transformer_pytorch:SE3Transformer",
        {"dim": 8, "heads": 2, "depth": 1, "dim_head": 4, "num_degrees": 2, "valid_radius": 10},
        _atoms,
    ),
    "GraphTransformer": (
        "graph_transformer_pytorch:GraphTransformer",
        {"dim": 32, "depth": 1, "with_feedforwards": True},
        _graph,
    ),
    "GSS": (
        "gated_state_spaces_pytorch:GSS",
        {"dim": 32, "dss_kernel_N": 8, "dss_kernel_H": 8},
        sequence,
    ),
    "Uformer": (
        "uformer_pytorch:Uformer",
        {"dim": 16, "stages": 2, "num_blocks": 1, "window_size": 4, "dim_head": 8, "heads": 2},
        floats(1, 3, 32, 32),
    ),
    "BottleStack": (
        "bottleneck_transformer_pytorch:BottleStack",
        {
            "dim": 16,
            "fmap_size": 8,
            "dim_out": 32,
            "num_layers": 1,
            "heads": 2,
            "dim_head": 8,
            "proj_factor": 4,
        },
        floats(1, 16, 8, 8),
    ),
}


def build(place: str, arguments: dict[str, Any]) -> Callable[[], nn.Module]:
    """Return the constructor call; where the package is missing, making the model says so."""
    module, _, name = place.partition(":")
    try:
        cls = getattr(importlib.import_module(module), name)
    except ImportError as error:
        return partial(_fail, error)
    return partial(cls, **arguments)


def _fail(error: ImportError) -> nn.Module:
    raise error


def cases() -> Iterator[Case]:
    for name, (place, arguments, inputs) in MODELS.items():
        yield Case(name, build(place, arguments), inputs)
