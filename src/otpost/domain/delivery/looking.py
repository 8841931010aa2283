"""Lost answers: which listed text is an attempt's, and what follows where none is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol, TypeVar

import msgspec

from otpost.domain.delivery.moments import next_look
from otpost.domain.delivery.settling import at_once, given_up, hangs_on
from otpost.domain.message import Attempt, Message

CREATED_BEFORE_INTENT_MS: Final = 5_000


def lost(attempt: Attempt, now: int, detail: str) -> Attempt:
    """An intent whose node died: whether the service was asked is unknown."""
    attempt = msgspec.structs.replace(attempt, outcome="unknown", reason="answer_lost", detail=detail, unknown_at=now)
    return msgspec.structs.replace(attempt, look_at=next_look(attempt, now))


class Listed(Protocol):
    """One outbound message as a listing of the sending account shows it; `body` is empty where it was redacted."""

    @property
    def sid(self) -> str: ...
    @property
    def created_at(self) -> int | None: ...
    @property
    def body(self) -> str: ...


Row = TypeVar("Row", bound=Listed)


def matching(attempt: Attempt, listed: Sequence[Row], needle: str, *, at_end: bool) -> list[Row]:
    """The listed messages that may be this attempt's, oldest first.

    `needle` is the code, or the caller's own text, which the listed one then ends with (`at_end`); without it only
    redacted ones match. Where the service lists it under our own name, the attempt's SID, that one alone is it.
    """
    if own := [row for row in listed if row.sid == attempt.sid]:
        return own
    since = attempt.started_at - CREATED_BEFORE_INTENT_MS
    return sorted(
        (
            row
            for row in listed
            if row.created_at is not None
            and row.created_at >= since
            and (not row.body or (needle != "" and (row.body.endswith(needle) if at_end else needle in row.body)))
        ),
        key=lambda row: (row.created_at or 0, row.sid),
    )


def absent(message: Message, attempt: Attempt, now: int, others: Sequence[Attempt] = ()) -> tuple[Message, Attempt]:
    """A listing did not show the attempt: look again, or, after the last look, send anew while that is of use."""
    attempt = msgspec.structs.replace(attempt, looked_at=now)
    attempt = msgspec.structs.replace(attempt, look_at=next_look(attempt, now))
    if attempt.look_at is not None or not hangs_on(message, attempt):
        return message, attempt
    return at_once(message, "answer_lost", now, others), attempt


def not_listed(message: Message, attempt: Attempt, now: int, others: Sequence[Attempt] = ()) -> tuple[Message, Attempt]:
    """The listing failed, which proves nothing: again later, until the message's life is over."""
    if now < message.valid_until:
        wait = min(10_000, max(2_000, message.valid_until - now))
        return message, msgspec.structs.replace(attempt, look_at=now + wait)
    return unconfirmed(message, attempt, others)


def unconfirmed(message: Message, attempt: Attempt, others: Sequence[Attempt] = ()) -> tuple[Message, Attempt]:
    """Nobody could tell what became of the attempt; a late report still may."""
    attempt = msgspec.structs.replace(attempt, look_at=None)
    if not hangs_on(message, attempt):
        return message, attempt
    return given_up(message, "unconfirmed", "answer_lost", others), attempt
