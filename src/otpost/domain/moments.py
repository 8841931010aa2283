"""Moments as text: RFC 3339 with milliseconds, to the second, and RFC 2822; a moment is milliseconds since 1970."""

from __future__ import annotations

from datetime import UTC, datetime, time
from email.utils import format_datetime
from functools import lru_cache
from typing import Final, NamedTuple

DAY_MS: Final = 86_400_000
EARLIEST: Final = 0
LATEST: Final = 253_402_300_799_999


@lru_cache(4096)
def _format_seconds(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


@lru_cache(4096)
def _format_rfc_2822(seconds: int) -> str:
    return format_datetime(datetime.fromtimestamp(seconds, UTC))


def format_moment(at: int) -> str:
    """`2026-11-23T02:06:27.123Z`."""
    seconds, milliseconds = divmod(at, 1000)
    return f"{_format_seconds(seconds)}.{milliseconds:03d}Z"


def format_moment_or_none(at: int | None) -> str | None:
    return None if at is None else format_moment(at)


def format_second(at: int) -> str:
    """`2026-11-23T02:06:27Z`, as Twilio Verify writes moments."""
    return f"{_format_seconds(at // 1000)}Z"


def format_rfc_2822(at: int) -> str:
    """`Mon, 23 Nov 2026 02:06:27 +0000`, as Twilio's older API writes moments."""
    return _format_rfc_2822(at // 1000)


def format_rfc_2822_or_none(at: int | None) -> str | None:
    return None if at is None else format_rfc_2822(at)


def read_moment(text: str) -> int | None:
    """An RFC 3339 moment with an offset; None for anything else."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        return None
    at = int(moment.timestamp() * 1000)
    return at if EARLIEST <= at <= LATEST else None


class Span(NamedTuple):
    """What a filter by date names: from when to when, and whether it is a whole day."""

    begin: int
    end: int
    is_day: bool


def read_span(text: str) -> Span | None:
    """A day (`2026-11-23`, or its midnight, which is how Twilio's SDKs write one), or a second; None for neither.

    A moment without an offset is UTC.
    """
    try:
        moment = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
        at = int((moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        return None
    is_day = moment.time() == time()
    return Span(at, at + (DAY_MS if is_day else 1000), is_day)
