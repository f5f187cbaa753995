"""The servers of docker-compose.yml, as processes of this machine.

What is not an image is the very thing that Compose would run: MLflow's command line and each
service's environment are read from docker-compose.yml with only the addresses replaced, and the
database roles, the accounts, MLflow's authorisation settings and the proxy's configuration are the
files of ``docker/``. In place of RustFS, which is not to be had without its image, rclone serves S3
from a directory: it checks signatures and takes multipart uploads, and is a server of its own.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from . import compose
from .processes import PYTHON, TRACKER, environment, free_port
from .servers import Database, Server, postgresql, rclone

DOCKER = compose.ROOT / "docker"
CADDY = str(Path(sys.executable).with_name("caddy"))

SECRETS = {
    "POSTGRES_PASSWORD": "password of the database's administrator",
    "MLFLOW_DB_PASSWORD": "it's MLflow's; 100% its own",
    "TRACKER_DB_PASSWORD": "tracker@database:5432/",
    "S3_ROOT_ACCESS_KEY": "rootkeyof20character",
    "S3_ROOT_SECRET_KEY": "root secret of the store, long enough",
    "S3_ACCESS_KEY": "mlflowkeyof20charact",
    "S3_SECRET_KEY": "mlflowsecretofthestorelongenough",
    "MLFLOW_ADMIN_PASSWORD": "correct horse battery",
    "MLFLOW_FLASK_SERVER_SECRET_KEY": "signs the forms",
    "TRACKER_SERVICE_PASSWORD": "nobody logs in with it",
    "MLFLOW_WORKERS": "1",
}
"""What an ``.env`` file would have; passwords with characters that trip up URIs and shells."""

ADMINISTRATOR = ("admin", SECRETS["MLFLOW_ADMIN_PASSWORD"])


@dataclass(frozen=True)
class Team:
    """The running servers; what anybody outside knows is ``url`` and an account."""

    url: str
    directory: Path
    database: Database
    mlflow: Server
    tracker: Server
    storage: Server
    proxy: Server

    def machine(self, directory: Path, user: tuple[str, str] | None) -> dict[str, str]:
        """Return the environment of somebody who has the one URL, and perhaps an account.

        Home, cache and spool are in ``directory``; nothing leads to the database or the store.
        """
        kept = environment(directory, MLFLOW_TRACKING_URI=self.url, HOME=str(directory))
        own = {k: v for k, v in kept.items() if not k.startswith(("AWS_", "PG", "S3_"))}
        if user is None:
            return own
        name, password = user
        return {**own, "MLFLOW_TRACKING_USERNAME": name, "MLFLOW_TRACKING_PASSWORD": password}


@contextlib.contextmanager
def team(workers: int = 1) -> Iterator[Team]:
    """Start all servers, wait until each answers, and end them whatever happens.

    Args:
        workers: Processes of the MLflow server.
    """
    # Not below pytest's own folder: run by root, PostgreSQL is another user (see conftest.py).
    directory = Path(tempfile.mkdtemp(prefix="tracker-team-"))
    try:
        with postgresql(directory / "postgresql") as database:
            servers = _servers(directory, database, workers)
            try:
                _start(servers, database)
                mlflow, tracker, storage, proxy = servers
                url = proxy.health.removesuffix("/health")
                yield Team(url, directory, database, mlflow, tracker, storage, proxy)
            finally:
                for server in servers:
                    server.kill()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _servers(directory: Path, database: Database, workers: int) -> tuple[Server, ...]:
    """Return MLflow, tracker, storage and proxy, not yet started."""
    described = compose.services({**SECRETS, "MLFLOW_WORKERS": str(workers)})
    mlflow_port, tracker_port, storage_port, proxy_port = (free_port() for _ in range(4))
    mlflow_uri = f"http://127.0.0.1:{mlflow_port}"

    def variables(service: str, **addresses: str) -> dict[str, str]:
        given = {k: str(v) for k, v in described[service].get("environment", {}).items()}
        # What their images set: where they may write.
        own = environment(directory, HOME=str(directory), TMPDIR=str(directory))
        return {**own, **given, **addresses}

    command = described["mlflow"]["command"]
    options = [each for each in command[2:] if not each.startswith(("--host=", "--port="))]
    mlflow = Server(
        "mlflow",
        [PYTHON, "-m", "mlflow", "server", "--port", str(mlflow_port), *options],
        directory,
        variables(
            "mlflow",
            PGHOST=database.host,
            MLFLOW_S3_ENDPOINT_URL=f"http://127.0.0.1:{storage_port}",
            MLFLOW_AUTH_CONFIG_PATH=str(DOCKER / "mlflow-auth.ini"),
        ),
        f"{mlflow_uri}/health",
    )
    tracker = Server(
        "tracker",
        [TRACKER, "serve", "--host", "127.0.0.1", "--port", str(tracker_port)],
        directory,
        variables("tracker", PGHOST=database.host, MLFLOW_TRACKING_URI=mlflow_uri),
        f"http://127.0.0.1:{tracker_port}/health",
    )
    keys = f"{SECRETS['S3_ACCESS_KEY']},{SECRETS['S3_SECRET_KEY']}"
    (directory / "store").mkdir()
    storage = Server(
        "storage",
        [
            *(rclone(directory), "serve", "s3", str(directory / "store")),
            *("--addr", f"127.0.0.1:{storage_port}", "--auth-key", keys),
            *("--config", str(directory / "rclone.conf"), "--vfs-cache-mode", "off"),
        ],
        directory,
        environment(directory, HOME=str(directory)),
        f"http://127.0.0.1:{storage_port}/",
    )
    proxy = Server(
        "proxy",
        [CADDY, "run", "--config", str(DOCKER / "Caddyfile")],
        directory,
        {
            **variables("proxy", SITE_ADDRESS=f":{proxy_port}"),
            "CADDY_ADMIN": "off",
            "MLFLOW_UPSTREAM": f"127.0.0.1:{mlflow_port}",
            "TRACKER_UPSTREAM": f"127.0.0.1:{tracker_port}",
        },
        f"http://127.0.0.1:{proxy_port}/health",
    )
    return mlflow, tracker, storage, proxy


def _start(servers: tuple[Server, ...], database: Database) -> None:
    mlflow, tracker, storage, proxy = servers
    storage.start()
    proxy.start()
    roles = ("--dbname", "postgres", "--file", str(DOCKER / "postgres-roles.sql"))
    done = database.psql(*roles, **SECRETS)
    assert done.returncode == 0, done.stderr
    mlflow.start()
    tracker.start()  # before it has an account; Compose waits, for quiet logs
    storage.wait()
    create_bucket(storage)
    mlflow.wait()
    _prepare_accounts(mlflow)
    with ThreadPoolExecutor() as pool:
        list(pool.map(Server.wait, (tracker, proxy)))


def create_bucket(storage: Server) -> None:
    """Make the bucket as the compose file's ``prepare-storage`` does."""
    from botocore.credentials import Credentials

    keys = Credentials(SECRETS["S3_ACCESS_KEY"], SECRETS["S3_SECRET_KEY"])
    script("storage").create_bucket(storage.health, keys, "mlflow")


