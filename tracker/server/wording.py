"""Numbers, sizes and times as people read them on a page."""

from __future__ import annotations

import datetime
import math

_DASH, _MINUS, _INFINITY = "\N{EN DASH}", "\N{MINUS SIGN}", "\N{INFINITY}"
_UNITS = ("kB", "MB", "GB", "TB")
_MANY = ("K", "M", "B", "T")
_AGO = (
    (60, "minute", 60),
    (3_600, "hour", 24),
    (86_400, "day", 30),
    (2_592_000, "month", 12),
    (31_536_000, "year", 1_000),
)


def number(value: float | None) -> str:
    """Return a number with as many digits as people compare; a dash for None.

    Example:
        >>> number(0.048123456), number(float("nan"))
        ('0.0481235', 'NaN')
    """
    if value is None:
        return _DASH
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return _INFINITY if value > 0 else _MINUS + _INFINITY
    return f"{value:.6g}".replace("-", _MINUS)


def size(count: int) -> str:
    """Return a number of bytes: ``2.3 MB``."""
    return _scaled(count, 1000, "B", _UNITS)


def amount(count: int) -> str:
    """Return a large number in short: ``25.6 M``."""
    return _scaled(count, 1000, "", _MANY).strip()


def _scaled(count: int, base: int, unit: str, larger: tuple[str, ...]) -> str:
    if count < base:
        return f"{count} {unit}"
    value = float(count)
    for name in larger:
        value /= base
        if round(value, 1) < base:
            return f"{value:.1f} {name}"
    return f"{value:.1f} {larger[-1]}"


def moment(milliseconds: int) -> str:
    """Return a time, in UTC: ``2026-11-24 18:41 UTC``; a dash for one that no calendar has."""
    try:
        when = datetime.datetime.fromtimestamp(milliseconds / 1000, datetime.UTC)
    except (OverflowError, ValueError, OSError):
        return _DASH
    return f"{when:%Y-%m-%d %H:%M} UTC"


def ago(milliseconds: int, now: int) -> str:
    """Return how long ago a time is: ``3 hours ago``; in the future or long ago: the time."""
    seconds = (now - milliseconds) / 1000
    if -60 < seconds < 60:
        return "just now"
    for length, name, most in _AGO:
        count = int(seconds // length)
        if 0 < count < most:
            return f"{count} {name}{'' if count == 1 else 's'} ago"
    return moment(milliseconds)


def counted(count: int, one: str, many: str = "") -> str:
    """Return a number with its noun: ``1 run``, ``1,240 checkpoints``."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def short(identifier: str) -> str:
    """Return the beginning of an id, enough to tell it from others."""
    return identifier[:10] if identifier.startswith("m-") else identifier[:8]


def literal(text: str) -> str:
    """Return a text as people write it in Python; what can't be seen is escaped.

    Example:
        >>> literal("digits")
        '"digits"'
    """
    written = repr(text)
    return f'"{written[1:-1]}"' if written[0] == "'" and '"' not in text else written


def one_line(text: str, longest: int = 300) -> str:
    """Return a text without what would break its line, shortened if it is long."""
    shown = "".join(character if character.isprintable() else "·" for character in text)
    return shown if len(shown) <= longest else f"{shown[:longest]}…"
