"""Which texts of verifications there were, and how many of them brought the code back."""

from __future__ import annotations

from dataclasses import replace
from itertools import repeat
from typing import Any, Final, Literal, NamedTuple

from sqlalchemy import ColumnElement, case, exists, func, not_, null, select

from otpost.domain.message import Message
from otpost.domain.phone import trusted
from otpost.services.context import Context
from otpost.services.messages.search import Search, select_wanted
from otpost.services.paging import Tenancy, Wanted, list_slices
from otpost.store.kinds import MESSAGES, VERIFICATIONS

SUMMED_MS: Final = 30 * 86_400_000
"""How far back a summary goes that is not told from when on."""
COUNTED_AT_ONCE: Final = 10_000


class Asked(NamedTuple):
    """Which texts of verifications; `prefix` begins their numbers."""

    search: Search
    prefix: str | None = None
    verification: str | None = None
    status: Literal["converted", "unconverted"] | None = None


class Summary(NamedTuple):
    total: int
    converted: int


def select_attempts(whose: Tenancy, asked: Asked) -> Wanted[Message]:
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
    chosen = select_attempts(whose, asked)
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


def _converted() -> ColumnElement[bool]:
    own, of = MESSAGES.table.c, VERIFICATIONS.table.c
    return exists().where(of.sid == own.verification, of.status == "approved", of.message == own.sid)
