"""Training processes that are killed at any moment: what is READY is whole, and training goes on.

In every store one process trains after the other, and resumes from what the killed one has left.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from .crashing import Ended, ForkServer, Store, fork_server, new_store
from .crashing_examination import examine
from .crashing_training import CHECKPOINTS, EPOCHS

pytestmark = pytest.mark.system

KILLS = int(os.environ.get("TRACKER_TEST_KILLS", "60"))
"""A change of saving should be tried with a thousand; see CONTRIBUTING.md."""

KILLS_PER_STORE = 10
KILLS_OFFLINE = 16


@pytest.fixture(scope="module")
def forks(
    tmp_path_factory: pytest.TempPathFactory, database_template: Path
) -> Iterator[ForkServer]:
    with fork_server(tmp_path_factory.mktemp("forks"), database_template) as server:
        yield server


@pytest.fixture
def chance() -> random.Random:
    """Random numbers of a seed that is shown when the test fails."""
    seed = random.randrange(1 << 32)
    print(f"random.Random({seed})")
    return random.Random(seed)


class Killer:
    """Kills processes at random moments, spread over the time that one takes to its end."""

    def __init__(self, chance: random.Random, first: Ended) -> None:
        self.kills = 0
        self._chance = chance
        self._seconds = first.seconds

    def delay(self) -> float:
        return self._chance.uniform(0, self._seconds)

    def learn(self, ended: Ended) -> None:
        self.kills += ended.killed
        if not ended.killed:
            self._seconds = ended.seconds


def steps_of(store: Store) -> list[tuple[str, int]]:
    """Return each step of a process's first checkpoint, file by file, and the last of each kind.

    The last checkpoint of a process replaces the one before.
    """
    return [
        (step, number)
        for step, count in store.steps.items()
        for number in sorted({*range(1, count // CHECKPOINTS + 1), count})
    ]


def test_killed_at_random_moments(
    forks: ForkServer, workplace: Path, database_template: Path, chance: random.Random
) -> None:
    measured = forks.train(new_store(workplace / "measured", database_template))
    killer = Killer(chance, measured)
    number = 0
    while killer.kills < KILLS:
        store = new_store(workplace / f"store-{number}", database_template)
        for _ in range(KILLS_PER_STORE):
            killer.learn(forks.train(store, kill_after=killer.delay()))
            examine(store)
        assert not forks.train(store).killed
        assert len(examine(store)) >= CHECKPOINTS - 1
        assert not store.waiting
        number += 1


def test_killed_at_each_step(forks: ForkServer, workplace: Path, database_template: Path) -> None:
    store = new_store(workplace / "store", database_template)
    forks.train(store)
    steps = steps_of(store)
    assert {step for step, _ in steps} == {
        *("copied", "accepted", "created", "on the disk", "named", "written"),
        *("params logged", "metrics logged", "ready", "catalogued"),
    }
    before = examine(store)
    for step, number in steps:
        ended = forks.train(store, kill_at=(step, number))
        assert ended.killed, f"{step} {number}"
        after = examine(store)
        if (step, number) == ("ready", 1):
            assert len(after) == len(before) + 1, "READY is what counts"
        if (step, number) == ("metrics logged", 1):
            assert len(after) == len(before), "before READY it is nothing"
        before = after


def test_eight_processes_on_one_file_lose_nothing(
    forks: ForkServer, workplace: Path, database_template: Path
) -> None:
    store = new_store(workplace / "store", database_template)
    forks.train(store, processes=8)
    found = examine(store)
    assert len({each.run_id for each in found}) == 8
    assert len(found) == 8 * EPOCHS
    assert "locked" not in store.output
    assert "was not saved" not in store.output
    assert not store.waiting


def test_killed_at_random_moments_offline_and_while_the_spool_is_sent(
    forks: ForkServer, workplace: Path, database_template: Path, chance: random.Random
) -> None:
    store = new_store(workplace / "store", database_template)
    trainings = Killer(chance, forks.train(store, TRACKER_OFFLINE="1"))
    deliveries = Killer(chance, forks.sync(store))
    while trainings.kills + deliveries.kills < KILLS_OFFLINE:
        trainings.learn(forks.train(store, kill_after=trainings.delay(), TRACKER_OFFLINE="1"))
        examine(store)
        deliveries.learn(forks.sync(store, kill_after=deliveries.delay()))
        examine(store)
    assert not forks.sync(store).killed
    examine(store)
    assert not store.waiting


def test_killed_at_each_step_offline_and_while_the_spool_is_sent(
    forks: ForkServer, workplace: Path, database_template: Path
) -> None:
    store = new_store(workplace / "store", database_template)
    forks.train(store, TRACKER_OFFLINE="1")
    training = store.steps.keys()
    assert training == {"copied", "accepted", "on the disk", "named", "spooled"}
    forks.sync(store)
    delivering = store.steps.keys()
    assert delivering == {
        *("created", "on the disk", "named", "completed", "transferred"),
        *("params logged", "metrics logged", "ready", "catalogued", "forgotten"),
    }
    for step in training:
        assert forks.train(store, kill_at=(step, 1), TRACKER_OFFLINE="1").killed, step
    forks.sync(store)
    examine(store)
    for step in delivering:
        forks.train(store, TRACKER_OFFLINE="1")
        assert forks.sync(store, kill_at=(step, 1)).killed, step
        examine(store)
    assert not forks.sync(store).killed
    examine(store)
    assert not store.waiting
