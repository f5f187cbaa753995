"""Every model of diffusers, with shrunk arguments."""

from __future__ import annotations

import inspect
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import nn

from corpus.case import Case, Inputs
from corpus.inputs import first_that_fits
from corpus.shrink import shrunk_value

MAX_PARAMETERS = 15_000_000
MAX_SECONDS = 15
DIVISORS = (8, 4, 16, 2, 1)

# Models of several models, and arguments without a default.
ARGUMENTS: dict[str, dict[str, Any]] = {
    "UNet2DModel": {"sample_size": 16, "block_out_channels": (32, 64)},
    "T2IAdapter": {"channels": [32, 32], "adapter_type": "full_adapter"},
    "UniDiffuserTextDecoder": {"prefix_length": 4, "prefix_inner_dim": 16, "vocab_size": 99},
    "UniDiffuserModel": {
        "text_dim": 16,
        "clip_img_dim": 16,
        "num_text_tokens": 8,
        "sample_size": 16,
        "patch_size": 2,
        "in_channels": 4,
    },
    "Transformer2DModel": {"in_channels": 32, "norm_num_groups": 8},
    "TransformerTemporalModel": {"in_channels": 32, "norm_num_groups": 8},
    "AudioLDM2ProjectionModel": {
        "text_encoder_dim": 16,
        "text_encoder_1_dim": 8,
        "langauge_model_dim": 16,
    },
    "ReduxImageEncoder": {"redux_dim": 16, "txt_in_features": 32},
    "StableAudioProjectionModel": {
        "text_encoder_dim": 16,
        "conditioning_dim": 16,
        "min_value": 0,
        "max_value": 10,
    },
}


def build(name: str) -> nn.Module:
    """Return the first small model of a class that can be constructed, best one that computes."""
    import diffusers

    cls = getattr(diffusers, name)
    constructed, failure, started = None, None, time.monotonic()
    for divisor in DIVISORS:
        if constructed is not None and time.monotonic() - started > MAX_SECONDS:
            break
        arguments = {**shrunk_arguments(cls, divisor), **ARGUMENTS.get(name, {})}
        try:
            with torch.device("meta"):
                size = sum(p.numel() for p in cls(**arguments).parameters())
            if size > MAX_PARAMETERS:
                raise ValueError(f"{size} parameters are too many for the benchmark")
            model = cls(**arguments).eval()
        except Exception as error:  # noqa: BLE001 - then with other sizes
            failure = failure or error
            continue
        constructed = constructed or model
        if inputs_of(model) is not None:
            return model
    if constructed is None:
        raise failure or ValueError("can't be constructed")
    return constructed


def shrunk_arguments(cls: type, divisor: int) -> dict[str, Any]:
    tokens = iter(range(800, 999))
    small: dict[str, Any] = {}
    for name, parameter in inspect.signature(cls).parameters.items():
        if parameter.default is not inspect.Parameter.empty:
            value = shrunk_value(name, parameter.default, divisor, tokens)
            if value is not None:
                small[name] = value
            if name.endswith("norm_num_groups") and parameter.default:
                small[name] = 4
    return small


def inputs_of(model: nn.Module) -> Inputs | None:
    return first_that_fits(model, candidates(model))


def candidates(model: Any) -> Iterator[dict[str, Any]]:
    """Yield inputs by the names that forward takes, for images and for videos."""
    names = inspect.signature(model.forward).parameters
    config = model.config
    channels = config.get("in_channels") or config.get("latent_channels") or 4
    width = next(
        (
            config[key]
            for key in (
                "cross_attention_dim",
                "joint_attention_dim",
                "text_dim",
                "caption_channels",
            )
            if isinstance(config.get(key), int)
        ),
        32,
    )
    size = config.get("sample_size")
    side = size if isinstance(size, int) and size <= 64 else 32
    shapes = [
        (1, channels, side, side),
        (1, channels, 5, 32, 32),
        (1, 16, channels),
        (1, channels, 64),
    ]
    for shape in shapes:
        given: dict[str, Any] = {}
        for name in ("sample", "hidden_states", "x", "latents", "feats", "input"):
            if name in names:
                given[name] = torch.randn(shape)
                break
        else:
            return
        if "timestep" in names:
            given["timestep"] = torch.tensor([3])
        if "encoder_hidden_states" in names:
            given["encoder_hidden_states"] = torch.randn(1, 7, width)
        if "pooled_projections" in names:
            given["pooled_projections"] = torch.randn(
                1, config.get("pooled_projection_dim") or width
            )
        if "class_labels" in names:
            yield {**given, "class_labels": torch.tensor([1])}
        yield given


def cases() -> Iterator[Case]:
    import diffusers

    for name in dir(diffusers):
        try:
            found = getattr(diffusers, name)
        except (ImportError, RuntimeError):  # needs a package that isn't there
            continue
        base = diffusers.ModelMixin
        if isinstance(found, type) and issubclass(found, base) and found is not base:
            yield Case(name, partial(build, name), inputs_of)
