from __future__ import annotations

from pathlib import Path

import pytest

from tracker.format import Written, write_checkpoint

from .examples import content


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Written]:
    """One written checkpoint for tests that only read or copy it."""
    directory = tmp_path_factory.mktemp("original") / "epoch-6"
    return directory, write_checkpoint(directory, content())
