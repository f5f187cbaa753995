"""Adapters of PEFT, trained by Transformers' ``Trainer`` on a frozen model."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import IA3Config, LoraConfig, PeftModel, get_peft_model

import tracker
from tests.integrations.transformers_training import (
    Digits,
    equal,
    trainer,
    vision_transformer,
    weights,
)
from tracker.integrations.transformers import (
    TrackerCallback,
    checkpoint_folder,
    save_pretrained_folder,
)

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*was logged before:tracker.errors.TrackerWarning"),
    pytest.mark.usefixtures("workplace"),
]

LORA = {"r": 2, "target_modules": ["q_proj", "v_proj"], "modules_to_save": ["classifier"]}


def frozen() -> Any:
    """Return the model that is adapted: the same whenever it is made."""
    torch.manual_seed(3)
    return vision_transformer(hidden_size=64, intermediate_size=256)


def adapted(config: Any = None) -> Any:
    base = frozen()
    torch.manual_seed(4)
    return get_peft_model(base, config or LoraConfig(**LORA))


def trained(model: Any, **options: Any) -> Any:
    made = trainer(TrackerCallback(checkpoint_folders=False), model=model, **options)
    made.train()
    return made


def logits(model: Any) -> torch.Tensor:
    model.eval()
    with torch.no_grad():
        return model(pixel_values=Digits("val", 20).images).logits


def file_size(checkpoint: tracker.Checkpoint, name: str) -> int:
    return os.path.getsize(Path(checkpoint.record.artifact_uri) / name)


def test_of_a_later_checkpoint_only_the_adapters_are_stored() -> None:
    model = adapted()
    trained(model, num_train_epochs=3)
    first, *later = tracker.search_checkpoints()[::-1]
    adapters = sum(p.numel() * 4 for p in model.parameters() if p.requires_grad)
    everything = sum(p.numel() * 4 for p in model.parameters())
    assert file_size(first, "model.safetensors") > everything
    for checkpoint in later:
        # The header, and what is too small to be worth a reference.
        assert file_size(checkpoint, "model.safetensors") < adapters + 0.1 * everything


def test_the_model_with_its_adapters_is_rebuilt_ready_to_use() -> None:
    model = trained(adapted(), num_train_epochs=1).model
    loaded = tracker.best_checkpoint("eval_loss").load_model()
    assert isinstance(loaded, PeftModel)
    assert torch.equal(logits(loaded), logits(model))


def test_peft_reads_the_folder_of_a_checkpoint_with_its_own_base(tmp_path: Path) -> None:
    model = trained(adapted(), num_train_epochs=1).model
    folder = save_pretrained_folder(tracker.get_checkpoint(), tmp_path / "adapter")
    assert {"adapter_config.json", "adapter_model.safetensors"} <= set(os.listdir(folder))
    assert "config.json" not in os.listdir(folder)
    assert torch.equal(logits(PeftModel.from_pretrained(frozen(), folder)), logits(model))


@pytest.mark.parametrize("second", [False, True], ids=["one adapter", "two adapters"])
def test_training_of_adapters_goes_on_as_if_it_had_not_stopped(second: bool) -> None:
    def make() -> Any:
        model = adapted()
        if second:
            model.add_adapter("other", LoraConfig(r=2, target_modules=["q_proj"]))
        return model

    whole = trained(make(), num_train_epochs=2)
    resumed = trainer(TrackerCallback(checkpoint_folders=False), model=make(), num_train_epochs=2)
    with checkpoint_folder(tracker.get_checkpoint(epoch=1)) as folder:
        resumed.train(resume_from_checkpoint=folder)
    assert equal(weights(resumed.model), weights(whole.model))


@pytest.mark.parametrize(
    "config",
    [
        LoraConfig(r=2, target_modules=["q_proj"], use_dora=True),
        IA3Config(target_modules=["k_proj", "fc2"], feedforward_modules=["fc2"]),
    ],
    ids=["dora", "ia3"],
)
def test_other_kinds_of_adapters_are_rebuilt_too(config: Any) -> None:
    model = trained(adapted(config), num_train_epochs=1, max_steps=2).model
    checkpoint = tracker.get_checkpoint()
    assert checkpoint.rebuild != "none"
    assert torch.equal(logits(checkpoint.load_model()), logits(model))
