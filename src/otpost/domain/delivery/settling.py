"""How each outcome and report moves a message and its attempts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, assert_never

import msgspec

from otpost.domain.delivery.moments import next_look
from otpost.domain.delivery.ways import Rest, Resting, Way, choose, may_follow, never_resting, takes
from otpost.domain.message import ENDED, NO_STALE_TEXT_S, RANK, Attempt, Message, MessageStatus, ReportStatus
from otpost.domain.outcome import REASONS, Accepted, Outcome, ReasonName, Refused, Unavailable, Unknown, Vendor
from otpost.domain.policy import Route, lane_of

LONGEST_BACKOFF_S: Final = 60


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
    has neither leaves the message `unconfirmed`, or is asked a second time where the administrator `sends_again`.
    `failover_at` is when the message goes another way unless a report says `delivered` before. `ways` are those that
    the message may take at all, `others` its other attempts, and `resting` tells which accounts take nothing now. A
    report that came before the answer has settled it already, and one that was given up as lost is being looked for.
    """
    duration_ms = max(0, now - attempt.started_at)
    if attempt.outcome == "accepted":
        known = Vendor(http_status=outcome.vendor.http_status, request_id=outcome.vendor.request_id)
        return message, msgspec.structs.replace(with_vendor(attempt, known), duration_ms=duration_ms)
    if attempt.outcome == "unknown" and isinstance(outcome, Unknown):
        return message, msgspec.structs.replace(with_vendor(attempt, outcome.vendor), duration_ms=duration_ms)
    attempt = msgspec.structs.replace(with_vendor(attempt, outcome.vendor), duration_ms=duration_ms, look_at=None)
    mine = hangs_on(message, attempt)
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
                return at_once(message, outcome.reason, now, (*others, attempt)), attempt
            elsewhere = REASONS[outcome.reason].help != "nobody" and choose(ways, (*others, attempt)) is not None
            if elsewhere:
                return at_once(message, outcome.reason, now, (*others, attempt)), attempt
            return given_up(message, "failed", outcome.reason, others), attempt
        case Unavailable():
            attempt = msgspec.structs.replace(attempt, outcome="unavailable", link=outcome.link)
            return (_later(message, attempt, outcome, now, jitter, ways, others, resting) if mine else message), attempt
        case Unknown():
            attempt = msgspec.structs.replace(attempt, outcome="unknown", answered=outcome.answered, unknown_at=now)
            if can_look or can_report:
                look_at = next_look(attempt, now) if can_look else message.valid_until
                return wait_for_failover(message, attempt, failover_at, now), msgspec.structs.replace(
                    attempt, look_at=look_at
                )
            if mine and sends_again and may_follow((*others, attempt)):
                return _later(message, attempt, outcome, now, jitter, ways, others, resting), attempt
            return (given_up(message, "unconfirmed", outcome.reason, others) if mine else message), attempt
        case _:
            assert_never(outcome)


def wait_for_failover(message: Message, attempt: Attempt, failover_at: int | None, now: int) -> Message:
    """The message while nobody knows of its attempt's text: at `failover_at`, if there is one, it goes another way."""
    if failover_at is None or message.handed_over or not hangs_on(message, attempt):
        return message
    return msgspec.structs.replace(message, due_at=max(now, failover_at))


def is_news(attempt: Attempt, status: ReportStatus) -> bool:
    """Whether a report moves the attempt forward. A late `delivered` does even after a failure: the phone has it."""
    return RANK[status] > RANK[attempt.status or "queued"]


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
    if RANK[status] <= RANK[message.status]:
        return message, attempt
    its_own = message.attempt == attempt.sid
    if awaited := [other.sid for other in others if other.may_arrive]:
        return (msgspec.structs.replace(message, attempt=awaited[-1]) if its_own else message), attempt
    waiting = message.due_at is not None and not message.handed_over
    if not its_own and waiting:
        return message, attempt
    helps = reason is None or REASONS[reason].help != "nobody"
    tried = (*others, attempt)
    if helps and message.usable(now) and may_follow(tried) and choose(ways, tried) is not None:
        return msgspec.structs.replace(message, status="queued", due_at=now, reason=reason), attempt
    return message.ended(status, reason or "not_delivered"), attempt


def forward(
    message: Message, attempt: Attempt, status: ReportStatus, reason: ReasonName | None, *, failover_at: int | None
) -> tuple[Message, Attempt]:
    """Attempt and message have come as far as `status`, which is no failure.

    A message that no service had taken so far hangs on this attempt from now on: a later one, which was made because
    nobody knew of this text, is not repeated.
    """
    if RANK[status] > RANK[attempt.status or "queued"]:
        attempt = msgspec.structs.replace(attempt, status=status)
    if RANK[status] <= RANK[message.status]:
        return message, attempt
    due_at, on = (message.due_at, message.attempt) if message.handed_over else (failover_at, attempt.sid)
    ended = status in ENDED
    return (
        msgspec.structs.replace(
            message,
            attempt=on,
            status=status,
            reason=reason,
            due_at=None if ended else due_at,
            body=None if ended else message.body,
        ),
        attempt,
    )


def given_up(message: Message, status: MessageStatus, reason: ReasonName, attempts: Sequence[Attempt]) -> Message:
    """No attempt will follow. While the text of one of those before may arrive, the message waits for that."""
    awaited = [attempt.sid for attempt in attempts if attempt.may_arrive]
    if awaited:
        going = message.status if message.handed_over else "sending"
        return msgspec.structs.replace(message, status=going, due_at=None, attempt=awaited[-1])
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


def hangs_on(message: Message, attempt: Attempt) -> bool:
    """Whether it hangs on this attempt what becomes of the message."""
    return message.attempt == attempt.sid and (message.status == "sending" or message.handed_over)


def at_once(message: Message, reason: ReasonName, now: int, attempts: Sequence[Attempt]) -> Message:
    """The message goes again now, if it may and that is of use still; `attempts` are all of its own."""
    if not may_follow(attempts):
        return given_up(message, "unconfirmed", "answer_lost", attempts)
    if not message.usable(now):
        return given_up(message, "expired", reason, attempts)
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
        if not takes(attempt, route) or (known is not None and known.ms > wait_ms):
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
