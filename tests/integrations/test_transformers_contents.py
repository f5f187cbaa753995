"""Tokenizers and processors beside the model, and language models that are trained with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import (
    DataCollatorForLanguageModeling,
    DataCollatorForSeq2Seq,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
    T5Config,
    T5ForConditionalGeneration,
    Trainer,
    ViTImageProcessor,
)

import tracker
from tests.integrations.transformers_training import arguments, trainer
from tests.training import log
from tracker.errors import InvalidArgumentError, TrackerWarning
from tracker.integrations.transformers import (
    TrackerCallback,
    load_processing_class,
    save_pretrained_folder,
)

pytestmark = pytest.mark.usefixtures("workplace")

TEXT = (Path(__file__).parents[2] / "docs" / "architecture.md").read_text().splitlines()
SENTENCES = [line for line in TEXT if len(line) > 60][:64]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    """A tokenizer of real text: the guide to tracker's own architecture."""
    made = Tokenizer(models.BPE(unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    special = ["<unk>", "<pad>", "<end>"]
    made.train_from_iterator(
        SENTENCES, trainers.BpeTrainer(vocab_size=300, special_tokens=special, show_progress=False)
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=made, unk_token="<unk>", pad_token="<pad>", eos_token="<end>"
    )


def language_model() -> Any:
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=300,
        n_embd=16,
        n_layer=1,
        n_head=2,
        n_positions=64,
        bos_token_id=2,
        eos_token_id=2,
    )
    return GPT2LMHeadModel(config)


def encoded(tokenizer: Any) -> list[Any]:
    return [tokenizer(sentence, truncation=True, max_length=32) for sentence in SENTENCES]


@pytest.mark.parametrize("given", ["to the trainer", "to its collator"])
def test_a_tokenizer_comes_back_from_beside_the_model(
    tokenizer: Any, given: str, tmp_path: Path
) -> None:
    transformers.logging.set_verbosity_error()
    made = Trainer(
        model=language_model(),
        args=arguments(num_train_epochs=1, eval_strategy="no"),
        train_dataset=encoded(tokenizer),
        data_collator=DataCollatorForLanguageModeling(tokenizer, mlm=False),
        processing_class=tokenizer if given == "to the trainer" else None,
        callbacks=[TrackerCallback(checkpoint_folders=False)],
    )
    made.train()
    checkpoint = tracker.get_checkpoint()
    assert {"tokenizer.json", "tokenizer_config.json", "generation_config.json"} < set(
        checkpoint.files
    )
    back = load_processing_class(checkpoint)
    assert back(SENTENCES[5])["input_ids"] == tokenizer(SENTENCES[5])["input_ids"]
    folder = save_pretrained_folder(checkpoint, tmp_path / "model")
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    words = transformers.AutoTokenizer.from_pretrained(folder)("The files", return_tensors="pt")
    generated = model.generate(**words, max_new_tokens=3, do_sample=False)
    assert torch.equal(
        generated, checkpoint.load_model().generate(**words, max_new_tokens=3, do_sample=False)
    )


def test_a_sequence_to_sequence_model_is_logged_with_what_it_generates(tokenizer: Any) -> None:
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=300,
        d_model=16,
        d_kv=8,
        d_ff=32,
        num_layers=1,
        num_heads=2,
        pad_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
    )
    model = T5ForConditionalGeneration(config)
    data = [{**each, "labels": each["input_ids"][:8]} for each in encoded(tokenizer)]
    args = Seq2SeqTrainingArguments(
        output_dir="out",
        num_train_epochs=1,
        eval_strategy="epoch",
        save_strategy="epoch",
        predict_with_generate=True,
        generation_max_length=8,
        report_to="none",
        use_cpu=True,
        disable_tqdm=True,
        per_device_train_batch_size=32,
    )
    made = Seq2SeqTrainer(
        model=model,
        args=args,
        train_dataset=data,
        eval_dataset=data[:8],
        data_collator=DataCollatorForSeq2Seq(tokenizer, model),
        processing_class=tokenizer,
        compute_metrics=lambda given: {"length": given.predictions.shape[1], "tokens@8": 1.0},
        callbacks=[TrackerCallback(checkpoint_folders=False)],
    )
    made.train()
    checkpoint = tracker.get_checkpoint()
    assert checkpoint.metrics["eval_length"] > 8
    assert checkpoint.metrics["eval_tokens_8"] == 1.0
    assert isinstance(checkpoint.load_model(), T5ForConditionalGeneration)


def trained_with(processing_class: Any) -> None:
    callback = TrackerCallback(checkpoint_folders=False)
    trainer(callback, processing_class=processing_class, max_steps=1).train()


def test_an_image_processor_comes_back_as_what_it_was() -> None:
    processor = ViTImageProcessor(size={"height": 8, "width": 8}, do_rescale=False)
    trained_with(processor)
    back = load_processing_class(tracker.get_checkpoint())
    assert (back.size["height"], back.do_rescale) == (8, False)


class Unwilling:
    """A processing class that can't be written."""

    def save_pretrained(self, folder: str) -> None:
        raise ValueError("not today")


def test_weights_are_logged_without_a_processing_class_that_can_not_be_written() -> None:
    with pytest.warns(TrackerWarning, match=r"processing class can't be kept.*not today"):
        trained_with(Unwilling())
    assert tracker.get_checkpoint().load_model()


def test_code_that_files_bring_is_not_run() -> None:
    config = {"tokenizer_class": "Evil", "auto_map": {"AutoTokenizer": ["evil.Evil", None]}}
    code = b"import pathlib; pathlib.Path('executed').touch()\nclass Evil: ..."
    checkpoint = log(
        epoch=1, files={"tokenizer_config.json": json.dumps(config).encode(), "evil.py": code}
    )
    with pytest.raises(InvalidArgumentError, match="can't be made"):
        load_processing_class(checkpoint)
    assert not Path("executed").exists()
