"""Large files of an MLflow server come in parts, and after an interruption the rest.

The server is one of our own: a real one breaks no connection when it is asked to.
"""

from __future__ import annotations

import json
import random
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import mlflow
import pytest
from tenacity import wait_none

from tracker.errors import CorruptCheckpointError, RecordUnreachableError
from tracker.record import cache, download, parts
from tracker.record.download import Wanted, bring
from tracker.record.parts import download_parts

ROUTE = "/api/2.0/mlflow-artifacts/artifacts/run/"
STORE = "mlflow-artifacts:/run"
CONTENT = random.Random(0).randbytes(10_000)


class Server(ThreadingHTTPServer):
    """Serves one file, as the attributes say that it does."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.uri = f"http://127.0.0.1:{self.server_port}"
        self.ranges: list[tuple[str, str]] = []
        self.ignores_ranges = False
        self.status = 206
        self.breaks_at: set[int] = set()
        self.storage: str | None = None
        self.signed, self.expires_after = 0, 1_000
        self.content = CONTENT


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        given = self.server
        if self.path.endswith("/server-info"):
            self.answer(200, json.dumps({"multipart_downloads_enabled": given.storage is not None}))
        elif "/presigned/" in self.path and given.storage is not None:
            url = f"{given.storage}?signature={given.signed}"
            self.answer(200, json.dumps({"url": url, "headers": {"X-Key": "k"}}))
        elif self.path.startswith("/storage"):
            signed = self.path == f"/storage?signature={given.signed}"
            given.signed = int(len(given.ranges) + 1 >= given.expires_after)
            self.file() if signed and self.headers["X-Key"] == "k" else self.answer(403, "expired")
        elif self.path == f"{ROUTE}model%20.bin":
            self.file()
        else:
            self.answer(404, "{}")

    def file(self) -> None:
        asked = self.headers["Range"] or ""
        self.server.ranges.append((self.path, asked))
        first, last = map(int, re.findall(r"\d+", asked))
        if self.server.ignores_ranges:
            self.answer(200, self.server.content)
            return
        data = self.server.content[first : last + 1]
        total = f"bytes {first}-{last}/{len(self.server.content)}"
        if first in self.server.breaks_at:
            self.answer(206, data[:10], {"Content-Range": total, "Content-Length": str(len(data))})
            self.close_connection = True
            return
        self.answer(self.server.status, data, {"Content-Range": total})

    def answer(self, status: int, data: str | bytes, headers: dict[str, str] | None = None) -> None:
        body = data.encode() if isinstance(data, str) else data
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        """Nothing is told."""


@pytest.fixture
def server(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(parts, "PART", 1_000)
    monkeypatch.setattr(download, "WORTH_PARTS", 2_000)
    with Server() as started:
        thread = threading.Thread(target=started.serve_forever, args=[0.01], daemon=True)
        thread.start()
        mlflow.set_tracking_uri(started.uri)
        yield started
        started.shutdown()
        thread.join()


@pytest.fixture
def path(workplace: Path) -> Path:
    return workplace / "model.bin"


def fetch(path: Path, size: int = len(CONTENT)) -> bool | None:
    return download_parts(STORE, "model .bin", path, size)


def firsts(server: Server) -> list[int]:
    """Return where the ranges begin that were asked for."""
    return sorted(int(re.findall(r"\d+", asked)[0]) for _, asked in server.ranges)


def test_every_part_is_asked_for_once(server: Server, path: Path) -> None:
    assert fetch(path) is False
    assert path.read_bytes() == CONTENT
    assert firsts(server) == list(range(0, 10_000, 1_000))


def test_the_last_part_may_be_shorter(server: Server, path: Path) -> None:
    server.content = CONTENT[:2_001]
    assert fetch(path, 2_001) is False
    assert path.read_bytes() == CONTENT[:2_001]
    assert firsts(server) == [0, 1_000, 2_000]


def test_after_an_interruption_only_what_is_missing_comes(server: Server, path: Path) -> None:
    server.breaks_at = {3_000}
    with pytest.raises(RecordUnreachableError):
        fetch(path)
    before = len(server.ranges)
    server.breaks_at = set()

    assert fetch(path) is True

    assert path.read_bytes() == CONTENT
    again = {int(re.findall(r"\d+", asked)[0]) for _, asked in server.ranges[before:]}
    assert 3_000 in again
    assert not again & {0, 1_000, 2_000}
    assert fetch(path) is True
    assert len(server.ranges) == before + len(again)


@pytest.mark.parametrize(
    "harm",
    [
        lambda path, journal: path.unlink(),
        lambda path, journal: path.write_bytes(b"short"),
        lambda path, journal: journal.unlink(),
        lambda path, journal: journal.write_text("10000 bytes in parts of 7\n0\n1\n"),
        lambda path, journal: journal.write_bytes(journal.read_bytes()[:5]),
    ],
)
def test_what_does_not_fit_together_comes_from_its_beginning(
    server: Server, path: Path, harm: Any
) -> None:
    fetch(path)
    harm(path, path.with_name("model.bin.arrived"))
    assert fetch(path) is False
    assert path.read_bytes() == CONTENT
    assert len(server.ranges) == 20


def test_a_part_whose_entry_is_torn_comes_again(server: Server, path: Path) -> None:
    fetch(path)
    journal = path.with_name("model.bin.arrived")
    journal.write_bytes(journal.read_bytes()[:-1])
    assert fetch(path) is True
    assert path.read_bytes() == CONTENT
    assert len(server.ranges) == 11


def test_a_server_without_ranges_sends_the_whole_once(server: Server, path: Path) -> None:
    server.ignores_ranges = True
    assert fetch(path) is False
    assert path.read_bytes() == CONTENT
    assert len(server.ranges) == 1


def test_a_range_is_one_whatever_status_an_object_storage_gives_it(
    server: Server, path: Path
) -> None:
    server.status = 200
    assert fetch(path) is False
    assert path.read_bytes() == CONTENT
    assert len(server.ranges) == 10


def test_a_file_of_another_size_is_refused(server: Server, path: Path) -> None:
    with pytest.raises(CorruptCheckpointError, match="has 10000 bytes in the store, but 9999 were"):
        fetch(path, 9_999)


def test_what_the_server_does_not_have_is_left_to_other_ways(server: Server, path: Path) -> None:
    assert download_parts(STORE, "other.bin", path, 10_000) is None


@pytest.mark.parametrize("uri", ["s3://bucket/run", "/data/run", "http://127.0.0.1:1/files"])
def test_other_stores_are_left_to_other_ways(server: Server, path: Path, uri: str) -> None:
    assert download_parts(uri, "model .bin", path, 10_000) is None
    assert server.ranges == []


def test_an_object_storage_is_asked_itself_where_the_server_says_so(
    server: Server, path: Path
) -> None:
    server.storage = f"{server.uri}/storage"
    assert fetch(path) is False
    assert path.read_bytes() == CONTENT
    assert {asked for asked, _ in server.ranges} == {"/storage?signature=0"}


def test_a_signature_that_expires_on_the_way_is_asked_for_again(server: Server, path: Path) -> None:
    server.storage, server.expires_after = f"{server.uri}/storage", 4
    assert fetch(path) is False
    assert path.read_bytes() == CONTENT
    assert {asked for asked, _ in server.ranges} == {f"/storage?signature={n}" for n in range(2)}


def test_no_signature_is_told(server: Server, path: Path) -> None:
    server.storage, server.breaks_at = f"{server.uri}/storage", {3_000}
    with pytest.raises(RecordUnreachableError) as broken:
        fetch(path)
    server.storage = "http://127.0.0.1:9/storage"
    with pytest.raises(RecordUnreachableError, match=r"object storage 127\.0\.0\.1:9") as away:
        download_parts(STORE, "other.bin", path, len(CONTENT))
    assert "signature" not in f"{broken.value}{away.value}"


def test_an_object_storage_out_of_reach_is_asked_through_the_server(
    server: Server, path: Path
) -> None:
    server.storage = "http://127.0.0.1:9/storage"
    assert fetch(path) is False
    assert path.read_bytes() == CONTENT


def test_whoever_does_not_want_that_can_switch_it_off(
    server: Server, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.storage = f"{server.uri}/storage"
    monkeypatch.setenv("MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD", "false")
    assert fetch(path) is False
    assert {asked for asked, _ in server.ranges} == {f"{ROUTE}model%20.bin"}


class TestIntoTheCache:
    """What came before an error stays there for whoever brings the file again."""

    @pytest.fixture(autouse=True)
    def at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(download._downloaded.retry, "wait", wait_none())

    def wanted(self, seen: list[bytes], *, good: bool = True) -> Wanted:
        def accept(directory: Path) -> None:
            data = (directory / "model .bin").read_bytes()
            seen.append(data)
            if data != CONTENT or (not good and len(seen) == 1):
                raise CorruptCheckpointError("damaged")

        return Wanted("m-1", "model .bin", lambda: [STORE], len(CONTENT), accept_resumed=accept)

    def test_a_broken_connection_is_tried_again_for_the_rest(
        self, server: Server, workplace: Path
    ) -> None:
        server.breaks_at = {9_000}
        seen: list[bytes] = []
        with pytest.raises(RecordUnreachableError):
            bring(self.wanted(seen), cache.Held())
        assert firsts(server).count(0) == 1
        server.breaks_at = set()

        bring(self.wanted(seen), cache.Held())

        assert firsts(server).count(0) == 1
        assert seen == [CONTENT]
        assert cache.place("m-1", "model .bin").read_bytes() == CONTENT
        assert list((workplace / "cache" / "arriving").iterdir()) == []

    def test_parts_that_turn_out_damaged_come_again(self, server: Server) -> None:
        server.breaks_at = {9_000}
        seen: list[bytes] = []
        with pytest.raises(RecordUnreachableError):
            bring(self.wanted(seen), cache.Held())
        server.breaks_at = set()

        bring(self.wanted(seen, good=False), cache.Held())

        assert firsts(server).count(0) == 2
        assert cache.place("m-1", "model .bin").read_bytes() == CONTENT

    def test_a_file_of_another_size_leaves_nothing(self, server: Server, workplace: Path) -> None:
        server.content = CONTENT[:-1]
        with pytest.raises(CorruptCheckpointError):
            bring(self.wanted([]), cache.Held())
        assert not any(path.is_file() for path in (workplace / "cache/arriving").rglob("*"))
