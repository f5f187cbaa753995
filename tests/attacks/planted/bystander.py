"""An importable module of somebody else, which no model comes from."""

from __future__ import annotations

import sys

sys.audit("canary", "imported bystander")


def dangerous(*args: object) -> None:
    sys.audit("canary", "called")


def main() -> None: ...
