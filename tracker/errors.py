"""Every exception that tracker raises on purpose.

The tree::

    TrackerError
    ├── InvalidArgumentError (ValueError)   an argument of a public function is not usable
    │   ├── InvalidMetricError              a metric's name or value is not one MLflow can hold
    │   └── FilterSyntaxError               a filter_string does not parse
    ├── NotFoundError (LookupError)         nothing matches; the message lists what exists
    ├── UnstorableError (TypeError)         a tensor or value has no place in the format
    ├── ArchitectureError                   the model can't be rebuilt from its description
    │   ├── ClassNotFoundError              its class is not importable here
    │   ├── ConstructorError                its constructor raised
    │   └── NeedsModelInstanceError         no description was proven when it was logged
    ├── UntrustedCheckpointError            the checkpoint asks for something loading must not do
    ├── MismatchError                       weights or state do not fit what they are loaded into
    ├── FormatError                         the files are not a checkpoint this version can read
    │   ├── CorruptCheckpointError          bytes differ from what was written
    │   └── NewerFormatError                written by a newer tracker
    ├── CatalogError                        the SQL catalog can't be used
    │   ├── CatalogVersionError             its schema is older or newer than this tracker
    │   └── CatalogDamagedError             its tables are not those of its schema
    ├── RecordError                         MLflow refused or could not be reached
    │   ├── RecordUnreachableError          it could not be reached; trying later may help
    │   └── NotAuthenticatedError           it does not know who is asking
    ├── DistributedError                    another process of the training failed or is gone
    └── StorageError                        the disk or artifact store refused

`TrackerWarning` (UserWarning) is for what deserves a look but lost nothing.

Messages say what happened, what was expected, and what to do next. Exceptions of other libraries
stop at the room that talks to them and travel on as ``__cause__``.
"""

from __future__ import annotations

from collections.abc import Sequence


class TrackerError(Exception):
    """Base of every error that tracker raises on purpose."""


class InvalidArgumentError(TrackerError, ValueError):
    """An argument of a public function is not usable; nothing was changed."""


class InvalidMetricError(InvalidArgumentError):
    """A metric's name or value is not one that MLflow can hold."""


class FilterSyntaxError(InvalidArgumentError):
    """A ``filter_string`` does not follow MLflow's search syntax."""


class NotFoundError(TrackerError, LookupError):
    """Nothing matches; the message lists what exists."""


class UnstorableError(TrackerError, TypeError):
    """A tensor or value has no place in the checkpoint format.

    Attributes:
        path: Where in the object it was met, for example ``optimizer.state[0].exp_avg``.
    """

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}" if path else message)
        self.path = path
        self._message = message

    def __reduce__(self) -> tuple[type[UnstorableError], tuple[str, str]]:
        return type(self), (self.path, self._message)  # so that it passes between processes


class ArchitectureError(TrackerError):
    """The model can't be rebuilt from its description."""


class ClassNotFoundError(ArchitectureError):
    """A class of the model is not importable in this process."""


class ConstructorError(ArchitectureError):
    """The model's constructor raised, called with the arguments that it was logged with.

    Attributes:
        refused: What it tried beside constructing and was refused: connections, files, programs.
    """

    def __init__(self, message: str, refused: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.refused = tuple(refused)


class NeedsModelInstanceError(ArchitectureError):
    """No description of this architecture was proven; load the weights into an instance."""


class UntrustedCheckpointError(TrackerError):
    """The checkpoint refers to something that loading must never construct, import or call."""


class MismatchError(TrackerError):
    """Weights or training state do not fit the object they are loaded into; it is untouched."""


class FormatError(TrackerError):
    """The files are not a checkpoint that this version of tracker can read."""


class CorruptCheckpointError(FormatError):
    """The bytes of a checkpoint differ from what was written; nothing was loaded."""


class NewerFormatError(FormatError):
    """The checkpoint was written by a newer tracker, in a format this one does not know."""


class CatalogError(TrackerError):
    """The SQL catalog can't be used."""


class CatalogVersionError(CatalogError):
    """The catalog's schema is older or newer than this version of tracker."""


class CatalogDamagedError(CatalogError):
    """Its tables are not those of its schema; ``tracker reindex --anew`` makes them again."""


class RecordError(TrackerError):
    """MLflow refused a request or could not be reached."""


class RecordUnreachableError(RecordError):
    """MLflow could not be reached, or was too busy to answer; the same may succeed later."""


class NotAuthenticatedError(RecordError):
    """A server asks for a user name and a password or token, or does not accept those it got."""


class DistributedError(TrackerError):
    """Another process of a distributed training failed, or did not answer in time."""


class StorageError(TrackerError):
    """The disk or the artifact store refused to read or write."""


class TrackerWarning(UserWarning):
    """Something deserves a look; nothing was lost."""
