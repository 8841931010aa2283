"""What messages and verifications are searched by, and which index finds them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, TypeVar

import msgspec
from sqlalchemy import ColumnElement, and_, func, or_, select

from otpost.domain.message import Message
from otpost.domain.phone import dialing_code_of, trusted
from otpost.domain.sid import ATTEMPT, MESSAGE, VERIFICATION, is_sid
from otpost.senders.registry import find_services
from otpost.services.context import Context
from otpost.services.messages.send import LONGEST_S
from otpost.services.paging import Page, Tenancy, Wanted, read_page, sids_between
from otpost.store.kinds import (
    ATTEMPTS,
    MESSAGES,
    VERIFICATIONS,
)
from otpost.store.units import Kind

ALONG: Final = ("verification", "to", "reason", "status", "account_sid", "application")
"""Columns of which each has an index together with tenant and SID, the most telling first."""
PREFIX: Final = {VERIFICATIONS: VERIFICATION, MESSAGES: MESSAGE}


class Digits(NamedTuple):
    """Numbers by their beginning (`+49`) and last digits; `also` is a whole number that is meant as well."""

    begins: str
    ends: str
    also: str = ""

    def match(self, to: ColumnElement[str]) -> ColumnElement[bool]:
        like = to.like(f"{self.begins}%{self.ends}")
        return or_(like, to == self.also) if self.also else like


class Search(NamedTuple):
    """What is searched for; None: whatever it is. Rows are made at `since` or later, `after` that, before `until`."""

    to: str | None = None
    status: str | None = None
    application: str | None = None
    country: str | None = None
    since: int | None = None
    until: int | None = None
    after: int | None = None
    account: str | None = None
    service: str | None = None
    reason: str | None = None
    digits: Digits | None = None


R = TypeVar("R", bound=msgspec.Struct)


def select_wanted(kind: Kind[R], whose: Tenancy, search: Search, **equal: Any) -> Wanted[R]:
    """The rows of a kind that are the caller's and fit a search; `equal` are further columns and their values."""
    table = kind.table.c
    equal = {
        "to": search.to,
        "status": search.status,
        "account_sid": search.account,
        "service": search.service,
        "reason": search.reason,
        **equal,
    }
    equal = {name: value for name, value in equal.items() if value is not None}
    tests: list[ColumnElement[bool]] = []
    if search.application not in (None, whose.application):
        if whose.application is not None:
            tests.append(table.application == whose.application)
        equal["application"] = search.application
    elif whose.application is not None:
        equal["application"] = whose.application
    first = next((name for name in ALONG if name in equal), None)
    along: list[ColumnElement[bool]] = [table.tenant == whose.tenant]
    if first is not None:
        along.append(table[first] == equal.pop(first))
    tests += [table[name] == value for name, value in equal.items()]
    since = search.since if search.after is None else max(search.since or 0, search.after + 1)
    along += sids_between(kind, PREFIX[kind], since, search.until)
    if since is not None:
        tests.append(table.created_at >= since)
    if search.until is not None:
        tests.append(table.created_at < search.until)
    if search.digits is not None:
        tests.append(search.digits.match(table.to))
    holds: Callable[[Any], bool] | None = None
    if (country := search.country) is not None:
        tests.append(table.to.startswith(dialing_code_of(country)))

        def holds(row: Any) -> bool:
            return trusted(row.to).region == country

    return Wanted(kind, along, tests, holds)


class TextSearch(NamedTuple):
    """Which of the callers' own texts are searched for; `sent` are times (from, until) at which they were taken."""

    to: str | None = None
    origin: str | None = None
    sent: Sequence[tuple[int | None, int | None]] = ()


def select_texts(whose: Tenancy, search: TextSearch) -> Wanted[Message]:
    """The messages that are the callers' own texts and fit a search."""
    table = MESSAGES.table.c
    along: list[ColumnElement[bool]] = [table.tenant == whose.tenant]
    tests: list[ColumnElement[bool]] = []
    if search.to is None:
        along.append(table.verification.is_(None))
    else:
        along.append(table.to == search.to)
        tests.append(table.verification.is_(None))
    if whose.application is not None:
        tests.append(table.application == whose.application)
    if search.origin is not None:
        tests.append(table.origin == search.origin)
    sent_at = _sent_at()
    for since, until in search.sent:
        # What is sent was created before, by no more than the longest time that a text may wait.
        along += sids_between(MESSAGES, MESSAGE, None if since is None else since - LONGEST_S * 1000, until)
        tests += [] if since is None else [sent_at >= since]
        tests += [] if until is None else [sent_at < until]
    return Wanted(MESSAGES, along, tests)


def _sent_at() -> Any:
    """When the first service took the message, as a column."""
    attempts = ATTEMPTS.table.c
    ended = func.min(attempts.started_at + func.coalesce(attempts.duration_ms, 0))
    of_it = (attempts.message == MESSAGES.table.c.sid) & (attempts.outcome == "accepted")
    return select(ended).where(of_it).correlate(MESSAGES.table).scalar_subquery()


async def search_messages(context: Context, whose: Tenancy, search: Search, limit: int, cursor: str | None) -> Page:
    """Messages, newest first."""
    return await read_page(context.store, select_wanted(MESSAGES, whose, search), limit, cursor)


async def find_message_named(context: Context, tenant: str, text: str) -> str | None:
    """The message that a SID names: its own, an attempt's, or the vendor's SID or request id of an attempt."""
    if is_sid(text, MESSAGE):
        own = await context.store.get(MESSAGES, text)
        if own is not None and own.tenant == tenant:
            return own.sid
    if is_sid(text, ATTEMPT):
        attempt = await context.store.get(ATTEMPTS, text)
        return attempt.message if attempt is not None and attempt.tenant == tenant else None
    of = ATTEMPTS.table.c
    # The service stands first in the index of vendors' SIDs.
    for named in (and_(of.service.in_(list(find_services())), of.vendor_sid == text), of.vendor_request_id == text):
        rows = await context.store.select(select(of.message).where(of.tenant == tenant, named).limit(1))
        if rows:
            return str(rows[0][0])
    return None