def script(name: str) -> Any:
    """Import a script of ``docker/``."""
    described = importlib.util.spec_from_file_location(f"docker_{name}", DOCKER / f"{name}.py")
    assert described is not None
    assert described.loader is not None
    module = importlib.util.module_from_spec(described)
    described.loader.exec_module(module)
    return module


def _prepare_accounts(mlflow: Server) -> None:
    described = compose.services(SECRETS)["prepare-accounts"]["environment"]
    uri = mlflow.health.removesuffix("/health")
    done = subprocess.run(
        [PYTHON, str(DOCKER / "accounts.py")],
        env={**os.environ, **described, "MLFLOW_URI": uri},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def add_user(team: Team, user: tuple[str, str]) -> None:
    """Give somebody an account, as the administrator would."""
    account = {"username": user[0], "password": user[1]}
    status, answer = ask(team, "POST", "/api/2.0/mlflow/users/create", ADMINISTRATOR, account)
    assert status == 200, answer


def grant(team: Team, user: tuple[str, str], experiment_id: str, permission: str) -> None:
    """Give somebody a permission on an experiment, ``DENY`` to hide it."""
    content = {
        "username": user[0],
        "resource_type": "experiment",
        "resource_id": experiment_id,
        "permission": permission,
    }
    path = "/api/3.0/mlflow/users/permissions/grant"
    status, answer = ask(team, "POST", path, ADMINISTRATOR, content)
    assert status == 200, answer


def ask(
    team: Team,
    method: str,
    path: str,
    user: tuple[str, str] | None,
    content: object = None,
    **headers: str,
) -> tuple[int, str]:
    """Send a request to the one URL; return the status and the text of the answer."""
    with requests.request(
        method, team.url + path, auth=user, json=content, headers=headers, timeout=60
    ) as answer:
        return answer.status_code, answer.text
