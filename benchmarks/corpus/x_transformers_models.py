"""x-transformers: attention layers with the many options that the library has."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from torch import nn

from corpus.case import Case, floats, integers

LAYERS = {"dim": 32, "depth": 2, "heads": 2, "attn_dim_head": 16}

OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "rotary": {"rotary_pos_emb": True},
    "rotary xpos": {"rotary_xpos": True},
    "alibi": {"alibi_pos_bias": True, "alibi_num_heads": 1},
    "relative bias": {"rel_pos_bias": True},
    "dynamic bias": {"dynamic_pos_bias": True, "dynamic_pos_bias_log_distance": False},
    "RMSNorm": {"use_rmsnorm": True},
    "simple RMSNorm": {"use_simple_rmsnorm": True},
    "ScaleNorm": {"use_scalenorm": True},
    "GLU": {"ff_glu": True},
    "swish GLU": {"ff_swish": True, "ff_glu": True},
    "squared ReLU": {"ff_relu_squared": True},
    "no bias": {"ff_no_bias": True},
    "post-norm": {"pre_norm": False},
    "sandwich norm": {"sandwich_norm": True},
    "sandwich": {"sandwich_coef": 1},
    "residual attention": {"residual_attn": True},
    "gated residual": {"gate_residual": True},
    "scaled residual": {"scale_residual": True},
    "residual dropout": {"layer_dropout": 0.1, "attn_dropout": 0.1, "ff_dropout": 0.1},
    "talking heads": {"attn_pre_talking_heads": True, "attn_post_talking_heads": True},
    "one key and value": {"attn_one_kv_head": True},
    "grouped query": {"attn_kv_heads": 1},
    "query-key norm": {"attn_qk_norm": True, "attn_qk_norm_scale": 10},
    "memory": {"attn_num_mem_kv": 4},
    "gated values": {"attn_gate_values": True},
    "gated heads": {"attn_head_scale": True},
    "on attention": {"attn_on_attn": True},
    "sparse topk": {"attn_sparse_topk": 4},
    "shift tokens": {"shift_tokens": 1},
    "macaron": {"macaron": True},
    "weight tied": {"weight_tie_layers": True},
    "hyper-connections": {"num_residual_streams": 2},
    "softclamp": {"attn_softclamp_logits": True},
    "layerscale": {"use_layerscale": True},
}


def build(layers: str, options: dict[str, Any], wrapper: dict[str, Any]) -> nn.Module:
    import x_transformers

    body = getattr(x_transformers, layers)(**LAYERS, **options)
    made: nn.Module = x_transformers.TransformerWrapper(
        num_tokens=50, max_seq_len=32, attn_layers=body, **wrapper
    )
    return made


def cases() -> Iterator[Case]:
    import x_transformers as library

    tokens = integers(50, 1, 12)
    for name, options in OPTIONS.items():
        kind = "Encoder" if "relative" in name else "Decoder"
        yield Case(f"{kind}, {name}", partial(build, kind, options, {}), tokens)
    wrappers: dict[str, dict[str, Any]] = {
        "memory tokens": {"num_memory_tokens": 3},
        "tied embedding": {"tie_embedding": True},
        "no positions": {"use_abs_pos_emb": False},
        "sinusoidal": {"scaled_sinu_pos_emb": True},
        "post norm of the embedding": {"post_emb_norm": True},
        "embedding factor": {"emb_dim": 16},
    }
    for name, wrapper in wrappers.items():
        yield Case(f"TransformerWrapper, {name}", partial(build, "Decoder", {}, wrapper), tokens)
    body = {"dim_in": 8, "dim_out": 4, "max_seq_len": 32}
    yield Case(
        "ContinuousTransformerWrapper",
        lambda: library.ContinuousTransformerWrapper(attn_layers=library.Encoder(**LAYERS), **body),
        floats(1, 12, 8),
    )
    yield Case(
        "ViTransformerWrapper",
        lambda: library.ViTransformerWrapper(
            image_size=16, patch_size=8, num_classes=3, attn_layers=library.Encoder(**LAYERS)
        ),
        floats(1, 3, 16, 16),
    )
    yield Case(
        "XTransformer",
        partial(
            library.XTransformer,
            dim=32,
            enc_num_tokens=50,
            enc_depth=1,
            enc_heads=2,
            enc_max_seq_len=16,
            dec_num_tokens=50,
            dec_depth=1,
            dec_heads=2,
            dec_max_seq_len=16,
            tie_token_emb=True,
        ),
        None,
    )
    yield Case(
        "AutoregressiveWrapper",
        lambda: library.AutoregressiveWrapper(build("Decoder", {}, {})),
        tokens,
    )
    yield Case(
        "XValTransformerWrapper",
        lambda: library.XValTransformerWrapper(
            num_tokens=20,
            numerical_token_id=3,
            max_seq_len=16,
            attn_layers=library.Decoder(**LAYERS),
        ),
        None,
    )
    yield Case(
        "CrossAttender",
        partial(library.CrossAttender, dim=32, depth=1, heads=2),
        lambda model: {"x": floats(1, 5, 32)(model)[0], "context": floats(1, 4, 32)(model)[0]},
    )
