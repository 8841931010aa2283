"""When an account is asked: for a text whose answer was lost, and for a report that did not come."""

from __future__ import annotations

from typing import Final

import msgspec

from otpost.domain.message import Attempt

LOOKS_AFTER_ANSWER_MS: Final = (2_000, 6_000)
LOOKS_AFTER_SILENCE_MS: Final = (2_000, 10_000, 25_000)
FIRST_FETCH_MS: Final = 60_000
FETCHED_FOR_MS: Final = 4 * 3_600_000


def next_look(attempt: Attempt, now: int) -> int | None:
    """When the account's outbound messages are listed next; None once all the times have passed."""
    if attempt.answered and attempt.unknown_at is not None:
        times = [attempt.unknown_at + after for after in LOOKS_AFTER_ANSWER_MS]
    else:
        times = [attempt.started_at + after for after in LOOKS_AFTER_SILENCE_MS]
    if attempt.looked_at is None:
        return next((at for at in times if at > now), now)
    return next((max(at, now) for at in times if at > attempt.looked_at), None)


def next_fetch(attempt: Attempt, now: int) -> int | None:
    """When the service is asked next what became of an accepted attempt; None once four hours have passed.

    A minute after it was accepted, then after gaps that double, and at last when the four hours are over.
    """
    accepted_at = attempt.started_at + (attempt.duration_ms or 0)
    gap_ms, at, last = FIRST_FETCH_MS, accepted_at + FIRST_FETCH_MS, accepted_at + FETCHED_FOR_MS
    while at <= now:
        gap_ms *= 2
        at += gap_ms
    return min(at, last) if now < last else None


def awaited(attempt: Attempt, now: int, *, can_fetch: bool) -> Attempt:
    """An attempt as it waits for its reports: while its final one has not come, it has a time to be asked about."""
    waits = can_fetch and attempt.outcome == "accepted" and not attempt.final and attempt.vendor_sid is not None
    fetch_at = (attempt.fetch_at or next_fetch(attempt, now)) if waits else None
    return attempt if fetch_at == attempt.fetch_at else msgspec.structs.replace(attempt, fetch_at=fetch_at)
