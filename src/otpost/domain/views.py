"""Verifications and messages as the JSON values that the API answers and webhooks post; never a code or a text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeVar

import msgspec

from otpost.domain.message import Attempt, Message, MessageStatus, Report, ReportStatus, timeline
from otpost.domain.moments import format_moment, format_moment_or_none
from otpost.domain.outcome import REASONS, Help, OutcomeName, ReasonName
from otpost.domain.phone import trusted
from otpost.domain.verification import Event, Status, Verification, What


class MessageBrief(msgspec.Struct):
    sid: str
    status: MessageStatus
    reason: ReasonName | None


class VerificationShape(msgspec.Struct):
    sid: str
    application: str
    to: str
    to_masked: str
    status: Status
    channel: Literal["sms"]
    created_at: str
    expires_at: str
    resend_at: str
    approved_at: str | None
    sends: int
    checks: int
    checks_left: int
    message: MessageBrief | None


class CheckShape(VerificationShape):
    valid: bool


class EventShape(msgspec.Struct):
    """One event of a verification, or of one of its messages (`message` is its SID then)."""

    at: str
    what: str
    detail: str
    who: str
    message: str | None = None
    reason: ReasonName | None = None
    vendor_code: str | None = None
    link: str | None = None
    duration_ms: int | None = None


class LineShape(msgspec.Struct):
    """One event of a message: when, who (`otpost` or the service), what, why, and how long the service took."""

    at: str
    who: str
    what: str
    reason: ReasonName | None
    detail: str | None
    vendor_code: str | None
    link: str | None
    duration_ms: int | None


class ExplanationShape(msgspec.Struct):
    """What a reason means: for the recipient's application, for the administrator, and who can help."""

    for_application: str
    for_administrator: str
    help: Help


class RouteShape(msgspec.Struct):
    """Which service and account send, what the phone shows, and why."""

    service: str
    account_sid: str
    origin: str
    reason: str


class VendorShape(msgspec.Struct):
    http_status: int | None
    code: str | None
    message: str | None
    sid: str | None
    status: str | None
    request_id: str | None


class AttemptShape(msgspec.Struct):
    sid: str
    outcome: OutcomeName | None
    started_at: str
    duration_ms: int | None
    service: str
    account_sid: str
    origin: str
    reason: ReasonName | None
    detail: str | None
    link: str | None
    vendor: VendorShape


class ReportShape(msgspec.Struct):
    at: str
    status: ReportStatus
    vendor_status: str
    vendor_code: str | None


class MessageState(msgspec.Struct):
    sid: str
    application: str
    verification: str | None
    to: str
    status: MessageStatus
    reason: ReasonName | None
    segments: int
    created_at: str
    valid_until: str
    route: RouteShape


class MessageChange(MessageState):
    explanation: ExplanationShape | None


class MessageShape(MessageState):
    attempts: list[AttemptShape]
    reports: list[ReportShape]
    explanation: ExplanationShape | None
    events: list[LineShape]


class VerificationDetail(VerificationShape):
    messages: list[MessageShape]
    events: list[EventShape]


_WHO: dict[What, str] = {
    "started": "application",
    "resent": "application",
    "wrong_code": "application",
    "approved": "application",
    "canceled": "application",
    "expired": "otpost",
    "max_attempts_reached": "otpost",
}

V = TypeVar("V", bound=VerificationShape)


def view_verification(row: Verification, message: Message | None, now: int) -> VerificationShape:
    """A verification with its latest message."""
    return _view(VerificationShape, row, message, now)


def view_check(row: Verification, message: Message | None, now: int, *, valid: bool) -> CheckShape:
    return _view(CheckShape, row, message, now, valid=valid)


