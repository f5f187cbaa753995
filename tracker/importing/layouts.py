"""Recognises what a loaded file is: which of its entries are the weights, and what the others are.

Dicts of scripts, timm and Ignite differ in names only, so they are one layout here: every entry is
looked at once, by its name and by what it is. Nothing of it is dropped: what is neither weights nor
training state, metric or hyperparameter stays as a value.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from tracker.errors import FormatError
from tracker.importing.contents import Contents
from tracker.importing.hyperparameters import as_params, count, number
from tracker.importing.lightning import is_lightning, read_lightning
from tracker.importing.weights import is_state_dict, plain_weights

_WEIGHTS = (
    *("state_dict", "model_state_dict", "model_state", "model", "net", "network", "net_state_dict"),
    *("model_weights", "weights", "module", "params"),
)
"""Names of a model's weights, the surest first."""

_EPOCHS = ("epoch", "current_epoch", "cur_epoch", "epoch_idx", "last_epoch", "n_epoch", "epochs")
_STEPS = (
    *("global_step", "step", "steps", "iteration", "iter", "iters", "global_iter", "n_iter"),
    *("num_updates", "it"),
)
_METRICS = frozenset(
    {*("metrics", "metric", "scores", "score", "logs", "results", "losses", "eval", "val_metrics")}
)
_HYPERPARAMETERS = frozenset(
    {
        *("hyper_parameters", "hparams", "hyperparameters", "hyperparams", "config", "cfg", "args"),
        *("opt", "opts", "options", "model_args", "model_config", "model_kwargs", "kwargs"),
        *("arguments", "settings", "model_params", "init_args", "conf"),
    }
)
_SETTINGS = re.compile(
    r"^(lr|learning_rate|weight_decay|momentum|dropout|seed|temperature|gamma|alpha|beta\d?|version"
    r"|batch_size|warmup|time|elapsed|.*_lr|lr_.*|.*_time|ema_decay)$"
)
"""Numbers of the top level that are no metrics."""

_METRIC_NAME = re.compile(
    r"loss|acc|auc|f1|error|score|metric|map|iou|dice|bleu|ppl|perplexity|mse|mae|psnr|precision"
    r"|recall|best",
    re.IGNORECASE,
)
_NO_MODEL = re.compile(r"optim|rng|random|generator_state|class_weights|prototypes")
_AVERAGE = re.compile(r"ema|swa|avg|average|teacher|best", re.IGNORECASE)
_STATEFUL = re.compile(
    r"optim|sched|scal|amp|ema|sampler|loader|generator|discriminator|trainer|engine|stopp|avg|swa",
    re.IGNORECASE,
)


def recognise(loaded: object, where: str) -> Contents:
    """Return what a loaded file holds.

    Args:
        loaded: What `safe_load.load_torch` returned.
        where: The file, for errors.

    Raises:
        FormatError: There are no weights in it.
    """
    if isinstance(loaded, Tensor) or not isinstance(loaded, Mapping):
        raise FormatError(
            f"{where}: holds a {type(loaded).__name__}; expected a model's state_dict, or a dict "
            "that has one beside the optimizer's, the epoch and so on."
        )
    if is_state_dict(loaded):
        return Contents("state_dict", plain_weights(loaded))
    if len(loaded) == 1 and _holds_weights(only := next(iter(loaded.values()))):
        return recognise(only, where)  # {"checkpoint": {"model": …, "epoch": …}}
    if is_lightning(loaded):
        return read_lightning(loaded, where)
    return _read_dict(loaded, where)


def _holds_weights(value: object) -> bool:
    return isinstance(value, Mapping) and any(map(is_state_dict, value.values()))


@dataclass(slots=True)
class _Sorting:
    """The entries of a dict, as they are sorted."""

    optimizers: dict[str, Any] = field(default_factory=dict)
    schedulers: dict[str, Any] = field(default_factory=dict)
    models: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    states: dict[str, Any] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)


def _read_dict(loaded: Mapping[Any, Any], where: str) -> Contents:
    sorting = _Sorting()
    named = {str(key): value for key, value in loaded.items()}
    epoch, step = _first_count(named, _EPOCHS), _first_count(named, _STEPS)
    for name, value in named.items():
        if name not in (*_EPOCHS, *_STEPS) or count(value) is None:
            _sort(name, value, sorting)
    weights = _weights(sorting, where)
    optimizer = _single(sorting.optimizers, sorting.states)
    scheduler = _single(sorting.schedulers, sorting.states)
    found = Contents(
        "training dict",
        weights,
        epoch=epoch,
        step=step,
        metrics=sorting.metrics,
        params=sorting.params,
        optimizer=optimizer,
        scheduler=scheduler,
        states=sorting.states,
        values=sorting.values,
        architecture=named["arch"] if isinstance(named.get("arch"), str) else "",
    )
    return _of_library(found, named)


