"""``docs/trust.md`` lists what the code allows, all of it and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tracker.architecture import graphs, library_values, nesting, quiet, scripts, trust
from tracker.format import canonical, fields, header, layout
from tracker.values import codec

DOCUMENT = (Path(__file__).parents[2] / "docs" / "trust.md").read_text()


def section(title: str) -> str:
    """Return the text under a heading, up to the next one."""
    match = re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^#|\Z)", DOCUMENT, re.M | re.S)
    assert match, f"docs/trust.md has no section {title!r}"
    return match[1]


def listed(title: str) -> set[str]:
    """Return the names of a section's list: the lines that hold nothing but names."""
    lines = [line for line in section(title).splitlines() if re.fullmatch(r"(`[^`]+` ?)+", line)]
    return set(re.findall(r"`([^`]+)`", "\n".join(lines)))


def names_of(module: str, references: frozenset[str]) -> set[str]:
    return {name.partition(":")[2] for name in references if name.startswith(f"{module}:")}


@pytest.mark.parametrize(
    ("title", "allowed"),
    [
        ("Torch's homes", trust.TORCH_HOMES),
        ("Torch's object homes", trust.TORCH_OBJECT_HOMES),
        ("Holders of values", trust.TRUSTED_OBJECTS),
        ("Computations", trust.FUNCTIONAL_MODULES),
        ("Of operator", names_of("operator", trust.TRUSTED_FUNCTIONS)),
        ("Of torchmetrics", {n for n in trust.TRUSTED_FUNCTIONS if n.startswith("torchmetrics.")}),
        ("Of torch", names_of("torch", trust.TRUSTED_FUNCTIONS)),
        ("Builtins", library_values.BUILTINS),
        ("Operators of a graph", names_of("operator", graphs.OPERATORS)),
        ("Attributes that a graph may read of a value", graphs.PROPERTIES),
    ],
)
def test_a_list_of_the_document_is_that_of_the_code(title: str, allowed: object) -> None:
    assert listed(title) == set(allowed)  # type: ignore[call-overload]


def test_every_fixed_function_is_of_a_module_that_is_listed() -> None:
    modules = {name.partition(":")[0] for name in trust.TRUSTED_FUNCTIONS}
    assert {name.partition(".")[0] for name in modules} == {"torch", "operator", "torchmetrics"}


def test_the_homes_of_torchs_functions_are_named() -> None:
    named = set(re.findall(r"`(torch[^`]+)`", section("Torch's function homes")))
    assert named == set(trust.TORCH_FUNCTION_HOMES)


def test_what_code_is_refused_is_named() -> None:
    table = section("What code may do while a model is loaded")
    events = set(re.findall(r"`(\w+\.\w+)`", table.partition("| tried")[2]))
    assert events == set(quiet._EVENTS)


def test_the_limits_are_those_of_the_code() -> None:
    numbers = {int(n.replace(",", "")) for n in re.findall(r"\| ([\d,]+)", section("Limits"))}
    assert numbers == {
        layout.MAX_PLAIN_FILE,
        header.MAX_HEADER,
        scripts.MAX_SOURCE_FILE,
        canonical.MAX_NESTING,
        canonical.MAX_CONTAINERS,
        codec.MAX_DEPTH,
        fields.MAX_DIMENSIONS,
        trust.MAX_REFERENCE,
        nesting.MAX_DEPTH,
        nesting.MAX_VISITS,
    }
