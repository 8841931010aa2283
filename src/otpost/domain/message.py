"""A message and its attempts: how each outcome, look-up and report moves them, forward only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol, TypeVar, assert_never

import msgspec

from otpost.domain.outcome import Accepted, Outcome, OutcomeName, Refused, Unavailable, Unknown, Vendor
from otpost.domain.routing import Route

MessageStatus = Literal[
    "queued", "sending", "accepted", "sent", "delivered", "undelivered", "failed", "expired", "unconfirmed"
]
ReportStatus = Literal["accepted", "sent", "delivered", "undelivered", "failed"]

NO_STALE_TEXT_S = 10
LOOKS_AFTER_ANSWER_MS = (2_000, 6_000)
LOOKS_AFTER_SILENCE_MS = (2_000, 10_000, 25_000)
CREATED_BEFORE_INTENT_MS = 5_000
LONGEST_BACKOFF_S = 60
BODY_KEPT_MS = 3_600_000
FIRST_FETCH_MS = 60_000
FETCHED_FOR_MS = 4 * 3_600_000

_RANK: dict[str, int] = {
    "queued": 0,
    "sending": 1,
    "expired": 2,
    "unconfirmed": 2,
    "accepted": 3,
    "sent": 4,
    "failed": 5,
    "undelivered": 5,
    "delivered": 6,
}
_FINAL = frozenset({"failed", "undelivered", "delivered"})
ENDED = _FINAL | {"expired", "unconfirmed"}


class Message(msgspec.Struct, frozen=True):
    """One text to one number in the outbox.

    `due_at` is set while the message waits for an attempt. `body` is a caller's own text, encrypted; a
    verification's text is rendered when it is sent. `number` is which send of its verification this is.
    """

    sid: str
    tenant: str
    application: str
    to: str
    status: MessageStatus
    segments: int
    created_at: int
    valid_until: int
    service: str
    account_sid: str
    origin: str
    route_reason: str
    lane: str
    due_at: int | None = None
    verification: str | None = None
    number: int = 1
    body: str | None = None
    reason: str | None = None
    tries: int = 0
    attempt: str | None = None

    def usable(self, now: int) -> bool:
        """Whether enough of its life is left for a text to be of use."""
        return self.valid_until - now >= NO_STALE_TEXT_S * 1000

    def ended(self, status: MessageStatus, reason: str) -> Message:
        """No attempt will follow."""
        kept = None if status in ENDED else self.body
        return msgspec.structs.replace(self, status=status, reason=reason, due_at=None, body=kept)


def queued(
    sid: str,
    tenant: str,
    application: str,
    to: str,
    route: Route,
    *,
    now: int,
    valid_until: int,
    segments: int,
    verification: str | None = None,
    number: int = 1,
    body: str | None = None,
) -> Message:
    """A new message, due now, on the route that the policy has for it now."""
    return Message(
        sid=sid,
        tenant=tenant,
        application=application,
        to=to,
        status="queued",
        segments=segments,
        created_at=now,
        valid_until=valid_until,
        service=route.service,
        account_sid=route.account_sid,
        origin=route.origin,
        route_reason=route.reason,
        lane=route.lane,
        due_at=now,
        verification=verification,
        number=number,
        body=body,
    )


class Attempt(msgspec.Struct, frozen=True):
    """One try of ours to hand a message to a sender service.

    Without an `outcome` it is an intent: it belongs to `node`, which is sending it now. `look_at` is set while
    an `unknown` one waits for the next listing, `fetch_at` while the final report of an `accepted` one has not come;
    `status` is the furthest that the service has told of it.
    """

    sid: str
    tenant: str
    message: str
    node: str
    started_at: int
    service: str
    account_sid: str
    origin: str
    to: str
    outcome: OutcomeName | None = None
    status: ReportStatus | None = None
    duration_ms: int | None = None
    answered: bool = False
    reason: str | None = None
    link: str | None = None
    vendor_http_status: int | None = None
    vendor_code: str | None = None
    vendor_message: str | None = None
    vendor_sid: str | None = None
    vendor_status: str | None = None
    vendor_request_id: str | None = None
    unknown_at: int | None = None
    looked_at: int | None = None
    look_at: int | None = None
    fetch_at: int | None = None

    @property
    def final(self) -> bool:
        """Whether the service has told the last word on it."""
        return self.status in _FINAL


class Report(msgspec.Struct, frozen=True):
    """What the service told later about an attempt; kept once for each status."""

    attempt: str
    vendor_status: str
    vendor_code: str
    message: str
    at: int
    status: ReportStatus

    @property
    def order(self) -> tuple[int, int]:
        """In which order reports are told: by their moments, and those of one moment by how far they go."""
        return self.at, _RANK[self.status]


class Node(msgspec.Struct, frozen=True):
    """A running process that sends; once its heartbeat is too old its intents count as lost."""

    sid: str
    started_at: int
    beat_at: int


class SandboxText(msgspec.Struct, frozen=True):
    """A text as it arrived on the sandbox phone; `body` is encrypted."""

    sid: str
    tenant: str
    to: str
    body: str
    received_at: int


class Listed(Protocol):
    """One outbound message as a listing of the sending account shows it; `body` is empty where it was redacted."""

    @property
    def sid(self) -> str: ...
    @property
    def created_at(self) -> int | None: ...
    @property
    def body(self) -> str: ...


Row = TypeVar("Row", bound=Listed)


def intend(message: Message, attempt: str, route: Route, now: int, node: str) -> tuple[Message, Attempt]:
    """The intent to send, committed before anything is sent."""
    return (
        msgspec.structs.replace(
            message,
            status="sending",
            due_at=None,
            attempt=attempt,
            service=route.service,
            account_sid=route.account_sid,
            origin=route.origin,
            route_reason=route.reason,
            lane=route.lane,
        ),
        Attempt(
            sid=attempt,
            tenant=message.tenant,
            message=message.sid,
            node=node,
            started_at=now,
            service=route.service,
            account_sid=route.account_sid,
            origin=route.origin,
            to=message.to,
        ),
    )


def settle(
    message: Message,
    attempt: Attempt,
    outcome: Outcome,
    now: int,
    *,
    jitter: float,
    can_look: bool,
    can_report: bool,
    without_callback: bool = False,
) -> tuple[Message, Attempt]:
    """What the outcome of an attempt makes of it and of its message.

    `jitter` (0 to 1) spreads the next try. `without_callback`: a text whose callback address was refused goes out
    once more, at once and without it. An unknown outcome waits for its report or a listing; a service that
    has neither leaves the message `unconfirmed`. A report that came before the answer has settled it already.
    """
    duration_ms = max(0, now - attempt.started_at)
    if attempt.outcome == "accepted":
        known = Vendor(http_status=outcome.vendor.http_status, request_id=outcome.vendor.request_id)
        return message, msgspec.structs.replace(_with_vendor(attempt, known), duration_ms=duration_ms)
    attempt = _with_vendor(attempt, outcome.vendor)
    mine = message.attempt == attempt.sid and message.status == "sending"
    attempt = msgspec.structs.replace(attempt, look_at=None)
    match outcome:
        case Accepted():
            attempt = msgspec.structs.replace(attempt, outcome="accepted", duration_ms=duration_ms)
            return _forward(message, attempt, "accepted", None)
        case Refused():
            attempt = msgspec.structs.replace(
                attempt, outcome="refused", duration_ms=duration_ms, reason=outcome.reason, link=outcome.link
            )
            if not mine:
                return message, attempt
            if outcome.about == "callback" and without_callback:
                return _at_once(message, outcome.reason, now), attempt
            return message.ended("failed", outcome.reason), attempt
        case Unavailable():
            attempt = msgspec.structs.replace(
                attempt, outcome="unavailable", duration_ms=duration_ms, reason=outcome.reason
            )
            return (_later(message, outcome, now, jitter) if mine else message), attempt
        case Unknown():
            attempt = msgspec.structs.replace(
                attempt,
                outcome="unknown",
                duration_ms=duration_ms,
                reason=outcome.reason,
                answered=outcome.answered,
                unknown_at=now,
            )
            if can_look:
                return message, msgspec.structs.replace(attempt, look_at=next_look(attempt, now))
            if can_report:
                return message, msgspec.structs.replace(attempt, look_at=message.valid_until)
            return (message.ended("unconfirmed", outcome.reason) if mine else message), attempt
        case _:
            assert_never(outcome)


def lost(attempt: Attempt, now: int, reason: str) -> Attempt:
    """An intent whose node died: whether the service was asked is unknown."""
    attempt = msgspec.structs.replace(attempt, outcome="unknown", reason=reason, unknown_at=now)
    return msgspec.structs.replace(attempt, look_at=next_look(attempt, now))


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


def matching(attempt: Attempt, listed: Sequence[Row], needle: str, *, at_end: bool) -> list[Row]:
    """The listed messages that may be this attempt's, oldest first.

    `needle` is the code, or the caller's own text, which the listed one then ends with (`at_end`); without it only
    redacted ones match.
    """
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


def found(
    message: Message, attempt: Attempt, status: ReportStatus, vendor: Vendor, reason: str | None
) -> tuple[Message, Attempt]:
    """A listing showed that the attempt had been accepted, and how far it has come."""
    attempt = _with_vendor(attempt, vendor)
    attempt = msgspec.structs.replace(attempt, outcome="accepted", look_at=None, reason=reason)
    return _forward(message, attempt, status, reason)


def absent(message: Message, attempt: Attempt, now: int) -> tuple[Message, Attempt]:
    """A listing did not show the attempt: look again, or, after the last look, send anew while that is of use."""
    attempt = msgspec.structs.replace(attempt, looked_at=now)
    attempt = msgspec.structs.replace(attempt, look_at=next_look(attempt, now))
    if attempt.look_at is not None or message.attempt != attempt.sid or message.status != "sending":
        return message, attempt
    if message.usable(now):
        return msgspec.structs.replace(message, status="queued", due_at=now), attempt
    return message.ended("expired", "The vendor never got it, and too little of its life is left."), attempt


def not_listed(message: Message, attempt: Attempt, now: int, reason: str) -> tuple[Message, Attempt]:
    """The listing failed, which proves nothing: again later, until the message's life is over."""
    if now < message.valid_until:
        wait = min(10_000, max(2_000, message.valid_until - now))
        return message, msgspec.structs.replace(attempt, look_at=now + wait)
    return unconfirmed(message, attempt, reason)


