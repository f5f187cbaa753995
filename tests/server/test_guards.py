"""What every request meets first: host names, and bodies that do not arrive."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import pytest

from tracker.server import guards
from tracker.server.guards import BelowPrefix, BoundedBodies, KnownHosts

from .running import running


def status(app: Any, messages: Sequence[dict[str, Any]] = (), **scope: Any) -> int:
    """Ask an application what it answers to a request; one without more messages stays silent."""
    left = list(messages)
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if not left:
            await asyncio.sleep(60)
        return left.pop(0)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    headers = [(name.encode(), value.encode()) for name, value in scope.pop("headers", {}).items()]
    whole = {"type": "http", "path": "/", "root_path": "", "headers": headers, **scope}
    asyncio.run(app(whole, receive, send))
    found: int = sent[0]["status"]
    return found


async def fine(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", 200),
        ("localhost:5001", 200),
        ("127.0.0.1:5001", 200),
        ("[::1]:5001", 200),
        ("[::1]", 200),
        ("10.1.2.3:80", 200),
        ("10.evil.example", 403),
        ("localhost.evil.example", 403),
        ("127.0.0.1.evil.example:5001", 403),
        ("tracker.example.org", 200),
        ("TRACKER.example.org:5000", 200),
        ("evil.example", 403),
        ("a.lab.example", 200),
        ("only-with-port:5000", 200),
        ("only-with-port", 403),
        ("", 403),
        ("localhost:evil", 403),
    ],
)
def test_it_answers_to_known_names_alone(host: str, expected: int) -> None:
    app = KnownHosts(fine, ["tracker.example.org", "*.lab.example", "only-with-port:5000"])
    assert status(app, headers={"host": host}) == expected


def test_whether_it_is_alive_is_said_by_any_name() -> None:
    app = BelowPrefix(KnownHosts(fine, []), "")
    for path, expected in {
        "/health": 200,
        "/tracker/health": 200,
        "/api/1/checkpoints/health": 403,
        "/tracker/api/health": 403,
    }.items():
        assert status(app, path=path, headers={"host": "anything"}) == expected


def body(*parts: bytes) -> list[dict[str, Any]]:
    return [{"type": "http.request", "body": part, "more_body": True} for part in parts]


def test_a_body_that_does_not_arrive_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guards, "_SECONDS_FOR_BODY", 0.01)
    assert status(BoundedBodies(fine), body(b"{")) == 408


@pytest.mark.parametrize(
    ("parts", "headers", "expected"),
    [
        ([b"x" * 1_000_000] * 4, {}, 413),
        ([b"{}"], {"content-length": "3200001"}, 413),
        ([b"{}"], {"content-length": "-1"}, 413),
        ([b"{}"], {"content-length": "9" * 5_000}, 413),
        ([b"x" * 1_000_000] * 3, {}, 200),
    ],
    ids=["chunks", "announced", "negative", "absurd", "allowed"],
)
def test_a_body_that_is_too_long_is_refused(
    parts: list[bytes], headers: dict[str, str], expected: int
) -> None:
    messages = body(*parts)
    messages[-1]["more_body"] = False
    assert status(BoundedBodies(fine), messages, headers=headers) == expected


@pytest.mark.parametrize("head", ["Content-Length: 9000000", "Transfer-Encoding: chunked"])
def test_who_still_sends_what_is_too_long_hears_the_answer_and_no_reset(head: str) -> None:
    chunk = b"x" * 1_000_000
    with running(BoundedBodies(fine)) as address:  # type: ignore[arg-type]
        host, port = urlsplit(address).hostname, urlsplit(address).port
        with socket.create_connection((host, port), timeout=30) as sender:
            sender.sendall(f"POST / HTTP/1.1\r\nHost: localhost\r\n{head}\r\n\r\n".encode())
            for _ in range(9):
                if "chunked" in head:
                    sender.sendall(b"f4240\r\n" + chunk + b"\r\n")
                else:
                    sender.sendall(chunk)
            if "chunked" in head:
                sender.sendall(b"0\r\n\r\n")
            answer = b"".join(iter(lambda: sender.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"The question is too long" in answer


def test_who_sends_without_end_is_not_listened_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guards, "_SECONDS_FOR_REST", 0.01)
    silent = [*body(*[b"x" * 1_000_000] * 4)]
    assert status(BoundedBodies(fine), silent) == 413
    endless = body(*[b"x" * 1_000_000] * 40)
    assert status(BoundedBodies(fine), endless) == 413
