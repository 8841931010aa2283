"""Lost answers: which listed text is an attempt's, and what follows where none is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol, TypeVar

import msgspec

from otpost.domain.delivery.moments import next_look
from otpost.domain.delivery.settling import at_once, given_up, hangs_on
from otpost.domain.message import Attempt, Message, MessageStatus

CREATED_BEFORE_INTENT_MS: Final = 5_000
LOOK_HOLDS_MS: Final = 5_000
"""How old the last look at the account's listing may be when a message goes again."""


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


def matching(first_intent_at: int, listed: Sequence[Row], needle: str, *, at_end: bool) -> list[Row]:
    """The listed messages that may be a message's own, oldest first.

    `needle` is the code, or the caller's own text, which the listed one then ends with (`at_end`); without it only
    redacted ones match.
    """
    since = first_intent_at - CREATED_BEFORE_INTENT_MS
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


def recognised(lost: Sequence[Attempt], listed: Sequence[Row], free: Sequence[Row]) -> list[tuple[Attempt, Row]]:
    """Which listed message is which attempt's: of a message's `lost` attempts on one account.

    Where the service lists a text under a name that we gave, that is the name of its attempt. Of the others that match
    and that nobody owns (`free`, oldest first), the oldest is the oldest attempt's: nobody can tell more, and it is
    their number that counts.
    """
    oldest_first = sorted(lost, key=lambda attempt: (attempt.started_at, attempt.sid))
    by_name = {attempt.vendor_sid or attempt.sid: attempt for attempt in oldest_first}
    named = {row.sid: (by_name[row.sid], row) for row in listed if row.sid in by_name}
    nameless = [attempt for name, attempt in by_name.items() if name not in named]
    return [*named.values(), *zip(nameless, (row for row in free if row.sid not in named), strict=False)]


def to_look_for(attempts: Sequence[Attempt], now: int, can_look: Callable[[Attempt], bool]) -> Attempt | None:
    """The lost attempt of a message whose account has to be asked once more before the message goes again, if any."""
    for attempt in reversed(attempts):
        held = attempt.looked_at is not None and now - attempt.looked_at <= LOOK_HOLDS_MS
        if attempt.outcome == "unknown" and not held and can_look(attempt):
            return attempt
    return None


def look_again(message: Message, attempt: Attempt, now: int) -> tuple[Message, Attempt]:
    """A message that is due waits until the account of this lost attempt has been asked once more."""
    status: MessageStatus = message.status if message.handed_over else "sending"
    waits = msgspec.structs.replace(message, status=status, due_at=None, put_off=0, attempt=attempt.sid)
    return waits, msgspec.structs.replace(attempt, look_at=now)


def absent(
    message: Message,
    attempt: Attempt,
    asked_at: int,
    now: int,
    others: Sequence[Attempt] = (),
    failover_at: int | None = None,
) -> tuple[Message, Attempt]:
    """A listing did not show the attempt: look again, or, after the last look, send anew while that is of use.

    `asked_at` is when the listing was asked for: an answer that took long is no look at a later moment. Where the time
    of `failover_at` has come, the message goes another way whatever further looks may show.
    """
    look_at = next_look(msgspec.structs.replace(attempt, looked_at=asked_at), now)
    attempt = msgspec.structs.replace(attempt, look_at=look_at, looked_at=_looked_at(asked_at, now))
    if attempt.look_at is not None:
        return _passed_on(message, attempt, now, failover_at), attempt
    if not hangs_on(message, attempt):
        return message, attempt
    return at_once(message, "answer_lost", now, (*others, attempt)), attempt


def not_listed(
    message: Message,
    attempt: Attempt,
    asked_at: int,
    now: int,
    others: Sequence[Attempt] = (),
    failover_at: int | None = None,
) -> tuple[Message, Attempt]:
    """The listing failed, which proves nothing: again later, until the message's life is over."""
    attempt = msgspec.structs.replace(attempt, looked_at=_looked_at(asked_at, now))
    if now < message.valid_until:
        wait = min(10_000, max(2_000, message.valid_until - now))
        attempt = msgspec.structs.replace(attempt, look_at=now + wait)
        return _passed_on(message, attempt, now, failover_at), attempt
    return unconfirmed(message, attempt, others)


def _looked_at(asked_at: int, now: int) -> int:
    """The moment of a look: when it was asked for, or short of that where a slow answer would be worth nothing."""
    return max(asked_at, now - LOOK_HOLDS_MS // 2)


def _passed_on(message: Message, attempt: Attempt, now: int, failover_at: int | None) -> Message:
    """The message goes another way where it only waited for this look, its time for that having come."""
    waits = hangs_on(message, attempt) and message.due_at is None and not message.handed_over
    if not waits or failover_at is None or failover_at > now:
        return message
    return msgspec.structs.replace(message, due_at=now)


def unconfirmed(message: Message, attempt: Attempt, others: Sequence[Attempt] = ()) -> tuple[Message, Attempt]:
    """Nobody could tell what became of the attempt; a late report still may."""
    attempt = msgspec.structs.replace(attempt, look_at=None)
    if not hangs_on(message, attempt):
        return message, attempt
    return given_up(message, "unconfirmed", "answer_lost", others), attempt
