"""Who asks, and what they may see: MLflow is asked, and its answer holds for a few seconds.

A checkpoint may be seen exactly when MLflow lets the caller read its experiment. Where MLflow can't
be asked nothing may be seen.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Request, Security
from fastapi.openapi.models import HTTPBase
from fastapi.security.base import SecurityBase

from tracker import catalog
from tracker.catalog import Engine
from tracker.errors import NotAuthenticatedError, TrackerError
from tracker.record.on_behalf import Caller
from tracker.record.permissions import readable_experiments, user_name

SECONDS_REMEMBERED = 5.0
"""How long an answer of MLflow's holds: so long may a right that was taken away still be used."""

_MOST_REMEMBERED = 1_000


@dataclass(frozen=True, slots=True)
class Viewer:
    """Somebody who asks.

    Attributes:
        user: The name that MLflow knows them by; None: the server knows no users.
        experiments: The ids of the experiments that they may read.
    """

    user: str | None
    experiments: frozenset[str]


Look = Callable[[str | None], Viewer]
"""From an ``Authorization`` header, or none, to who that is; raises if MLflow does not say."""


class _Header(SecurityBase):
    """The header of a request, as it came: what is in it is for MLflow to judge."""

    def __init__(self, scheme: str, description: str) -> None:
        self.model = HTTPBase(scheme=scheme, description=description)
        self.scheme_name = scheme

    def __call__(self, request: Request) -> str | None:
        return request.headers.get("authorization")


_BASIC = _Header("basic", "The user name and password that you have for MLflow.")
_BEARER = _Header("bearer", "The token that you have for MLflow, where it takes tokens.")


def current_viewer(
    request: Request,
    authorization: Annotated[str | None, Security(_BASIC)],
    _token: Annotated[str | None, Security(_BEARER)],
) -> Viewer:
    """Return who asks: a dependency of every route that shows anything.

    Raises:
        NotAuthenticatedError: MLflow does not know them.
        RecordUnreachableError: MLflow can't be asked.
    """
    look: Look = request.app.state.look
    return look(authorization)


def look_in_mlflow(tracking_uri: str, engine: Engine) -> Look:
    """Return a `Look` that asks the MLflow server at a tracking URI.

    An answer from before an experiment came into the catalog is none about that experiment: whoever
    has just made it would not find it.
    """

    def look(authorization: str | None, before: Viewer | None) -> Viewer:
        caller = Caller(tracking_uri, authorization)
        # Who has these credentials stays the same; whether they still hold, the search says.
        user = before.user if before is not None and before.user else user_name(caller)
        return Viewer(user, readable_experiments(caller))

    return remembering(look, lambda: frozenset(catalog.experiments(engine)))


def look_at_everything(engine: Engine) -> Look:
    """Return a `Look` for a database without users: everybody sees all that is in the catalog."""
    return lambda authorization: Viewer(None, frozenset(catalog.experiments(engine)))


@dataclass(slots=True)
class _Remembered:
    """What became of the last question about one header; whoever holds the lock may ask again."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    begun: float = 0.0
    ended: float = 0.0
    known: frozenset[str] = frozenset()
    outcome: Viewer | TrackerError | None = None
    last: Viewer | None = None


def remembering(
    look: Callable[[str | None, Viewer | None], Viewer],
    known_now: Callable[[], frozenset[str]],
    seconds: float = SECONDS_REMEMBERED,
    clock: Callable[[], float] = time.monotonic,
) -> Look:
    """Return a `Look` that asks the same at most every few seconds, however many wait for it.

    What asks is given the header, and who that was the last time. Headers are remembered by a keyed
    digest, the thousand that were used last. That MLflow could not be asked is told to those that
    waited for it, and not remembered. An answer holds no longer than until there is an experiment
    that there was not when it was given; ``known_now`` says which there are.
    """
    key = secrets.token_bytes(32)
    headers: OrderedDict[bytes, _Remembered] = OrderedDict()
    lock = threading.Lock()

    def slot_of(authorization: str | None) -> _Remembered:
        given = "" if authorization is None else f"given {authorization}"
        name = hashlib.blake2b(given.encode(), key=key).digest()
        with lock:
            slot = headers.setdefault(name, _Remembered())
            headers.move_to_end(name)
            if len(headers) > _MOST_REMEMBERED:
                headers.popitem(last=False)
            return slot

    def holds(slot: _Remembered, arrived: float, known: frozenset[str]) -> bool:
        if isinstance(slot.outcome, Viewer) and not known <= slot.known:
            return False
        if isinstance(slot.outcome, Viewer | NotAuthenticatedError):
            return clock() - slot.begun < seconds
        return slot.outcome is not None and slot.ended >= arrived

    def remember(authorization: str | None) -> Viewer:
        arrived = clock()
        slot, known = slot_of(authorization), known_now()
        with slot.lock:
            if not holds(slot, arrived, known):
                slot.begun, slot.known = clock(), known
                try:
                    slot.outcome = slot.last = look(authorization, slot.last)
                except TrackerError as error:
                    slot.outcome = error
                slot.ended = clock()
            outcome = slot.outcome
        if isinstance(outcome, Viewer):
            return outcome
        assert outcome is not None
        raise type(outcome)(str(outcome))  # one of its own for each thread that waited

    return remember
