"""An empty catalog for the service."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tracker import catalog
from tracker.catalog import Engine


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    uri = f"sqlite:///{tmp_path / 'catalog.db'}"
    catalog.create_or_upgrade(uri)
    engine = catalog.open_catalog(uri)
    yield engine
    engine.dispose()
