"""Aliases: promoted, rolled back, also after a death between the two writes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from mlflow.tracking import MlflowClient

import tracker
from tests.models import Net
from tests.training import log
from tracker.errors import InvalidArgumentError, NotFoundError, RecordUnreachableError
from tracker.record import aliases

pytestmark = pytest.mark.usefixtures("workplace")


def registered(count: int) -> list[tracker.Checkpoint]:
    """Register so many versions of ``digits-cnn``; MLflow's own would be slow and say nothing."""
    found = [log(Net(hidden=4), epoch=number) for number in range(count)]
    for checkpoint in found:
        checkpoint.register("digits-cnn")
    return found


def champion() -> int | None:
    (model,) = tracker.registered_models()
    return model.aliases.get("champion")


def test_promoting_moves_the_alias_and_rolling_back_moves_it_back_step_by_step() -> None:
    registered(3)
    for version in (1, 2, 3):
        assert tracker.promote("digits-cnn", version).aliases == ("champion",)
    assert tracker.rollback("digits-cnn").version == 2
    assert tracker.rollback("digits-cnn").version == 1
    with pytest.raises(InvalidArgumentError, match=r"can't go back.*before version 1\."):
        tracker.rollback("digits-cnn")
    assert champion() == 1


def test_a_version_may_come_back_and_be_left_again() -> None:
    registered(2)
    for version in (1, 2, 1, 2):
        tracker.promote("digits-cnn", version)
    assert [tracker.rollback("digits-cnn").version for _ in range(3)] == [1, 2, 1]


def test_promoting_who_has_it_changes_nothing() -> None:
    registered(2)
    for version in (1, 2, 2, "2", 2):
        tracker.promote("digits-cnn", version)
    assert tracker.rollback("digits-cnn").version == 1


def test_a_death_between_the_note_and_the_move_is_no_promotion(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    registered(3)
    tracker.promote("digits-cnn", 1)
    tracker.promote("digits-cnn", 2)
    with monkeypatch.context() as patched:
        patched.setattr(aliases, "move", killed)
        with pytest.raises(KeyboardInterrupt):
            tracker.promote("digits-cnn", 3)
    assert champion() == 2
    assert tracker.rollback("digits-cnn").version == 1


def test_a_death_between_the_move_back_and_its_note_is_a_rollback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    registered(3)
    for version in (1, 2, 3):
        tracker.promote("digits-cnn", version)
    with monkeypatch.context() as patched:
        patched.setattr(aliases, "write_history", killed)
        with pytest.raises(KeyboardInterrupt):
            tracker.rollback("digits-cnn")
    assert champion() == 2
    assert tracker.rollback("digits-cnn").version == 1


def killed(*arguments: object) -> None:
    raise KeyboardInterrupt


def test_of_several_who_promote_at_once_one_wins_and_the_alias_always_leads_somewhere() -> None:
    registered(3)
    tracker.promote("digits-cnn", 1)
    with ThreadPoolExecutor(3) as people:
        done = people.map(lambda version: tracker.promote("digits-cnn", version), [2, 3, 2, 3])
        seen = [tracker.api.as_checkpoint("models:/digits-cnn@champion").epoch for _ in range(5)]
        assert len(list(done)) == 4
    assert set(seen) <= {0, 1, 2}
    last = champion()
    assert last in (2, 3)
    assert tracker.rollback("digits-cnn").version != last


def test_versions_that_were_deleted_are_passed_over() -> None:
    registered(3)
    for version in (1, 2, 3):
        tracker.promote("digits-cnn", version)
    MlflowClient().delete_model_version("digits-cnn", "2")
    assert tracker.rollback("digits-cnn").version == 1


def test_an_alias_whose_version_was_deleted_goes_back_as_well() -> None:
    registered(2)
    tracker.promote("digits-cnn", 1)
    tracker.promote("digits-cnn", 2)
    MlflowClient().delete_model_version("digits-cnn", "2")
    assert champion() is None
    assert tracker.rollback("digits-cnn").version == 1


def test_a_deleted_alias_comes_back() -> None:
    registered(1)
    tracker.set_alias("digits-cnn", "candidate", 1)
    tracker.delete_alias("digits-cnn", "candidate")
    assert tracker.registered_versions("digits-cnn")[0].aliases == ()
    with pytest.raises(NotFoundError, match=r"no alias 'candidate'\. Aliases: none\."):
        tracker.delete_alias("digits-cnn", "candidate")
    assert tracker.rollback("digits-cnn", "candidate").aliases == ("candidate",)


def test_a_checkpoint_is_promoted_and_registered_first_if_need_be() -> None:
    (checkpoint,) = registered(1)
    other = log(Net(hidden=4), epoch=7)
    assert tracker.promote("digits-cnn", checkpoint).version == 1
    found = tracker.promote("digits-cnn", other.id)
    assert (found.version, found.epoch, found.aliases) == (2, 7, ("champion",))
    assert tracker.rollback("digits-cnn").version == 1


def test_every_alias_has_a_history_of_its_own() -> None:
    registered(3)
    tracker.promote("digits-cnn", 1)
    tracker.promote("digits-cnn", 1, "candidate")
    tracker.promote("digits-cnn", 2)
    tracker.promote("digits-cnn", 3, "candidate")
    (model,) = tracker.registered_models()
    assert model.aliases == {"candidate": 3, "champion": 2}
    assert model.previous == {"candidate": (1,), "champion": (1,)}
    third, second, first = tracker.registered_versions("digits-cnn")
    assert (third.aliases, second.aliases, first.aliases) == (("candidate",), ("champion",), ())
    assert [alias for alias, _ in first.was] == ["candidate", "champion"]
    assert second.was == third.was == ()


def test_what_does_not_exist_is_told_with_what_does() -> None:
    registered(2)
    with pytest.raises(NotFoundError, match=r"has no version 7\. Versions: 2, 1\."):
        tracker.promote("digits-cnn", 7)
    with pytest.raises(NotFoundError, match=r"no registered model 'digit'.*digits-cnn"):
        tracker.promote("digit", 1)
    with pytest.raises(NotFoundError, match="no alias 'champion'"):
        tracker.rollback("digits-cnn")
    assert champion() is None


def test_a_server_that_does_not_answer_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    for ask in (
        lambda: tracker.promote("digits-cnn", 1),
        lambda: tracker.rollback("digits-cnn"),
        lambda: tracker.registered_versions("digits-cnn"),
        lambda: tracker.load_model("models:/digits-cnn@champion"),
    ):
        with pytest.raises(RecordUnreachableError, match="could not be reached"):
            ask()


def test_what_is_no_version_is_refused() -> None:
    registered(1)
    for version in (0, -1, 2**40, True, 1.5, None, [], "models:/", "0", "m-no-such"):
        with pytest.raises((InvalidArgumentError, NotFoundError)):
            tracker.promote("digits-cnn", version)  # type: ignore[arg-type]
    assert champion() is None


def test_an_edited_history_does_not_stop_a_promotion() -> None:
    registered(2)
    for edited in ("", "no JSON", '[{"version": "x"}]', "{}", "[7]"):
        tracker.promote("digits-cnn", 1)
        MlflowClient().set_registered_model_tag("digits-cnn", "tracker.previous.champion", edited)
        tracker.promote("digits-cnn", 2)
        assert tracker.rollback("digits-cnn").version == 1
