"""Reads docker-compose.yml as Compose would, for the part of it that our file uses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docker-compose.yml"

_VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)(?:(:[-?])([^}]*))?\}")


def services(variables: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Return the services with the variables of an ``.env`` file filled in.

    Raises:
        KeyError: A variable without a default is not given, or empty.
    """

    def value(match: re.Match[str]) -> str:
        name, how, rest = match.groups()
        given = variables.get(name, "")
        if given or how is None:
            return given
        if how == ":?":
            raise KeyError(name)
        return str(rest)

    return dict(yaml.safe_load(_VARIABLE.sub(value, FILE.read_text()))["services"])
