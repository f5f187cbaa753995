"""MLflow's model registry: which checkpoints have been given a name."""

from __future__ import annotations

from mlflow.tracking import MlflowClient

from tracker.errors import NotFoundError
from tracker.record.boundary import mlflow_errors
from tracker.record.logged_models import id_of_registered_model
from tracker.record.tags import MODEL_TYPE

_PAGE = 100


def aliased_checkpoints() -> list[str]:
    """Return ``models:/NAME@alias`` for each alias whose version was made from a checkpoint.

    A version whose logged model is gone counts as well; one of another origin does not.

    Raises:
        RecordError: MLflow can't be reached.
    """
    return [
        f"models:/{name}@{alias}"
        for name, alias, version in _aliases()
        if _is_checkpoint(id_of_registered_model(name, version))
    ]


def _aliases() -> list[tuple[str, str, str]]:
    found: list[tuple[str, str, str]] = []
    with mlflow_errors("listing the registered models"):
        client, token = MlflowClient(), None
        while True:
            page = client.search_registered_models(max_results=_PAGE, page_token=token)
            for model in page:
                found += [(model.name, alias, str(v)) for alias, v in sorted(model.aliases.items())]
            token = page.token
            if not token:
                return found


def _is_checkpoint(logged_model_id: str | None) -> bool:
    if logged_model_id is None:
        return False
    try:
        with mlflow_errors(f"looking up the logged model {logged_model_id}"):
            return bool(MlflowClient().get_logged_model(logged_model_id).model_type == MODEL_TYPE)
    except NotFoundError:
        return True
