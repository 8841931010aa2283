"""What verifications and messages are searched by, and which index finds them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, NamedTuple, TypeVar

import msgspec
from sqlalchemy import ColumnElement, not_, or_

from otpost.domain.phone import dialing_code_of, trusted
from otpost.domain.sid import MESSAGE, VERIFICATION
from otpost.services.house import House
from otpost.services.lists import paging
from otpost.services.lists.paging import Page, Wanted
from otpost.services.verify import Whose
from otpost.store.kinds import MESSAGES, VERIFICATIONS
from otpost.store.units import Kind

R = TypeVar("R", bound=msgspec.Struct)

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


def wanted(kind: Kind[R], whose: Whose, search: Search, **equal: Any) -> Wanted[R]:
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
    along += paging.between(kind, PREFIX[kind], since, search.until)
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


async def messages(house: House, whose: Whose, search: Search, limit: int, cursor: str | None) -> Page:
    """Messages, newest first."""
    return await paging.page(house.store, wanted(MESSAGES, whose, search), limit, cursor)


async def verifications(house: House, whose: Whose, search: Search, limit: int, cursor: str | None) -> Page:
    """Verifications, newest first; one whose life is over is `expired` before that is written down."""
    alive = VERIFICATIONS.table.c.expires_at > house.clock()
    pending = wanted(VERIFICATIONS, whose, search._replace(status="pending"))
    if search.status == "pending":
        pending = replace(pending, tests=[*pending.tests, alive])
        return await paging.page(house.store, pending, limit, cursor)
    chosen = wanted(VERIFICATIONS, whose, search)
    if search.status != "expired":
        return await paging.page(house.store, chosen, limit, cursor)
    over = replace(pending, tests=[*pending.tests, not_(alive)])
    parts = [await paging.read(house.store, each, limit + 1, cursor) for each in (chosen, over)]
    # Beyond the edge of either search there may be rows that were not found yet.
    edge = max((part.edge for part in parts if part.edge is not None), default=None)
    rows = [row for part in parts for row in part.rows if edge is None or row.sid >= edge]
    rows.sort(key=lambda row: row.sid, reverse=True)
    if len(rows) > limit:
        return Page(rows[:limit], rows[limit - 1].sid)
    return Page(rows, edge)
