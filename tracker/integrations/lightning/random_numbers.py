"""The random numbers of a training: Lightning's own checkpoints do not have them.

Every rank has its own, so all of them put theirs into the dump, which one of them saves.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from tracker.errors import TrackerWarning
from tracker.training import random_state

KEY = "tracker_random_state"
"""The dump's entry: the states by rank."""


def of_all_ranks() -> dict[str, Any]:
    """Return the states of the global generators of every rank; all of them must call this."""
    states = random_state.capture_everywhere()
    return {"ranks": {str(rank): state for rank, state in enumerate(states)}}


def restore(saved: Mapping[str, Any], trainer: Any) -> None:
    """Put this rank's generators into the state that they were saved in.

    Args:
        saved: What `of_all_ranks` returned.
        trainer: The Trainer, which has just started to train.
    """
    states = saved.get("ranks", {})
    if len(states) != trainer.world_size:
        warnings.warn(
            f"The checkpoint has the random states of {len(states)} process(es), and this training "
            f"has {trainer.world_size}: none is restored, so it draws other random numbers.",
            TrackerWarning,
            stacklevel=2,
        )
        return
    own = states[str(trainer.global_rank)]
    for problem in random_state.check(own):
        warnings.warn(problem, TrackerWarning, stacklevel=2)
    random_state.restore(own)
    _begin_epoch_anew(trainer)


def _begin_epoch_anew(trainer: Any) -> None:
    """Let the loader of an epoch that is about to begin draw from the restored generators.

    Lightning has begun to iterate over it before any hook was called. There is no public name for
    the iteration. In the middle of an epoch the loader has its own state, which stays.
    """
    loop = trainer.fit_loop
    fetcher = getattr(loop, "_data_fetcher", None)
    is_over = loop.epoch_loop.restarted_on_train_batch_end and (
        loop.epoch_loop.batch_progress.is_last_batch
    )
    if fetcher is not None and (is_over or not loop.restarting):
        iter(fetcher)
