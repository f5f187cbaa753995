"""Which logged models have to keep their files, because later checkpoints of the run refer to them.

A checkpoint may be replaced at the very moment when another begins to refer to it, in another
process. Who refers says so first and then looks whether the other was replaced; who replaces says
so first and then looks whether anybody refers. So at least one of the two sees the other.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from tracker.record.boundary import mlflow_errors
from tracker.record.tags import KEPT, KEPT_FILES, LET_GO, REFERENCES, REPLACED_BY

_IDS_IN_A_TAG = 100
_REASON = "others refer to its files"


def refer(
    client: MlflowClient,
    model_id: str,
    others: Sequence[str],
    files: Mapping[str, Collection[str]] | None = None,
) -> bool:
    """Say in MLflow that a checkpoint, PENDING yet, needs files of others.

    Args:
        client: MLflow.
        model_id: The checkpoint.
        others: The ids of those whose files it needs.
        files: The names of the files, by id; all files by default.

    Returns:
        Whether all of these stay; if not, the checkpoint must not become READY as it is.

    Raises:
        RecordError: MLflow refused or could not be reached.
    """
    with mlflow_errors(f"noting what {model_id} refers to", client.tracking_uri):
        client.set_logged_model_tags(model_id, {REFERENCES: ",".join(others)})
        return all(_stays(client, other, (files or {}).get(other)) for other in others)


def _stays(client: MlflowClient, model_id: str, files: Collection[str] | None) -> bool:
    try:
        tags = client.get_logged_model(model_id).tags or {}
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return False
        raise
    if REPLACED_BY not in tags:
        return True
    if KEPT_FILES not in tags:
        return KEPT in tags
    return KEPT in tags and files is not None and {*files} <= {*tags[KEPT_FILES].split(",")}


def retire(client: MlflowClient, model_id: str, experiment_id: str, *, replaced_by: str) -> bool:
    """Take a checkpoint that was replaced out of MLflow, but not the files that others need.

    Args:
        client: MLflow.
        model_id: The checkpoint.
        experiment_id: Its experiment.
        replaced_by: What replaced it.

    Returns:
        Whether its logged model stays, as no checkpoint any more, for the sake of others. Else it
        was deleted, and MLflow keeps its files until they are collected.

    Raises:
        RecordError: MLflow refused or could not be reached.
    """
    with mlflow_errors(f"deleting the logged model {model_id}", client.tracking_uri):
        client.set_logged_model_tags(model_id, {REPLACED_BY: replaced_by})
        if _is_referred_to(client, model_id, experiment_id):
            client.set_logged_model_tags(model_id, {KEPT: _REASON})
            return True
        client.delete_logged_model(model_id)
        return False


def hold(client: MlflowClient, model_id: str) -> None:
    """Say of one that is no checkpoint any more that it stays for the sake of others.

    Raises:
        RecordError: MLflow refused or could not be reached.
    """
    with mlflow_errors(f"keeping the files of {model_id}", client.tracking_uri):
        client.set_logged_model_tags(model_id, {KEPT: _REASON})


def tell(client: MlflowClient, model_id: str, gone: Sequence[str]) -> None:
    """Say on a checkpoint which others of its run were deleted, so that every mirror hears of it.

    Args:
        client: MLflow.
        model_id: The checkpoint.
        gone: The ids of the others.

    Raises:
        RecordError: MLflow refused or could not be reached.
    """
    chunks = [gone[start : start + _IDS_IN_A_TAG] for start in range(0, len(gone), _IDS_IN_A_TAG)]
    tags = {f"{LET_GO}.{number}": ",".join(ids) for number, ids in enumerate(chunks)}
    with mlflow_errors(f"noting on {model_id} what was deleted", client.tracking_uri):
        client.set_logged_model_tags(model_id, tags)
        # A tag alone does not make it one that was updated, which is what mirrors ask for.
        client.finalize_logged_model(model_id, "READY")


def restore(client: MlflowClient, model_id: str) -> None:
    """Let one be a checkpoint again that could not be deleted, as far as MLflow lets us.

    Raises:
        RecordError: MLflow refused or could not be reached.
    """
    with mlflow_errors(f"restoring the logged model {model_id}", client.tracking_uri):
        if REPLACED_BY in (client.get_logged_model(model_id).tags or {}):
            client.delete_logged_model_tag(model_id, REPLACED_BY)


def _is_referred_to(client: MlflowClient, model_id: str, experiment_id: str) -> bool:
    naming, token = f"tags.`{REFERENCES}` LIKE '%{model_id}%'", None
    while True:
        page = client.search_logged_models([experiment_id], filter_string=naming, page_token=token)
        # Of what is no checkpoint any more only files are needed, and these refer to nothing.
        if any(REPLACED_BY not in (model.tags or {}) for model in page):
            return True
        token = page.token
        if not token:
            return False


def keep_files(client: MlflowClient, model_id: str, names: Collection[str] | None) -> None:
    """Say which files of one that others refer to stay; None: all.

    Whoever begins to refer to another from now on is refused.

    Raises:
        RecordError: MLflow refused or could not be reached.
    """
    with mlflow_errors(f"noting which files of {model_id} stay", client.tracking_uri):
        if names is not None:
            client.set_logged_model_tags(model_id, {KEPT_FILES: ",".join(sorted(names))})
        elif KEPT_FILES in (client.get_logged_model(model_id).tags or {}):
            client.delete_logged_model_tag(model_id, KEPT_FILES)


def abandon(client: MlflowClient, model_id: str, experiment_id: str) -> bool:
    """Delete one that stayed for the sake of others, unless somebody needs it still.

    Returns:
        Whether it was deleted.

    Raises:
        RecordError: MLflow refused or could not be reached.
    """
    with mlflow_errors(f"deleting the logged model {model_id}", client.tracking_uri):
        tags = client.get_logged_model(model_id).tags or {}
        # Said first: from now on nobody begins to refer to it.
        if KEPT in tags:
            client.delete_logged_model_tag(model_id, KEPT)
        if _is_referred_to(client, model_id, experiment_id):
            if KEPT in tags:
                client.set_logged_model_tags(model_id, {KEPT: tags[KEPT]})
            return False
        client.delete_logged_model(model_id)
        return True
