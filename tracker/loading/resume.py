"""Puts a checkpoint's state into a live model, optimizer and scheduler: all of it, or nothing."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.utils.data import DataLoader

from tracker.architecture.distribution import reshard
from tracker.architecture.reader import malformed
from tracker.architecture.wrappers import plain_key, unwrapped
from tracker.errors import InvalidArgumentError, MismatchError, TrackerWarning
from tracker.format import StoredCheckpoint
from tracker.format.dtypes import DTYPES
from tracker.loading.alike import StandIns, check_has_values, is_any_spread
from tracker.loading.fitting import compare_weights, live_keys, refusal
from tracker.loading.into import check_model
from tracker.loading.optimizer_fit import compare_optimizers, compare_schedulers
from tracker.loading.optimizer_state import load_optimizer
from tracker.loading.together import Load, load_loader, load_together
from tracker.loading.training_state import (
    SavedObject,
    entries_of,
    random_states,
    read_object,
    training_of,
    values_of,
)
from tracker.loading.weights import restore_state_for
from tracker.training import random_state as generators
from tracker.training.parameter_names import modules_among, names_by_identity, parameter_names
from tracker.training.stateful import as_stateful, class_text, is_same_class, parts_of
from tracker.training.world import rank, world_size
from tracker.values.codec import FetchTensor

_MAX_PROBLEMS = 12


def resume_training(
    stored: StoredCheckpoint,
    *,
    model: nn.Module,
    optimizer: Any = None,
    scheduler: Any = None,
    state: Mapping[str, Any] | None = None,
    random_state: bool | None = None,
    verify: bool = True,
) -> dict[str, Any]:
    """Load a checkpoint into live objects.

    Everything is read and compared before the first object is touched.

    Args:
        stored: The opened files.
        model: The model to load into; its keys and shapes must be those of the checkpoint.
        optimizer: Takes the optimizer state, if given.
        scheduler: Takes the scheduler state, if given.
        state: The objects that were logged as ``state=``, by the same names. Plain values are
            not loaded into anything, whatever is given in their place; they are returned.
        random_state: Whether the global random generators go on where they were; by default where
            more than the model is resumed, and the checkpoint has their state.
        verify: Compare every byte with its digest first.

    Returns:
        The plain values that were logged in ``state=``, by name.

    Raises:
        MismatchError: Something does not fit, or the checkpoint has no such state.
    """
    check_model(model)
    if state is not None and not isinstance(state, Mapping):
        raise InvalidArgumentError(f"state must be a dict by name, not {type(state).__name__}.")
    if random_state is not None and not isinstance(random_state, bool):
        raise InvalidArgumentError(f"random_state={random_state!r}: expected True, False or None.")
    inner = unwrapped(model)
    reshard(inner)
    # Of what is spread over processes each verifies what it reads.
    spread = is_any_spread(inner, optimizer, *(state or {}).values())
    if verify:
        _verify(stored, parts_too=not spread)
    reader = _Reader(stored, inner, state or {}, verify=verify and spread)
    loads = [Load("model", inner, _weights(stored, inner, verify=verify and spread))]
    saved = training_of(stored)
    for name, part in (("optimizer", optimizer), ("scheduler", scheduler)):
        if part is not None:
            loads.append(reader.load(saved.get(name), part, name))
    entries = entries_of(saved)
    loads += [
        reader.load(entries.get(name), part, f"state.{name}")
        for name, part in (state or {}).items()
        if "value" not in entries.get(name, ()) or as_stateful(part) is not None
    ]
    loads.sort(key=_is_generator)  # last of all: a loader draws from one that may be shared
    values = values_of(stored)
    more = not (optimizer is None and scheduler is None and state is None)
    wanted = more if random_state is None else random_state
    numbers = _numbers(stored, required=random_state is True) if wanted else None
    load_together(loads)
    if numbers is not None:
        generators.restore(numbers)
    return values


def _verify(stored: StoredCheckpoint, *, parts_too: bool) -> None:
    if parts_too:
        stored.verify(again=False)
        return
    for group, entries in stored.manifest.tensors.items():
        whole = [name for name, entry in entries.items() if not entry.parts]
        stored.verify(group, whole, again=False)


def _is_generator(load: Load) -> bool:
    return hasattr(load.target, "generator") and not isinstance(load.target, nn.Module | DataLoader)


def _weights(stored: StoredCheckpoint, model: nn.Module, *, verify: bool) -> dict[str, Any]:
    check_has_values(model)
    weights = restore_state_for(model, stored, verify=verify)
    problems = compare_weights(weights, model).problems()
    if problems:
        text = stored.manifest.architecture.model_text
        raise MismatchError(refusal(f"The model is not the one that was logged ({text})", problems))
    _warn_of_conversions(weights, model)
    return live_keys(weights, model)


def _warn_of_conversions(weights: Mapping[str, Any], model: nn.Module) -> None:
    own = {plain_key(key): value for key, value in model.state_dict().items()}
    other = [
        f"{key} was {value.dtype} and is {own[key].dtype}"
        for key, value in weights.items()
        if isinstance(value, Tensor)
        and isinstance(own.get(key), Tensor)
        and not is_lazy(own[key])
        and value.dtype != own[key].dtype
    ]
    if other:
        more = f" (and {len(other) - 1} more)" if len(other) > 1 else ""
        warnings.warn(
            f"The model has other dtypes than the one that was logged, so weights are converted, "
            f"and training goes on otherwise: {other[0]}{more}.",
            TrackerWarning,
            stacklevel=6,
        )


def _numbers(stored: StoredCheckpoint, *, required: bool) -> Mapping[str, Any] | None:
    """Return the state for this process's global generators, checked; None if there is none."""
    found = random_states(stored)
    if found is None:
        if required:
            raise MismatchError(
                "The checkpoint holds no random state: it was logged without an optimizer, "
                "scheduler or state=. Leave random_state out."
            )
        return None
    states, size = found
    own = states.get(rank())
    missing = [] if own is None else generators.check(own)
    if own is None or size != world_size():
        missing.append(
            f"The checkpoint is one of {_processes(size)}, and this is rank {rank()} of "
            f"{world_size()}: its random numbers "
            f"{'are not restored' if own is None else 'go on where those of that rank were'}."
        )
    for text in missing:
        warnings.warn(text, TrackerWarning, stacklevel=5)
    return own


