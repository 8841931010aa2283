"""How Twilio writes moments: ISO 8601 to the second in Verify, RFC 2822 in the older API."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime
from functools import lru_cache


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
