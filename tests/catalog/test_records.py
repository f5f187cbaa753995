"""Records come back as they were put in, from either database, in few statements."""

from __future__ import annotations

import math

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, event

from tracker.catalog import Scope, best, latest, open_catalog, put, put_all, search
from tracker.catalog.records import load_records
from tracker.catalog.transactions import reading

from .examples import record

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    metrics=st.dictionaries(TEXTS.filter(bool), st.floats(), max_size=5),
    texts=st.dictionaries(TEXTS.filter(bool), TEXTS, max_size=3),
    number=st.integers(0, 2**63 - 1),
)
def test_numbers_and_texts_come_back_to_the_last_digit(
    catalog_uri: str, metrics: dict[str, float], texts: dict[str, str], number: int
) -> None:
    catalog = open_catalog(catalog_uri)
    made = record(1, metrics=metrics, params=texts, tags=texts, size=number, step=number)
    put(catalog, made)
    found = search(catalog, Scope())
    with reading(catalog) as connection:
        assert repr(load_records(connection, [made.id])) == repr(found)
    assert found[0].metrics.keys() == metrics.keys()
    for name, value in found[0].metrics.items():
        assert value == metrics[name] or (math.isnan(value) and math.isnan(metrics[name]))
        assert isinstance(value, float)
    assert (found[0].params, found[0].tags) == (texts, texts)
    assert (found[0].size, found[0].step) == (number, number)


def test_they_come_in_the_order_asked_for_without_those_that_are_not_there(
    catalog: Engine,
) -> None:
    put_all(catalog, [record(n) for n in range(1, 10)])
    with reading(catalog) as connection:
        found = load_records(connection, ["m-7", "m-unknown", "m-2", "m-9"])
        assert load_records(connection, []) == []
    assert found == [record(7), record(2), record(9)]


def test_one_answer_takes_two_statements_on_a_server(catalog: Engine) -> None:
    put(catalog, record(1))
    asked: list[str] = []

    def note(_c: object, _cursor: object, statement: str, *_: object) -> None:
        asked.append(statement)

    event.listen(catalog, "before_cursor_execute", note)
    for question in (
        lambda: best(catalog, Scope(("digits",)), "val_loss", "min"),
        lambda: latest(catalog, Scope(("digits",))),
    ):
        asked.clear()
        assert question() == record(1)
        expected = 2 if catalog.dialect.name == "postgresql" else 4
        assert len([each for each in asked if each.startswith("SELECT")]) == expected
    event.remove(catalog, "before_cursor_execute", note)
