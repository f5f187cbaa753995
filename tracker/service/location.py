"""Where the tracker service is: named by ``TRACKER_CATALOG_URI``, or found beside MLflow's server.

At a team's one address MLflow is at ``/`` and the service at ``/tracker/``. So below an MLflow
server's address one is looked for, once in five minutes; what was found is kept on the disk, so
that a plain MLflow server costs a request in five minutes, and nothing else.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from tracker import settings

_SECONDS_REMEMBERED = 300.0
_TIMEOUT = (2.0, 3.0)
"""Seconds until a connection, and until an answer begins."""


@dataclass(frozen=True, slots=True)
class Service:
    """A tracker service.

    Attributes:
        url: Its address, without a slash at the end.
        beside: The address of the MLflow server that it was found beside; None: it was named.
    """

    url: str
    beside: str | None = None


def in_force(tracking_uri: str) -> Service | None:
    """Return the service that answers for a tracking URI, or None: the catalog is a database."""
    given = settings.catalog_uri()
    if given is not None:
        return Service(given.rstrip("/")) if _is_http(given) else None
    if not _is_http(tracking_uri):
        return None
    server = tracking_uri.rstrip("/")
    known = _recall(server)
    if known is None:
        known = _answers(f"{server}/tracker")
        if known is None:
            return (
                None  # nobody answers at all, so nothing is known: MLflow will be asked and say so
            )
        _remember(server, known)
    return Service(f"{server}/tracker", server) if known else None


def forget(service: Service) -> None:
    """Forget that a service was found, because it does not answer: look for it again next time."""
    if service.beside is not None:
        with contextlib.suppress(OSError):
            _file(service.beside).unlink()


def _is_http(uri: str) -> bool:
    return uri.startswith(("http://", "https://"))


def _answers(url: str) -> bool | None:
    """Return whether a tracker service is there; None: nobody answers."""
    import requests

    try:
        answer = requests.get(
            f"{url}/health",
            timeout=_TIMEOUT,
            verify=settings.server_certificate(),
            allow_redirects=False,
            auth=lambda request: request,  # nothing to tell whoever is there, not even ~/.netrc
        )
    except requests.RequestException:
        return None
    if answer.status_code >= 500:
        return None
    if answer.status_code != 200:
        return False
    try:
        found = answer.json()
    except requests.JSONDecodeError:
        return False
    return isinstance(found, dict) and found.get("service") == "tracker"


def _file(server: str) -> Path:
    name = hashlib.sha256(server.encode()).hexdigest()[:16]
    return settings.cache_directory() / "services" / f"{name}.json"


def _recall(server: str) -> bool | None:
    try:
        known = json.loads(_file(server).read_text())
        age = time.time() - float(known["at"])
        return bool(known["found"]) if 0 <= age < _SECONDS_REMEMBERED else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _remember(server: str, found: bool) -> None:
    file = _file(server)
    # Where the cache can't be written, the question costs its request each time.
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        new = file.with_suffix(f".{os.getpid()}-{threading.get_ident()}")
        new.write_text(json.dumps({"found": found, "at": time.time()}))
        new.replace(file)
