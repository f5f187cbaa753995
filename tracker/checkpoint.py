"""`Checkpoint`: what every query returns and what models are loaded from."""

from __future__ import annotations

import datetime
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracker.errors import InvalidArgumentError
from tracker.types import Architecture, CheckpointRecord, Rebuild

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from tracker.format import StoredCheckpoint
    from tracker.loading.checkpoint_diff import CheckpointDiff
    from tracker.loading.fetch import Check
    from tracker.loading.fitting import WeightsReport
    from tracker.loading.report import LoadReport
    from tracker.registry.version import RegisteredVersion


@dataclass(frozen=True, slots=True, repr=False)
class Checkpoint:
    """One checkpoint: what is known about it, and the way to its model.

    Looking at it costs nothing; files are read when a model or tensors are asked for.

    Example:
        >>> checkpoint = tracker.best_checkpoint("val_loss", experiment="digits")
        >>> checkpoint.epoch, checkpoint.metrics["val_loss"]
        (6, 0.0481)
        >>> model = checkpoint.load_model()
    """

    record: CheckpointRecord

    @property
    def id(self) -> str:
        """MLflow's logged-model id, ``m-…``."""
        return self.record.id

    @property
    def run_id(self) -> str:
        """The MLflow run it was logged to."""
        return self.record.run_id

    @property
    def experiment(self) -> str:
        """The name of the run's experiment."""
        return self.record.experiment

    @property
    def name(self) -> str:
        """The logged model's name, for example ``epoch-6``."""
        return self.record.name

    @property
    def epoch(self) -> int | None:
        """The epoch given when logging."""
        return self.record.epoch

    @property
    def step(self) -> int | None:
        """The step given when logging."""
        return self.record.step

    @property
    def metrics(self) -> dict[str, float]:
        """The metrics logged with it; a NaN is a NaN."""
        return dict(self.record.metrics)

    @property
    def params(self) -> dict[str, str]:
        """The model's constructor arguments by name, as text, defaults included."""
        return dict(self.record.params)

    @property
    def tags(self) -> dict[str, str]:
        """The tags given when logging."""
        return dict(self.record.tags)

    @property
    def model_class(self) -> str:
        """``module:qualname`` of the model's class."""
        return self.record.model_class

    @property
    def model_text(self) -> str:
        """The model as the call that constructed it, for people: ``Net(hidden=384)``."""
        return self.record.model_text

    @property
    def rebuild(self) -> Rebuild:
        """How the model is rebuilt: ``constructor``, ``structure`` or ``none``."""
        return self.record.rebuild

    @property
    def size(self) -> int:
        """Bytes of all its files."""
        return self.record.size

    @property
    def created_at(self) -> datetime.datetime:
        """When it was logged, in UTC."""
        return datetime.datetime.fromtimestamp(self.record.created_at / 1000, datetime.UTC)

    @property
    def architecture(self) -> Architecture:
        """The stored descriptions of the model, read from its manifest."""
        return self._open(groups=()).manifest.architecture

    @property
    def environment(self) -> dict[str, Any]:
        """Where it was made: versions, host, git commit; read from its manifest."""
        return dict(self._open(groups=()).manifest.environment)

    @property
    def files(self) -> tuple[str, ...]:
        """The names of the files beside the model, as ``log_checkpoint(files=…)`` got them."""
        return tuple(self._open(groups=()).attached())

    def read_file(self, name: str) -> bytes:
        """Return the content of a file beside the model, compared with its digest.

        Args:
            name: One of `files`.

        Raises:
            NotFoundError: There is no such file; lists those that there are. Or they are gone.
            CorruptCheckpointError: Its bytes are not those that were written.

        Example:
            >>> tracker.log_checkpoint(model, epoch=3, files={"classes.json": Path("classes.json")})
            >>> json.loads(tracker.get_checkpoint(epoch=3).read_file("classes.json"))
            ['cat', 'dog']
        """
        from tracker.loading.attached import read_attached

        return read_attached(self.record, name)

    @property
    def state(self) -> dict[str, Any]:
        """The plain values that were logged in ``state=``, by name; read from its files."""
        from tracker.loading.training_state import values_of

        read = partial(values_of, verify=True)
        return read(self._open(("training",), read))

    def load_model(
        self,
        *,
        device: str | torch.device = "cpu",
        dtype: torch.dtype | None = None,
        trust: str | Collection[str] | None = None,
        classes: Mapping[str, Any] | None = None,
        verify: bool = True,
    ) -> nn.Module:
        """Rebuild the model, in eval mode. Nothing about it is specified by hand.

        Args:
            device: Where its tensors go.
            dtype: What its floating-point tensors are converted to, as ``model.to(dtype)`` does;
                they stay as they were logged by default.
            trust: Packages whose functions and objects the checkpoint may refer to beside its own;
                ``"source"`` also runs the source that is kept in the checkpoint.
            classes: Classes by name, where they are not importable: ``{"Net": Net}``.
            verify: Compare every byte with its digest before the model is built, and the model's
                output for the example (see `log_checkpoint`) with that when it was logged: a
                warning says if it differs.

        Returns:
            The model; its parameters require gradients as they did when it was logged. Local
            files are mapped into memory, copy on write.

        Raises:
            ArchitectureError: It can't be rebuilt here; says what to do.
            CorruptCheckpointError: The bytes are not those that were written.
            UntrustedCheckpointError: It refers to something that loading must not touch.
            NotFoundError: Its files are gone.
            InvalidArgumentError: An argument is not usable, or there is no such device here.
        """
        from tracker.loading.fetch import FOR_MODEL, is_local, verified
        from tracker.loading.placement import check_device, check_dtype
        from tracker.loading.restore import restore_model

        target, wanted = check_device(device), check_dtype(dtype)  # before anything is fetched
        return restore_model(
            self._open(FOR_MODEL, verified(FOR_MODEL) if verify else None),
            device=target,
            dtype=wanted,
            trust=trust,
            classes=classes,
            verify=verify,
            local=is_local(self.record),
        ).model

    def load_state_dict(
        self,
        *,
        prefix: str | None = None,
        device: str | torch.device = "cpu",
        dtype: torch.dtype | None = None,
        verify: bool = True,
    ) -> dict[str, Tensor]:
        """Return the model's state_dict, or that of a part of it: tensors by key.

        Args:
            prefix: The name of a part, as ``model.get_submodule`` takes it, with or without a dot
                at its end. Only the part's tensors are read and verified, and the prefix is cut
                off their keys, so that they go straight into that part's ``load_state_dict``.
            device: Where the tensors go.
            dtype: What floating-point tensors are converted to; they stay as they were logged by
                default.
            verify: Compare every byte with its digest first.

        Raises:
            NotFoundError: No tensor's key begins so; lists what is near. Or its files are gone.
            CorruptCheckpointError: The bytes are not those that were written.
            InvalidArgumentError: An argument is not usable, or there is no such device here.

        Example:
            >>> backbone.load_state_dict(checkpoint.load_state_dict(prefix="backbone"))
            <All keys matched successfully>
        """
        from tracker.loading.fetch import FOR_WEIGHTS
        from tracker.loading.placement import check_device, check_dtype
        from tracker.loading.weights import check_prefix, restore_state_dict

        check_prefix(prefix)
        target, wanted = check_device(device), check_dtype(dtype)  # before anything is fetched
        check = partial(restore_state_dict, prefix=prefix) if verify else None
        stored = self._open(FOR_WEIGHTS, check)
        return restore_state_dict(stored, prefix=prefix, device=target, dtype=wanted, verify=verify)

    def load_into(
        self,
        model: nn.Module,
        *,
        strict: bool = True,
        prefix: str | None = None,
        verify: bool = True,
    ) -> WeightsReport:
        """Load the weights into a model that is there already; its device and dtypes stay.

        Everything is read and compared before the model is touched.

        Args:
            model: The model. Wrappers (``torch.compile``, DDP) are looked through.
            strict: Whether everything must fit, both ways. Otherwise what fits is loaded, and the
                report says what does not.
            prefix: The name of the part of the logged model that ``model`` is, if it is one.
            verify: Compare every byte with its digest first.

        Returns:
            How many entries were loaded, and what is missing, unexpected or has another shape.

        Raises:
            MismatchError: With ``strict``, something does not fit; nothing was changed.
            NotFoundError: The logged model has no such part; or its files are gone.
            CorruptCheckpointError: The bytes are not those that were written.
            InvalidArgumentError: An argument is not usable.

        Example:
            >>> report = checkpoint.load_into(Net(hidden=64, classes=5), strict=False)
            >>> report.mismatched
            (Mismatch(key='head.weight', saved=(10, 64), own=(5, 64)),)
        """
        from tracker.loading.fetch import FOR_WEIGHTS
        from tracker.loading.into import check_model, load_into
        from tracker.loading.weights import check_prefix, restore_state_dict

        check_model(model)  # before anything is fetched
        check_prefix(prefix)
        check = partial(restore_state_dict, prefix=prefix) if verify else None
        stored = self._open(FOR_WEIGHTS, check)
        return load_into(stored, model, strict=strict, prefix=prefix, verify=verify)

    def resume(
        self,
        *,
        model: nn.Module,
        optimizer: Any = None,
        scheduler: Any = None,
        state: Mapping[str, Any] | None = None,
        random_state: bool | None = None,
    ) -> dict[str, Any]:
        """Load weights and training state into live objects: all of it, or nothing.

        Args:
            model: See `tracker.resume`, as all that follows.
            optimizer: Takes the optimizer's state, if given.
            scheduler: Takes the scheduler's state, if given.
            state: Objects that were logged as ``state=``, by the same names.
            random_state: Whether random numbers go on as they did when it was logged.

        Returns:
            The plain values that were logged in ``state=``, by name.

        Raises:
            MismatchError: Something does not fit; nothing was changed.
        """
        from tracker.loading.fetch import verified
        from tracker.loading.resume import resume_training

        stored = self._open(check=verified(None))
        return resume_training(
            stored,
            model=model,
            optimizer=optimizer,
            scheduler=scheduler,
            state=state,
            random_state=random_state,
        )

    def export(
        self,
        path: str | Path,
        *,
        format: str | None = None,
        example_input: Any = None,
        trust: str | Collection[str] | None = None,
        classes: Mapping[str, Any] | None = None,
    ) -> Path:
        """Write the weights, or the model as a program, to one file that needs no tracker.

        ``safetensors`` and ``pt`` (which ``torch.save`` writes) hold every key of the state_dict,
        so that ``safetensors.torch.load_file(path)`` or ``torch.load(path)`` goes straight into
        ``load_state_dict``. ``pt2`` (of ``torch.export``) and ``onnx`` hold the model with its
        computations, for inputs like the example, and run without its class.

        Args:
            path: The file, which is replaced when the new one is whole.
            format: One of these; by default what the suffix says, else ``safetensors``.
            example_input: What the model is called with, for a program; by default the example
                that it was logged with (see `log_checkpoint`).
            trust: See `load_model`; for a program.
            classes: See `load_model`; for a program.

        Returns:
            The path of the file.

        Raises:
            InvalidArgumentError: There is no such format, no example, or a package is missing.
            ArchitectureError: The model can't be rebuilt, or torch can't export it.
            StorageError: It can't be written; a file that was there before is as it was.

        Example:
            >>> checkpoint.export("digits.pt2", example_input=torch.zeros(1, 64))
            PosixPath('digits.pt2')
        """
        from tracker.loading import export
        from tracker.loading.fetch import FOR_MODEL, FOR_WEIGHTS, verified

        chosen = export.format_of(Path(path), format)
        if chosen not in export.PROGRAMS:
            groups = FOR_MODEL if chosen == "pt" else FOR_WEIGHTS
            export.export_weights(self._open(groups, verified(groups)), Path(path), chosen)
            return Path(path)
        load = partial(self.load_model, trust=trust, classes=classes)
        export.export_program(self._open(FOR_MODEL), load, Path(path), chosen, example_input)
        return Path(path)

    def register(
        self,
        name: str,
        *,
        alias: str | None = None,
        description: str | None = None,
        tags: Mapping[str, Any] | None = None,
    ) -> RegisteredVersion:
        """Make it a version of a registered model, with files of its own; see `tracker.register`.

        Example:
            >>> checkpoint.register("digits-cnn", alias="champion").uri
            'models:/digits-cnn/1'
        """
        from tracker.registry.register import register

        found = register(self.record, name, alias=alias, description=description, tags=tags)
        found.warn_if_known(stacklevel=2)
        return found

    def explain(
        self,
        *,
        trust: str | Collection[str] | None = None,
        classes: Mapping[str, Any] | None = None,
        verify: bool = True,
    ) -> LoadReport:
        """Rebuild the model and report how it came to be, or why it can't be rebuilt here.

        Args:
            trust: See `load_model`.
            classes: See `load_model`.
            verify: See `load_model`.

        Example:
            >>> report = checkpoint.explain()
            >>> print(report)
            epoch-6 of run 0a1b2c: Net(hidden=384)
            rebuilt: by its constructor, proven when it was logged to give the same model (on meta)
            class tests.models:Net: already imported
            verified: 12 tensors, 4815162 bytes
            example: identical
            >>> report.loads, report.diff
            (True, '')
        """
        from tracker.loading.explain import explain

        return explain(self.record, trust=trust, classes=classes, verify=verify)

    def diff(self, other: Checkpoint) -> CheckpointDiff:
        """Return how another checkpoint differs from this one.

        That is the constructor call, the modules, the archived source, the constructor's arguments,
        the metrics, and for each tensor whether it is equal, or how far it has moved. No model is
        rebuilt; tensors that are equal are not read.

        Args:
            other: The other one, of whatever run.

        Raises:
            InvalidArgumentError: ``other`` is no checkpoint.
            NotFoundError: Files of one are gone.
            CorruptCheckpointError: Bytes that had to be read are not those that were written.

        Example:
            >>> diff = tracker.get_checkpoint(epoch=1).diff(tracker.get_checkpoint(epoch=2))
            >>> diff.metrics
            (Change(name='val_loss', a=0.5, b=0.25),)
            >>> print(diff)
        """
        from tracker.loading.compare import compare

        if not isinstance(other, Checkpoint):
            raise InvalidArgumentError(
                f"other is a {type(other).__name__}; expected a Checkpoint, as get_checkpoint and "
                "best_checkpoint return it."
            )
        return compare(self.record, other.record)

    def _open(
        self, groups: Collection[str] | None = None, check: Check | None = None
    ) -> StoredCheckpoint:
        from tracker.loading.fetch import fetch

        return fetch(self.record, groups, check=check)

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value:.6g}" for name, value in self.metrics.items())
        return (
            f"<Checkpoint {self.id[:10]} {self.name} of {self.model_text} in "
            f"{self.experiment!r}{': ' + shown if shown else ''}>"
        )
