"""What the native API answers: the shapes of the contract, made from the domain's values."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import msgspec

from otpost.domain.access import ApiKey, Tenant
from otpost.domain.application import FIELDS, Application
from otpost.domain.moments import format_moment, format_moment_or_none

T = TypeVar("T")


class Page(msgspec.Struct, Generic[T]):
    """One page of a list; `next` is the cursor of the following page, or null."""

    items: list[T]
    next: str | None


ApplicationShape = msgspec.defstruct(
    "ApplicationShape",
    [
        ("sid", str),
        ("name", str),
        *((field.name, field.type) for field in FIELDS),
        ("created_at", str),
        ("updated_at", str),
    ],
)
ApplicationPage = Page[ApplicationShape]  # type: ignore[valid-type]  # the checker cannot see what it is made from


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


def application(row: Application) -> msgspec.Struct:
    return ApplicationShape(
        sid=row.sid,
        name=row.name,
        **msgspec.structs.asdict(row.rules),
        created_at=format_moment(row.created_at),
        updated_at=format_moment(row.updated_at),
    )


def tenant(row: Tenant) -> TenantShape:
    return TenantShape(**_tenant(row))


def new_token(row: Tenant, token: str) -> NewTokenShape:
    return NewTokenShape(**_tenant(row), auth_token=token)


def _tenant(row: Tenant) -> dict[str, Any]:
    return {
        "sid": row.sid,
        "name": row.name,
        "default_application": row.default_application,
        "auth_token_set": row.auth_token is not None,
        "auth_token_at": format_moment_or_none(row.auth_token_at),
    }


def key(row: ApiKey) -> KeyShape:
    return KeyShape(**_key(row))


def new_key(row: ApiKey, secret: str) -> NewKeyShape:
    return NewKeyShape(**_key(row), secret=secret)


def _key(row: ApiKey) -> dict[str, Any]:
    return {
        "sid": row.sid,
        "name": row.name,
        "scope": row.scope,
        "application": row.application,
        "created_at": format_moment(row.created_at),
        "created_by": row.created_by,
        "last_used_at": format_moment_or_none(row.last_used_at),
        "expires_at": format_moment_or_none(row.expires_at),
        "revoked_at": format_moment_or_none(row.revoked_at),
    }
