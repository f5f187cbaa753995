"""What every request meets first: is it for us, is it small enough, does its body arrive; and the
headers that every answer carries. Plain ASGI, so that nothing is read before it is allowed.
"""

from __future__ import annotations

import asyncio
import contextlib
import fnmatch
import ipaddress
import json
import re
from collections.abc import Sequence

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tracker.service.wire import error_to_json

MOST_BYTES = 3_200_000
"""The longest body: a filter of 500,000 characters, escaped, and then some."""

_SECONDS_FOR_BODY = 30.0

_MOST_THROWN_AWAY = 16_000_000
_SECONDS_FOR_REST = 5.0
"""Bytes, and seconds, of a refused body that are waited for, so that its sender hears why."""

ANSWER_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # What one user may see is for no cache between here and the next user of a browser.
    "Cache-Control": "no-store",
    "Vary": "Authorization",
}


class AnswerHeaders:
    """Adds to every answer the headers that keep browsers from guessing, framing and storing."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in ANSWER_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_with_headers)


class KnownHosts:
    """Refuses requests for a host name that is not known to be ours.

    Else a web page could give this machine a name of its own, and read what its visitor may.
    ``localhost`` and addresses in numbers are no names that somebody could give.
    """

    def __init__(self, app: ASGIApp, allowed: Sequence[str]) -> None:
        self._app = app
        self._allowed = tuple(allowed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] == "http" and not self._is_answered(scope):
            message = (
                "This service does not answer to that host name. Whoever runs it can allow it: "
                "MLFLOW_SERVER_ALLOWED_HOSTS, or tracker serve --allowed-hosts."
            )
            await _refuse(send, 403, message)
            return
        await self._app(scope, receive, send)

    def _is_answered(self, scope: Scope) -> bool:
        # Who looks whether a service is alive calls it by any name.
        is_health = scope["path"] in ("/health", f"{scope['root_path']}/health")
        return is_health or self._is_known(Headers(scope=scope).get("host", "").lower())

    def _is_known(self, host: str) -> bool:
        name = host.rpartition(":")[0] if re.search(r":\d+$", host) else host
        if name == "localhost" or _is_address(name):
            return True
        return any(
            fnmatch.fnmatchcase(given, pattern.lower())
            for given in (host, name)
            for pattern in self._allowed
        )


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True


class BoundedBodies:
    """Refuses bodies that are too long, or do not arrive."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = await _whole_body(scope, receive, send)
        if body is None:
            return
        given = False

        async def receive_body() -> Message:
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, receive_body, send)


async def _whole_body(scope: Scope, receive: Receive, send: Send) -> bytes | None:
    """Return the body, or answer why it is refused and return None."""
    too_long = f"The question is too long: {MOST_BYTES:,} bytes are the most."
    announced = Headers(scope=scope).get("content-length", "0")
    if not announced.isdecimal() or len(announced) > 15 or int(announced) > MOST_BYTES:
        await _refuse(send, 413, too_long, receive)
        return None
    parts: list[bytes] = []
    try:
        async with asyncio.timeout(_SECONDS_FOR_BODY):
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    return None  # whoever asked has gone
                parts.append(message.get("body", b""))
                if sum(map(len, parts)) > MOST_BYTES:
                    more = message.get("more_body", False)
                    await _refuse(send, 413, too_long, receive if more else None)
                    return None
                if not message.get("more_body", False):
                    return b"".join(parts)
    except TimeoutError:
        await _refuse(send, 408, "The question did not arrive in time.")
        return None


class BelowPrefix:
    """Answers below ``/tracker`` as at ``/``: a proxy may pass the path on as it came.

    With another prefix, which the proxy cuts off, that is what links begin with.
    """

    def __init__(self, app: ASGIApp, root_path: str) -> None:
        self._app = app
        self._root_path = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] == "http":
            prefix = self._root_path or "/tracker"
            is_below = f"{scope['path']}/".startswith(f"{prefix}/")
            path = f"{prefix}/" if scope["path"] == prefix else scope["path"]
            scope = {**scope, "path": path, "root_path": prefix if is_below else self._root_path}
        await self._app(scope, receive, send)


async def _refuse(send: Send, status: int, message: str, receive: Receive | None = None) -> None:
    """Answer with an error; given ``receive``, a body is still arriving.

    A connection that is closed on bytes nobody has read is reset: a client, or a proxy, that is
    still sending would lose the answer, too. So some of the rest is taken and thrown away first.
    """
    body = json.dumps(error_to_json("InvalidArgumentError", message)).encode()
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": receive is not None})
    if receive is not None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_SECONDS_FOR_REST):
                await _throw_away(receive)
        await send({"type": "http.response.body", "body": b""})


async def _throw_away(receive: Receive) -> None:
    """Read a body to its end, but no more than a proxy or a browser may have on its way."""
    left = _MOST_THROWN_AWAY
    while left > 0:
        message = await receive()
        if message["type"] != "http.request" or not message.get("more_body", False):
            return
        left -= len(message.get("body", b""))
