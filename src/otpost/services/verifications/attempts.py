"""Which texts of verifications there were, and which of them brought the code back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import repeat
from typing import Any, Final, Literal, NamedTuple

from sqlalchemy import ColumnElement, case, exists, func, not_, null, select

from otpost.domain.errors import NotFound
from otpost.domain.message import Attempt, Message
from otpost.domain.phone import trusted
from otpost.domain.sid import MESSAGE, is_sid
from otpost.domain.verification import Verification
from otpost.services.context import Context
from otpost.services.messages.search import Search, select_wanted
from otpost.services.paging import Tenancy, Wanted, list_slices
from otpost.store.base import rows_of
from otpost.store.kinds import ATTEMPTS, MESSAGES, VERIFICATIONS

SUMMED_MS: Final = 30 * 86_400_000
"""How far back a summary goes that is not told from when on."""
COUNTED_AT_ONCE: Final = 10_000


class Asked(NamedTuple):
    """Which texts of verifications; `prefix` begins their numbers."""

    search: Search
    prefix: str | None = None
    verification: str | None = None
    status: Literal["converted", "unconverted"] | None = None


class Sent(NamedTuple):
    """A text of a verification, with the latest attempt to send it."""

    message: Message
    verification: Verification
    attempt: Attempt | None

    @property
    def converted(self) -> bool:
        """Whether the verification was approved, and this was the text before that."""
        return self.verification.status == "approved" and self.verification.message == self.message.sid


class Summary(NamedTuple):
    total: int
    converted: int


def wanted(whose: Tenancy, asked: Asked) -> Wanted[Message]:
    """The messages that are texts of verifications and are asked for."""
    own = MESSAGES.table.c
    found = select_wanted(MESSAGES, whose, asked.search, verification=asked.verification)
    tests = [*found.tests, own.verification.is_not(None)]
    if asked.prefix is not None:
        tests.append(own.to.startswith(asked.prefix))
    if asked.status is not None:
        tests.append(_converted() if asked.status == "converted" else not_(_converted()))
    return replace(found, tests=tests)


async def summarise_attempts(context: Context, whose: Tenancy, asked: Asked) -> Summary:
    """How many there were, and how many of them were converted; of the last 30 days unless it is told from when on.

    Counted a part at a time, so that other lists are read in between.
    """
    search, own = asked.search, MESSAGES.table.c
    if search.since is None and search.after is None:
        end = context.clock() if search.until is None else search.until
        asked = asked._replace(search=search._replace(since=end - SUMMED_MS))
    chosen = wanted(whose, asked)
    counts: list[ColumnElement[Any]] = [func.count(), func.sum(case((_converted(), 1), else_=0))]
    found = Summary(0, 0)
    async for part in list_slices(context.store, chosen, repeat(COUNTED_AT_ONCE)):
        statement = select(own.to, *counts).where(*part.conditions, *chosen.tests).group_by(own.to)
        if chosen.holds is None:
            statement = select(null(), *counts).where(*part.conditions, *chosen.tests)
        for to, total, approved in await context.store.select(statement):
            if to is None or trusted(to).region == search.country:
                found = Summary(found.total + total, found.converted + (approved or 0))
    return found


async def list_attempts(context: Context, messages: Iterable[Message]) -> list[Sent]:
    """The texts with what became of them."""
    rows = list(messages)
    of, by = VERIFICATIONS.table, ATTEMPTS.table
    verifications = select(of).where(of.c.sid.in_([row.verification for row in rows]))
    attempts = select(by).where(by.c.sid.in_([row.attempt for row in rows if row.attempt is not None]))
    begun = {row.sid: row for row in await rows_of(context.store, VERIFICATIONS, verifications)}
    tried = {row.sid: row for row in await rows_of(context.store, ATTEMPTS, attempts)}
    return [Sent(row, begun[row.verification or ""], tried.get(row.attempt or "")) for row in rows]


async def read_attempt(context: Context, whose: Tenancy, message_sid: str) -> Sent:
    """A text of a verification; NotFound for another's, and for a caller's own text."""
    row = await context.store.get(MESSAGES, message_sid) if is_sid(message_sid, MESSAGE) else None
    if row is None or row.verification is None or not whose.owns(row.tenant, row.application):
        raise NotFound("There is no verification's text with this SID.")
    return (await list_attempts(context, [row]))[0]


def _converted() -> ColumnElement[bool]:
    own, of = MESSAGES.table.c, VERIFICATIONS.table.c
    return exists().where(of.sid == own.verification, of.status == "approved", of.message == own.sid)