def view_verification_detail(
    row: Verification, stories: Sequence[tuple[Message, Sequence[Attempt], Sequence[Report]]], now: int
) -> VerificationDetail:
    """A verification with its messages, and the events of all of them in their order."""
    latest = next((message for message, _, _ in stories if message.sid == row.message), None)
    own = list(row.events)
    if row.status == "pending" and row.status_at(now) == "expired":
        own.append(Event(row.expires_at, "expired"))
    events = [
        (
            event.at,
            0,
            EventShape(at=format_moment(event.at), what=event.what, detail=event.detail, who=_WHO[event.what]),
        )
        for event in own
    ]
    for story in stories:
        for line in timeline(*story):
            event = EventShape(
                at=format_moment(line.at),
                what=line.what,
                detail=line.detail or "",
                who=line.who,
                message=story[0].sid,
                reason=line.reason,
                vendor_code=line.vendor_code,
                link=line.link,
                duration_ms=line.duration_ms,
            )
            events.append((line.at, 1, event))
    events.sort(key=lambda event: event[:2])
    return _view(
        VerificationDetail,
        row,
        latest,
        now,
        messages=[view_message(*story) for story in stories],
        events=[event for _, _, event in events],
    )


def _view(kind: type[V], row: Verification, message: Message | None, now: int, **more: Any) -> V:
    return kind(
        sid=row.sid,
        application=row.application,
        to=row.to,
        to_masked=trusted(row.to).masked,
        status=row.status_at(now),
        channel="sms",
        created_at=format_moment(row.created_at),
        expires_at=format_moment(row.expires_at),
        resend_at=format_moment(row.resend_at),
        approved_at=format_moment_or_none(row.approved_at),
        sends=row.sends,
        checks=row.checks,
        checks_left=row.checks_left,
        message=None if message is None else MessageBrief(message.sid, message.status, message.reason),
        **more,
    )


def view_message(row: Message, attempts: Sequence[Attempt], reports: Sequence[Report]) -> MessageShape:
    """A message with its attempts and reports, and what happened to it."""
    return MessageShape(
        **_state(row),
        attempts=[view_attempt(attempt) for attempt in attempts],
        reports=[
            ReportShape(
                at=format_moment(report.at),
                status=report.status,
                vendor_status=report.vendor_status,
                vendor_code=report.vendor_code or None,
            )
            for report in reports
        ],
        explanation=explain(row.reason),
        events=[
            LineShape(
                at=format_moment(line.at),
                who=line.who,
                what=line.what,
                reason=line.reason,
                detail=line.detail,
                vendor_code=line.vendor_code,
                link=line.link,
                duration_ms=line.duration_ms,
            )
            for line in timeline(row, attempts, reports)
        ],
    )


def view_message_change(row: Message) -> MessageChange:
    """A message without its attempts and reports, as a change of its status is posted."""
    return MessageChange(**_state(row), explanation=explain(row.reason))


def _state(row: Message) -> dict[str, Any]:
    return {
        "sid": row.sid,
        "application": row.application,
        "verification": row.verification,
        "to": row.to,
        "status": row.status,
        "reason": row.reason,
        "segments": row.segments,
        "created_at": format_moment(row.created_at),
        "valid_until": format_moment(row.valid_until),
        "route": RouteShape(
            service=row.service, account_sid=row.account_sid, origin=row.origin, reason=row.route_reason
        ),
    }


def explain(reason: ReasonName | None) -> ExplanationShape | None:
    """The words for a reason."""
    if reason is None:
        return None
    known = REASONS[reason]
    return ExplanationShape(known.for_application, known.for_administrator, known.help)


def view_attempt(row: Attempt) -> AttemptShape:
    return AttemptShape(
        sid=row.sid,
        outcome=row.outcome,
        started_at=format_moment(row.started_at),
        duration_ms=row.duration_ms,
        service=row.service,
        account_sid=row.account_sid,
        origin=row.origin,
        reason=row.reason,
        detail=row.detail,
        link=row.link,
        vendor=VendorShape(
            http_status=row.vendor_http_status,
            code=row.vendor_code,
            message=row.vendor_message,
            sid=row.vendor_sid,
            status=row.vendor_status,
            request_id=row.vendor_request_id,
        ),
    )
