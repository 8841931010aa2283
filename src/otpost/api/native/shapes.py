"""What the native API answers: the shapes of the contract, made from the domain's values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, Literal, TypeVar

import msgspec

from otpost.api.moments import moment, moment_or_none
from otpost.domain.access import ApiKey, Tenant
from otpost.domain.application import Application
from otpost.domain.message import Attempt, Message, MessageStatus, Report, ReportStatus, timeline
from otpost.domain.outcome import REASONS, Help, OutcomeName, ReasonName
from otpost.domain.phone import trusted
from otpost.domain.verification import Event, Status, Verification, What

T = TypeVar("T")


class Page(msgspec.Struct, Generic[T]):
    """One page of a list; `next` is the cursor of the following page, or null."""

    items: list[T]
    next: str | None


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


class MessageShape(msgspec.Struct):
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
    attempts: list[AttemptShape]
    reports: list[ReportShape]
    explanation: ExplanationShape | None
    events: list[LineShape]


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
    allowed_regions: list[str]
    number_sends_per_hour: int
    number_sends_per_day: int
    number_checks_per_hour: int
    max_sends_per_hour: int | None
    max_sends_per_client_ip: int | None
    max_segments: int
    created_at: str
    updated_at: str


class TenantShape(msgspec.Struct):
    """`sid` is the account SID of the Twilio-shaped API, whose password is the auth token."""

    sid: str
    name: str
    default_application: str
    auth_token_set: bool
    auth_token_at: str | None


class NewTokenShape(TenantShape):
    """`auth_token` is shown this once."""

    auth_token: str


class KeyShape(msgspec.Struct):
    """`last_used_at` is the minute of the last use. Without `expires_at` a key is in force until it is revoked."""

    sid: str
    name: str
    scope: str
    application: str | None
    created_at: str
    created_by: str
    last_used_at: str | None
    expires_at: str | None
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
    own = list(row.events)
    if row.status == "pending" and row.status_at(now) == "expired":
        own.append(Event(row.expires_at, "expired"))
    events = [(event.at, 0, EventShape(moment(event.at), event.what, event.detail, _WHO[event.what])) for event in own]
    for story in stories:
        for line in timeline(*story):
            shape = EventShape(
                moment(line.at),
                line.what,
                line.detail or "",
                line.who,
                story[0].sid,
                line.reason,
                line.vendor_code,
                line.link,
                line.duration_ms,
            )
            events.append((line.at, 1, shape))
    events.sort(key=lambda event: event[:2])
    told = [message(*story) for story in stories]
    return VerificationDetail(*_verification(row, latest, now), told, [shape for _, _, shape in events])


_WHO: dict[What, str] = {
    "started": "application",
    "resent": "application",
    "wrong_code": "application",
    "approved": "application",
    "canceled": "application",
    "expired": "otpost",
    "max_attempts_reached": "otpost",
}


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
        explanation(row.reason),
        [
            LineShape(
                moment(line.at),
                line.who,
                line.what,
                line.reason,
                line.detail,
                line.vendor_code,
                line.link,
                line.duration_ms,
            )
            for line in timeline(row, attempts, reports)
        ],
    )


def explanation(reason: ReasonName | None) -> ExplanationShape | None:
    """The words for a reason."""
    if reason is None:
        return None
    known = REASONS[reason]
    return ExplanationShape(known.for_application, known.for_administrator, known.help)


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
        row.detail,
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
        list(rules.allowed_regions),
        rules.number_sends_per_hour,
        rules.number_sends_per_day,
        rules.number_checks_per_hour,
        rules.max_sends_per_hour,
        rules.max_sends_per_client_ip,
        rules.max_segments,
        moment(row.created_at),
        moment(row.updated_at),
    )


def tenant(row: Tenant) -> TenantShape:
    return TenantShape(
        row.sid, row.name, row.default_application, row.auth_token is not None, moment_or_none(row.auth_token_at)
    )


def new_token(row: Tenant, token: str) -> NewTokenShape:
    return NewTokenShape(row.sid, row.name, row.default_application, True, moment_or_none(row.auth_token_at), token)


def key(row: ApiKey) -> KeyShape:
    return KeyShape(*_key(row))


def new_key(row: ApiKey, secret: str) -> NewKeyShape:
    return NewKeyShape(*_key(row), secret)


def _key(row: ApiKey) -> tuple[str, str, str, str | None, str, str, str | None, str | None, str | None]:
    return (
        row.sid,
        row.name,
        row.scope,
        row.application,
        moment(row.created_at),
        row.created_by,
        moment_or_none(row.last_used_at),
        moment_or_none(row.expires_at),
        moment_or_none(row.revoked_at),
    )
