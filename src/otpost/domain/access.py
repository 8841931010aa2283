"""Who may do what: tenants, API keys, users, and the lines that tell who did it."""

from __future__ import annotations

from typing import Literal

import msgspec

Scope = Literal["verify", "admin"]


class Tenant(msgspec.Struct, frozen=True):
    """An organisation; `default_application` is the one that calls without an application act for.

    `auth_token` is encrypted and not hashed, because it also signs callbacks to applications. `former_token` is the
    one before it, and is good until `former_until`.
    """

    sid: str
    name: str
    created_at: int
    default_application: str
    auth_token: str | None = None
    auth_token_at: int | None = None
    former_token: str | None = None
    former_until: int | None = None


class ApiKey(msgspec.Struct, frozen=True):
    """An API credential; of its secret only the SHA-256 (hex) is kept. Scope `verify` has one application.

    `created_by` names its maker for people. `last_used_at` is the minute of the last use that is kept, which may be
    behind by some seconds. Without `expires_at` it is in force until it is revoked.
    """

    sid: str
    tenant: str
    scope: Scope
    application: str | None
    name: str
    secret_sha256: str
    created_at: int
    created_by: str = ""
    last_used_at: int | None = None
    expires_at: int | None = None
    revoked_at: int | None = None

    def is_in_force(self, now: int) -> bool:
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


class User(msgspec.Struct, frozen=True):
    """A person with the console; `password` is an argon2 hash, absent until the one-time link is used."""

    sid: str
    tenant: str
    name: str
    password: str | None
    created_at: int


class SignInLink(msgspec.Struct, frozen=True):
    """A one-time link to the console, kept as the SHA-256 (hex) of its token.

    Without a `user` it makes the installation's first one, and is dead as soon as there is one.
    """

    token_sha256: str
    tenant: str
    user: str | None
    expires_at: int


class Session(msgspec.Struct, frozen=True):
    """A user signed in to the console, kept as the SHA-256 (hex) of the cookie's token.

    It ends at `expires_at`, or when it was not used for a while after `seen_at`.
    """

    token_sha256: str
    tenant: str
    user: str
    created_at: int
    seen_at: int
    expires_at: int


class Actor(msgspec.Struct, frozen=True):
    """Who acts: `kind` is `key`, `user` or `command`; `name` is for people, `client` the address that acts, if any."""

    tenant: str
    kind: Literal["key", "user", "command"]
    sid: str
    name: str
    client: str = ""


class AuditLine(msgspec.Struct, frozen=True):
    """Who did what, when, and from which address (empty at the command line); `detail` holds no secret and no code."""

    sid: str
    tenant: str
    at: int
    who: str
    what: str
    detail: str
    client: str = ""


class FirstAnswer(msgspec.Struct, frozen=True):
    """The answer to the first request with an Idempotency-Key, encrypted, and the keyed hash of its body.

    Without an `answer` the request is still being worked on.
    """

    scope: str
    call: str
    key: str
    body_hash: str
    status: int
    answer: str | None
    until: int


class KeyCheck(msgspec.Struct, frozen=True):
    """A check value of one key of the key ring, by which a wrong or missing key is known."""

    key_id: str
    check_value: str
    created_at: int
