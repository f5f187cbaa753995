"""Where MLflow's artifact store is: on this machine, or elsewhere."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

_SCHEME = re.compile(r"^[a-zA-Z][a-zA-Z0-9+.-]+:")


def local_directory(artifact_uri: str) -> Path | None:
    """Return the directory that a local artifact URI means, or None for a remote store.

    Example:
        >>> local_directory("file:///data/mlruns/1").as_posix()
        '/data/mlruns/1'
        >>> local_directory("s3://bucket/1") is None
        True
    """
    if artifact_uri.startswith("file:"):
        return Path(url2pathname(urlsplit(artifact_uri).path))
    # One letter before the colon is a Windows drive.
    return None if _SCHEME.match(artifact_uri) else Path(artifact_uri)
