"""docker-compose.yml follows the Compose specification, pins what it runs, and has no secrets."""

from __future__ import annotations

import configparser
import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from botocore.credentials import Credentials

from tests.system import compose
from tests.system.topology import CADDY, DOCKER, SECRETS, script

ROOT = Path(__file__).parents[1]
TEXT = compose.FILE.read_text()
EXAMPLE = (ROOT / ".env.example").read_text()
SERVICES = compose.services(SECRETS)
DOCKERFILES = [(DOCKER / f"{name}.Dockerfile").read_text() for name in ("mlflow", "tracker")]
ONCE = {name for name, service in SERVICES.items() if service["restart"] == "no"}


def test_it_follows_the_compose_specification() -> None:
    schema = ("--builtin-schema", "vendor.compose-spec")
    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", *schema, str(compose.FILE)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "image", re.findall(r"^ *(?:image:|FROM) (\S+)", "\n".join([TEXT, *DOCKERFILES]), re.MULTILINE)
)
def test_images_are_pinned_to_releases(image: str) -> None:
    assert re.search(r":v?\d+(\.\d+)+(-slim)?$", image), "no version, or a pre-release"


def test_packages_of_the_images_are_those_of_development() -> None:
    constraints = (ROOT / "constraints.txt").read_text().lower().replace("-", "_")
    pinned = re.findall(r"([\w-]+)(?:\[\w+\])?==(\S+)", "\n".join(DOCKERFILES))
    assert len(pinned) == 4
    for name, version in pinned:
        assert f"\n{name.lower().replace('-', '_')}=={version}\n" in constraints, name
    assert "mlflow/mlflow:v" + re.findall(r"\nmlflow==(.+)", constraints)[0] in DOCKERFILES[0]


def test_every_secret_must_be_given_and_none_is_in_a_file() -> None:
    secrets = re.findall(r"\$\{([A-Z0-9_]*(?:PASSWORD|KEY)[A-Z0-9_]*)([^}]*)\}", TEXT)
    assert {name for name, _ in secrets} == {*SECRETS} - {"MLFLOW_WORKERS"}
    assert all(rest.startswith(":?") for _, rest in secrets)
    for name in {name for name, _ in secrets}:
        with pytest.raises(KeyError, match=name):
            compose.services({**SECRETS, name: ""})


def test_every_variable_is_in_the_example_without_a_secret() -> None:
    for name in set(re.findall(r"\$\{([A-Z0-9_]+)", TEXT)):
        assert re.search(rf"^(# )?{name}=", EXAMPLE, re.MULTILINE), name
    assert re.findall(r"^[A-Z0-9_]+=(.+)$", EXAMPLE, re.MULTILINE) == []


def test_services_that_stay_up_are_checked_and_waited_for() -> None:
    assert {"prepare-storage", "prepare-accounts"} == ONCE
    for name, service in SERVICES.items():
        assert ("healthcheck" in service) == (name not in ONCE), name
        for other, how in service.get("depends_on", {}).items():
            wanted = "service_completed_successfully" if other in ONCE else "service_healthy"
            assert how["condition"] == wanted


def test_only_the_proxy_is_published_and_by_default_to_this_machine() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {"proxy": ["127.0.0.1:5000:5000"]}


def test_each_server_reaches_only_those_that_it_needs() -> None:
    reached = {name: set(service["networks"]) for name, service in SERVICES.items()}
    assert {name for name in reached if "storage" in reached[name]} == {
        *("storage", "prepare-storage", "mlflow")
    }
    assert {name for name in reached if "database" in reached[name]} == {
        *("postgres", "mlflow", "tracker")
    }
    assert {name for name in reached if "outside" in reached[name]} == {"proxy"}


def test_each_secret_is_given_to_those_that_need_it() -> None:
    def holders(secret: str) -> set[str]:
        value = SECRETS[secret]
        return {n for n, s in SERVICES.items() if value in map(str, s["environment"].values())}

    assert holders("POSTGRES_PASSWORD") == {"postgres"}
    assert holders("S3_ROOT_SECRET_KEY") == {"storage", "prepare-storage"}
    assert holders("S3_SECRET_KEY") == {"prepare-storage", "mlflow"}
    assert holders("MLFLOW_DB_PASSWORD") == {"postgres", "mlflow"}
    assert holders("TRACKER_DB_PASSWORD") == {"postgres", "tracker"}
    assert holders("MLFLOW_ADMIN_PASSWORD") == {"mlflow", "prepare-accounts"}
    assert holders("TRACKER_SERVICE_PASSWORD") == {"prepare-accounts", "tracker"}


def test_no_service_has_privileges_or_a_writable_root() -> None:
    for name, service in SERVICES.items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
    for text in DOCKERFILES:
        assert re.findall(r"^USER (\w+)", text, re.MULTILINE)[-1] in ("mlflow", "tracker")


def test_mlflows_settings_hold_no_password() -> None:
    settings = configparser.ConfigParser()
    settings.read(DOCKER / "mlflow-auth.ini")
    assert settings["mlflow"]["default_permission"] == "READ"
    assert settings["mlflow"]["database_uri"] == "postgresql+psycopg:///mlflow_auth"
    assert not [key for key in settings["mlflow"] if "password" in key]


@pytest.mark.parametrize("address", [":5000", "tracker.example.org"])
def test_the_proxy_accepts_its_file_for_a_port_and_for_a_host_name(
    address: str, tmp_path: Path
) -> None:
    done = subprocess.run(
        [CADDY, "adapt", "--validate", "--config", str(DOCKER / "Caddyfile")],
        env={"SITE_ADDRESS": address, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (server,) = json.loads(done.stdout)["apps"]["http"]["servers"].values()
    assert server["listen"] == [":5000" if address == ":5000" else ":443"]


Request = tuple[str, dict[str, list[str]], dict[str, object], str]


@pytest.fixture
def administration() -> Iterator[tuple[str, list[Request]]]:
    """An HTTP server that keeps what it is told; RustFS itself can't be had here."""
    received: list[Request] = []

    class Keep(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            parts = urlsplit(self.path)
            signed = self.headers["Authorization"]
            received.append((parts.path, parse_qs(parts.query), content, signed))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:
            """Say nothing on stderr."""

    server = HTTPServer(("127.0.0.1", 0), Keep)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", received
    server.shutdown()
    server.server_close()


def test_mlflow_gets_a_user_of_the_store_who_may_use_its_bucket_and_nothing_else(
    administration: tuple[str, list[Request]],
) -> None:
    uri, received = administration
    script("storage").create_user(
        uri, Credentials("root", "root's"), Credentials("user", "user's & own"), "mlflow"
    )
    paths = [path.removeprefix("/rustfs/admin/v3/") for path, *_ in received]
    assert paths == ["add-canned-policy", "add-user", "set-user-or-group-policy"]
    policy, user, attached = received
    resources = {r for s in policy[2]["Statement"] for r in s["Resource"]}  # type: ignore[attr-defined]
    assert resources == {"arn:aws:s3:::mlflow", "arn:aws:s3:::mlflow/*"}
    assert user[1:3] == (
        {"accessKey": ["user"]},
        {"secretKey": "user's & own", "status": "enabled"},
    )
    assert attached[1]["policyName"] == policy[1]["name"]
    assert attached[1]["userOrGroup"] == ["user"]
    assert all("Credential=root/" in signed for *_, signed in received)