def unconfirmed(message: Message, attempt: Attempt, reason: str) -> tuple[Message, Attempt]:
    """Nobody could tell what became of the attempt; a late report still may."""
    attempt = msgspec.structs.replace(attempt, look_at=None)
    if message.attempt != attempt.sid or message.status != "sending":
        return message, attempt
    return message.ended("unconfirmed", reason), attempt


def is_news(attempt: Attempt, status: ReportStatus) -> bool:
    """Whether a report moves the attempt forward."""
    return not attempt.final and _RANK[status] > _RANK[attempt.status or "queued"]


def reported(
    message: Message, attempt: Attempt, status: ReportStatus, vendor: Vendor, reason: str | None
) -> tuple[Message, Attempt]:
    """A report moves attempt and message forward, never back, and settles an unknown outcome."""
    if not is_news(attempt, status):
        return message, attempt
    attempt = _with_vendor(attempt, vendor)
    attempt = msgspec.structs.replace(attempt, outcome="accepted", look_at=None, reason=reason or attempt.reason)
    return _forward(message, attempt, status, reason)


def _with_vendor(attempt: Attempt, vendor: Vendor) -> Attempt:
    return msgspec.structs.replace(
        attempt,
        vendor_http_status=vendor.http_status if vendor.http_status is not None else attempt.vendor_http_status,
        vendor_code=vendor.code or attempt.vendor_code,
        vendor_message=vendor.message or attempt.vendor_message,
        vendor_sid=vendor.sid or attempt.vendor_sid,
        vendor_status=vendor.status or attempt.vendor_status,
        vendor_request_id=vendor.request_id or attempt.vendor_request_id,
    )


