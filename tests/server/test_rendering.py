"""Where links lead."""

from __future__ import annotations

import pytest

from tracker.server.rendering import mlflow_address


@pytest.mark.parametrize(
    ("root", "uri", "behind_proxy", "address"),
    [
        ("/tracker", "http://mlflow:5000", True, ""),
        ("/team/tracker", "http://mlflow:5000", True, "/team"),
        ("/tracker", "http://ann:secret@localhost:5000/", False, "http://localhost:5000"),
        ("", "https://mlflow.example/sub/", False, "https://mlflow.example/sub"),
        ("/tracker", "sqlite:///mlflow.db", True, None),
    ],
)
def test_mlflows_pages_are_beside_ours_or_where_the_service_finds_them(
    root: str, uri: str, behind_proxy: bool, address: str | None
) -> None:
    assert mlflow_address(root, uri, behind_proxy) == address
