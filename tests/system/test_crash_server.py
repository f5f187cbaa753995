"""Trainings and their server, killed at random moments: each checkpoint arrives, and once."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from .crashing import fork_server, new_store
from .crashing_examination import examine
from .crashing_training import CHECKPOINTS
from .processes import free_port, mlflow_server
from .test_outage import FEW_RETRIES

pytestmark = pytest.mark.system

SERVERS = 3
KILLS_PER_SERVER = 3


def test_trainings_and_servers_killed_at_random_moments(
    workplace: Path,
    tmp_path_factory: pytest.TempPathFactory,
    database_template: Path,
) -> None:
    seed = random.randrange(1 << 32)
    print(f"random.Random({seed})")
    chance = random.Random(seed)
    port = free_port()
    store = new_store(
        workplace / "store",
        database_template,
        MLFLOW_TRACKING_URI=f"http://127.0.0.1:{port}",
        MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR="false",
        **FEW_RETRIES,
    )
    database = store.directory / "mlflow.db"
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE experiments SET artifact_location = 'mlflow-artifacts:/0'")
    options = (
        *("--backend-store-uri", f"sqlite:///{database}"),
        *("--artifacts-destination", str(store.directory / "files")),
    )

    def server() -> Any:
        return mlflow_server(store.directory, *options, port=port)

    kills = 0
    with fork_server(tmp_path_factory.mktemp("forks"), database_template) as forks:
        for _ in range(SERVERS):
            with server() as (_, process):
                seconds = forks.train(store).seconds
                for _ in range(KILLS_PER_SERVER):
                    kills += forks.train(store, kill_after=chance.uniform(0, seconds)).killed
                    examine(store)
                forks.train(store, kill_after=chance.uniform(0, seconds), victim=process.pid)
        with server():
            before = len(examine(store))
            assert not forks.sync(store).killed
            assert not forks.train(store).killed
            assert len(examine(store)) >= before + CHECKPOINTS - 1
            assert not store.waiting
    assert kills >= SERVERS
