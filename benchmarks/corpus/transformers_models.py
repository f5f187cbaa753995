"""Every architecture of transformers' AutoModel, with a shrunk configuration."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial

import torch
from torch import nn

from corpus.case import Case, Inputs
from corpus.inputs import first_that_fits, keyword_candidates
from corpus.shrink import shrink

MAX_PARAMETERS = 20_000_000
MAX_SECONDS = 15
DIVISORS = (16, 8, 32, 4, 64, 2, 1)


def build(model_type: str) -> nn.Module:
    """Return the smallest model of a type that can be constructed, best one that computes."""
    from transformers import AutoConfig, AutoModel

    config_class = type(AutoConfig.for_model(model_type))
    model_class = AutoModel._model_mapping[config_class]
    if isinstance(model_class, tuple):
        model_class = model_class[0]
    constructed, failure, started = None, None, time.monotonic()
    for divisor in DIVISORS:
        if constructed is not None and time.monotonic() - started > MAX_SECONDS:
            break
        try:
            config = shrink(config_class(), divisor)
            with torch.device("meta"):
                size = sum(p.numel() for p in model_class(config).parameters())
            if size > MAX_PARAMETERS:
                raise ValueError(f"{size} parameters are too many for the benchmark")
            model = model_class(shrink(config_class(), divisor)).eval()
        except Exception as error:  # noqa: BLE001 - then with other sizes
            failure = failure or error
            continue
        constructed = constructed or model
        if inputs_of(model) is not None:
            return model
    if constructed is None:
        raise failure or ValueError("can't be constructed")
    return constructed


def inputs_of(model: nn.Module) -> Inputs | None:
    return first_that_fits(model, keyword_candidates(model))


def cases() -> Iterator[Case]:
    from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES

    for model_type in MODEL_MAPPING_NAMES:
        yield Case(model_type, partial(build, model_type), inputs_of)
