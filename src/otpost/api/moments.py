"""Moments over the wire: RFC 3339 in UTC with milliseconds and `Z`."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

EARLIEST, LATEST = 0, 253_402_300_799_999


@lru_cache(4096)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def moment(at: int) -> str:
    """`2026-11-23T02:06:27.123Z` for milliseconds since the epoch."""
    seconds, milliseconds = divmod(at, 1000)
    return f"{_second(seconds)}.{milliseconds:03d}Z"


def moment_or_none(at: int | None) -> str | None:
    return None if at is None else moment(at)


def read_moment(text: str) -> int | None:
    """Milliseconds since the epoch of an RFC 3339 moment with an offset; None if it is none."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    if at.tzinfo is None:
        return None
    found = int(at.timestamp() * 1000)
    return found if EARLIEST <= found <= LATEST else None