def _first_count(named: Mapping[str, Any], names: tuple[str, ...]) -> int | None:
    return next((n for n in (count(named.get(name)) for name in names) if n is not None), None)


def _sort(name: str, value: Any, sorting: _Sorting) -> None:
    lower = name.lower()
    if _is_optimizer(value):
        sorting.optimizers[name] = value
    elif isinstance(value, Mapping) and "sched" in lower:
        sorting.schedulers[name] = value
    elif is_state_dict(value) and not _NO_MODEL.search(lower):
        sorting.models[name] = value
    elif isinstance(value, Mapping) and (inner := _inner_model(value)) is not None:
        sorting.models[name] = inner
        rest = {key: item for key, item in value.items() if item is not inner}
        sorting.values |= {name: rest} if rest else {}
    elif lower in _METRICS and isinstance(value, Mapping):
        _take_metrics(value, sorting)
    elif lower in _HYPERPARAMETERS and isinstance(value, Mapping):
        sorting.params |= as_params(value)
        sorting.values[name] = value
    elif isinstance(value, Mapping) and _STATEFUL.search(lower):
        sorting.states[name] = value
    elif (measured := _measured(lower, value)) is not None:
        sorting.metrics[name] = measured
    else:
        if isinstance(value, (str, int, float)):
            sorting.params |= as_params({name: value})
        sorting.values[name] = value


def _is_optimizer(value: Any) -> bool:
    return isinstance(value, Mapping) and {"state", "param_groups"} <= set(value)


def _inner_model(value: Mapping[Any, Any]) -> Mapping[str, Any] | None:
    """Return the weights in ``{"model": {"state_dict": …, "config": …}}``."""
    for name in ("state_dict", "model_state_dict", "model"):
        if is_state_dict(value.get(name)):
            inner: Mapping[str, Any] = value[name]
            return inner
    return None


def _measured(name: str, value: Any) -> float | None:
    """Return the metric that a number of the top level is, or None if it is a setting."""
    found = number(value)
    if found is None or _SETTINGS.match(name):
        return None
    return found if _METRIC_NAME.search(name) or isinstance(value, float) else None


def _take_metrics(values: Mapping[Any, Any], sorting: _Sorting, prefix: str = "") -> None:
    for key, value in values.items():
        found = number(value)
        if found is not None:
            sorting.metrics[f"{prefix}{key}"] = found
        elif isinstance(value, Mapping) and not prefix:
            _take_metrics(value, sorting, f"{key}/")
        else:
            sorting.values[f"{prefix}{key}"] = value


def _weights(sorting: _Sorting, where: str) -> dict[str, Any]:
    """Return the weights among the models; what else was averaged or tracked stays a state."""
    if not sorting.models:
        # A state_dict to which a script has added a few values.
        loose = {k: v for k, v in sorting.values.items() if isinstance(v, Tensor) and v.dim()}
        sorting.values = {k: v for k, v in sorting.values.items() if k not in loose}
        if any("." in name for name in loose):
            return plain_weights(loose)
        sorting.values |= loose
        raise FormatError(
            f"{where}: is a dict without weights: no entry of it is a state_dict. Its entries: "
            f"{', '.join([*sorting.optimizers, *sorting.states, *sorting.values][:8]) or 'none'}."
        )
    models = {name: plain_weights(state) for name, state in sorting.models.items()}
    main = next((name for name in _WEIGHTS if name in models), None)
    # Several models, as of a GAN, are parts of one, so that load_state_dict(prefix=) finds each.
    parts = [main] if main else [n for n in models if not _AVERAGE.search(n)] or list(models)
    sorting.states |= {name: state for name, state in models.items() if name not in parts}
    if len(parts) == 1:
        return models[parts[0]]
    return {f"{name}.{key}": value for name in parts for key, value in models[name].items()}


def _single(found: Mapping[str, Any], states: dict[str, Any]) -> Any:
    """Return the only one; several keep their names."""
    if len(found) == 1:
        return next(iter(found.values()))
    states |= found
    return None


def _of_library(found: Contents, named: Mapping[str, Any]) -> Contents:
    """Say which library wrote a dict, as far as that shows, and what it means by its entries."""
    engine = named.get("trainer")
    if isinstance(engine, Mapping) and {"epoch_length", "max_epochs"} <= set(engine):
        epoch, step, length = (count(engine.get(k)) for k in ("epoch", "iteration", "epoch_length"))
        if epoch is None and step is not None and length and step % length == 0:
            epoch = step // length
        return replace(found, layout="ignite", epoch=epoch, step=step)
    if "arch" in named and "version" in named and "state_dict" in named:
        metric = number(named.get("metric"))
        arguments = named.get("args")
        chosen = arguments.get("eval_metric") if isinstance(arguments, Mapping) else None
        metrics = {k: v for k, v in found.metrics.items() if k != "metric"}
        if metric is not None:
            metrics[str(chosen or "metric")] = metric
        return replace(found, layout="timm", metrics=metrics)
    return found
