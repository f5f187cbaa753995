"""Finds the files that earlier checkpoints of a run hold for later ones."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tracker.errors import NotFoundError
from tracker.format import Locate
from tracker.record import artifacts, cache, neighbours


def locator(artifact_uri: str, held: cache.Held | None = None) -> Locate:
    """Return what finds the checkpoints that lie in the same store as a checkpoint.

    Files of a local store stay where they are. From a remote one only the file that is needed
    comes into the cache; checkpoints don't change, so what is there is good.

    Args:
        artifact_uri: Where the files are of the checkpoint that refers to others.
        held: Holds what is in the cache, as long as the locator lives; may hold some already.
    """
    holding = cache.Held() if held is None else held

    def locate(checkpoint_id: str, file: str) -> Path:
        if holding.add(cache.place(checkpoint_id, file)):
            return cache.directory(checkpoint_id)
        for uri in places(artifact_uri, checkpoint_id):
            local = artifacts.local_directory(uri)
            if local is None:
                # Here, because most stores are local.
                from tracker.record.download import Wanted, bring

                try:
                    bring(Wanted(checkpoint_id, file, partial(_alone, uri)), holding)
                except NotFoundError:
                    continue
                return cache.directory(checkpoint_id)
            if os.path.lexists(local / file):
                return local
        raise NotFoundError(
            f"the file {file} of checkpoint {checkpoint_id} is gone: it was deleted or moved"
        )

    return locate


def _alone(uri: str) -> list[str]:
    return [uri]


def places(artifact_uri: str, checkpoint_id: str) -> Iterator[str]:
    """Yield where a checkpoint's files may be; MLflow is asked only if that was not enough.

    Args:
        artifact_uri: Where the files are of another checkpoint of the run.
        checkpoint_id: The checkpoint.
    """
    beside = neighbours.beside(artifact_uri, checkpoint_id)
    if beside is not None:
        yield beside
    # The checkpoint that refers to it may be a copy, which MLflow's own tools download.
    from tracker.record import logged_models

    try:
        yield logged_models.artifact_uri(checkpoint_id)
    except NotFoundError:
        return  # it was deleted in MLflow
