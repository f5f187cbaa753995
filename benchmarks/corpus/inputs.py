"""Finds inputs that a model computes something from, by the names its forward takes."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import nn

from corpus.case import Inputs


def first_that_fits(model: nn.Module, candidates: Iterable[Inputs]) -> Inputs | None:
    """Return the first inputs with which a forward pass succeeds; None if none does."""
    for inputs in candidates:
        try:
            with torch.no_grad():
                _ = model(**inputs) if isinstance(inputs, dict) else model(*inputs)
        except Exception:  # noqa: BLE001 - the next ones, then
            continue
        return inputs
    return None


def keyword_candidates(model: nn.Module) -> Iterator[dict[str, Any]]:
    """Yield inputs of the kinds that transformers' models take: text, images, sounds, both."""
    names = inspect.signature(model.forward).parameters
    config: Any = model.config
    text = _text(config, names)
    for given in [text] if text else [{}]:
        media = list(_media(config, names))
        if given:
            yield given
        for one in media:
            yield one
            if given:
                yield {**given, **one}


def _text(config: Any, names: Any) -> dict[str, Any]:
    given: dict[str, Any] = {}
    vocabulary = getattr(config.get_text_config(), "vocab_size", None) or 100
    ids = torch.randint(3, max(4, min(vocabulary, 700)), (1, 8))
    for name in ("input_ids", "decoder_input_ids"):
        if name in names:
            given[name] = ids
    if "bbox" in names:
        given["bbox"] = torch.zeros(1, 8, 4, dtype=torch.long)
    return given


def _media(config: Any, names: Any) -> Iterator[dict[str, Any]]:
    parts = [config, *(v for v in vars(config).values() if hasattr(v, "to_dict"))]

    def of(*keys: str) -> list[Any]:
        return [getattr(p, k) for k in keys for p in parts if isinstance(getattr(p, k, None), int)]

    sides = [s for p in parts if (s := getattr(p, "image_size", None))] or [224]
    channels = [*of("num_channels", "in_channels", "in_chans", "num_input_channels"), 3]
    if "pixel_values" in names:
        for side in [*sides, 224, 64, 640]:
            height, width = (side, side) if isinstance(side, int) else tuple(side)[:2]
            for channel in dict.fromkeys(channels):
                yield {"pixel_values": torch.randn(1, channel, height, width)}
        frames = [*of("num_frames", "frames_per_clip"), 2]
        side = sides[0] if isinstance(sides[0], int) else 224
        yield {"pixel_values": torch.randn(1, frames[0], channels[0], side, side)}
    for name in ("pixel_values_videos", "inputs"):
        if name in names:
            for frames in [*of("num_frames", "frames_per_clip"), 2]:
                yield {name: torch.randn(1, frames, 3, sides[0], sides[0])}
    if "input_values" in names:
        yield {"input_values": torch.randn(1, 4000)}
        yield {"input_values": torch.randn(1, 1, 4000)}
        bins, frames = [*of("num_mel_bins"), 128][0], [*of("max_length"), 1024][0]
        yield {"input_values": torch.randn(1, frames, bins)}
    for name in ("input_features", "audio_values", "audio_input_features", "feature"):
        if name in names:
            for bins in [*of("num_mel_bins", "feature_size", "input_size", "input_dim"), 80, 128]:
                for frames in [*(2 * f for f in of("max_source_positions")), 200, 3000]:
                    yield {name: torch.randn(1, bins, frames)}
                    yield {name: torch.randn(1, frames, bins)}
    if "past_values" in names:
        for length in [*of("context_length"), 32]:
            for series in of("num_input_channels", "input_size"):
                yield {"past_values": torch.randn(1, length, series)}
                yield {
                    "past_values": torch.randn(1, length, series),
                    "future_values": torch.randn(1, of("prediction_length")[0], series),
                }
            yield {"past_values": torch.randn(1, length)}
