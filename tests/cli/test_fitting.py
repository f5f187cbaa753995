"""Which columns of a table fit in a line."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tracker.cli.fitting import GAP, Column, fit

ID = Column("ID", ("m-0f3c1d2e",))
LOSS = Column("val_loss", ("0.25",), right=True, narrowest=8, rank=2)
MODEL = Column("MODEL", ("Net(hidden=384, depth=7)",), narrowest=12, rank=4)
SIZE = Column("SIZE", ("2.3 MB",), right=True, rank=7)

COLUMNS = st.lists(
    st.builds(
        Column,
        st.text("ab", max_size=30),
        st.lists(st.text("ab好", max_size=20), max_size=3).map(tuple),
        narrowest=st.integers(0, 12),
        rank=st.integers(0, 5),
    ),
    max_size=6,
)


def shown(width: int) -> list[tuple[str, int]]:
    return [(column.heading, wide) for column, wide in fit([ID, LOSS, MODEL, SIZE], width)]


def test_with_room_for_all_nothing_is_shortened() -> None:
    assert shown(1000) == shown(54) == [("ID", 10), ("val_loss", 8), ("MODEL", 24), ("SIZE", 6)]


def test_long_texts_give_way_first() -> None:
    assert shown(44) == [("ID", 10), ("val_loss", 8), ("MODEL", 14), ("SIZE", 6)]


def test_then_columns_are_left_out_by_rank() -> None:
    assert shown(40) == [("ID", 10), ("val_loss", 8), ("MODEL", 18)]
    assert shown(30) == [("ID", 10), ("val_loss", 8)]


def test_what_names_the_row_stays_in_the_narrowest_terminal() -> None:
    assert shown(1) == [("ID", 10)]


def test_of_the_same_rank_the_last_goes_first() -> None:
    a, b = (Column(name, ("0.123456",), rank=2) for name in ("a", "b"))
    assert [column.heading for column, _ in fit([a, b], 10)] == ["a"]


def test_characters_that_are_two_columns_wide_count_as_two() -> None:
    assert Column("MODEL", ("模型网络",)).width == 8


@given(COLUMNS, st.integers(0, 120))
def test_a_table_is_no_wider_than_its_line_unless_nothing_more_can_go(
    columns: list[Column], width: int
) -> None:
    found = fit(columns, width)
    places = [[each is column for each in columns].index(True) for column, _ in found]
    assert places == sorted(places)
    for column, wide in found:
        assert min(column.narrowest or column.width, column.width) <= wide <= column.width
    total = sum(wide for _, wide in found) + GAP * (len(found) - 1)
    assert total <= width or all(column.rank == 0 for column, _ in found)
    assert {i for i, column in enumerate(columns) if column.rank == 0} <= {*places}
