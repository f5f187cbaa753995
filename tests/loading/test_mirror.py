from __future__ import annotations

import pytest

import tracker
from tests.training import log
from tracker import catalog
from tracker.loading import mirror
from tracker.record import logged_models

pytestmark = pytest.mark.usefixtures("workplace")


def test_filling_an_empty_catalog_brings_everything_back() -> None:
    made = [log(epoch=epoch, metrics={"val_loss": 1.0 / (1 + epoch)}) for epoch in range(3)]
    engine = mirror.open_current()
    for checkpoint in made:
        catalog.remove(engine, checkpoint.id)
    assert tracker.search_checkpoints() == []
    assert mirror.fill(engine) == 3
    assert tracker.search_checkpoints() == made[::-1]
    assert tracker.best_checkpoint("val_loss") == made[2]


def test_a_mirror_is_brought_up_to_date_before_each_query_from_where_it_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    checkpoint = log(epoch=1)
    asked: list[int] = []

    def listed(since: int = 0) -> list[object]:
        asked.append(since)
        return [checkpoint.record]

    monkeypatch.setattr(logged_models, "checkpoints", listed)
    for _ in range(2):
        engine = mirror.open_current("http://tracking.example:5000")
    assert catalog.count(engine, catalog.Scope()) == 1
    assert asked == [0, checkpoint.record.created_at - 60_000]


def test_a_catalog_beside_mlflow_is_asked_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    log(epoch=1)
    monkeypatch.delattr(logged_models, "checkpoints")
    assert len(tracker.search_checkpoints()) == 1
