"""Give the tracker service its account at the MLflow server: it may read everything, and no more.

Runs once each time the servers start, as MLflow's administrator, over MLflow's REST API. READ on
every experiment and registered model is the least that does: whatever ``default_permission`` is,
the service has to know all checkpoints to show each user those that MLflow lets them see.

Reads ``MLFLOW_URI``, ``ADMIN_USERNAME``, ``ADMIN_PASSWORD``, ``TRACKER_USERNAME``,
``TRACKER_PASSWORD``.
"""

import base64
import json
import os
import sys
import urllib.error
import urllib.request


def ask(method: str, path: str, user: str, password: str, content: object = None) -> int:
    """Send a request to the MLflow server and return the status of its answer."""
    credentials = base64.b64encode(f"{user}:{password}".encode()).decode()
    request = urllib.request.Request(
        f"{os.environ['MLFLOW_URI'].rstrip('/')}{path}",
        method=method,
        data=None if content is None else json.dumps(content).encode(),
        headers={"Authorization": f"Basic {credentials}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        if error.code >= 500:
            raise
        return error.code


def main() -> None:
    """Create the account, or give it the password that is in force now, and its permissions."""
    administrator = (os.environ["ADMIN_USERNAME"], os.environ["ADMIN_PASSWORD"])
    service = (os.environ["TRACKER_USERNAME"], os.environ["TRACKER_PASSWORD"])
    users = "/api/2.0/mlflow/users"
    account = {"username": service[0], "password": service[1]}

    if ask("GET", f"{users}/current", *administrator) != 200:
        sys.exit(
            "MLflow does not accept the administrator's password of .env. It was set when MLflow "
            "first started, and is changed with MLflow's update-password (docs/team.md)."
        )
    if ask("GET", f"{users}/current", *service) != 200:
        created = ask("POST", f"{users}/create", *administrator, account)
        if created not in (200, 201):
            changed = ask("PATCH", f"{users}/update-password", *administrator, account)
            if changed != 200:
                sys.exit(f"MLflow refuses the account {service[0]!r}: {created}, then {changed}.")
    for kind in ("experiment", "registered_model"):
        grant = {"username": service[0], "resource_type": kind, "resource_id": "*"}
        status = ask(
            "POST",
            "/api/3.0/mlflow/users/permissions/grant",
            *administrator,
            {**grant, "permission": "READ"},
        )
        if status not in (200, 204):
            sys.exit(f"MLflow refuses {service[0]!r} READ on every {kind}: {status}.")
    print(f"{service[0]} may read every experiment and registered model.")


if __name__ == "__main__":
    main()
