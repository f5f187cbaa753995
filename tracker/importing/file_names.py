"""What the name of a checkpoint file says: epoch, step, metrics.

``epoch=3-step=120-val_loss=0.12.ckpt``, ``epoch_12.pth``, ``checkpoint-500``, ``model_0.0123.pt``:
conventions of Lightning, Hugging Face, Ignite and of scripts. A name counts only for what neither
the file itself nor its run tells.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field

SUFFIXES = (
    *(".pth.tar", ".pt.tar", ".ckpt.tar"),
    *(".weights.pth", ".pth", ".pt", ".ckpt", ".safetensors", ".bin"),
)
"""Those of files of weights, the longer ones first."""

_MAX_COUNT = 2**53
"""What a float holds exactly."""

_NUMBER = r"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?"
_PAIR = re.compile(rf"([^=]*?)=({_NUMBER}|[-+]?(?:nan|inf))(?![A-Za-z\d])", re.IGNORECASE)
_WORDED = re.compile(rf"(?<![A-Za-z\d])([A-Za-z][A-Za-z_/\- ]*?)[_\- :]?({_NUMBER})(?![A-Za-z\d])")
_DATES = re.compile(
    r"(?<!\d)(?:19|20)\d{2}-?\d{2}-?\d{2}(?:[T_-]?\d{2}[-_:]?\d{2}(?:[-_:]?\d{2})?)?(?!\d)"
)
_VERSION = re.compile(r"[-_]v\d+(?:\.\d+)*$")
_SEPARATORS = re.compile(r"[-_ ,/]+")

_EPOCHS = frozenset({"epoch", "epochs", "ep", "e"})
_STEPS = frozenset(
    {*("step", "steps", "iter", "iters", "iteration", "iterations", "it", "update", "updates")}
)
_FILES = frozenset({"checkpoint", "ckpt", "chkpt", "cp"})
_MODELS = frozenset({"model", "net", "network", "weights", "state", "dict", "snapshot", "params"})
_NO_METRICS = frozenset({"best", "last", "latest", "final", "checkpoints", "global", "at", "the"})
_METRIC = re.compile(
    r"loss|acc|auc|f1|error|err|score|metric|map|iou|dice|bleu|rouge|ppl|perplexity|mse|mae|rmse|"
    r"psnr|ssim|precision|recall|top|fid|cer|wer|r2|reward|return|kappa",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Named:
    """What a name says; None and empty where it says nothing.

    Attributes:
        epoch: The epoch.
        step: The step.
        metrics: Values by name; one without a name is ``score``.
        is_guess: Whether epoch or step is a bare number, as of ``model_10``, which might be either.
    """

    epoch: int | None = None
    step: int | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    is_guess: bool = False


def read_name(name: str) -> Named:
    """Return what a file's or folder's name says.

    Example:
        >>> read_name("epoch=3-step=120-val_loss=0.12.ckpt")
        Named(epoch=3, step=120, metrics={'val_loss': 0.12})
    """
    text = _VERSION.sub("", _DATES.sub("", stem(name)[:512]))
    said: dict[str, float] = {}
    rest, end = "", 0
    for found in _PAIR.finditer(text):
        before, key = _key(found[1])
        rest += f" {before}"
        said[key] = float(found[2])
        end = found.end()
    rest += text[end:]
    return _sorted_out(said, rest, of_files="epoch" if name.endswith(".tar") else "step")


def stem(name: str) -> str:
    """Return a file's name without the suffix of a file of weights.

    Example:
        >>> stem("model_best.pth.tar")
        'model_best'
    """
    for suffix in SUFFIXES:
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return name


def _key(text: str) -> tuple[str, str]:
    """Return what stands before a key, and the key: of ``best_model_5_val_acc`` ``val_acc``."""
    before, separator, key = text.strip("-_ ,").rpartition("-")
    words = key.split("_")
    for index in range(len(words) - 1, -1, -1):
        word = words[index].lower()
        if word.isdecimal() or word in _NO_METRICS | _MODELS | _FILES:
            head = "_".join(words[: index + 1])
            return f"{before}{separator}{head}", "_".join(words[index + 1 :]) or word
    return before, key.strip()


def _sorted_out(said: dict[str, float], rest: str, *, of_files: str) -> Named:
    """Return what pairs and words say; ``checkpoint-5`` means the step, of timm the epoch."""
    counts: dict[str, int] = {}
    metrics: dict[str, float] = {}
    is_guess = False
    for key, value in said.items():
        words = {word.lower() for word in _SEPARATORS.split(key)}
        kind = "epoch" if words & _EPOCHS else "step" if words & _STEPS else ""
        if kind and _is_count(value):
            counts[kind] = int(value)
        elif key and not kind:
            metrics[key] = value
    for found in _WORDED.finditer(rest):
        words_of = [word for word in _SEPARATORS.split(found[1]) if word]
        if found[2].isdecimal():
            kind, is_sure = _counted(words_of[-1].lower(), of_files)
            if kind and (is_sure or not counts) and _is_count(float(found[2])):
                counts.setdefault(kind, int(found[2]))
                is_guess = not is_sure
        elif "." in found[2]:
            metrics.setdefault(_metric_name(words_of), float(found[2]))
    return Named(counts.get("epoch"), counts.get("step"), metrics, is_guess)


def _counted(word: str, of_files: str) -> tuple[str, bool]:
    """Return what a number after a word counts, and whether the word leaves no doubt."""
    if word in _EPOCHS:
        return "epoch", True
    if word in _STEPS:
        return "step", True
    return (of_files if word in _FILES else "epoch" if word in _MODELS else ""), False


def _is_count(value: float) -> bool:
    return math.isfinite(value) and 0 <= value <= _MAX_COUNT and value == int(value)


def _metric_name(words: list[str]) -> str:
    """Return the metric that words before a number name, or ``score`` if they name none."""
    first = next((i for i, word in enumerate(words) if _METRIC.search(word)), None)
    if first is None:
        return "score"
    if first and words[first - 1].lower() in ("val", "valid", "validation", "train", "test", "dev"):
        first -= 1
    return "_".join(words[first:])
