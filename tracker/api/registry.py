"""Registered models: names for checkpoints, versions of them, and aliases such as champion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tracker.api.finding import as_checkpoint
from tracker.checkpoint import Checkpoint
from tracker.registry.names import check_alias, check_name, version_number
from tracker.registry.version import RegisteredModel, RegisteredVersion


def register(
    checkpoint: Checkpoint | RegisteredVersion | str,
    name: str,
    *,
    alias: str | None = None,
    description: str | None = None,
    tags: Mapping[str, Any] | None = None,
) -> RegisteredVersion:
    """Make a checkpoint a version of a registered model in MLflow.

    The version has files of its own, whole and verified, in the experiment ``registry/NAME``. The
    checkpoint, its run and its experiment may be deleted afterwards, and ``mlflow gc`` may run: the
    version loads as before, on a machine whose catalog does not know the checkpoint, too. Who may
    read that experiment may load the model.

    Interrupted, it leaves nothing visible but perhaps the bare name; done again, it goes on.

    Args:
        checkpoint: See `load_model`.
        name: The registered model; made if there is none of the name.
        alias: An alias to give to the version, as `set_alias` does.
        description: What people should know about it; by default where it comes from and its
            metrics.
        tags: Text by name.

    Returns:
        The version. If the checkpoint was registered under the name before, that version, with the
        description, tags and alias that are given now; a `TrackerWarning` says so.

    Raises:
        InvalidArgumentError: A name or text is one that MLflow can't hold, or the registered model
            is of another origin; nothing was done.
        NotFoundError: There is no such checkpoint, or its files are gone.
        CorruptCheckpointError: Its files are not what was written.
        RecordError: MLflow refused or could not be reached.
        StorageError: The disk refused.

    Example:
        >>> best = tracker.best_checkpoint("val_loss", experiment="digits")
        >>> version = tracker.register(best, "digits-cnn", alias="champion")
        >>> model = tracker.load_model("models:/digits-cnn@champion")
    """
    found = make_version(checkpoint, name, alias=alias, description=description, tags=tags)
    found.warn_if_known(stacklevel=2)
    return found


def make_version(checkpoint: Any, name: str, **given: Any) -> RegisteredVersion:
    """Do as `register`, without a warning."""
    check_name(name)
    if given.get("alias") is not None:
        check_alias(given["alias"])
    from tracker.registry.register import register as registered

    return registered(as_checkpoint(checkpoint).record, name, **given)


def promote(
    name: str, version: int | str | Checkpoint | RegisteredVersion, alias: str = "champion"
) -> RegisteredVersion:
    """Give an alias to a version of a registered model; `rollback` gives it back.

    The alias moves in one step: whoever loads ``models:/NAME@champion`` gets the old version or
    the new one. Before, the version that had it is noted in a tag of the registered model. Of two
    who promote at once the later one wins; either may miss the other in that history.

    Args:
        name: The registered model.
        version: A version's number, or a checkpoint, or what names one (see `load_model`); one
            that is no version of the model yet is registered first.
        alias: The alias.

    Returns:
        The version, as it is now.

    Raises:
        NotFoundError: There is no such registered model, version or checkpoint.
        InvalidArgumentError: The alias is one that MLflow refuses (``latest``, ``v1``).
        RecordError: MLflow refused or could not be reached.

    Example:
        >>> tracker.promote("digits-cnn", 2).aliases
        ('champion',)
        >>> tracker.rollback("digits-cnn").version
        1
    """
    from tracker.registry import lineage, promotion

    check_name(name)
    check_alias(alias)
    if isinstance(version, RegisteredVersion) and version.name == name:
        version = version.version
    if not isinstance(version, (Checkpoint, RegisteredVersion)):
        number = version_number(version)
        if number is not None:
            promotion.move(name, alias, number)
            return lineage.registered_version(name, number)
    lineage.check_registered(name)
    return make_version(version, name, alias=alias)


def set_alias(
    name: str, alias: str, version: int | str | Checkpoint | RegisteredVersion
) -> RegisteredVersion:
    """Give an alias to a version of a registered model: `promote`, in MLflow's order.

    Example:
        >>> tracker.set_alias("digits-cnn", "candidate", 2)
    """
    return promote(name, version, alias)


def rollback(name: str, alias: str = "champion") -> RegisteredVersion:
    """Give an alias back to the version that had it before; again: to the one before that.

    Versions that were deleted since are passed over.

    Args:
        name: The registered model.
        alias: The alias.

    Returns:
        The version that has it now.

    Raises:
        InvalidArgumentError: No version that still exists had it before.
        NotFoundError: There is no such registered model or alias.
        RecordError: MLflow refused or could not be reached.

    Example:
        >>> tracker.rollback("digits-cnn").version
        1
    """
    from tracker.registry import lineage, promotion

    check_name(name)
    check_alias(alias)
    return lineage.registered_version(name, promotion.back(name, alias))


def delete_alias(name: str, alias: str) -> None:
    """Remove an alias from a registered model; `rollback` brings it back.

    Raises:
        NotFoundError: There is no such registered model or alias; lists those there are.
        RecordError: MLflow refused or could not be reached.

    Example:
        >>> tracker.delete_alias("digits-cnn", "candidate")
    """
    from tracker.registry import promotion

    check_name(name)
    check_alias(alias)
    promotion.remove(name, alias)


def registered_versions(name: str) -> list[RegisteredVersion]:
    """Return the versions of a registered model, the newest first, and where each came from.

    Versions that were not made by `register` are listed, too, without a checkpoint.

    Raises:
        NotFoundError: There is no such registered model; lists those there are.
        RecordError: MLflow refused or could not be reached.

    Example:
        >>> [(v.version, v.epoch, v.aliases) for v in tracker.registered_versions("digits-cnn")]
        [(2, 7, ('champion',)), (1, 6, ())]
    """
    from tracker.registry import lineage

    return lineage.registered_versions(check_name(name))


def registered_models() -> list[RegisteredModel]:
    """Return the registered models, by name, with their aliases and who had these before.

    Raises:
        RecordError: MLflow refused or could not be reached.

    Example:
        >>> {model.name: model.aliases for model in tracker.registered_models()}
        {'digits-cnn': {'champion': 2}}
    """
    from tracker.registry import lineage

    return lineage.registered_models()
