"""``tracker serve``: the catalog for a team."""

from __future__ import annotations

import click

from tracker.errors import TrackerError


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen at.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=5001, show_default=True, help="The port."
)
@click.option(
    "--root-path",
    default="",
    metavar="PATH",
    help="What a proxy cuts off the path. Below /tracker the service answers in any case.",
)
@click.option(
    "--allowed-hosts",
    default="",
    metavar="NAMES",
    help="Host names it answers to beside localhost and addresses in numbers, separated by commas; "
    "'*' for any. Those of MLFLOW_SERVER_ALLOWED_HOSTS count, too.",
)
def serve(host: str, port: int, root_path: str, allowed_hosts: str) -> None:
    """Serve the checkpoints of an MLflow server to a team: pages, a JSON API, and tracker itself.

    Who asks sees what MLflow lets them read, by the credentials that they have for MLflow.
    MLFLOW_TRACKING_URI names the server, and MLFLOW_TRACKING_USERNAME/PASSWORD (or TOKEN) an
    account that may read every experiment. TRACKER_CATALOG_URI is the catalog's database,
    PostgreSQL or SQLite; by default a SQLite file in the cache directory.
    """
    try:
        from tracker.server.serve import serve as run
    except ImportError as error:
        raise TrackerError(
            f"The service needs more packages ({error}): pip install 'checkpoint-tracker[server]'."
        ) from error

    names = [name.strip() for name in allowed_hosts.split(",") if name.strip()]
    run(host, port, root_path=root_path.rstrip("/"), allowed_hosts=names, say=click.echo)
