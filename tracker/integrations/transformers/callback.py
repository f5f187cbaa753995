"""`TrackerCallback`: logs what a ``Trainer`` saves."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from transformers import TrainerCallback

from tracker.errors import InvalidArgumentError
from tracker.integrations.transformers.moment import Moment
from tracker.integrations.transformers.state import retention_of
from tracker.integrations.transformers.training import Training
from tracker.retention import Retention
from tracker.saving.request import check_request
from tracker.training import random_state

_leaders: dict[int, weakref.ref[TrackerCallback]] = {}
"""By the id of a Trainer's arguments: which of its callbacks logs."""


class TrackerCallback(TrainerCallback):
    """Logs what a ``Trainer`` saves as tracker checkpoints, in the background.

    It follows the arguments of the training: ``save_strategy`` says when, ``save_total_limit``,
    ``metric_for_best_model`` and ``greater_is_better`` which stay, ``save_only_model`` whether
    optimizer, scheduler and random numbers are stored, and ``load_best_model_at_end`` is done from
    the checkpoints where the Trainer has no folder to do it from. A checkpoint has the metrics that
    were logged at its step, and beside the model its configuration, the tokenizer or processor, and
    the Trainer's state. When ``train()`` returns, all are durable.

    Checkpoints go to the active run, which is that of Transformers' own callback with
    ``report_to="mlflow"``. Without one, a run is started at the first checkpoint and ended with the
    training. Of several such callbacks of one Trainer the last one logs. The step of a checkpoint
    is the Trainer's ``global_step``; at the end of an epoch it has the epoch, too, counted from 1
    as the Trainer does.

    Args:
        checkpoint_folders: Whether the Trainer goes on writing its own ``checkpoint-N`` folders.
            With ``False`` it does not, so that training does not wait for them;
            `checkpoint_folder` makes one to resume from. Where the Trainer can't be kept from it
            (``save_strategy="best"``, ``restore_callback_states_from_checkpoint``), they are
            removed once the checkpoint is durable.
        retention: Which checkpoints stay, instead of what ``save_total_limit`` says; ``"all"``
            keeps every one.
        run_id: The run to log to, instead of the active one.
        tags: Text by name, for every checkpoint.

    Raises:
        InvalidArgumentError: An argument is not usable; when training begins: DeepSpeed shards the
            model, or folders are to be pushed to the Hub that are not to be written.

    Example:
        >>> args = TrainingArguments("out", save_strategy="epoch", eval_strategy="epoch")
        >>> trainer = Trainer(model, args, callbacks=[TrackerCallback()], …)
    """

    def __init__(
        self,
        *,
        checkpoint_folders: bool = True,
        retention: Retention | Literal["all"] | None = None,
        run_id: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        if not (retention in (None, "all") or isinstance(retention, Retention)):
            raise InvalidArgumentError(
                f"retention={retention!r}: expected a tracker.Retention, 'all', or None for what "
                "save_total_limit says."
            )
        self.checkpoint_folders = checkpoint_folders
        self.retention = retention
        self.run_id = run_id
        self.tags = check_request(None, None, None, tags).tags
        self._training: Training | None = None
        self._due: Any = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Begin a training; nothing is asked of MLflow yet."""
        _check_arguments(args, self.checkpoint_folders)
        kept = retention_of(args) if self.retention is None else self.retention
        self._training = Training(
            run_id=self.run_id,
            run_name=args.run_name,
            tags=self.tags,
            retention=None if isinstance(kept, str) else kept,
            started=None if self._training is None else self._training.started,
        )
        self._due = None
        _leaders[id(args)] = weakref.ref(self)

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Log what was due when the last step was evaluated."""
        self._log_due(args, state, kwargs)

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Log what was due when the last epoch was evaluated."""
        self._log_due(args, state, kwargs)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        """Take over the saving of a step, if the Trainer is to write no folder."""
        return self._take_over(args, state, control, kwargs)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        """Take over the saving of an epoch, if the Trainer is to write no folder."""
        self._log_due(args, state, kwargs)
        return self._take_over(args, state, control, kwargs)

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Log what was due, unless an evaluation is yet to come."""
        if not control.should_evaluate:
            self._log_due(args, state, kwargs)

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Remember the random numbers that training goes on with."""
        # What follows before the next event: the best metric, and a scheduler that goes by metrics.
        if self._due is not None:
            self._due = random_state.capture()

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Log what the Trainer has just saved into a folder."""
        self._due = None
        if not self._leads(args):
            return
        training = self._begun(args, state, control)
        training.log(Moment(args, state, kwargs))
        if not self.checkpoint_folders and state.is_world_process_zero:
            training.to_remove(_folder(args, state))
            training.remove_folders(except_for=state.best_model_checkpoint)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Wait until every checkpoint is durable; load the best one if that is asked for."""
        self._log_due(args, state, kwargs)
        training = self._begun(args, state, control)
        self._training = None
        if not self._leads(args):
            return
        _leaders.pop(id(args), None)
        in_folder = state.best_model_checkpoint
        wanted = args.load_best_model_at_end and not (in_folder and self.checkpoint_folders)
        best = training.finish(state.best_global_step if wanted else None, kwargs["model"])
        if best is not None:
            state.best_model_checkpoint = best
        if not self.checkpoint_folders and state.is_world_process_zero:
            removed = training.remove_folders()
            known = str(Path(in_folder)) if in_folder else ""
            state.best_model_checkpoint = removed.get(known, state.best_model_checkpoint)

    def _leads(self, args: Any) -> bool:
        leader = _leaders.get(id(args))
        return leader is None or leader() in (None, self)

    def _begun(self, args: Any, state: Any, control: Any) -> Training:
        if self._training is None:  # it was added to the Trainer while that was training
            self.on_train_begin(args, state, control)
        assert self._training is not None
        return self._training

    def _take_over(self, args: Any, state: Any, control: Any, kwargs: dict[str, Any]) -> Any:
        if self.checkpoint_folders or not control.should_save or _needs_folder(args):
            return control
        if not self._leads(args):
            return control
        control.should_save = False
        self._due = random_state.capture()
        if not control.should_evaluate and not control.should_log:
            self._log_due(args, state, kwargs)
        return control

    def _log_due(self, args: Any, state: Any, kwargs: dict[str, Any]) -> None:
        if self._due is None:
            return
        then, self._due = self._due, None
        with random_state.unchanged():
            random_state.restore(then)
            self._begun(args, state, None).log(Moment(args, state, kwargs))


def _check_arguments(args: Any, checkpoint_folders: bool) -> None:
    if args.deepspeed:
        raise InvalidArgumentError(
            "TrackerCallback does not know where DeepSpeed keeps the shards of a model and its "
            "optimizer; use DistributedDataParallel or FSDP, or leave the callback out."
        )
    if args.push_to_hub and not checkpoint_folders and str(args.hub_strategy.value) != "end":
        raise InvalidArgumentError(
            f"checkpoint_folders=False and hub_strategy={args.hub_strategy.value!r} contradict "
            "each other: what is pushed to the Hub are these folders. Leave one of them out, or "
            'use hub_strategy="end".'
        )


def _needs_folder(args: Any) -> bool:
    """Return whether the Trainer gathers, while it writes a folder, what nobody else can."""
    return bool(args.restore_callback_states_from_checkpoint)


def _folder(args: Any, state: Any) -> Path:
    parts = [state.trial_name] if state.trial_name else []
    return Path(args.output_dir, *parts, f"checkpoint-{state.global_step}")
