from __future__ import annotations

import os
from pathlib import Path

import mlflow
import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST

from tracker import settings
from tracker.errors import InvalidArgumentError, NotFoundError, RecordError
from tracker.record.boundary import connect, mlflow_errors, tracking_uri

pytestmark = pytest.mark.usefixtures("workplace")


@pytest.mark.parametrize(
    ("foreign", "kind"),
    [
        (MlflowException("no"), RecordError),
        (MlflowException("no", error_code=RESOURCE_DOES_NOT_EXIST), NotFoundError),
        (ConnectionError("no"), RecordError),
        (TypeError("no"), RecordError),
    ],
)
def test_what_mlflow_raises_becomes_ours_and_travels_as_the_cause(
    foreign: Exception, kind: type[Exception]
) -> None:
    with (
        pytest.raises(kind, match="asking for the moon") as caught,
        mlflow_errors("asking for the moon"),
    ):
        raise foreign
    assert caught.value.__cause__ is foreign
    assert type(caught.value) is kind


def test_our_own_errors_pass() -> None:
    with pytest.raises(InvalidArgumentError, match=r"^mine$"), mlflow_errors("anything"):
        raise InvalidArgumentError("mine")


def test_an_interrupt_passes() -> None:
    with pytest.raises(KeyboardInterrupt), mlflow_errors("anything"):
        raise KeyboardInterrupt


def test_an_unreachable_server_is_named_without_its_password() -> None:
    mlflow.set_tracking_uri("http://ada:secret@127.0.0.1:9")
    told = "API request to http://ada:secret@127.0.0.1:9/api/2.0 failed"
    for foreign in (ConnectionError(told), MlflowException(told)):
        with pytest.raises(RecordError) as caught, mlflow_errors("logging"):
            raise foreign
        assert "http://ada:***@127.0.0.1:9" in str(caught.value)
        assert "secret" not in str(caught.value)


def test_an_error_names_the_store_that_was_used_not_the_one_in_force_by_now() -> None:
    used = connect("http://ada:secret@127.0.0.1:9").tracking_uri
    mlflow.set_tracking_uri("http://another:9")
    with pytest.raises(RecordError) as caught, mlflow_errors("logging", used):
        raise ConnectionError(f"{used} failed")
    assert str(caught.value).count("http://ada:***@127.0.0.1:9") == 2
    assert "another" not in str(caught.value)


def test_a_uri_set_by_the_script_is_seen_by_mlflow_and_by_settings(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'other.db'}"
    mlflow.set_tracking_uri(uri)
    assert tracking_uri() == settings.tracking_uri() == os.environ["MLFLOW_TRACKING_URI"] == uri


def test_without_any_setting_mlflow_means_the_file_that_settings_say(workplace: Path) -> None:
    assert settings.tracking_uri() == "sqlite:///mlflow.db"
    assert tracking_uri().endswith("mlflow.db")
    assert Path(tracking_uri().removeprefix("sqlite:///")).absolute() == workplace / "mlflow.db"