def _processes(count: int) -> str:
    return f"{count} process{'es' if count != 1 else ''}"


class _Reader:
    """Reads what was saved of live objects, and compares it with them."""

    def __init__(
        self,
        stored: StoredCheckpoint,
        model: nn.Module,
        state: Mapping[str, Any],
        *,
        verify: bool,
    ) -> None:
        self._stored = stored
        self._verify = verify
        self._stand_ins = StandIns(stored)
        self._modules = modules_among(model, state)
        self._names = names_by_identity(self._modules)

    def load(self, entry: Any, part: Any, name: str) -> Load:
        """Check one part against what was saved of it; return the load that will be safe."""
        if entry is None:
            raise MismatchError(
                f"The checkpoint holds no {name}: it was logged without it. {self._logged()} Leave "
                f"{name} out, or resume from a checkpoint that was logged with it. Nothing was "
                "changed."
            )
        keeper = as_stateful(part)
        if keeper is None:
            raise InvalidArgumentError(
                f"{name} is a {type(part).__name__}, which has no load_state_dict()."
            )
        if not isinstance(entry, dict) or "state_dict" not in entry:
            raise MismatchError(
                f"{name} was logged as a plain value; checkpoint.state has such values. Nothing "
                "was changed."
            )
        spread = is_any_spread(part)
        saved = read_object(self._stored, entry, name, self._fetch(spread))
        if saved.kind is not None and not is_same_class(saved.kind, part):
            raise MismatchError(
                f"{name} is a {class_text(part)}, but the checkpoint holds the state of a "
                f"{saved.kind}; make {name} as the training script did. Nothing was changed."
            )
        with malformed(name):
            return self._fitting(saved, part, keeper, name)

    def _logged(self) -> str:
        """Return what the checkpoint has beside the model, as a sentence."""
        training = training_of(self._stored)
        names = [name for name in ("optimizer", "scheduler") if training.get(name)]
        names += [f"state.{name}" for name in entries_of(training)]
        return f"It has {', '.join(names)}." if names else "It has the model alone."

    def _fitting(self, saved: SavedObject, part: Any, keeper: Any, name: str) -> Load:
        if isinstance(part, nn.Module):
            problems = compare_weights(saved.state, part).problems()
            if problems:
                raise MismatchError(refusal(f"{name} is not the module that was logged", problems))
            if is_any_spread(part):
                state = self._stand_ins.for_module(saved.state, part, verify=self._verify)
                return Load(name, part, state)
        names = parameter_names(part, self._modules)
        if names is not None and _numbers_parameters(saved.state):
            known = set(self._names.values())
            _refuse(name, compare_optimizers(saved.state, saved.parameters, part, names, known))
            state = saved.state
            if is_any_spread(part):
                state = self._stand_ins.for_optimizer(state, part, verify=self._verify)
            return Load(name, part, state, load=partial(load_optimizer, is_kept=self._is_kept))
        _refuse(name, compare_schedulers(saved.state, part, saved.parts, parts_of(part)))
        if isinstance(part, DataLoader):
            return Load(
                name, part, saved.state, load=partial(load_loader, generator=saved.generator)
            )
        return Load(name, keeper, saved.state)

    def _fetch(self, spread: bool) -> FetchTensor:
        if spread:
            return self._stand_ins.make
        return lambda key, path: self._stored.tensor("training", str(key), verify=self._verify)

    def _is_kept(self, parameter: Tensor) -> bool:
        """Return whether a parameter of the model has the dtype that it was logged with."""
        entry = self._stored.manifest.tensors.get("model", {}).get(
            self._names.get(id(parameter), "")
        )
        return entry is None or DTYPES[entry.dtype].torch == parameter.dtype


def _numbers_parameters(state: Any) -> bool:
    """Return whether a state has parameter groups as those of torch's optimizers are."""
    groups = state.get("param_groups") if isinstance(state, dict) else None
    return isinstance(groups, list) and all(
        isinstance(group, dict) and isinstance(group.get("params"), list) for group in groups
    )


def _refuse(name: str, problems: list[str]) -> None:
    if problems:
        raise MismatchError(
            refusal(f"The state of {name} does not fit", problems, limit=_MAX_PROBLEMS)
            + f"\nMake {name} as the training script did."
        )
