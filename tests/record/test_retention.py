"""A logged model whose files others need is never deleted, whoever is faster."""

from __future__ import annotations

import itertools
import threading

import pytest
from mlflow.entities import LoggedModel
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from tracker.errors import RecordError
from tracker.record.retention import abandon, keep_files, refer, restore, retire

pytestmark = pytest.mark.usefixtures("workplace")

numbers = itertools.count(1)


@pytest.fixture
def client(workplace) -> MlflowClient:
    return MlflowClient()


def create(client: MlflowClient) -> LoggedModel:
    return client.create_logged_model("0", name=f"epoch-{next(numbers)}")


def is_there(client: MlflowClient, model: LoggedModel) -> bool:
    try:
        client.get_logged_model(model.model_id)
    except MlflowException:
        return False
    return True


def test_a_checkpoint_that_nobody_needs_is_deleted(client):
    old, new = create(client), create(client)
    assert not retire(client, old.model_id, "0", replaced_by=new.model_id)
    assert not is_there(client, old)


def test_one_that_another_refers_to_stays_and_says_what_replaced_it(client):
    old, new, later = create(client), create(client), create(client)
    assert refer(client, later.model_id, [new.model_id, old.model_id])
    assert retire(client, old.model_id, "0", replaced_by=new.model_id)
    tags = client.get_logged_model(old.model_id).tags
    assert tags["tracker.replaced_by"] == new.model_id
    assert client.get_logged_model(later.model_id).tags["tracker.references"] == (
        f"{new.model_id},{old.model_id}"
    )


def test_what_was_deleted_can_not_be_referred_to(client):
    old, new = create(client), create(client)
    client.delete_logged_model(old.model_id)
    assert not refer(client, new.model_id, [old.model_id])


def test_what_is_being_replaced_can_not_be_referred_to(client, monkeypatch):
    old, new, later = create(client), create(client), create(client)
    answers: list[bool] = []
    delete = MlflowClient.delete_logged_model

    def overtaken(self: MlflowClient, model_id: str) -> None:
        # Nobody referred to it when that was looked up; now somebody begins to.
        answers.append(refer(client, later.model_id, [model_id]))
        delete(self, model_id)

    monkeypatch.setattr(MlflowClient, "delete_logged_model", overtaken)
    assert not retire(client, old.model_id, "0", replaced_by=new.model_id)
    assert answers == [False]


def test_what_stays_for_the_sake_of_one_may_be_referred_to_by_others(client):
    old, new, later, last = (create(client) for _ in range(4))
    refer(client, later.model_id, [old.model_id])
    retire(client, old.model_id, "0", replaced_by=new.model_id)
    assert refer(client, last.model_id, [old.model_id])


def test_where_some_files_stay_only_these_may_be_referred_to(client):
    old, new, later, last = (create(client) for _ in range(4))
    refer(client, later.model_id, [old.model_id])
    retire(client, old.model_id, "0", replaced_by=new.model_id)
    keep_files(client, old.model_id, {"model.safetensors"})

    def refers_to(*names: str) -> bool:
        return refer(client, last.model_id, [old.model_id], {old.model_id: names})

    assert refers_to("model.safetensors")
    assert not refers_to("model.safetensors", "training.safetensors")
    assert not refer(client, last.model_id, [old.model_id])
    keep_files(client, old.model_id, None)
    assert refers_to("training.safetensors")


def test_what_stayed_for_others_goes_when_nobody_needs_it_any_more(client):
    old, new, later = create(client), create(client), create(client)
    refer(client, later.model_id, [old.model_id])
    assert retire(client, old.model_id, "0", replaced_by=new.model_id)
    assert not abandon(client, old.model_id, "0")
    assert refer(client, later.model_id, [old.model_id])  # it stays as it was
    client.delete_logged_model(later.model_id)
    assert abandon(client, old.model_id, "0")
    assert not is_there(client, old)


def test_what_is_being_abandoned_can_not_be_referred_to(client, monkeypatch):
    old, new, later, last = (create(client) for _ in range(4))
    refer(client, later.model_id, [old.model_id])
    retire(client, old.model_id, "0", replaced_by=new.model_id)
    client.delete_logged_model(later.model_id)
    answers: list[bool] = []
    delete = MlflowClient.delete_logged_model

    def overtaken(self: MlflowClient, model_id: str) -> None:
        answers.append(refer(client, last.model_id, [model_id]))
        delete(self, model_id)

    monkeypatch.setattr(MlflowClient, "delete_logged_model", overtaken)
    assert abandon(client, old.model_id, "0")
    assert answers == [False]


def test_what_was_replaced_itself_needs_no_other(client):
    oldest, old, new = create(client), create(client), create(client)
    refer(client, old.model_id, [oldest.model_id])
    refer(client, new.model_id, [old.model_id])
    assert retire(client, old.model_id, "0", replaced_by=new.model_id)
    assert not retire(client, oldest.model_id, "0", replaced_by=new.model_id)


def test_what_could_not_be_deleted_is_restored(client):
    old = create(client)
    client.set_logged_model_tags(old.model_id, {"tracker.replaced_by": "m-new"})
    restore(client, old.model_id)
    restore(client, old.model_id)
    assert "tracker.replaced_by" not in client.get_logged_model(old.model_id).tags


def test_of_two_at_the_same_time_one_sees_the_other(client):
    for _ in range(10):
        old, new, later = create(client), create(client), create(client)
        start = threading.Barrier(2)
        referred: list[bool] = []
        stayed: list[bool] = []

        def refer_to(old=old, later=later, start=start, referred=referred) -> None:
            start.wait()
            referred.append(refer(MlflowClient(), later.model_id, [old.model_id]))

        def replace(old=old, new=new, start=start, stayed=stayed) -> None:
            start.wait()
            stayed.append(retire(MlflowClient(), old.model_id, "0", replaced_by=new.model_id))

        threads = [threading.Thread(target=refer_to), threading.Thread(target=replace)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        # Whoever was told that it stays finds it there.
        assert stayed[0] == is_there(client, old)
        assert is_there(client, old) or not referred[0]


def test_retiring_what_does_not_exist_is_refused(client):
    with pytest.raises(RecordError, match="deleting the logged model m-nowhere"):
        retire(client, "m-nowhere", "0", replaced_by="m-1")
