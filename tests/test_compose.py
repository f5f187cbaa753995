"""docker-compose.yml follows the Compose specification, pins its images, and has no secrets."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docker-compose.yml").read_text()
SCHEMA = ("--builtin-schema", "vendor.compose-spec")
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(TEXT)["services"]


def test_it_follows_the_compose_specification() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", *SCHEMA, str(ROOT / "docker-compose.yml")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("image", re.findall(r"(?:image:|FROM) (\S+)", TEXT))
def test_images_are_pinned_to_releases(image: str) -> None:
    assert re.search(r":v?\d+(\.\d+)+$", image), "no version, or a pre-release"


@pytest.mark.parametrize("package", re.findall(r"pip install --no-cache-dir (.+)", TEXT)[0].split())
def test_packages_are_pinned(package: str) -> None:
    assert "==" in package


def test_every_secret_must_be_given() -> None:
    secrets = re.findall(r"\$\{([A-Z0-9_]*(?:PASSWORD|KEY)[A-Z0-9_]*)([^}]*)\}", TEXT)
    assert {name for name, _ in secrets} == {"POSTGRES_PASSWORD", "S3_ACCESS_KEY", "S3_SECRET_KEY"}
    assert all(rest.startswith(":?") for _, rest in secrets)


def test_every_variable_is_in_the_example_without_a_value() -> None:
    example = (ROOT / ".env.example").read_text()
    for name in set(re.findall(r"\$\{([A-Z0-9_]+)", TEXT)):
        assert re.search(rf"^(# )?{name}=", example, re.MULTILINE), name
    assert re.findall(r"^[A-Z0-9_]+=(.+)$", example, re.MULTILINE) == []


def test_services_that_stay_up_are_checked_and_waited_for() -> None:
    for name, service in SERVICES.items():
        lasting = service["restart"] != "no"
        assert ("healthcheck" in service) == lasting, name
    for service in SERVICES.values():
        for other, how in service.get("depends_on", {}).items():
            lasting = SERVICES[other]["restart"] != "no"
            wanted = "service_healthy" if lasting else "service_completed_successfully"
            assert how["condition"] == wanted


def test_only_mlflow_is_published_and_by_default_to_this_machine() -> None:
    published = {name: s["ports"] for name, s in SERVICES.items() if "ports" in s}
    assert published == {"mlflow": ["${MLFLOW_BIND:-127.0.0.1}:5000:5000"]}


def test_mlflow_is_the_version_of_development() -> None:
    version = re.search(r"^mlflow==(.+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert version is not None
    assert f"mlflow/mlflow:v{version[1]}" in TEXT
