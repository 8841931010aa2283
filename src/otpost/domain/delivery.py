"""How each outcome, look-up and report moves a message and its attempts, and which way the message takes next."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol, TypeVar, assert_never

import msgspec

from otpost.domain.message import ENDED, FINAL, NO_STALE_TEXT_S, RANK, Attempt, Message, MessageStatus, ReportStatus
from otpost.domain.outcome import REASONS, Accepted, Outcome, ReasonName, Refused, Unavailable, Unknown, Vendor
from otpost.domain.policy import Route, lane_of

LOOKS_AFTER_ANSWER_MS: Final = (2_000, 6_000)
LOOKS_AFTER_SILENCE_MS: Final = (2_000, 10_000, 25_000)
CREATED_BEFORE_INTENT_MS: Final = 5_000
LONGEST_BACKOFF_S: Final = 60
FIRST_FETCH_MS: Final = 60_000
FETCHED_FOR_MS: Final = 4 * 3_600_000
TIRED_AFTER: Final = 3
"""After how many tries on one way the next one is taken, if there is one; an unknown outcome counts twice."""
SHORT_REST_MS: Final = 5_000
"""A way whose account asked for no longer a pause than this is waited for, even if there is another."""


class Rest(NamedTuple):
    """How long an account takes nothing, and why: it asked for a pause, or its circuit breaker is open."""

    ms: int
    reason: ReasonName


class Way(NamedTuple):
    """One of the routes that a message may take, in their order.

    `for_account_reasons`: it stands in for the first way alone, and only where that one's account is at fault.
    """

    route: Route
    for_account_reasons: bool = False


Resting = Callable[[Route], Rest | None]


def never_resting(route: Route) -> Rest | None:
    """Nothing is known of any account."""
    return None


def choose(
    ways: Sequence[Way], attempts: Sequence[Attempt], resting: Resting = never_resting
) -> tuple[Way, Rest | None] | None:
    """The way that a message takes after its `attempts`, and how long that one still rests; None if none is left.

    The first one that was neither refused nor tried too often and does not rest for long; else the one that rests
    the shortest.
    """
    open_ways = [way for way in ways if not _spent(way.route, attempts) and _allowed(way, ways, attempts, resting)]
    if not open_ways:
        return None
    rests = [resting(way.route) for way in open_ways]
    waits_ms = [rest.ms if rest else 0 for rest in rests]
    for way, rest in zip(open_ways, rests, strict=True):
        if not _tired(way.route, attempts) and (rest is None or _is_short(rest)):
            return way, rest
    shortest = waits_ms.index(min(waits_ms))
    return open_ways[shortest], rests[shortest]


def _is_short(rest: Rest) -> bool:
    """Whether a rest is waited for. One behind a circuit breaker never is: nobody knows that it will be over then."""
    return rest.reason == "throttled" and rest.ms <= SHORT_REST_MS


def _same(attempt: Attempt, route: Route) -> bool:
    return (attempt.service, attempt.account_sid, attempt.origin) == (route.service, route.account_sid, route.origin)


def _spent(route: Route, attempts: Sequence[Attempt]) -> bool:
    """Whether the way was refused, or has a text of this message that may still arrive or did not.

    Only its callback address is refused once: the text goes out without it, and what is refused then is refused.
    """
    own = [attempt for attempt in attempts if _same(attempt, route)]
    refusals = [attempt.reason for attempt in own if attempt.outcome == "refused"]
    return (
        any(reason != "callback_refused" for reason in refusals)
        or len(refusals) > 1
        or any(attempt.outcome == "accepted" or _may_arrive(attempt) for attempt in own)
    )


def _tired(route: Route, attempts: Sequence[Attempt]) -> bool:
    weights = {"unavailable": 1, "unknown": 2}
    return sum(weights.get(attempt.outcome or "", 0) for attempt in attempts if _same(attempt, route)) >= TIRED_AFTER


def _allowed(way: Way, ways: Sequence[Way], attempts: Sequence[Attempt], resting: Resting) -> bool:
    if not way.for_account_reasons:
        return True
    first = ways[0].route
    reasons = [attempt.reason for attempt in attempts if _same(attempt, first)]
    if rest := resting(first):
        reasons.append(rest.reason)
    return any(REASONS[reason].account for reason in reasons if reason is not None)


def intend(message: Message, attempt: str, route: Route, now: int, node: str) -> tuple[Message, Attempt]:
    """The intent to send, committed before anything is sent."""
    return (
        msgspec.structs.replace(
            message,
            status=message.status if message.handed_over else "sending",
            due_at=None,
            put_off=0,
            attempt=attempt,
            service=route.service,
            account_sid=route.account_sid,
            origin=route.origin,
            route_reason=route.reason,
            lane=lane_of(message.tenant, route),
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
    sends_again: bool = False,
    failover_at: int | None = None,
    ways: Sequence[Way] = (),
    others: Sequence[Attempt] = (),
    resting: Resting = never_resting,
) -> tuple[Message, Attempt]:
    """What the outcome of an attempt makes of it and of its message.

    `jitter` (0 to 1) spreads the next try. `without_callback`: a text whose callback address was refused goes out
    once more, at once and without it. An unknown outcome waits for its report or a listing; a service that
    has neither leaves the message `unconfirmed`, or is asked once more where the administrator `sends_again`.
    `failover_at` is when the message goes another way unless a report says `delivered` before. `ways` are those that
    the message may take at all, `others` its other attempts, and `resting` tells which accounts take nothing now. A
    report that came before the answer has settled it already.
    """
    duration_ms = max(0, now - attempt.started_at)
    if attempt.outcome == "accepted":
        known = Vendor(http_status=outcome.vendor.http_status, request_id=outcome.vendor.request_id)
        return message, msgspec.structs.replace(with_vendor(attempt, known), duration_ms=duration_ms)
    attempt = msgspec.structs.replace(with_vendor(attempt, outcome.vendor), duration_ms=duration_ms, look_at=None)
    mine = _waits_for(message, attempt)
    if isinstance(outcome, Accepted):
        attempt = msgspec.structs.replace(attempt, outcome="accepted")
        return forward(message, attempt, "accepted", None, failover_at=failover_at)
    attempt = msgspec.structs.replace(attempt, reason=outcome.reason, detail=outcome.detail)
    match outcome:
        case Refused():
            attempt = msgspec.structs.replace(attempt, outcome="refused", link=outcome.link)
            if not mine:
                return message, attempt
            if outcome.reason == "callback_refused" and without_callback:
                return _at_once(message, outcome.reason, now, others), attempt
            elsewhere = REASONS[outcome.reason].help != "nobody" and choose(ways, (*others, attempt)) is not None
            if elsewhere:
                return _at_once(message, outcome.reason, now, others), attempt
            return given_up(message, "failed", outcome.reason, others), attempt
        case Unavailable():
            attempt = msgspec.structs.replace(attempt, outcome="unavailable", link=outcome.link)
            return (_later(message, attempt, outcome, now, jitter, ways, others, resting) if mine else message), attempt
        case Unknown():
            attempt = msgspec.structs.replace(attempt, outcome="unknown", answered=outcome.answered, unknown_at=now)
            if can_look or can_report:
                look_at = next_look(attempt, now) if can_look else message.valid_until
                if mine and failover_at is not None and not message.handed_over:
                    message = msgspec.structs.replace(message, due_at=max(now, failover_at))
                return message, msgspec.structs.replace(attempt, look_at=look_at)
            if mine and sends_again:
                return _later(message, attempt, outcome, now, jitter, ways, others, resting), attempt
            return (given_up(message, "unconfirmed", outcome.reason, others) if mine else message), attempt
        case _:
            assert_never(outcome)


def lost(attempt: Attempt, now: int, detail: str) -> Attempt:
    """An intent whose node died: whether the service was asked is unknown."""
    attempt = msgspec.structs.replace(attempt, outcome="unknown", reason="answer_lost", detail=detail, unknown_at=now)
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
    if attempt.look_at is not None or not _waits_for(message, attempt):
        return message, attempt
    return _at_once(message, "answer_lost", now, others), attempt


def not_listed(message: Message, attempt: Attempt, now: int, others: Sequence[Attempt] = ()) -> tuple[Message, Attempt]:
    """The listing failed, which proves nothing: again later, until the message's life is over."""
    if now < message.valid_until:
        wait = min(10_000, max(2_000, message.valid_until - now))
        return message, msgspec.structs.replace(attempt, look_at=now + wait)
    return unconfirmed(message, attempt, others)


