from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.cli.printing import print_json, size

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (2_340_000, "2.3 MB"),
        (5_000_000_000, "5.0 GB"),
        (7_100_000_000_000, "7.1 TB"),
    ],
)
def test_sizes_are_read_as_people_do(count: int, text: str) -> None:
    assert size(count) == text


def test_numbers_that_json_lacks_are_the_strings_of_mlflows_rest_api(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_json({"a": [math.nan, (math.inf, -math.inf)], "ø": 1})
    output = capsys.readouterr().out
    assert json.loads(output) == {"a": ["NaN", ["Infinity", "-Infinity"]], "ø": 1}
    assert "ø" in output


@given(VALUES)
def test_whatever_is_printed_is_json(value: Any) -> None:
    import click
    from click.testing import CliRunner

    @click.command()
    def command() -> None:
        print_json(value)

    def refuse(text: str) -> None:
        raise AssertionError(text)

    output = CliRunner().invoke(command, catch_exceptions=False).stdout
    json.loads(output, parse_constant=refuse)
