"""The sender policy: a tenant's choice and settings of sender services, as numbered revisions."""

from __future__ import annotations

from typing import Any

import msgspec

Sections = dict[str, dict[str, Any]]


class Policy(msgspec.Struct, frozen=True):
    """The policy in force. `sections` hold each service's settings without any secret."""

    tenant: str
    revision: int = 0
    sender_service: str | None = None
    fallback: tuple[str, ...] = ()
    sections: Sections = {}
    incomplete: bool = True
    updated_at: int = 0


class Revision(msgspec.Struct, frozen=True):
    """One Save: who, when, what changed in words (secrets as "changed"), and the values without secrets."""

    tenant: str
    number: int
    at: int
    who: str
    changes: tuple[str, ...]
    sender_service: str | None
    fallback: tuple[str, ...]
    sections: Sections


class StoredSecret(msgspec.Struct, frozen=True):
    """An encrypted secret of one owner for one destination.

    Once `retired_at` is set it no longer sends, and is erased 48 hours later: until then it still proves the
    reports and look-ups of what it sent.
    """

    sid: str
    tenant: str
    service: str
    field: str
    owner: str
    destination: str
    sealed: str
    set_at: int
    set_by: str
    retired_at: int | None = None
