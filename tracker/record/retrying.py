"""How a file is tried again to be sent or fetched, for some seconds, where nobody answers."""

from __future__ import annotations

from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from tracker.errors import RecordUnreachableError

_ATTEMPTS = 3

tried_again = retry(
    retry=retry_if_exception_type(RecordUnreachableError),
    stop=stop_after_attempt(_ATTEMPTS),
    wait=wait_random_exponential(max=10),
    reraise=True,
)
"""Decorates what may be called again after RecordUnreachableError; raises that in the end."""