def unconfirmed(message: Message, attempt: Attempt, others: Sequence[Attempt] = ()) -> tuple[Message, Attempt]:
    """Nobody could tell what became of the attempt; a late report still may."""
    attempt = msgspec.structs.replace(attempt, look_at=None)
    if not _waits_for(message, attempt):
        return message, attempt
    return given_up(message, "unconfirmed", "answer_lost", others), attempt


def is_news(attempt: Attempt, status: ReportStatus) -> bool:
    """Whether a report moves the attempt forward."""
    return not attempt.final and RANK[status] > RANK[attempt.status or "queued"]


def reported(
    message: Message,
    attempt: Attempt,
    status: ReportStatus,
    vendor: Vendor,
    now: int,
    *,
    reason: ReasonName | None = None,
    detail: str | None = None,
    link: str | None = None,
    failover_at: int | None = None,
    ways: Sequence[Way] = (),
    others: Sequence[Attempt] = (),
) -> tuple[Message, Attempt]:
    """A report, or a listing, moves attempt and message forward, never back, and settles an unknown outcome.

    Where it says that the text did not arrive, the message goes the next of its `ways`, if one is left that may help;
    and it has not failed while one of its `others` may still arrive.
    """
    if not is_news(attempt, status):
        return message, attempt
    attempt = msgspec.structs.replace(with_vendor(attempt, vendor), outcome="accepted", look_at=None)
    attempt = msgspec.structs.replace(
        attempt, reason=reason, detail=detail or None, link=link or (attempt.link if reason else None)
    )
    if status not in ("failed", "undelivered"):
        return forward(message, attempt, status, None, failover_at=failover_at)
    attempt = msgspec.structs.replace(attempt, status=status)
    if RANK[status] <= RANK[message.status] or any(_may_arrive(other) for other in others):
        return message, attempt
    newest = message.attempt == attempt.sid
    waiting = message.due_at is not None and not message.handed_over
    if not newest and waiting:
        return message, attempt
    helps = reason is None or REASONS[reason].help != "nobody"
    if helps and message.usable(now) and choose(ways, (*others, attempt)) is not None:
        return msgspec.structs.replace(message, status="queued", due_at=now, reason=reason), attempt
    return message.ended(status, reason or "not_delivered"), attempt


