"""A small training with Transformers' ``Trainer``: a vision transformer on handwritten digits."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import torch
import transformers
from torch import Tensor
from torch.utils.data import Dataset
from transformers import Trainer, TrainingArguments, ViTConfig, ViTForImageClassification

from tracker.demo.digits import digits

# Every training of the Trainer begins with a collection of garbage, which looks at all that was
# imported: a third of a second, many times.
gc.freeze()


class Digits(Dataset[dict[str, Tensor]]):
    """Images of 8 by 8, as a vision transformer takes them."""

    def __init__(self, part: str, size: int) -> None:
        images, labels = digits()[part]
        self.images, self.labels = images[:size].reshape(-1, 1, 8, 8), labels[:size]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"pixel_values": self.images[index], "labels": self.labels[index]}


def vision_transformer(**options: Any) -> Any:
    """Return a model of about 5,000 weights, with dropout."""
    config = {
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "hidden_dropout_prob": 0.1,
        "image_size": 8,
        "patch_size": 4,
        "num_channels": 1,
        "num_labels": 10,
        "initializer_range": 0.2,
        **options,
    }
    return ViTForImageClassification(ViTConfig(**config))


def accuracy(prediction: Any) -> dict[str, float]:
    return {"accuracy": float(np.mean(prediction.predictions.argmax(-1) == prediction.label_ids))}


def arguments(**changed: Any) -> TrainingArguments:
    """Return arguments for sixteen steps an epoch, each epoch evaluated and saved."""
    return TrainingArguments(
        **{
            "output_dir": "out",
            "num_train_epochs": 4,
            "per_device_train_batch_size": 32,
            "per_device_eval_batch_size": 300,
            "learning_rate": 1e-2,
            "eval_strategy": "epoch",
            "save_strategy": "epoch",
            "logging_steps": 8,
            "report_to": "none",
            "use_cpu": True,
            "disable_tqdm": True,
            "seed": 7,
            **changed,
        }
    )


def trainer(
    *callbacks: Any,
    model: Any = None,
    data: Any = None,
    processing_class: Any = None,
    **changed: Any,
) -> Trainer:
    """Return a Trainer that does the same whenever it is made anew."""
    transformers.logging.set_verbosity_error()
    transformers.set_seed(7)
    made = Trainer(
        model=vision_transformer() if model is None else model,
        args=arguments(**changed),
        train_dataset=Digits("train", 512),
        eval_dataset=data or Digits("val", 300),
        compute_metrics=accuracy,
        processing_class=processing_class,
        callbacks=list(callbacks),
    )
    made.remove_callback(transformers.PrinterCallback)
    return made


def weights(model: torch.nn.Module) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in model.state_dict().items()}


def equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    """Return whether two state_dicts are equal, bit for bit."""
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)
