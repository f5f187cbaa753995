"""The service gets what MLflow's own client would send."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from mlflow.utils.credentials import get_default_host_creds

from tracker.service.credentials import authorization

FILE = "[mlflow]\nmlflow_tracking_username = ada\nmlflow_tracking_password = of the file\n"
NAMES = ("USERNAME", "PASSWORD", "TOKEN")


@pytest.mark.parametrize("file", ["", FILE, "[other]\na = b\n"])
@pytest.mark.parametrize(
    "given",
    [
        {},
        {"USERNAME": "bob", "PASSWORD": "of:bob é"},
        {"PASSWORD": "other"},
        {"USERNAME": "bob"},
        {"TOKEN": "token"},
        {"USERNAME": "bob", "PASSWORD": "of bob", "TOKEN": "token"},
        {"USERNAME": "", "PASSWORD": ""},
    ],
)
def test_credentials_are_those_of_mlflow(
    file: str, given: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in NAMES:
        monkeypatch.delenv(f"MLFLOW_TRACKING_{name}", raising=False)
    for name, value in given.items():
        monkeypatch.setenv(f"MLFLOW_TRACKING_{name}", value)
    if file:
        (tmp_path / ".mlflow").mkdir()
        (tmp_path / ".mlflow" / "credentials").write_text(file)
    assert authorization() == _of_mlflow()


def _of_mlflow() -> str | None:
    """What `mlflow.utils.rest_utils.http_request` sends; it does not tell, so it is done again."""
    found = get_default_host_creds("http://server")
    if found.username and found.password:
        return f"Basic {base64.b64encode(f'{found.username}:{found.password}'.encode()).decode()}"
    return f"Bearer {found.token}" if found.token else None


def test_a_file_that_is_none_is_for_mlflow_to_complain_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in NAMES:
        monkeypatch.delenv(f"MLFLOW_TRACKING_{name}", raising=False)
    (tmp_path / ".mlflow").mkdir()
    (tmp_path / ".mlflow" / "credentials").write_bytes(b"\xff no ini file")
    assert authorization() is None
