"""What the native API answers: the shapes of the contract, made from the domain's values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, Literal, TypeVar

import msgspec

from otpost.api.moments import moment, moment_or_none
from otpost.domain.access import ApiKey
from otpost.domain.application import Application
from otpost.domain.message import Attempt, Message, MessageStatus, Report, ReportStatus
from otpost.domain.outcome import OutcomeName
from otpost.domain.phone import trusted
from otpost.domain.verification import Status, Verification, What

T = TypeVar("T")


class Page(msgspec.Struct, Generic[T]):
    """One page of a list; `next` is the cursor of the following page, or null."""

    items: list[T]
    next: str | None


class MessageBrief(msgspec.Struct):
    sid: str
    status: MessageStatus
    reason: str | None


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
    at: str
    what: What
    detail: str


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
    reason: str | None
    link: str | None
    vendor: VendorShape


class ReportShape(msgspec.Struct):
    at: str
    status: ReportStatus
    vendor_status: str
    vendor_code: str | None


class MessageShape(msgspec.Struct):
    sid: str
    application: str
    verification: str | None
    to: str
    status: MessageStatus
    reason: str | None
    segments: int
    created_at: str
    valid_until: str
    route: RouteShape
    attempts: list[AttemptShape]
    reports: list[ReportShape]


class VerificationDetail(VerificationShape):
    messages: list[MessageShape]
    events: list[EventShape]


class ApplicationShape(msgspec.Struct):
    sid: str
    name: str
    code_length: int
    lifetime_s: int
    max_checks: int
    max_sends: int
    resend_after_s: int
    body: str
    default_region: str | None
    allowed_dialing_codes: list[str]
    number_sends_per_hour: int
    number_sends_per_day: int
    number_checks_per_hour: int
    max_sends_per_hour: int | None
    max_sends_per_client_ip: int | None
    max_segments: int
    created_at: str
    updated_at: str


class KeyShape(msgspec.Struct):
    sid: str
    application: str | None
    scope: str
    name: str
    created_at: str
    revoked_at: str | None


class NewKeyShape(KeyShape):
    """`secret` is shown this once."""

    secret: str


def brief(message: Message | None) -> MessageBrief | None:
    return None if message is None else MessageBrief(message.sid, message.status, message.reason)


def verification(row: Verification, message: Message | None, now: int) -> VerificationShape:
    return VerificationShape(*_verification(row, message, now))


def check(row: Verification, message: Message | None, now: int, *, valid: bool) -> CheckShape:
    return CheckShape(*_verification(row, message, now), valid)


def verification_detail(
    row: Verification, stories: Sequence[tuple[Message, Sequence[Attempt], Sequence[Report]]], now: int
) -> VerificationDetail:
    latest = next((told for told, _, _ in stories if told.sid == row.message), None)
    events = [EventShape(moment(event.at), event.what, event.detail) for event in row.events]
    if row.status == "pending" and row.status_at(now) == "expired":
        events.append(EventShape(moment(row.expires_at), "expired", ""))
    return VerificationDetail(*_verification(row, latest, now), [message(*story) for story in stories], events)


def _verification(
    row: Verification, message: Message | None, now: int
) -> tuple[str, str, str, str, Status, Literal["sms"], str, str, str, str | None, int, int, int, MessageBrief | None]:
    return (
        row.sid,
        row.application,
        row.to,
        trusted(row.to).masked,
        row.status_at(now),
        "sms",
        moment(row.created_at),
        moment(row.expires_at),
        moment(row.resend_at),
        moment_or_none(row.approved_at),
        row.sends,
        row.checks,
        row.checks_left,
        brief(message),
    )


def message(row: Message, attempts: Sequence[Attempt], reports: Sequence[Report]) -> MessageShape:
    return MessageShape(
        row.sid,
        row.application,
        row.verification,
        row.to,
        row.status,
        row.reason,
        row.segments,
        moment(row.created_at),
        moment(row.valid_until),
        RouteShape(row.service, row.account_sid, row.origin, row.route_reason),
        [attempt_shape(attempt) for attempt in attempts],
        [
            ReportShape(moment(report.at), report.status, report.vendor_status, report.vendor_code or None)
            for report in reports
        ],
    )


def attempt_shape(row: Attempt) -> AttemptShape:
    return AttemptShape(
        row.sid,
        row.outcome,
        moment(row.started_at),
        row.duration_ms,
        row.service,
        row.account_sid,
        row.origin,
        row.reason,
        row.link,
        VendorShape(
            row.vendor_http_status,
            row.vendor_code,
            row.vendor_message,
            row.vendor_sid,
            row.vendor_status,
            row.vendor_request_id,
        ),
    )


def application(row: Application) -> ApplicationShape:
    rules = row.rules
    return ApplicationShape(
        row.sid,
        row.name,
        rules.code_length,
        rules.lifetime_s,
        rules.max_checks,
        rules.max_sends,
        rules.resend_after_s,
        rules.body,
        rules.default_region,
        list(rules.allowed_dialing_codes),
        rules.number_sends_per_hour,
        rules.number_sends_per_day,
        rules.number_checks_per_hour,
        rules.max_sends_per_hour,
        rules.max_sends_per_client_ip,
        rules.max_segments,
        moment(row.created_at),
        moment(row.updated_at),
    )


def key(row: ApiKey) -> KeyShape:
    return KeyShape(
        row.sid, row.application, row.scope, row.name, moment(row.created_at), moment_or_none(row.revoked_at)
    )


def new_key(row: ApiKey, secret: str) -> NewKeyShape:
    return NewKeyShape(
        row.sid, row.application, row.scope, row.name, moment(row.created_at), moment_or_none(row.revoked_at), secret
    )
