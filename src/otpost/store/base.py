"""What the house asks of a database: the same for SQLite and PostgreSQL."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, TypeVar

import msgspec
from sqlalchemy import ColumnElement, Delete, Select, Update, delete, select

from otpost.store.units import Kind, Unit

A = TypeVar("A")
R = TypeVar("R", bound=msgspec.Struct)

MESSAGES_DUE = "messages_due"
"""The signal that a message waits for an attempt."""

FULL = "The disk of the database is full; nothing was kept."
OUT_OF_ORDER = "The database cannot take this right now."
STOPPING = "Otpost is stopping; try again in a moment."
HELD = "Another session holds a row of the database that this needs; try again in a moment."
LOCKED = "Another session has locked a table of the database; end it or its transaction."

_log = logging.getLogger(__name__)


class Rejected(Exception):
    """What a unit wrote breaks a rule of the schema, or does not fit it; to try again would not help."""


class Store(Protocol):
    """One database. Units of work go through `run`; pages and lists read over connections of their own."""

    on_signal: Callable[[str], None]
    """Called in the event loop for each signal of this process and, where there are several, of the others."""

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def run(self, unit: Unit[A]) -> A:
        """The unit's answer, once its changes are on disk.

        Raises what the unit raised; `errors.Unavailable` if the database could not take it, and `Rejected` if
        it never will.
        """
        ...

    async def get(self, kind: Kind[R], *values: Any) -> R | None:
        """The committed row with this primary key."""
        ...

    async def find(self, kind: Kind[R], index: str, *values: Any) -> list[R]:
        """The committed rows that stand under these values in an index, ordered by key."""
        ...

    async def select(self, statement: Select[Any], *, at_once: bool = False) -> list[tuple[Any, ...]]:
        """The rows of a Core statement. `at_once`: they are few, and are not to wait for a list that is being read."""
        ...

    async def sweep(self, statement: Update | Delete) -> int:
        """Change rows by a condition, in a transaction of its own; the count. Rows that others hold are left alone."""
        ...

    async def now(self) -> int | None:
        """The database's clock, in milliseconds since the epoch; None for a file, which has the machine's."""
        ...

    async def ping(self) -> None:
        """Raise `errors.Unavailable` unless the database answers and takes what is written. Waits for no list."""
        ...


async def rows_of(store: Store, kind: Kind[R], statement: Select[Any], *, at_once: bool = False) -> Sequence[R]:
    """The rows of a statement that selects all columns of a kind's table, as its values."""
    return [kind.from_columns(row) for row in await store.select(statement, at_once=at_once)]


async def list_rows(
    store: Store, kind: Kind[R], *order: str, limit: int | None = None, at_once: bool = False, **values: Any
) -> Sequence[R]:
    """The rows in which these columns have these values, or one of a list's; ordered by columns, or else by key."""
    statement = select(kind.table).where(*_tests(kind, values)).order_by(*order or kind.key_columns).limit(limit)
    return await rows_of(store, kind, statement, at_once=at_once)


async def erase_rows(store: Store, kind: Kind[Any], **values: Any) -> int:
    """Delete the rows in which these columns have these values, but those that others hold; their count."""
    return await store.sweep(delete(kind.table).where(*_tests(kind, values)))


def _tests(kind: Kind[Any], values: dict[str, Any]) -> list[ColumnElement[bool]]:
    columns = kind.table.columns
    return [
        columns[name].in_(value) if isinstance(value, list) else columns[name] == value
        for name, value in values.items()
    ]


def tell(on_signal: Callable[[str], None], signals: Iterable[str]) -> None:
    """Hand signals on; a listener that fails stops neither the others nor the store."""
    for signal in signals:
        try:
            on_signal(signal)
        except Exception:
            _log.exception("the listener of %s failed", signal)
