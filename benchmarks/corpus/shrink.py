"""Shrinks a configuration of transformers: the same architecture with small numbers.

Sizes that have to fit each other are all divided by the same number, so that they still fit.
"""

from __future__ import annotations

import re
from typing import Any

VOCABULARY = 1000
LAYERS = 2

# Settings that some configurations leave out and their models need.
WITHOUT_DEFAULT = {
    "vocab_size": 100,
    "head_dim": 16,
    "num_key_value_heads": 4,
    "prediction_length": 4,
}
# What no rule can know, by model type.
EXCEPTIONS: dict[str, dict[str, Any]] = {
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]},
    "esm": {"vocab_size": 33, "pad_token_id": 1, "mask_token_id": 32},
    "dots1": {"n_routed_experts": 4, "n_group": 1, "topk_group": 1},
    "chameleon": {"vocabulary_map": {"<image>": 4, "IMGIMGAZ": 5}},
    "granite4_vision": {"deepstack_layer_map": [[0, 0]]},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"]},
    "deepseek_ocr2_text": {"mlp_layer_types": ["dense", "sparse"]},
    "data2vec-audio": {"conv_dim": (16,) * 7},
    "efficientnet": {"width_coefficient": 0.25, "depth_coefficient": 0.2},
    "perceiver": {
        "d_latents": 32,
        "d_model": 32,
        "num_latents": 16,
        "num_self_attends_per_block": 1,
    },
}

_LAYERS = re.compile(
    r"^(?!num_feat_extract)((num|n)_)?(\w+_)?(num_)?(hidden_)?(layers?|depth|num_blocks)$|^n_layer$|^num_(?!feat)\w*layers$"
)
_SIZES = re.compile(
    r"(hidden_sizes?|hidden_dims?|intermediate_size|intermediate_dim|d_model|embed_dims?|head_dim|"
    r"ffn_dim|_ff|d_ff|d_kv|n_embd|n_inner|embedding_size|projection_dim|mlp_dim|proj_dim|"
    r"projection_size|lora_rank|ffn_hidden_size|embedding_dim|projector_hidden|output_dim|"
    r"decoder_dim|feedforward|conv_dim|classifier_proj_size|channels_list|codebook_dim|"
    r"pooler_output_size|proj_size|d_embed|hidden_act_size|query_dim|dim_model|qk_dim|kv_dim|"
    r"fpn_hidden_size|embed_dim_per_stage|backbone_channel_list|encoder_hidden_dim|lstm_width|"
    r"neck_hidden_sizes|fusion_hidden_size|num_filters|tdnn_dim|dim_feedforward|state_size|"
    r"attention_hidden_size|decoder_channels|block_out_channels|inner_dim|attention_dim|feature_channels|"
    r"base_dim|base_channels|encoder_dim|axes_dims|caption_channels|in_features|d_inner|cond_dim|"
    r"emb_dim|d_latents|"
    r"text_dim|"
    r"hidden_size_per_layer_input|latent_size|"
    r"query_pre_attn_scalar|q_dim|v_dim|k_dim)"
)
_NOT_SIZES = re.compile(r"vocab|num_hidden|act|dropout|ratio|temperature|layer_norm|kernel")


def shrink(config: Any, divisor: int) -> Any:
    """Return a configuration of the same class with small sizes, sub-configurations included."""
    default = vars(type(config)())
    changes = {}
    tokens = iter(range(VOCABULARY - 200, VOCABULARY - 1))
    layers = getattr(config, "num_hidden_layers", 0)
    for name, value in vars(config).items():
        if name.startswith("_"):
            continue
        if name not in default or default[name] != value:
            changes[name] = value  # a part of another model that is not as its class has it
        small = _shrink_sub(value, divisor)
        if small is None:
            small = shrunk_value(name, value, divisor, tokens, layers)
        if small is not None:
            changes[name] = small
    changes |= EXCEPTIONS.get(getattr(config, "model_type", ""), {})
    return type(config)(**changes)


def _shrink_sections(value: Any, divisor: int) -> Any:
    """Shrink rotary sections: they have to add up to half of the head's size."""
    if isinstance(value, dict) and "mrope_section" in value:
        return {**value, "mrope_section": [n // divisor for n in value["mrope_section"]]}
    return None


def _shrink_sub(value: Any, divisor: int) -> Any:
    from transformers import PretrainedConfig

    if isinstance(value, PretrainedConfig):
        return shrink(value, divisor)
    return _shrink_sections(value, divisor)


def shrunk_value(name: str, value: Any, divisor: int, tokens: Any, layers: int = 0) -> Any:
    """Return the small value for a setting, by its name; None to leave it as it is."""
    if isinstance(value, list) and len(value) == layers > LAYERS:  # one entry for each layer
        first = value[:LAYERS]
        return shrunk_value(name, first, divisor, tokens) or first
    if isinstance(value, list | tuple) and value and all(type(item) is int for item in value):
        if _SIZES.search(name) and not _NOT_SIZES.search(name):
            return type(value)(max(1, item // divisor) for item in value)
        return None
    if value is None and name in WITHOUT_DEFAULT:
        return WITHOUT_DEFAULT[name]
    if type(value) is not int:
        return None
    if "vocab_size" in name or name == "n_words":
        return min(value, VOCABULARY)
    if name.endswith(("token_id", "token_index", "_token", "token_ids")):
        return next(tokens) if value >= VOCABULARY - 200 else None
    if _LAYERS.match(name):
        return min(value, LAYERS)
    if re.search(r"experts$", name) and value > 4:
        return 4
    if name in ("num_experts_per_tok", "moe_topk", "top_k_experts", "moe_top_k"):
        return min(value, 2)
    if name in ("n_group", "topk_group"):
        return 1
    if name in ("max_position_embeddings", "n_positions", "max_source_positions"):
        return min(value, 512)
    if _SIZES.search(name) and not _NOT_SIZES.search(name) and value >= divisor:
        return value // divisor
    return None
