"""Runs the service in this process, until it is told to end."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable, Sequence

import uvicorn

from tracker import catalog, settings
from tracker.errors import InvalidArgumentError
from tracker.record import logged_models
from tracker.server.app import create_app

_SOONER = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "30", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}
"""MLflow's client would try for minutes, while somebody waits for an answer."""


def serve(
    host: str,
    port: int,
    *,
    root_path: str = "",
    allowed_hosts: Sequence[str] = (),
    say: Callable[[str], None] = print,
) -> None:
    """Serve the catalog of the MLflow server in force, until SIGINT or SIGTERM.

    The catalog's tables are created, or brought up to date, first; in MLflow's own database after
    MLflow's.

    Args:
        host: The address to listen at.
        port: The port; 0 takes a free one.
        root_path: See `tracker.server.app.create_app`.
        allowed_hosts: See `tracker.server.app.create_app`; ``MLFLOW_SERVER_ALLOWED_HOSTS`` counts,
            too.
        say: Called with what deserves to be known at the start.

    Raises:
        InvalidArgumentError: Without users, and open to others; or the catalog is a service.
        CatalogError: The catalog's database can't be used.
        RecordError: MLflow's own can't.
    """
    tracking_uri = settings.tracking_uri()
    uri = catalog.catalog_uri(tracking_uri)
    _check(tracking_uri, uri, host)
    for name, value in _SOONER.items():
        os.environ.setdefault(name, value)
    if uri == tracking_uri:
        logged_models.prepare_database(uri)
    catalog.create_or_upgrade(uri)
    names = os.environ.get("MLFLOW_SERVER_ALLOWED_HOSTS", "").split(",")
    names = [*allowed_hosts, *(name.strip() for name in names if name.strip())]
    app = create_app(
        tracking_uri, catalog.open_catalog(uri), root_path=root_path, allowed_hosts=names
    )
    say(
        f"Serving the checkpoints of {settings.display_uri(tracking_uri)} from the catalog "
        f"{settings.display_uri(uri)} at http://{host}:{port}"
    )
    uvicorn.run(app, host=host, port=port, server_header=False, timeout_graceful_shutdown=5)


def _check(tracking_uri: str, catalog_uri: str, host: str) -> None:
    if catalog.is_server(catalog_uri):
        raise InvalidArgumentError(
            f"TRACKER_CATALOG_URI={settings.display_uri(catalog_uri)} is a tracker service itself; "
            "`tracker serve` needs a database there, postgresql://… or sqlite:///…, or nothing."
        )
    if not catalog.is_server(tracking_uri) and not _is_loopback(host):
        raise InvalidArgumentError(
            f"MLFLOW_TRACKING_URI={settings.display_uri(tracking_uri)} is a database, which knows "
            f"no users: everybody who reaches --host {host} would see everything. Use --host "
            "127.0.0.1, or set MLFLOW_TRACKING_URI to an MLflow server (http://…), which says who "
            "may see what."
        )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
