from __future__ import annotations

from pathlib import Path

import pytest

from tracker import settings
from tracker.errors import InvalidArgumentError


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "MLFLOW_TRACKING_URI",
        "TRACKER_CATALOG_URI",
        "TRACKER_CACHE_DIR",
        "TRACKER_CACHE_SIZE",
        "TRACKER_SPOOL_DIR",
        "TRACKER_OFFLINE",
        "XDG_CACHE_HOME",
        "XDG_DATA_HOME",
        "TRACKER_OBSERVE",
        "TRACKER_TRUSTED_PACKAGES",
    ):
        monkeypatch.delenv(name, raising=False)


def test_without_any_setting_mlflows_own_default_is_in_force() -> None:
    assert settings.tracking_uri() == "sqlite:///mlflow.db"
    assert settings.catalog_uri() is None
    assert settings.observe()
    assert settings.trusted_packages() is None
    assert settings.cache_directory() == Path.home() / ".cache" / "tracker"
    assert settings.spool_directory() == Path.home() / ".local" / "share" / "tracker" / "spool"
    assert not settings.offline()


def test_settings_are_read_at_every_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://one")
    assert settings.tracking_uri() == "http://one"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://two")
    assert settings.tracking_uri() == "http://two"


@pytest.mark.parametrize(
    ("variable", "accessor"),
    [("MLFLOW_TRACKING_URI", settings.tracking_uri), ("TRACKER_CATALOG_URI", settings.catalog_uri)],
)
def test_an_empty_variable_counts_as_unset(
    monkeypatch: pytest.MonkeyPatch, variable: str, accessor: object
) -> None:
    unset = accessor()  # type: ignore[operator]
    monkeypatch.setenv(variable, "")
    assert accessor() == unset  # type: ignore[operator]


def test_the_cache_follows_its_own_variable_then_the_desktop_standard(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/cache/ada")
    assert settings.cache_directory() == Path("/var/cache/ada/tracker")
    monkeypatch.setenv("TRACKER_CACHE_DIR", "~/models")
    assert settings.cache_directory() == Path.home() / "models"


@pytest.mark.parametrize(
    ("given", "size"),
    [
        ("", None),
        ("0", 0),
        ("500", 500),
        ("500b", 500),
        ("500MB", 500_000_000),
        ("1.5 GiB", 3 << 29),
        ("2k", 2000),
        ("1tb", 10**12),
    ],
)
def test_the_size_of_the_cache_has_a_unit(
    given: str, size: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKER_CACHE_SIZE", given)
    assert settings.cache_size() == size


@pytest.mark.parametrize("given", ["much", "-1GB", "20 GB of it", "5iB", "1e9", "GB"])
def test_what_is_no_size_is_refused(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKER_CACHE_SIZE", given)
    with pytest.raises(InvalidArgumentError, match=r"TRACKER_CACHE_SIZE=.* is no size"):
        settings.cache_size()


def test_trusted_packages_are_a_list_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKER_TRUSTED_PACKAGES", "timm, acme ,")
    assert settings.trusted_packages() == {"timm", "acme"}
    monkeypatch.setenv("TRACKER_TRUSTED_PACKAGES", "")
    assert settings.trusted_packages() == frozenset()


def test_observing_can_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKER_OBSERVE", "0")
    assert not settings.observe()


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("sqlite:///mlflow.db", "sqlite:///mlflow.db"),
        ("http://mlflow:5000", "http://mlflow:5000"),
        ("postgresql://ada:secret@db/mlflow", "postgresql://ada:***@db/mlflow"),
        ("postgresql://ada:se:c@r/et@db:5432/mlflow", "postgresql://ada:***@db:5432/mlflow"),
        ("https://ada:secret@mlflow.example/", "https://ada:***@mlflow.example/"),
        (
            "postgresql://db/m?user=ada&password=secret&x=1",
            "postgresql://db/m?user=ada&password=***&x=1",
        ),
    ],
)
def test_a_uri_is_shown_without_its_password(uri: str, shown: str) -> None:
    assert settings.display_uri(uri) == shown


def test_the_spool_lies_where_it_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert settings.spool_directory() == tmp_path / "tracker" / "spool"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRACKER_SPOOL_DIR", "waiting")
    assert settings.spool_directory() == tmp_path / "waiting"


@pytest.mark.parametrize(("value", "offline"), [("1", True), ("yes", True), ("0", False)])
def test_offline_is_switched_on_by_any_value_but_0(
    monkeypatch: pytest.MonkeyPatch, value: str, offline: bool
) -> None:
    monkeypatch.setenv("TRACKER_OFFLINE", value)
    assert settings.offline() is offline


def test_a_relative_database_is_the_same_from_everywhere_once_it_is_absolute(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert settings.absolute_uri("sqlite:///mlflow.db") == f"sqlite:///{tmp_path}/mlflow.db"
    for uri in ("sqlite:////data/mlflow.db", "sqlite:///:memory:", "http://a/b", "databricks"):
        assert settings.absolute_uri(uri) == uri


@pytest.mark.parametrize(
    ("uri", "written"),
    [
        ("postgresql://ada:secret@db/mlflow", "postgresql://ada@db/mlflow"),
        (
            "postgresql://db/mlflow?user=a&password=secret",
            "postgresql://db/mlflow?user=a&password=",
        ),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
    ],
)
def test_no_password_is_written_to_a_file(uri: str, written: str) -> None:
    assert settings.without_password(uri) == written


@pytest.mark.parametrize(
    ("uri", "is_there"),
    [
        ("sqlite:///here.db", True),
        ("sqlite:///gone.db", False),
        ("sqlite:///:memory:", True),
        ("http://127.0.0.1:5000", True),
        ("postgresql://ada@db/mlflow", True),
    ],
)
def test_only_a_sqlite_file_can_be_one_that_nobody_has_made_yet(
    uri: str, is_there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("here.db").touch()
    assert settings.database_is_there(uri) is is_there


def test_the_seconds_to_wait_for_other_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRACKER_DISTRIBUTED_TIMEOUT", raising=False)
    assert settings.distributed_timeout() == 600
    monkeypatch.setenv("TRACKER_DISTRIBUTED_TIMEOUT", "2.5")
    assert settings.distributed_timeout() == 2.5
    for wrong in ("0", "-1", "soon", "1e3", "inf"):
        monkeypatch.setenv("TRACKER_DISTRIBUTED_TIMEOUT", wrong)
        with pytest.raises(InvalidArgumentError, match="expected seconds"):
            settings.distributed_timeout()