def forward(
    message: Message, attempt: Attempt, status: ReportStatus, reason: ReasonName | None, *, failover_at: int | None
) -> tuple[Message, Attempt]:
    """Attempt and message have come as far as `status`, which is no failure."""
    if RANK[status] > RANK[attempt.status or "queued"]:
        attempt = msgspec.structs.replace(attempt, status=status)
    if RANK[status] <= RANK[message.status]:
        return message, attempt
    due_at = message.due_at if message.handed_over else failover_at
    ended = status in ENDED
    return (
        msgspec.structs.replace(
            message,
            status=status,
            reason=reason,
            due_at=None if ended else due_at,
            body=None if ended else message.body,
        ),
        attempt,
    )


def given_up(message: Message, status: MessageStatus, reason: ReasonName, attempts: Sequence[Attempt]) -> Message:
    """No attempt will follow. While the text of one of those before may arrive, the message waits for that."""
    awaited = [attempt.sid for attempt in attempts if _may_arrive(attempt)]
    if awaited:
        return msgspec.structs.replace(message, due_at=None, attempt=awaited[-1])
    return message.ended(status, reason)


def with_vendor(attempt: Attempt, vendor: Vendor) -> Attempt:
    """The attempt with what the service said of late; what it left out stays."""
    return msgspec.structs.replace(
        attempt,
        vendor_http_status=vendor.http_status if vendor.http_status is not None else attempt.vendor_http_status,
        vendor_code=vendor.code or attempt.vendor_code,
        vendor_message=vendor.message or attempt.vendor_message,
        vendor_sid=vendor.sid or attempt.vendor_sid,
        vendor_status=vendor.status or attempt.vendor_status,
        vendor_request_id=vendor.request_id or attempt.vendor_request_id,
    )


def _waits_for(message: Message, attempt: Attempt) -> bool:
    """Whether it hangs on this attempt what becomes of the message."""
    return message.attempt == attempt.sid and (message.status == "sending" or message.handed_over)


def _may_arrive(attempt: Attempt) -> bool:
    """Whether the text of this attempt is on its way, as far as anybody knows."""
    if attempt.outcome == "unknown":
        return attempt.look_at is not None
    return attempt.outcome is None or (attempt.outcome == "accepted" and attempt.status not in FINAL)


def _at_once(message: Message, reason: ReasonName, now: int, others: Sequence[Attempt]) -> Message:
    if not message.usable(now):
        return given_up(message, "expired", reason, others)
    status = message.status if message.handed_over else "queued"
    return msgspec.structs.replace(message, status=status, due_at=now, reason=reason)


def _later(
    message: Message,
    attempt: Attempt,
    outcome: Unavailable | Unknown,
    now: int,
    jitter: float,
    ways: Sequence[Way],
    others: Sequence[Attempt],
    resting: Resting,
) -> Message:
    retry_after_s = outcome.retry_after_s if isinstance(outcome, Unavailable) else None
    backoff_s = min(LONGEST_BACKOFF_S, 2.0**message.tries) * (0.75 + jitter / 2)
    wait_ms = int((backoff_s if retry_after_s is None else retry_after_s) * 1000)

    def rests(route: Route) -> Rest | None:
        known = resting(route)
        if not _same(attempt, route) or (known is not None and known.ms > wait_ms):
            return known
        return Rest(wait_ms, "throttled")

    if (chosen := choose(ways, (*others, attempt), rests)) is not None:
        wait_ms = chosen[1].ms if chosen[1] is not None else 0
    due_at = now + wait_ms
    if message.valid_until - due_at < NO_STALE_TEXT_S * 1000:
        return given_up(message, "expired", outcome.reason, others)
    status = message.status if message.handed_over else "queued"
    return msgspec.structs.replace(
        message, status=status, due_at=due_at, tries=message.tries + 1, reason=outcome.reason
    )
