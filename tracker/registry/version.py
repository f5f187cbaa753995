"""`RegisteredVersion`, and `RegisteredModel`: what the registry says about a name."""

from __future__ import annotations

import datetime
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tracker.errors import TrackerWarning


@dataclass(frozen=True, slots=True)
class RegisteredVersion:
    """One version of a registered model, and the checkpoint that it was made from.

    Attributes:
        name: The registered model.
        version: Its number; MLflow counts from 1.
        aliases: Those that it has now.
        description: Its description.
        tags: Tags given when registering.
        registered_at: When that was, in UTC.
        checkpoint_id: The checkpoint; None if it was not made by ``tracker.register``. It may have
            been deleted since: the version does not need it.
        checkpoint_name: Its name, for example ``epoch-6``.
        run_id: Its run.
        experiment: The run's experiment.
        epoch: Its epoch.
        step: Its step.
        metrics: Its metrics.
        model_text: The model as the call that constructed it.
        model_class: ``module:qualname`` of the model's class.
        commit: The git commit of the training code.
        dirty: Whether that code had changes that were not committed.
        data: The datasets that are logged on the run: name, digest and context.
        was: Aliases that it had and lost, each with the time in UTC.
        is_new: Whether the call that returned it has made it.

    Example:
        >>> version = tracker.register(checkpoint, "digits-cnn", alias="champion")
        >>> version.uri, version.epoch
        ('models:/digits-cnn/1', 6)
    """

    name: str
    version: int
    aliases: tuple[str, ...]
    description: str
    tags: Mapping[str, str]
    registered_at: datetime.datetime
    checkpoint_id: str | None = None
    checkpoint_name: str = ""
    run_id: str = ""
    experiment: str = ""
    epoch: int | None = None
    step: int | None = None
    metrics: Mapping[str, float] | None = None
    model_text: str = ""
    model_class: str = ""
    commit: str | None = None
    dirty: bool = False
    data: Sequence[Mapping[str, str]] = ()
    was: tuple[tuple[str, datetime.datetime], ...] = ()
    is_new: bool = False

    def warn_if_known(self, stacklevel: int) -> None:
        """Warn whoever registered the checkpoint if it was a version already."""
        if not self.is_new:
            warnings.warn(
                f"The checkpoint {self.checkpoint_id} is version {self.version} of {self.name!r} "
                "already; no other was made.",
                TrackerWarning,
                stacklevel=stacklevel + 1,
            )

    @property
    def uri(self) -> str:
        """What ``tracker.load_model`` and MLflow's own functions take."""
        return f"models:/{self.name}/{self.version}"


@dataclass(frozen=True, slots=True)
class RegisteredModel:
    """A name in the registry.

    Attributes:
        name: The name.
        description: Its description.
        aliases: Versions by alias.
        previous: By alias the versions that had it before, the last one at the end; that is where
            `rollback` goes.
        updated_at: When it was changed last, in UTC.

    Example:
        >>> tracker.registered_models()[0].previous
        {'champion': (1,)}
    """

    name: str
    description: str
    aliases: Mapping[str, int]
    previous: Mapping[str, tuple[int, ...]]
    updated_at: datetime.datetime
