"""The ticket of rank 0: what it is told of a checkpoint, the processes that wrote it hear, too."""

from __future__ import annotations

import json
from dataclasses import asdict

from tracker.errors import DistributedError
from tracker.saving.leading import Lead
from tracker.saving.messages import SETTLED, SPOOLED
from tracker.saving.ticket import Ticket
from tracker.saving.turn import failure
from tracker.types import CheckpointRecord, Json


class LeadTicket(Ticket):
    """The ticket of rank 0, which lets the others know what it is told."""

    def __init__(self, name: str, run_id: str, size: int, lead: Lead) -> None:
        super().__init__(name, run_id, size)
        self._lead: Lead | None = lead

    def succeed(self, record: CheckpointRecord) -> None:
        """Say that the checkpoint is durable."""
        self._tell({"record": json.loads(json.dumps(asdict(record)))})
        super().succeed(record)

    def fail(self, error: BaseException) -> None:
        """Say that it could not be saved."""
        self.fail_others(error)
        super().fail(error)

    def fail_others(self, error: BaseException) -> None:
        """Let the others know that it could not be saved, before this process is done with it."""
        if self._lead is not None:
            whole = self._lead.turn.whole
            self._tell({"error": failure(error), "quiet": self._told, "whole": whole})
            self._lead = None

    def settle(self) -> None:
        """Say that nobody needs to wait for it."""
        if self.spooled is not None and not self.done():
            self._post(SETTLED)
        super().settle()

    def wait_in_spool(self) -> None:
        """Let the others know that it is whole in the spool, so that their memory is free."""
        if self._lead is not None:
            self._lead.turn.whole = True
        self._post(SPOOLED)

    def belongs_to_parent(self) -> None:
        """Say, in a forked child, that only the parent can tell; and tell the others nothing."""
        self._lead = None
        super().belongs_to_parent()

    def _tell(self, outcome: Json) -> None:
        if self._lead is not None:
            self._lead.tell(outcome)

    def _post(self, key: str) -> None:
        try:
            if self._lead is not None:
                self._lead.turn.board.post(key, str(self.spooled))
        except DistributedError:
            return  # as in Lead.tell, nobody could be told
