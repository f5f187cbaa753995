"""Objects that keep a state: those with ``state_dict()``, and random generators."""

from __future__ import annotations

from typing import Any

from tracker.training.generators import as_generator_state


def has_state(part: object) -> bool:
    """Return whether an object keeps state in ``state_dict()`` and takes it back.

    Example:
        >>> has_state(torch.nn.Linear(1, 1)), has_state(7)
        (True, False)
    """
    return not isinstance(part, type) and all(
        callable(getattr(part, name, None)) for name in ("state_dict", "load_state_dict")
    )


def as_stateful(part: object) -> Any:
    """Return what gives and takes the state of an object, or None if it has none to give.

    That is the object itself, or for a ``torch.Generator``, ``numpy.random.Generator``,
    ``numpy.random.RandomState`` or ``random.Random`` a stand-in with the two methods.

    Example:
        >>> as_stateful(random.Random(7)).state_dict().keys()
        dict_keys(['state'])
    """
    return part if has_state(part) else as_generator_state(part)


def class_text(part: object) -> str:
    """Return the class of an object as checkpoints have it, ``module:qualname``.

    Example:
        >>> class_text(torch.optim.SGD([torch.zeros(1)]))
        'torch.optim.sgd:SGD'
    """
    kind = type(part)
    return f"{kind.__module__}:{kind.__qualname__}"


def is_same_class(saved: str, part: object) -> bool:
    """Return whether an object is of the class that a checkpoint has the state of.

    A class of a script is ``__main__:…`` while the script runs, and has the module's name when it
    is imported; one of a package may have moved within it.

    Example:
        >>> is_same_class("torch.cuda.amp.grad_scaler:GradScaler", torch.amp.GradScaler("cpu"))
        True
    """
    here = class_text(part)
    if saved == here:
        return True
    (one, _, name), (other, _, own) = saved.partition(":"), here.partition(":")
    moved = "__main__" in (one, other) or one.partition(".")[0] == other.partition(".")[0]
    return name == own and moved


def parts_of(part: object) -> list[str]:
    """Return the classes of the schedulers that a chained or sequential one consists of.

    Example:
        >>> parts_of(torch.optim.lr_scheduler.SequentialLR(o, [warmup, decay], milestones=[3]))
        ['torch.optim.lr_scheduler:LinearLR', 'torch.optim.lr_scheduler:ExponentialLR']
    """
    # Their state_dict() has the states of the parts under this key, too, but not their classes.
    parts = getattr(part, "_schedulers", None)
    if not isinstance(parts, (list, tuple)):
        return []
    return [text for each in parts for text in (class_text(each), *parts_of(each))]
