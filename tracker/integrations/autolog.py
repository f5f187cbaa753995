"""`tracker.autolog`: checkpoints of every Trainer, without a word in the code that makes it.

Nothing is patched. Lightning asks the entry points ``lightning.pytorch.callbacks_factory`` (and
``pytorch_lightning.callbacks_factory``) of installed packages for callbacks whenever a Trainer is
made; ours answers with none until `autolog` was called. Transformers has no such registry: each
Trainer begins with the callbacks of the list ``transformers.trainer.DEFAULT_CALLBACKS``, to which
ours is added. The name is not documented, and a test fails when it moves; then, as ever,
``Trainer(callbacks=[TrackerCallback()])`` does the same.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wrapt import when_imported

from tracker.errors import InvalidArgumentError

_TRANSFORMERS = "transformers.trainer"


@dataclass(slots=True)
class _Wanted:
    """What `autolog` was told last; None: nothing is wanted."""

    lightning: dict[str, Any] | None = None
    transformers: dict[str, Any] | None = None
    is_watching: bool = False


_wanted = _Wanted()


def autolog(
    *,
    disable: bool = False,
    lightning: Mapping[str, Any] | None = None,
    transformers: Mapping[str, Any] | None = None,
) -> None:
    """Log checkpoints of every Trainer of Lightning and Transformers that is made from now on.

    Lightning's get a `TrackerCheckpoint`, which does nothing beside one that the program has given
    to the Trainer; Transformers' get a `TrackerCallback`, and should not be given another.
    Lightning's own ModelCheckpoint stays; ``Trainer(enable_checkpointing=False)`` leaves it out.
    ``mlflow.pytorch.autolog()`` may be in force, too: checkpoints go to its run.

    Args:
        disable: Log none any more; Trainers that were made before go on.
        lightning: Arguments for `TrackerCheckpoint`: ``{"monitor": "val_loss", "save_top_k": 3}``.
        transformers: Arguments for `TrackerCallback`.

    Raises:
        InvalidArgumentError: The arguments are not those that the callback takes.
        ModuleNotFoundError: Arguments were given for a library that is not installed.

    Example:
        >>> tracker.autolog(lightning={"monitor": "val_loss"})
        >>> lightning.Trainer(max_epochs=3).fit(model, loader)
        >>> tracker.best_checkpoint("val_loss").load_model()
    """
    _check("lightning", lightning)
    _check("transformers", transformers)
    _wanted.lightning = None if disable else dict(lightning or {})
    _wanted.transformers = None if disable else dict(transformers or {})
    if _wanted.is_watching:
        _settle(sys.modules.get(_TRANSFORMERS))
    elif not disable:
        _wanted.is_watching = True
        when_imported(_TRANSFORMERS)(_settle)


def _check(name: str, arguments: Mapping[str, Any] | None) -> None:
    """Make a callback with the arguments, to see now and not in a Trainer that they are right."""
    if arguments is None:
        return
    if not isinstance(arguments, Mapping):
        raise InvalidArgumentError(
            f"{name}={arguments!r}: expected the arguments of its callback by name, for example "
            'lightning={"monitor": "val_loss"}.'
        )
    make = _lightning_callback if name == "lightning" else _transformers_callback
    try:
        make(dict(arguments))
    except TypeError as error:
        raise InvalidArgumentError(f"{name}={dict(arguments)!r}: {error}") from error


def lightning_callbacks() -> list[Any]:
    """Return what a Trainer of ``lightning`` gets beside its own; Lightning calls this."""
    return [] if _wanted.lightning is None else [_lightning_callback(_wanted.lightning)]


def pytorch_lightning_callbacks() -> list[Any]:
    """Return what a Trainer of ``pytorch_lightning`` gets beside its own; that calls this."""
    if _wanted.lightning is None:
        return []
    from tracker.integrations.lightning import for_pytorch_lightning

    return [for_pytorch_lightning.AutomaticCheckpoint(**_wanted.lightning)]


def _lightning_callback(arguments: dict[str, Any]) -> Any:
    from tracker.integrations.lightning import AutomaticCheckpoint

    return AutomaticCheckpoint(**arguments)


def _transformers_callback(arguments: dict[str, Any]) -> Any:
    from tracker.integrations.transformers import TrackerCallback

    return TrackerCallback(**arguments)


def _make_for_transformers() -> Any:
    return _transformers_callback(_wanted.transformers or {})


class _Entry(type):
    """The kind of `_TrackerCallback`: called, it makes objects of another class."""

    def __call__(cls) -> Any:
        return _make_for_transformers()


class _TrackerCallback(metaclass=_Entry):
    """Stands in the list of Transformers' callbacks for `TrackerCallback`, with its arguments."""


def _settle(module: Any) -> None:
    """Add the callback to Transformers' list, or take it out."""
    if module is None:
        return
    callbacks: list[Any] = module.DEFAULT_CALLBACKS
    if _wanted.transformers is None:
        if _TrackerCallback in callbacks:
            callbacks.remove(_TrackerCallback)
    elif _TrackerCallback not in callbacks:
        callbacks.append(_TrackerCallback)
