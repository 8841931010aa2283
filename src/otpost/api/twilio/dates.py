"""How Twilio writes moments: ISO 8601 to the second in Verify, RFC 2822 in the older API; and how it reads them."""

from __future__ import annotations

from datetime import UTC, datetime, time
from email.utils import format_datetime
from functools import lru_cache
from typing import Final, NamedTuple

DAY_MS: Final = 86_400_000


@lru_cache(4096)
def _iso(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@lru_cache(4096)
def _rfc_2822(seconds: int) -> str:
    return format_datetime(datetime.fromtimestamp(seconds, UTC))


def iso(at: int) -> str:
    """`2026-11-23T02:06:27Z` for milliseconds since the epoch."""
    return _iso(at // 1000)


def iso_or_none(at: int | None) -> str | None:
    return None if at is None else _iso(at // 1000)


def rfc_2822(at: int) -> str:
    """`Mon, 23 Nov 2026 02:06:27 +0000` for milliseconds since the epoch."""
    return _rfc_2822(at // 1000)


def rfc_2822_or_none(at: int | None) -> str | None:
    return None if at is None else _rfc_2822(at // 1000)


class Span(NamedTuple):
    """What a date filter names: from when to when, and whether it is a whole day."""

    begin: int
    end: int
    is_day: bool


def read_span(text: str) -> Span | None:
    """A day (`2026-11-23`, or its midnight, which is how the SDKs write one), or a second; None for what is neither.

    A moment without an offset is UTC.
    """
    try:
        read = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
        at = int((read if read.tzinfo is not None else read.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        return None
    is_day = read.time() == time()
    return Span(at, at + (DAY_MS if is_day else 1000), is_day)
