"""What MLflow's clients would send to a server: user and password, or a token.

As MLflow has it: ``MLFLOW_TRACKING_USERNAME`` and ``MLFLOW_TRACKING_PASSWORD``, each else from
``~/.mlflow/credentials``; without them ``MLFLOW_TRACKING_TOKEN``. Read without importing MLflow,
which takes seconds.
"""

from __future__ import annotations

import base64
import configparser
import os
from pathlib import Path

_FILE = "~/.mlflow/credentials"


def authorization() -> str | None:
    """Return the ``Authorization`` header, or None if there are no credentials."""
    file = _from_file()
    user = os.environ.get("MLFLOW_TRACKING_USERNAME") or file.get("mlflow_tracking_username")
    password = os.environ.get("MLFLOW_TRACKING_PASSWORD") or file.get("mlflow_tracking_password")
    if user and password:
        return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"
    token = os.environ.get("MLFLOW_TRACKING_TOKEN")
    return f"Bearer {token}" if token else None


def client_certificate() -> str | None:
    """Return the file of the certificate that the client shows, if a server asks for one."""
    return os.environ.get("MLFLOW_TRACKING_CLIENT_CERT_PATH") or None


def _from_file() -> dict[str, str]:
    path = Path(_FILE).expanduser()
    parser = configparser.ConfigParser()
    try:
        parser.read(path)
    except (configparser.Error, UnicodeError):
        return {}  # MLflow itself says what is wrong with it, as soon as it is asked
    return dict(parser["mlflow"]) if "mlflow" in parser else {}
