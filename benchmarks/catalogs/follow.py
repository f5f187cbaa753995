"""How fast a catalog is made again from MLflow's record, and a mirror through an MLflow server."""

from __future__ import annotations

import contextlib
import os
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from tracker.loading import mirror
from tracker.record import experiments

Rates = dict[str, float]
_UNCHANGED_UPDATES = 20


def followed(uri: str, count: int, directory: Path) -> Rates:
    """Make the catalog and a mirror from a record of ``count`` checkpoints.

    Args:
        uri: MLflow's database, which holds the catalog, too.
        count: How many checkpoints it holds.
        directory: For the mirror and the server's log.

    Returns:
        Checkpoints a second, and the milliseconds of an update where nothing changed.
    """
    rates: Rates = {}
    before = time.perf_counter()
    assert mirror.reindex(anew=True) == count
    rates["reindexed a second"] = count / (time.perf_counter() - before)
    with _server(uri, directory) as server, _environment(server, directory):
        entered: list[int] = []
        experiments.names()  # a server's first answer waits for its imports
        before = time.perf_counter()
        mirror.update_if_mirror(entered.append)
        rates["mirrored a second"] = count / (time.perf_counter() - before)
        assert sum(entered) >= count
        taken = []
        for _ in range(_UNCHANGED_UPDATES):
            before = time.perf_counter()
            mirror.update_if_mirror(entered.append)
            taken.append((time.perf_counter() - before) * 1e3)
        rates["ms to find a mirror up to date"] = statistics.median(taken)
    return rates


@contextlib.contextmanager
def _environment(server: str, directory: Path) -> Iterator[None]:
    before = dict(os.environ)
    os.environ["MLFLOW_TRACKING_URI"] = server
    os.environ["TRACKER_CACHE_DIR"] = str(directory / "mirror")
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextlib.contextmanager
def _server(uri: str, directory: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", uri, "--artifacts-destination", str(directory / "files")]
    with (directory / "server.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            for _ in range(600):
                with contextlib.suppress(urllib.error.URLError, ConnectionError):
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
                    break
                time.sleep(0.1)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(timeout=30)
