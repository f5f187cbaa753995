"""Whether smaller or larger values of a metric are better, where its name leaves no doubt."""

from __future__ import annotations

import re

from tracker.errors import InvalidArgumentError
from tracker.types import Mode

_SMALLER_IS_BETTER = frozenset(
    "loss losses error errors err perplexity ppl mse rmse mae mape smape msle nll bpc wer cer ter "
    "eer fid kid lpips divergence kl regret".split()
)
_LARGER_IS_BETTER = frozenset(
    "accuracy acc auc auroc auprc f1 fscore precision recall map ap iou miou dice jaccard bleu "
    "rouge meteor r2 psnr ssim ndcg mrr kappa mcc reward rewards sensitivity specificity".split()
)
_TURNS_IT_ROUND = frozenset("neg negative inverse inv scale weight".split())
"""Words that leave a name open: sklearn's ``neg_mean_squared_error`` is better when larger."""


def direction(metric: str, mode: str | None) -> Mode:
    """Return ``mode`` if given, else the direction that the metric's name implies.

    Args:
        metric: Its name, as words in snake_case, camelCase or with any separator.
        mode: ``"min"``, ``"max"`` or None.

    Raises:
        InvalidArgumentError: ``mode`` is something else, or the name leaves the direction open.

    Example:
        >>> direction("val_loss", None), direction("top1-accuracy", None)
        ('min', 'max')
    """
    if mode == "min":
        return "min"
    if mode == "max":
        return "max"
    if mode is not None:
        raise InvalidArgumentError(f"mode={mode!r}: expected 'min', 'max' or None.")
    words = _words(metric)
    smaller, larger = words & _SMALLER_IS_BETTER, words & _LARGER_IS_BETTER
    if bool(smaller) != bool(larger) and not words & _TURNS_IT_ROUND:
        return "min" if smaller else "max"
    raise InvalidArgumentError(
        f"Whether smaller or larger values of {metric!r} are better is not clear from its name. "
        "Say which: mode='min' or mode='max' (on the command line: --mode min)."
    )


def _words(metric: str) -> set[str]:
    """Return the words of a name, with and without digits at their end (``acc1``, ``mAP50``)."""
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", metric)
    # Whole too: IoU and mIoU are one word.
    words = set(re.findall(r"[a-z]+[0-9]*", f"{parted} {metric}".lower()))
    return words | {word.rstrip("0123456789") for word in words}
