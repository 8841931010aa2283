"""What the native API answers: the shapes of the contract, made from the domain's values."""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

from otpost.domain.access import ApiKey, Tenant
from otpost.domain.application import Application
from otpost.domain.moments import format_moment, format_moment_or_none

T = TypeVar("T")


class Page(msgspec.Struct, Generic[T]):
    """One page of a list; `next` is the cursor of the following page, or null."""

    items: list[T]
    next: str | None


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
        format_moment(row.created_at),
        format_moment(row.updated_at),
    )


def tenant(row: Tenant) -> TenantShape:
    return TenantShape(
        row.sid, row.name, row.default_application, row.auth_token is not None, format_moment_or_none(row.auth_token_at)
    )


def new_token(row: Tenant, token: str) -> NewTokenShape:
    return NewTokenShape(
        row.sid, row.name, row.default_application, True, format_moment_or_none(row.auth_token_at), token
    )


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
        format_moment(row.created_at),
        row.created_by,
        format_moment_or_none(row.last_used_at),
        format_moment_or_none(row.expires_at),
        format_moment_or_none(row.revoked_at),
    )
