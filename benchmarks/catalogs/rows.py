"""Checkpoints made up from a seed, and the fastest way of each database to take many rows."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import make_url

EXPERIMENTS = 20
EPOCHS = 100
METRICS = ("val_loss", "train_loss", "accuracy", "f1", "latency")
STARTED = 1_700_000_000_000


@dataclass(frozen=True, slots=True)
class Row:
    """One checkpoint; of every run the epochs follow each other."""

    id: str
    run_id: str
    experiment: int
    epoch: int
    created_at: int
    values: tuple[float, ...]
    depth: str


def rows(count: int) -> Iterator[Row]:
    """Return ``count`` checkpoints, the same at every call."""
    chance = random.Random(0)
    run_id, experiment = "", 0
    for number in range(count):
        epoch = number % EPOCHS
        if epoch == 0:
            run_id = f"{chance.getrandbits(128):032x}"
            experiment = 1 + (number // EPOCHS) % EXPERIMENTS
        yield Row(
            id=f"m-{chance.getrandbits(128):032x}",
            run_id=run_id,
            experiment=experiment,
            epoch=epoch,
            created_at=STARTED + 1_000 * number,
            values=tuple(chance.random() for _ in METRICS),
            depth=str(chance.randrange(20)),
        )


def metrics(of: Iterable[Row]) -> Iterator[tuple[Row, str, float]]:
    """Return each metric of rows: the row, its name, its value."""
    return ((row, key, value) for row in of for key, value in zip(METRICS, row.values, strict=True))


def insert(
    uri: str, table: str, columns: Sequence[str], values: Iterable[tuple[object, ...]]
) -> None:
    """Insert many rows in one transaction."""
    names = ", ".join(columns)
    url = make_url(uri)
    if url.get_backend_name() == "sqlite":
        with sqlite3.connect(url.database or "") as connection:
            connection.execute("PRAGMA cache_size = -1000000")
            marks = ", ".join("?" * len(columns))
            connection.executemany(f"INSERT INTO {table} ({names}) VALUES ({marks})", values)
        connection.close()
        return
    import psycopg

    address = url.set(drivername="postgresql").render_as_string(hide_password=False)
    with (
        psycopg.connect(address) as server,
        server.cursor() as cursor,
        cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copy,
    ):
        for row in values:
            copy.write_row(row)
