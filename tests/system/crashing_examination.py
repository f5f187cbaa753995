"""Examines what killed processes have left: whole checkpoints, and nothing else that is seen."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable

from mlflow.entities import LoggedModel
from mlflow.tracking import MlflowClient

import tracker
from tracker import api
from tracker.errors import NotFoundError

from .crashing import Store
from .crashing_training import metrics, resume

REPLACED_BY = "tracker.replaced_by"


def examine(store: Store) -> list[tracker.Checkpoint]:
    """Examine a store as a kill has left it, then the catalog made again.

    This puts the store in force in this process, so the test needs the fixture ``workplace``, which
    undoes that.

    Returns:
        The checkpoints, the newest first.
    """
    os.environ.update(store.variables)
    while True:
        ready = ready_models()
        try:
            return examine_what_is(ready)
        except AssertionError:
            # A server may still be doing what a process has asked that is dead by now.
            if ready_models().keys() == ready.keys():
                raise


def examine_what_is(ready: dict[str, LoggedModel]) -> list[tracker.Checkpoint]:
    """Examine a store in which these models are READY."""
    shown = checkpoints()
    check_checkpoints(shown)
    assert {each.id for each in shown} <= ready.keys(), "a query shows what is not READY"
    check_models(ready.values())

    api.reindex()
    again = checkpoints()
    assert {each.id for each in again} == newest(ready.values())
    assert ready_models().keys() == newest(ready.values()), "the older of two is still there"
    check_checkpoints(each for each in again if each.id not in {known.id for known in shown})
    return again


def checkpoints() -> list[tracker.Checkpoint]:
    """Return what queries show."""
    try:
        return tracker.search_checkpoints(max_results=None)
    except NotFoundError:
        return []


def check_checkpoints(shown: Iterable[tracker.Checkpoint]) -> None:
    """Read every byte of checkpoints, rebuild their models, and resume a training from each."""
    for checkpoint in shown:
        assert checkpoint.epoch is not None
        checkpoint.load_model(verify=True)
        resume(checkpoint)
        assert checkpoint.metrics == metrics(checkpoint.epoch)


def ready_models() -> dict[str, LoggedModel]:
    """Return the checkpoints that MLflow itself says are READY and not replaced."""
    models = MlflowClient().search_logged_models(["0"], max_results=1000)
    assert models.token is None
    return {
        each.model_id: each
        for each in models
        if str(each.status) == "READY" and REPLACED_BY not in each.tags
    }


def check_models(models: Iterable[LoggedModel]) -> None:
    """Check what MLflow's UI shows of READY checkpoints: on themselves, and on their runs."""
    client, of_run = MlflowClient(), defaultdict(list)
    for model in models:
        of_run[model.source_run_id].append(model)
    for run_id, of_it in of_run.items():
        run = client.get_run(run_id)
        assert run.data.params["model.class"] == "tests.system.crashing_training:Net"
        outputs = {(each.model_id, each.step) for each in run.outputs.model_outputs}
        histories = {
            name: {(each.step, each.value) for each in client.get_metric_history(run_id, name)}
            for name in metrics(0)
        }
        for model in of_it:
            epoch = int(model.tags["tracker.epoch"])
            assert model.name == f"epoch-{epoch}"
            assert (model.model_id, epoch) in outputs
            assert {each.key: each.value for each in model.metrics} == metrics(epoch)
            for name, value in metrics(epoch).items():
                assert (epoch, value) in histories[name]


def newest(models: Iterable[LoggedModel]) -> set[str]:
    """Return the ids of the model of each run and epoch that was logged last: the checkpoints.

    A process that dies between READY and the end of the one that it replaces leaves both. What a
    killed process has left in the spool may be sent after what was logged later.
    """

    def logged(model: LoggedModel) -> tuple[int, str]:
        made = int(model.creation_timestamp)
        return min(made, int(model.tags.get("tracker.created_at", made))), model.model_id

    of_epoch: dict[tuple[str, str], LoggedModel] = {}
    for model in sorted(models, key=logged):
        of_epoch[model.source_run_id, model.name] = model
    return {model.model_id for model in of_epoch.values()}
