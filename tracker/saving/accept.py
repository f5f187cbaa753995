"""What `log_checkpoint` does while training waits: describe, copy, hand over. In this order.

Nothing here touches the disk, and MLflow is asked about a run only when it is met for the first
time.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial

from torch import Tensor

from tracker.errors import InvalidArgumentError, TrackerWarning
from tracker.record.boundary import tracking_uri
from tracker.saving import destination, ending, host_copy, kept, tickets
from tracker.saving.following import follow, part
from tracker.saving.lead_ticket import LeadTicket
from tracker.saving.leading import Lead, lead
from tracker.saving.other_weights import with_weights
from tracker.saving.others import leave, others_of
from tracker.saving.pipeline import Accepted, save
from tracker.saving.request import Request
from tracker.saving.shares import Shared, alone, share
from tracker.saving.snapshot import Snapshot, own_state, take
from tracker.saving.ticket import Ticket
from tracker.saving.turn import Turn, others_told
from tracker.saving.writer import Job, Save, writer
from tracker.training.world import rank, world_size

_log = logging.getLogger("tracker.saving")


def accept(
    model: object,
    request: Request,
    *,
    optimizer: object,
    scheduler: object,
    state: object,
    example_input: object,
    torchscript: bool,
    files: Mapping[str, bytes],
    run_id: str | None,
    wait: bool,
    weights: Mapping[str, Tensor] | None = None,
    uri: str | None = None,
    turn: Turn | None = None,
) -> Ticket:
    """Copy a model and its training state, and hand the copy to the background writer.

    When this returns, nothing that training does can reach the checkpoint any more. With ``wait``
    it returns when the checkpoint is durable.

    Of a model that is spread over processes every one copies what it holds; of others rank 0 alone
    does anything.

    Args:
        weights: Tensors to store in the place of the model's own, see `with_weights`.
        uri: The tracking store, instead of the one in force.
        turn: The checkpoint as others know it, if the caller has begun it, see `others_told`.
        (The others are those of `log_checkpoint`.)

    Raises:
        InvalidArgumentError: An argument is not usable; nothing was handed over.
        UnstorableError: A tensor or value can't be stored; nothing was handed over.
        NotFoundError: There is no such run.
        RecordError: MLflow refused to find or start the run. If it can't be reached, the
            checkpoint waits on the disk.
    """
    with nullcontext(turn) if turn is not None else others_told(model) as turn:
        if turn is None and rank() != 0:
            own = own_state(optimizer=optimizer, scheduler=scheduler, state=state)
            leave(request.name, own)
            return tickets.refused(request.name, _other_rank_writes())
        snapshot = take(
            model,
            optimizer=optimizer,
            scheduler=scheduler,
            state=state,
            example_input=example_input,
            torchscript=torchscript,
        )
        snapshot = replace(with_weights(snapshot, weights or {}), files={**snapshot.files, **files})
        if turn is None:
            job = _handed_over(alone(snapshot), request, uri, run_id)
        elif turn.leads:
            shared = share(snapshot, request.name, leads=True)
            job = _handed_over(shared.snapshot, request, uri, run_id, lead(turn, shared))
        else:
            shared = share(snapshot, request.name, leads=False)
            job = _part_handed_over(shared, request, uri, turn)
        if turn is not None:
            turn.handed_over = True
    _log.debug("accepted: %s", job.ticket)
    _warn_if_not_rebuildable(snapshot)
    if wait:
        job.ticket.wait_until_durable(stacklevel=3)
    return job.ticket


def _handed_over(
    snapshot: Snapshot,
    request: Request,
    uri: str | None,
    run_id: str | None,
    lead: Lead | None = None,
) -> Job:
    """Copy a snapshot, and hand it to the writer."""
    plan = host_copy.plan(snapshot)
    to = destination.find(uri or tracking_uri(), run_id)
    ending.install()
    known = (request.name, to.label, plan.size)
    job = Job(Ticket(*known) if lead is None else LeadTicket(*known, lead), plan.size)

    others = others_of(request.name) if lead is None else None

    def saving(copied: Snapshot) -> Save:
        saved = partial(save, Accepted(copied, request, to, lead, others), job.ticket)
        if lead is None:
            return saved
        held = kept.Part(lead.turn, request, copied, lead.ties)
        return partial(kept.save_or_keep, saved, held, job.ticket)

    _submit(job, snapshot, plan, saving)
    return job


def _part_handed_over(shared: Shared, request: Request, uri: str | None, turn: Turn) -> Job:
    """Copy what this process holds of a checkpoint that rank 0 leads, and hand it to the writer."""
    plan = host_copy.plan(shared.snapshot)
    ending.install()
    job = Job(Ticket(request.name, "of rank 0", plan.size), plan.size)
    uri = uri or tracking_uri()

    def saving(copied: Snapshot) -> Save:
        saved = partial(follow, part(turn, shared, copied, uri), job.ticket)
        held = kept.Part(turn, request, copied, shared.ties)
        return partial(kept.save_or_keep, saved, held, job.ticket)

    _submit(job, shared.snapshot, plan, saving)
    return job


def _submit(
    job: Job, snapshot: Snapshot, plan: host_copy.Plan, saving: Callable[[Snapshot], Save]
) -> None:
    with _withdrawn_on_failure(job):
        writer().reserve(job)
        copied = host_copy.copy(snapshot, plan, host_copy.pool(), job.resources)
        _log.debug("copied: %s", job.ticket)
        tickets.issue(job.ticket)
        writer().submit(job, saving(copied))


@contextmanager
def _withdrawn_on_failure(job: Job) -> Iterator[None]:
    """Undo a handing over that did not get to its end, wherever a Ctrl-C has met it."""
    try:
        yield
    except BaseException:
        if writer().withdraw(job):
            tickets.withdraw(job.ticket)
        raise


def _other_rank_writes() -> InvalidArgumentError:
    return InvalidArgumentError(
        f"This process is rank {rank()} of {world_size()} in torch.distributed, and rank 0 alone "
        "writes checkpoints: ask for the result there, or find the checkpoint with "
        "get_checkpoint()."
    )


def _warn_if_not_rebuildable(snapshot: Snapshot) -> None:
    architecture = snapshot.description.architecture
    if architecture.rebuild == "none":
        reasons = "\n".join(f"  {problem}" for problem in architecture.problems[:5])
        warnings.warn(
            f"The weights of {architecture.model_text} are saved, but loading them will need a "
            f"model instance: neither its constructor nor its structure rebuilds it.\n{reasons}",
            TrackerWarning,
            stacklevel=4,
        )
