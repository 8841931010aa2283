"""Pages of a list, newest first; the only module that knows cursors."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, NamedTuple, TypeVar

import msgspec
from sqlalchemy import ColumnElement, select

from otpost.store.base import Store, rows_of
from otpost.store.units import Kind

R = TypeVar("R", bound=msgspec.Struct)

EXAMINED: Final = (500, 2_000, 7_500, 10_000)
"""How many rows are looked at for one page, step by step, where a filter has no index of its own."""
JUDGED: Final = (500, 1_500, 3_000)
"""The same where rows are judged in Python, on the event loop."""
SID_MARGIN_MS: Final = 300_000
"""A row's SID and its `created_at` are not made at the same moment, nor by the same clock; they differ by less."""


class Page(NamedTuple):
    """Rows of one page, and the cursor of the next (None: this was the last).

    A page can hold fewer rows than were asked for, even none, and still have a next one: rare rows among many are
    looked for a part at a time.
    """

    rows: list[Any]
    next: str | None


@dataclass(frozen=True, slots=True)
class Wanted(Generic[R]):
    """Which rows of a kind a list holds, by a `column` whose values are unique, the greatest first.

    `along` are conditions that an index serves together with the column's order; `tests` whatever else SQL judges, and
    `holds` what it cannot.
    """

    kind: Kind[R]
    along: Sequence[ColumnElement[bool]]
    tests: Sequence[ColumnElement[bool]] = ()
    holds: Callable[[R], bool] | None = None
    column: str = "sid"


class Part(NamedTuple):
    """Rows in the order in which they were read; `edge` is where to read on if the search ended before the table."""

    rows: list[Any]
    edge: str | None


class Slice(NamedTuple):
    """The conditions of one part of a list, and the key at which it ends (None: with the list)."""

    conditions: list[ColumnElement[bool]]
    edge: str | None


async def list_slices(
    store: Store, wanted: Wanted[Any], sizes: Iterable[int], at: str | None = None, *, upward: bool = False
) -> AsyncIterator[Slice]:
    """The parts of what `wanted` is found along, from beyond the key `at`, of so many rows each."""
    by = wanted.kind.table.c[wanted.column]
    for size in sizes:
        part = list(wanted.along) if at is None else [*wanted.along, by > at if upward else by < at]
        last = select(by).where(*part).order_by(by.asc() if upward else by.desc()).offset(size - 1).limit(1)
        found = await store.select(last)
        at = found[0][0] if found else None
        if at is not None:
            part.append(by <= at if upward else by >= at)
        yield Slice(part, at)
        if at is None:
            return


async def read_part(store: Store, wanted: Wanted[R], many: int, at: str | None, *, upward: bool = False) -> Part:
    """At most `many` rows beyond the key `at`, of those that the bound allows to be looked at."""
    table, holds = wanted.kind.table, wanted.holds
    by = table.c[wanted.column]
    ordered = select(table).order_by(by.asc() if upward else by.desc())
    if not wanted.tests and holds is None:
        beyond = [] if at is None else [by > at if upward else by < at]
        statement = ordered.where(*wanted.along, *beyond).limit(many)
        return Part(list(await rows_of(store, wanted.kind, statement)), None)
    rows: list[R] = []
    sizes = EXAMINED if holds is None else JUDGED
    async for conditions, edge in list_slices(store, wanted, sizes, at, upward=upward):
        statement = ordered.where(*conditions, *wanted.tests)
        if holds is None:
            rows += await rows_of(store, wanted.kind, statement.limit(many - len(rows)))
        else:
            rows += [row for row in await rows_of(store, wanted.kind, statement) if holds(row)]
        if len(rows) >= many or edge is None:
            return Part(rows[:many], None)
        at = edge
    return Part(rows, at)


async def read_page(store: Store, wanted: Wanted[R], limit: int, cursor: str | None) -> Page:
    """The page that follows `cursor`."""
    rows, edge = await read_part(store, wanted, limit + 1, cursor)
    if len(rows) > limit:
        return Page(rows[:limit], str(getattr(rows[limit - 1], wanted.column)))
    return Page(rows, edge)


def sids_between(kind: Kind[Any], prefix: str, since: int | None, until: int | None) -> list[ColumnElement[bool]]:
    """The rows whose SID was made about between two moments: SIDs sort by time, so that an index finds them."""
    column, found = kind.table.c.sid, list[ColumnElement[bool]]()
    if since is not None:
        found.append(column >= earliest_sid(prefix, since - SID_MARGIN_MS))
    if until is not None:
        found.append(column < earliest_sid(prefix, until + SID_MARGIN_MS))
    return found


def earliest_sid(prefix: str, at: int) -> str:
    """The lowest SID of this moment."""
    return f"{prefix}{max(0, at):012x}" + "0" * 20


class Tenancy(msgspec.Struct, frozen=True):
    """Whose rows a caller may touch: those of a tenant, or of one of its applications."""

    tenant: str
    application: str | None = None

    def owns(self, tenant: str, application: str) -> bool:
        return tenant == self.tenant and self.application in (None, application)
