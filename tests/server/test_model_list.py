"""The page of registered models."""

from __future__ import annotations

from pathlib import Path

from fastapi.testclient import TestClient
from torch import nn

import tracker
from tests.server.test_pages import Page
from tracker import catalog
from tracker.server.app import create_app
from tracker.server.wording import literal


def test_versions_stand_with_their_aliases_and_the_checkpoint_each_came_from(
    workplace: Path,
) -> None:
    database = f"sqlite:///{workplace / 'mlflow.db'}"
    for epoch in (0, 1):
        metrics = {"val_loss": 0.5}
        tracker.log_checkpoint(nn.Linear(2, 1), epoch=epoch, metrics=metrics, wait=True)
    first, second = (tracker.get_checkpoint(epoch=epoch) for epoch in (0, 1))
    engine = catalog.open_catalog(database)
    client = TestClient(create_app(database, engine, allowed_hosts=["testserver"]))

    empty = client.get("/models")
    tracker.register(first, "digits-cnn", alias="champion")
    tracker.register(second, "digits-cnn")
    listed = client.get("/models")
    engine.dispose()

    assert "No model is registered yet" in empty.text
    assert "tracker.register(best" in empty.text
    page = Page(listed)
    assert [link for link in page.links if "/checkpoints/" in link] == [
        f"/checkpoints/{second.id}",
        f"/checkpoints/{first.id}",
    ]
    assert '<span class="badge">champion</span>' in listed.text
    assert "2 versions" in page.text
    assert f"tracker.load_model({literal('models:/digits-cnn@champion')})" in page.text
