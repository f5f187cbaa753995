"""Judges the results and writes them down as Markdown."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from corpus.contenders import CONTENDERS

Result = dict[str, Any]

# How the message begins where a contender says that, and why, it can't store a model.
CLEAR = (
    "saving: UnstorableError",
    "saving: InvalidArgumentError",
    "loading: NeedsModelInstanceError",
)


def verdict(result: Result) -> str:
    """Return exact, refused (rightly), missed, not applicable, or unusable (the corpus's fault)."""
    if "unusable" in result:
        return "unusable"
    if "not_applicable" in result:
        return "not applicable"
    if result.get("refused") and reason(result).startswith(CLEAR):
        return "refused"
    return "missed" if reason(result) else "exact"


def reason(result: Result) -> str:
    """Return why it is not exact; nothing if it is."""
    for key, told in (("save_error", "saving: "), ("load_error", "loading: ")):
        if key in result:
            problems = "".join(f" | {problem}" for problem in result.get("problems", ()))
            return f"{told}{result[key]}{problems}"
    differences = result["differences"]
    if not CONTENDERS[result["contender"]].whole:
        return str(differences["weights"] or differences["output"])
    return str(differences["model"] or differences["output"])


def is_miss(result: Result) -> bool:
    return verdict(result) in ("missed", "unusable")


def line(result: Result) -> str:
    """Return one result for the terminal."""
    name = f"{result['group']} · {result['name']}"
    told = result.get("unusable") or reason(result) if is_miss(result) else result.get("by", "")
    return f"{verdict(result):9} {name}: {told} [{result.get('forward', '')[:200]}]"


def table(results: Iterable[Result]) -> str:
    return ""
