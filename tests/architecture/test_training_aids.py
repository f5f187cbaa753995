"""What trainers put onto a model is no part of it, and stays on it while it is logged."""

from __future__ import annotations

import functools
from typing import Any

import accelerate
import peft
import pytest
import torch
import transformers
from accelerate.state import AcceleratorState
from torch import nn

from tracker.architecture.describe import describe
from tracker.architecture.training_aids import taken_off


def bert() -> Any:
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=20,
        hidden_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=16,
    )
    return transformers.BertForSequenceClassification(config)


def with_checkpointing() -> nn.Module:
    model = bert()
    model.activation_checkpointing_enable()
    return model


def with_checkpointing_of_an_adapter() -> nn.Module:
    model = bert()
    model.activation_checkpointing_enable()
    adapted = peft.get_peft_model(model, peft.LoraConfig(r=2, target_modules=["query"]))
    adapted.enable_input_require_grads()
    return adapted


def in_mixed_precision() -> nn.Module:
    # One process has one precision, as far as Accelerate knows; a Trainer does the same.
    AcceleratorState._reset_state(reset_partial_state=True)
    accelerator = accelerate.Accelerator(cpu=True, mixed_precision="bf16")
    return accelerator.prepare_model(bert())


EVERY = [with_checkpointing, with_checkpointing_of_an_adapter, in_mixed_precision]


def _everything(model: nn.Module) -> list[tuple[str, list[tuple[str, int]], list[Any]]]:
    return [
        (name, [(k, id(v)) for k, v in vars(module).items()], list(module._forward_hooks.items()))
        for name, module in model.named_modules()
    ]


@pytest.mark.parametrize("make", EVERY)
def test_such_a_model_is_rebuilt_by_its_constructor(make: Any) -> None:
    model = make()
    with taken_off(model):
        assert describe(model).architecture.rebuild == "constructor"


@pytest.mark.parametrize("make", EVERY)
def test_the_model_is_as_it_was_afterwards(make: Any) -> None:
    model = make()
    before = _everything(model)
    with pytest.raises(KeyError), taken_off(model):
        raise KeyError
    assert _everything(model) == before


def test_checkpointing_and_gradients_of_embeddings_are_off_while_the_block_runs() -> None:
    model = with_checkpointing()
    layer, words = model.bert.encoder.layer[0], model.bert.embeddings.word_embeddings
    assert layer.gradient_checkpointing
    assert len(words._forward_hooks) == 1
    with taken_off(model):
        assert not layer.gradient_checkpointing
        assert len(words._forward_hooks) == 0
    assert layer._gradient_checkpointing_func
    assert len(words._forward_hooks) == 1


def test_hooks_of_the_user_stay_where_they_are() -> None:
    def make_inputs_require_grad(module: nn.Module, inputs: Any, output: Any) -> None: ...

    model = with_checkpointing()
    words = model.bert.embeddings.word_embeddings
    words.register_forward_hook(make_inputs_require_grad)
    with taken_off(model):
        assert list(words._forward_hooks.values()) == [make_inputs_require_grad]


def test_a_partial_function_as_a_hook_is_nobodys_aid() -> None:
    model = nn.Linear(1, 1)
    hook = functools.partial(print)
    model.register_forward_hook(hook)
    with taken_off(model):
        assert list(model._forward_hooks.values()) == [hook]
