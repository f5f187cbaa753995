"""Trainings and their server, killed at random moments: each checkpoint arrives, and once."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from .crashing import ForkServer, fork_server, new_store
from .crashing_examination import examine
from .crashing_training import CHECKPOINTS, EPOCHS
from .processes import free_port, mlflow_server
from .test_outage import FEW_RETRIES

pytestmark = pytest.mark.system

SERVERS = 3
KILLS_PER_SERVER = 3

STEPS = [
    *("created", "completed", "transferred", "params logged", "metrics logged"),
    *("ready", "catalogued", "forgotten"),
]


class Place:
    """A store, and a server on it that can be started and stopped on one port."""

    def __init__(self, directory: Path, template: Path) -> None:
        self._port = free_port()
        self.store = new_store(
            directory,
            template,
            MLFLOW_TRACKING_URI=f"http://127.0.0.1:{self._port}",
            MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR="false",
            **FEW_RETRIES,
        )
        with closing(sqlite3.connect(directory / "mlflow.db")) as connection, connection:
            connection.execute("UPDATE experiments SET artifact_location = 'mlflow-artifacts:/0'")

    def server(self) -> Any:
        directory = self.store.directory
        options = (
            *("--backend-store-uri", f"sqlite:///{directory}/mlflow.db"),
            *("--artifacts-destination", str(directory / "files")),
        )
        return mlflow_server(directory, *options, port=self._port)


@pytest.fixture(scope="module")
def forks(
    tmp_path_factory: pytest.TempPathFactory, database_template: Path
) -> Iterator[ForkServer]:
    with fork_server(tmp_path_factory.mktemp("forks"), database_template) as server:
        yield server


@pytest.fixture
def place(workplace: Path, database_template: Path) -> Place:
    return Place(workplace / "store", database_template)


def test_trainings_and_servers_killed_at_random_moments(forks: ForkServer, place: Place) -> None:
    seed = random.randrange(1 << 32)
    print(f"random.Random({seed})")
    chance, store, kills = random.Random(seed), place.store, 0
    for _ in range(SERVERS):
        with place.server() as (_, process):
            seconds = forks.train(store).seconds
            for _ in range(KILLS_PER_SERVER):
                kills += forks.train(store, kill_after=chance.uniform(0, seconds)).killed
                examine(store)
            forks.train(store, kill_after=chance.uniform(0, seconds), victim=process.pid)
    with place.server():
        before = len(examine(store))
        assert not forks.sync(store).killed
        assert not forks.train(store).killed
        assert len(examine(store)) >= before + CHECKPOINTS - 1
        assert not store.waiting
    assert kills >= SERVERS


def test_killed_at_each_step_of_a_delivery_and_sent_again_it_is_one_checkpoint(
    forks: ForkServer, place: Place
) -> None:
    store = place.store
    with place.server():
        for step in STEPS:
            forks.train(store, TRACKER_OFFLINE="1")
            assert forks.sync(store, kill_at=(step, 1)).killed, step
            assert not forks.sync(store).killed, step
            assert not store.waiting
        assert len(examine(store)) == len(STEPS) * EPOCHS
