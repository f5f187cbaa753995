"""A small language model adapted by every method of peft."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import nn

from corpus.case import Case, Inputs

TARGETS = ["q_proj", "v_proj"]

METHODS: dict[str, dict[str, Any]] = {
    "LoraConfig": {"r": 2, "target_modules": TARGETS, "init_lora_weights": False},
    "LoraConfig, rslora": {"r": 2, "target_modules": TARGETS, "use_rslora": True},
    "LoraConfig, dora": {"r": 2, "target_modules": TARGETS, "use_dora": True},
    "LoraConfig, all-linear": {"r": 2, "target_modules": "all-linear", "lora_dropout": 0.1},
    "LoraConfig, modules to save": {
        "r": 2,
        "target_modules": TARGETS,
        "modules_to_save": ["lm_head"],
    },
    "LoraConfig, embedding": {"r": 2, "target_modules": ["embed_tokens", "q_proj"]},
    "LoraConfig, pattern": {"r": 2, "target_modules": TARGETS, "rank_pattern": {"q_proj": 4}},
    "LoHaConfig": {"r": 2, "target_modules": TARGETS},
    "LoKrConfig": {"r": 2, "target_modules": TARGETS},
    "AdaLoraConfig": {"target_modules": TARGETS, "init_r": 4, "target_r": 2, "total_step": 10},
    "IA3Config": {"target_modules": TARGETS, "feedforward_modules": []},
    "OFTConfig": {"oft_block_size": 4, "target_modules": TARGETS},
    "BOFTConfig": {"boft_block_size": 4, "target_modules": TARGETS},
    "VeraConfig": {"r": 2, "target_modules": TARGETS},
    "FourierFTConfig": {"n_frequency": 10, "target_modules": TARGETS},
    "VBLoRAConfig": {
        "r": 2,
        "target_modules": TARGETS,
        "vector_length": 8,
        "num_vectors": 4,
        "topk": 1,
    },
    "HRAConfig": {"r": 2, "target_modules": TARGETS},
    "LNTuningConfig": {"target_modules": ["norm"]},
    "PromptTuningConfig": {"num_virtual_tokens": 4, "task_type": "CAUSAL_LM"},
    "PrefixTuningConfig": {"num_virtual_tokens": 4, "task_type": "CAUSAL_LM"},
    "PromptEncoderConfig": {"num_virtual_tokens": 4, "task_type": "CAUSAL_LM"},
    "BoneConfig": {"r": 2, "target_modules": TARGETS},
    "MissConfig": {"r": 2, "target_modules": TARGETS},
    "RandLoraConfig": {"r": 2, "target_modules": TARGETS},
    "SHiRAConfig": {"r": 2, "target_modules": TARGETS},
    "C3AConfig": {"block_size": 4, "target_modules": TARGETS},
    "RoadConfig": {"group_size": 8, "target_modules": TARGETS},
    "TrainableTokensConfig": {"token_indices": [1, 2], "target_modules": ["embed_tokens"]},
    "AdaptionPromptConfig": {"adapter_len": 4, "adapter_layers": 1},
    "DeloraConfig": {"r": 2, "target_modules": TARGETS},
    "WaveFTConfig": {"n_frequency": 10, "target_modules": TARGETS},
    "OSFConfig": {"target_modules": TARGETS},
    "GraloraConfig": {"r": 4, "target_modules": TARGETS, "gralora_k": 2},
}


def base() -> nn.Module:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=60,
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=64,
    )
    return LlamaForCausalLM(config)


def adapt(method: str) -> nn.Module:
    import peft

    config = getattr(peft, method.partition(",")[0])(**METHODS[method])
    adapted: nn.Module = peft.get_peft_model(base(), config)
    return adapted


def two_adapters() -> nn.Module:
    from peft import LoraConfig

    model: Any = adapt("LoraConfig")
    model.add_adapter("second", LoraConfig(r=3, target_modules=["v_proj"]))
    model.set_adapter("second")
    return model


def injected() -> nn.Module:
    import peft

    config = peft.LoraConfig(r=2, target_modules=TARGETS)
    made: nn.Module = peft.inject_adapter_in_model(config, base())
    return made


def unloaded(merge: bool) -> nn.Module:
    model: Any = adapt("LoraConfig")
    made: nn.Module = model.merge_and_unload() if merge else model.unload()
    return made


def merged() -> nn.Module:
    model: Any = adapt("LoraConfig")
    model.merge_adapter()
    return model


def transformers_adapter() -> nn.Module:
    from peft import LoraConfig

    model: Any = base()
    model.add_adapter(LoraConfig(r=2, target_modules=TARGETS))
    return model


def _tokens(model: nn.Module) -> Inputs:
    return {"input_ids": torch.randint(3, 60, (1, 8))}


def cases() -> Iterator[Case]:
    import peft

    for method in METHODS:
        if hasattr(peft, method.partition(",")[0]):
            yield Case(method, partial(adapt, method), _tokens)
    yield Case("two adapters", two_adapters, _tokens)
    yield Case("inject_adapter_in_model", injected, _tokens)
    yield Case("merge_and_unload", partial(unloaded, True), _tokens)
    yield Case("unload", partial(unloaded, False), _tokens)
    yield Case("merge_adapter", merged, _tokens)
    yield Case("transformers add_adapter", transformers_adapter, _tokens)
