"""What was not restored, in words: how it was found, and what to do about it."""

from __future__ import annotations

from tracker.rehearsal.loaders import Watched
from tracker.rehearsal.report import Kind, NotRestored
from tracker.rehearsal.things import Thing

_WITH_STATE = "Pass it in state={{…: {name}}} to log_checkpoint and resume"

_REMEDIES: dict[Kind, str] = {
    "random": (
        "Its state is logged with an optimizer, scheduler or state=: give one to log_checkpoint "
        "and resume"
    ),
    "generator": _WITH_STATE,
    "optimizer": (
        "Give it to log_checkpoint and resume, as optimizer= or, of several, in state={{…}}"
    ),
    "scheduler": (
        "Give it to log_checkpoint and resume, as scheduler= or, of several, in state={{…}}"
    ),
    "buffer": "Register it with persistent=True, or make it again from what is restored",
    "module": _WITH_STATE,
    "object": _WITH_STATE,
    "gradients": (
        "Gradients that are being accumulated are in no checkpoint: log it after optimizer.step() "
        "and zero_grad()"
    ),
    "iterator": (
        "A new process begins it anew: draw batches from a StatefulDataLoader of torchdata, or log "
        "where it begins"
    ),
    "variable": (
        "Keep it in the checkpoint, state={{…: value}}, and set it from checkpoint.state; or in an "
        "object with state_dict() and load_state_dict()"
    ),
}


def lost_thing(thing: Thing, confirmed: bool) -> NotRestored:
    """Return that a thing is not restored."""
    remedy = _REMEDIES[thing.kind].format(name=thing.name.rpartition(".")[2])
    changed = f"{thing.label} that the steps have changed and no checkpoint brings back"
    if thing.kind == "iterator":
        changed = f"{thing.label} that has moved on and does not go back"
    if thing.kind == "gradients":
        changed = "the steps add to gradients that were there, and those are not put back"
    if thing.kind == "random":
        changed = "random numbers were drawn from it, and it is not put back"
    return NotRestored(thing.name, thing.kind, changed, f"{remedy}.", confirmed)


def lost_loader(watched: Watched, name: str, confirmed: bool) -> NotRestored:
    """Return that a DataLoader's position is not restored."""
    return NotRestored(
        name,
        "loader",
        "the steps draw batches from an iterator of a DataLoader, and no given state has its "
        "position: the replay got other batches",
        "Use torchdata's StatefulDataLoader and pass it in state={…: loader}, or log checkpoints "
        "only at the end of an epoch.",
        confirmed,
    )


def lost_component(name: str, detail: str) -> NotRestored:
    """Return that something that was given did not come back as it was."""
    what = f" ({detail})" if detail else ""
    return NotRestored(
        name,
        "object",
        f"it was stored and loaded, and is not what it was{what}",
        "Its load_state_dict() must take back all that its state_dict() gives.",
        True,
    )


def unseen(*, changes: bool, inputs_differ: bool) -> list[str]:
    """Return what can be said where nothing that was found explains the differences.

    Args:
        changes: Whether every replay gives something else.
        inputs_differ: Whether the model gets other inputs in the replays.
    """
    if inputs_differ:
        source = (
            "the model got other inputs in the replay, also with everything put back that was "
            "found: the data come from where tracker can't look, such as an iterator or generator "
            "function, the operating system's random numbers, another process, a file, the network"
        )
        return [source]
    if changes:
        return [
            "with the same state and inputs every replay gave something else: kernels that are "
            "not deterministic (torch.use_deterministic_algorithms(True) names them), or something "
            "like the time"
        ]
    return [
        "all replays were equal to each other, but not to the first steps: those have changed "
        "something, once, that tracker can't see"
    ]
