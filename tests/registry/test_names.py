"""Whatever name is accepted, MLflow accepts it, and its URIs lead to it."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from mlflow.tracking import MlflowClient

from tracker.errors import InvalidArgumentError, NotFoundError
from tracker.loading.resolve import resolve
from tracker.record import versions
from tracker.registry.names import check_alias, check_name, version_number

pytestmark = pytest.mark.usefixtures("workplace")

names = st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=20)
aliases = st.from_regex(r"[\w\-]{1,8}", fullmatch=True)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(names | st.text("ab%#;&=+.- ~", min_size=1, max_size=8), aliases)
@example("a%2Fb", "champion")
@example("a#b", "ü-1")
@example("..0", "champion")
def test_accepted_names_and_aliases_work_with_mlflow(name: str, alias: str) -> None:
    try:
        check_name(name)
        check_alias(alias)
    except InvalidArgumentError:
        return
    client = MlflowClient()
    client.create_registered_model(name)
    try:
        client.create_model_version(name, "s3://bucket/model")
        client.set_registered_model_alias(name, alias, "1")
        for uri in (f"models:/{name}/1", f"models:/{name}/latest", f"models:/{name}@{alias}"):
            with pytest.raises(NotFoundError, match="was not made from a checkpoint"):
                resolve(uri)
        assert [each.number for each in versions.versions(client, name)] == [1]
    finally:
        client.delete_registered_model(name)


@given(st.integers(1, 2**31 - 1))
def test_a_number_is_a_version_as_text_as_well(number: int) -> None:
    assert version_number(number) == version_number(str(number)) == number


@given(st.text(st.characters(exclude_categories=["Nd"]), max_size=5) | st.none() | st.floats())
def test_what_is_no_whole_number_is_none(other: object) -> None:
    assert version_number(other) is None
