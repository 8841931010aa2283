"""SQLite: how batches of units are written to a file, and rows are read from it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec
from sqlalchemy import Delete, Select, Update

from otpost.domain import errors
from otpost.store import sql
from otpost.store.base import FULL, OUT_OF_ORDER, STOPPING, Rejected, tell
from otpost.store.units import Batch, Key, Kind, Query, Unit, Writes
from otpost.store.writer import Writer

A = TypeVar("A")
R = TypeVar("R", bound=msgspec.Struct)

_log = logging.getLogger(__name__)

BUSY_S = 5.0
BUSY_AGAIN_S = 0.005
SEVERAL = 3
"""From how many keys of one kind on they are loaded together."""

# What ails the file or the disk and not the statement: nobody in the batch can be served, and each would wait as long.
_OUT_OF_ORDER = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_READONLY,
    }
)


def damage(path: Path) -> str | None:
    """What SQLite finds wrong with a file, in a look at every page; None where all is well."""
    with contextlib.closing(sqlite3.connect(path, timeout=BUSY_S)) as connection:
        found = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
    return None if found == "ok" else " ".join(found.split())


def connect(path: Path, *, read_only: bool = False, busy_s: float = BUSY_S) -> sqlite3.Connection:
    """A connection with the durability that `accepted means kept` needs: WAL and a sync at each commit."""
    connection = sqlite3.connect(
        path, isolation_level=None, check_same_thread=False, cached_statements=512, timeout=busy_s
    )
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    if read_only:
        connection.execute("PRAGMA query_only = ON")
    return connection


class SqliteDriver:
    """The connection that writes.

    Statements run on the event loop's own thread, between its other work: each takes microseconds, and a thread of
    their own would fight the loop for the interpreter. What waits for the disk, the commit, has a thread.
    `busy_s` is how long a batch waits for another process that writes.
    """

    def __init__(self, path: Path, *, busy_s: float = BUSY_S) -> None:
        self.path = path
        self._busy_s = busy_s
        self._connection: sqlite3.Connection | None = None
        self._written = False

    def open(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._connect()
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="otpost-disk")

    async def close(self) -> None:
        await asyncio.to_thread(self._disk.shutdown)
        self._leave()

    async def begin(self) -> None:
        """As soon as no other process writes."""
        deadline = self._loop.time() + self._busy_s
        while True:
            connection = self._connect()
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or self._loop.time() > deadline:
                    raise
                await asyncio.sleep(BUSY_AGAIN_S)
            else:
                return

    async def load(self, batch: Batch, keys: list[Key]) -> None:
        connection = self._connect()
        sets: dict[tuple[Kind[Any], str], list[Key]] = defaultdict(list)
        for key in keys:
            sets[key.kind, key.by].append(key)
        for (kind, by), wanted in sets.items():
            if len(wanted) < SEVERAL:
                for key in wanted:
                    found = connection.execute(sql.sqlite_select(kind, by), key.values).fetchall()
                    batch.load(key, [kind.from_columns(row) for row in found])
                continue
            single = len(wanted[0].values) == 1
            listed = json.dumps([key.values[0] if single else key.values for key in wanted])
            rows: dict[tuple[Any, ...], list[Any]] = {key.values: [] for key in wanted}
            values_of = kind.indexes[by].values if by else kind.key
            for columns in connection.execute(sql.sqlite_select_many(kind, by), (listed,)).fetchall():
                row = kind.from_columns(columns)
                under = values_of(row)
                assert under is not None
                rows[under].append(row)
            for key in wanted:
                batch.load(key, rows[key.values])

    async def load_query(self, batch: Batch, query: Query[Any]) -> None:
        text, lists = sql.sqlite_query(query.kind, query.condition)
        parameters = {name: json.dumps(value) if name in lists else value for name, value in query.parameters.items()}
        found = self._connect().execute(text, parameters).fetchall()
        batch.load_query(query, [query.kind.from_columns(row) for row in found])

    async def write(self, writes: Writes, signals: Collection[str]) -> None:
        """The signals have no other process to reach."""
        connection = self._connect()
        for kind, gone in writes.deletes.items():
            connection.executemany(sql.sqlite_delete(kind), gone)
        for kind, updates in writes.updates.items():
            sets: dict[tuple[str, ...], list[tuple[Any, ...]]] = defaultdict(list)
            for row, columns in updates:
                sets[columns].append(kind.values_of(row, (*columns, *kind.key_columns)))
            for columns, rows in sets.items():
                connection.executemany(sql.sqlite_update(kind, columns), rows)
        for kind, rows in writes.inserts.items():
            connection.executemany(sql.sqlite_insert(kind), [kind.to_columns(row) for row in rows])
        self._written = any(writes)

    async def commit(self) -> None:
        connection = self._connect()
        if self._written:
            await self._loop.run_in_executor(self._disk, connection.commit)
        else:
            connection.rollback()

    async def sweep(self, text: str, parameters: Mapping[str, Any]) -> int:
        """Change rows by a condition, in a transaction of its own; it may touch many, and so runs beside the loop."""

        def change(connection: sqlite3.Connection) -> int:
            count = connection.execute(text, parameters).rowcount
            connection.commit()
            return count

        try:
            await self.begin()
            return await self._loop.run_in_executor(self._disk, change, self._connect())
        except BaseException as error:
            await self.roll_back(error)
            raise

    async def roll_back(self, error: BaseException) -> None:
        """Leave the writer without a transaction: as it is, or, where even that fails, as a new connection."""
        try:
            if self._connection is not None and self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error as failure:
            _log.error("the database cannot roll back: %s", failure)
            self._leave()

    async def find_held(self, keys: Collection[Key]) -> set[Key]:
        """None: another process holds the whole file or nothing."""
        return set()

    def is_down(self, error: BaseException) -> bool:
        return isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorcode", 0) & 0xFF in _OUT_OF_ORDER

    def is_race(self, error: BaseException) -> bool:
        """Never: a transaction begins with the only place to write."""
        return False

    def refusal(self, error: BaseException) -> Exception:
        if self.is_down(error):
            return _unavailable(error)
        ours = None if isinstance(error, sqlite3.Error) else error
        _log.error("the database refused what was written: %s: %s", type(error).__name__, error, exc_info=ours)
        return Rejected(f"the database refused what was written: {error}")

    def _connect(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = connect(self.path, busy_s=0)
        return self._connection

    def _leave(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.close()


class SqliteStore:
    """The embedded database, in one file.

    `gather_s` is how long the first unit of a batch waits for others to share its sync, `busy_s` how long a batch
    waits for another process that writes.
    """

    def __init__(self, path: Path, *, gather_s: float = 0.002, busy_s: float = BUSY_S) -> None:
        self.path = path
        self.on_signal: Callable[[str], None] = lambda name: None
        self._driver = SqliteDriver(path, busy_s=busy_s)
        self._writer = Writer(self._driver, lambda signals: tell(self.on_signal, signals), gather_s)
        self._settled: dict[tuple[Kind[Any], tuple[Any, ...]], Any] = {}
        self._settled_at = -1
        self._settled_seen = False

    async def open(self) -> None:
        self._loop = asyncio.get_running_loop()
        try:
            self._driver.open()
            self._reader = connect(self.path, read_only=True)
            self._list_reader = connect(self.path, read_only=True)
        except sqlite3.Error as error:
            raise _unavailable(error) from error
        self._lists = ThreadPoolExecutor(1, thread_name_prefix="otpost-lists")
        self._writer.open()

    async def close(self) -> None:
        if self._writer.closing:
            return
        await self._writer.close()
        # A sweep that was given before the end has its turn first.
        async with self._writer.turn:
            await self._driver.close()
        await asyncio.to_thread(self._lists.shutdown)
        self._list_reader.close()
        self._reader.close()

    async def run(self, unit: Unit[A]) -> A:
        return cast(A, await self._writer.put(unit))

    async def sweep(self, statement: Update | Delete) -> int:
        if self._writer.closing:
            raise errors.Unavailable(STOPPING)
        # Whoever asked may leave; the connection is free again only when the disk is done.
        return await asyncio.shield(self._sweep(*sql.for_sqlite(statement)))

    async def _sweep(self, text: str, parameters: Mapping[str, Any]) -> int:
        async with self._writer.turn:
            try:
                return await self._driver.sweep(text, parameters)
            except Exception as error:
                raise self._driver.refusal(error) from error

    async def get(self, kind: Kind[R], *values: Any) -> R | None:
        if not kind.settled:
            found = self._read(sql.sqlite_select(kind, ""), values)
            return kind.from_columns(found[0]) if found else None
        if not self._settled_seen:
            ((version,),) = self._read("PRAGMA data_version", ())
            if version != self._settled_at:
                self._settled.clear()
                self._settled_at = version
            self._settled_seen = True
            self._loop.call_soon(self._look_again)
        known = self._settled.get((kind, values))
        if known is not None:
            return cast(R, known)
        found = self._read(sql.sqlite_select(kind, ""), values)
        if not found:
            return None
        row = self._settled[kind, values] = kind.from_columns(found[0])
        return row

    def _look_again(self) -> None:
        self._settled_seen = False

    async def find(self, kind: Kind[R], index: str, *values: Any) -> list[R]:
        found = self._read(sql.sqlite_select(kind, index) + f" ORDER BY {sql.listed(kind.key_columns)}", values)
        return [kind.from_columns(row) for row in found]

    def _read(self, text: str, values: Sequence[Any] | Mapping[str, Any]) -> list[tuple[Any, ...]]:
        try:
            return self._reader.execute(text, values).fetchall()
        except sqlite3.Error as error:
            raise _unavailable(error) from error

    async def select(self, statement: Select[Any], *, at_once: bool = False) -> list[tuple[Any, ...]]:
        if self._writer.closing:
            raise errors.Unavailable(STOPPING)
        text, parameters = sql.for_sqlite(statement)
        if at_once:
            return self._read(text, parameters)

        def read() -> list[tuple[Any, ...]]:
            return self._list_reader.execute(text, parameters).fetchall()

        try:
            return await self._loop.run_in_executor(self._lists, read)
        except sqlite3.Error as error:
            raise _unavailable(error) from error

    async def now(self) -> int | None:
        return None

    async def ping(self) -> None:
        self._read("SELECT 1 FROM tenants LIMIT 1", ())
        self._writer.judge()


def _unavailable(error: BaseException) -> errors.Unavailable:
    _log.error("the database is out of order: %s: %s", type(error).__name__, error)
    is_full = getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL
    return errors.Unavailable(FULL if is_full else OUT_OF_ORDER)