def _forward(message: Message, attempt: Attempt, status: ReportStatus, reason: str | None) -> tuple[Message, Attempt]:
    if _RANK[status] > _RANK[attempt.status or "queued"]:
        attempt = msgspec.structs.replace(attempt, status=status)
    newer_one_open = message.attempt != attempt.sid and message.status not in ENDED
    if _RANK[status] <= _RANK[message.status] or (newer_one_open and status in ("failed", "undelivered")):
        return message, attempt
    return (
        msgspec.structs.replace(
            message, status=status, reason=reason, due_at=None, body=None if status in ENDED else message.body
        ),
        attempt,
    )


def _at_once(message: Message, reason: str, now: int) -> Message:
    if not message.usable(now):
        return message.ended("expired", f"{reason} Too little of its life is left to send it without one.")
    return msgspec.structs.replace(message, status="queued", due_at=now, reason=reason)


def _later(message: Message, outcome: Unavailable, now: int, jitter: float) -> Message:
    backoff_s = min(LONGEST_BACKOFF_S, 2.0**message.tries) * (0.75 + jitter / 2)
    wait_s = backoff_s if outcome.retry_after_s is None else outcome.retry_after_s
    due_at = now + int(wait_s * 1000)
    if message.valid_until - due_at < NO_STALE_TEXT_S * 1000:
        return message.ended("expired", f"{outcome.reason} Its life would end before the next try.")
    return msgspec.structs.replace(
        message, status="queued", due_at=due_at, tries=message.tries + 1, reason=outcome.reason
    )
