"""PostgreSQL: batches of units in set-based statements, and signals between nodes by LISTEN and NOTIFY."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeVar, cast

import asyncpg
import msgspec
from asyncpg.transaction import Transaction
from sqlalchemy import Delete, Select, Update, tuple_
from sqlalchemy import select as core_select

from otpost.store import sessions, sql
from otpost.store.base import MESSAGES_DUE, Rejected, tell
from otpost.store.sessions import unavailable, words
from otpost.store.units import Batch, Key, Kind, Query, Unit, Writes
from otpost.store.writer import Blocked, Writer

A = TypeVar("A")
R = TypeVar("R", bound=msgspec.Struct)

_log = logging.getLogger(__name__)

CHANNEL = "otpost"
SETTLED_CHANGED = "settled_changed"
RECONNECT_S = 1.0
PLANS_KEPT_S = 5.0

# Another node was first: on what it has written the same units may well succeed.
_RACE = (
    asyncpg.UniqueViolationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
)


class PostgresDriver:
    """The session that writes; `pool` has those that read.

    `on_settled` is called once a change of settled rows is committed.
    """

    def __init__(self, url: str, pool: asyncpg.Pool[Any], on_settled: Callable[[], None] = lambda: None) -> None:
        self.url = url
        self._pool = pool
        self._on_settled = on_settled
        self._session: asyncpg.Connection[Any] | None = None
        self._transaction: Transaction | None = None
        self._plan_anew_at = 0.0
        self._settled_changed = False

    @property
    def pid(self) -> int | None:
        """The server's process that serves the session, while there is one."""
        return None if self._session is None or self._session.is_closed() else self._session.get_server_pid()

    async def close(self) -> None:
        if self._session is not None:
            await sessions.left(self._session)

    async def begin(self) -> None:
        self._transaction = None
        if self._session is None or self._session.is_closed():
            try:
                self._session = await sessions.connect(self.url)
            except Exception as error:
                raise ConnectionError(words(error)) from error
        now = asyncio.get_running_loop().time()
        if now >= self._plan_anew_at:
            # Now and then forget the plans: one that was made while a table was small reads all of a grown one.
            self._plan_anew_at = now + PLANS_KEPT_S
            try:
                await self._session.execute("DISCARD PLANS")
            except Exception as error:
                raise ConnectionError(words(error)) from error
        self._transaction = self._session.transaction()
        await self._transaction.start()

    async def load(self, batch: Batch, keys: list[Key]) -> None:
        sets: dict[tuple[Kind[Any], str, bool], list[Key]] = defaultdict(list)
        for key in keys:
            sets[key.kind, key.by, key.lock].append(key)
        for (kind, index, locked), wanted in sorted(sets.items(), key=lambda entry: entry[0][0].place):
            columns = sql.columns_of([key.values for key in wanted])
            found = await self._fetch(sql.postgresql_select(kind, index, locked), columns, wanted)
            by_values: dict[tuple[Any, ...], list[Any]] = {key.values: [] for key in wanted}
            names = kind.indexes[index].columns if index else kind.key_columns
            for record in found:
                by_values[tuple(record[name] for name in names)].append(kind.from_columns(record))
            for key in wanted:
                batch.load(key, by_values[key.values])

    async def load_query(self, batch: Batch, query: Query[Any]) -> None:
        text, names = sql.postgresql_query(query.kind, query.condition)
        found = await self._fetch(text, [query.parameters[name] for name in names])
        batch.load_query(query, [query.kind.from_columns(record) for record in found])

    async def write(self, writes: Writes, signals: Collection[str]) -> None:
        """Kinds and keys go in the order of every node, so that two rarely wait for each other."""
        session = self._connected()
        try:
            for kind, gone in _ordered(writes.deletes):
                await session.execute(sql.postgresql_delete(kind), *sql.columns_of(gone))
            for kind, updates in _ordered(writes.updates):
                named = {column for update in updates for column in update.columns}
                columns = tuple(column for column in kind.columns if column in named)
                rows = [kind.values_of(update.row, (*columns, *kind.key_columns)) for update in updates]
                status = await session.execute(sql.postgresql_update(kind, columns), *sql.columns_of(rows))
                if status != f"UPDATE {len(updates)}":
                    raise RuntimeError(f"{status} of {len(updates)} rows of {kind!r}")
            for kind, rows in _ordered(writes.inserts):
                values = sql.columns_of([kind.to_columns(row) for row in sorted(rows, key=kind.key)])
                await session.execute(sql.postgresql_insert(kind), *values)
        except asyncpg.LockNotAvailableError as error:
            raise Blocked(whole=not _is_of_a_row(error)) from error
        self._settled_changed = any(kind.settled for changes in writes for kind in changes)
        for signal in (*signals, SETTLED_CHANGED) if self._settled_changed else signals:
            await session.execute("SELECT pg_notify($1, $2)", CHANNEL, signal)

    async def commit(self) -> None:
        assert self._transaction is not None
        await self._transaction.commit()
        if self._settled_changed:
            self._on_settled()

    async def roll_back(self, error: BaseException) -> None:
        """Leave the session without a transaction: as it is, or, where that may not work, as no session at all."""
        session, transaction = self._session, self._transaction
        if session is None:
            return
        if transaction is not None and (isinstance(error, asyncpg.PostgresError) or not self.is_down(error)):
            with contextlib.suppress(Exception):
                await transaction.rollback()
                return
        session.terminate()
        self._session = None

    async def find_held(self, keys: Collection[Key]) -> set[Key]:
        held: set[Key] = set()
        by_index: dict[tuple[Kind[Any], str], list[Key]] = defaultdict(list)
        for key in keys:
            if key.lock:
                by_index[key.kind, key.by].append(key)
        for (kind, by), wanted in by_index.items():
            columns = sql.columns_of([key.values for key in wanted])
            names = kind.indexes[by].columns if by else kind.key_columns
            free = await self._pool.fetch(sql.postgresql_select(kind, by, True) + " SKIP LOCKED", *columns)
            free_keys = {tuple(record[name] for name in kind.key_columns) for record in free}
            for record in await self._pool.fetch(sql.postgresql_select(kind, by, False), *columns):
                if tuple(record[name] for name in kind.key_columns) not in free_keys:
                    held.add(Key(kind, by, tuple(record[name] for name in names), True))
        return held

    def is_down(self, error: BaseException) -> bool:
        return sessions.out_of_order(error)

    def is_race(self, error: BaseException) -> bool:
        return isinstance(error, _RACE)

    def refusal(self, error: BaseException) -> Exception:
        if sessions.another_time(error):
            return unavailable(error)
        ours = None if isinstance(error, asyncpg.PostgresError | asyncpg.InterfaceError) else error
        _log.error("the database refused what was written: %s", words(error), exc_info=ours)
        return Rejected(f"the database refused what was written: {words(error)}")

    def _connected(self) -> asyncpg.Connection[Any]:
        assert self._session is not None
        return self._session

    async def _fetch(self, text: str, values: Sequence[Any], keys: Collection[Key] = ()) -> list[Any]:
        try:
            return await self._connected().fetch(text, *values)
        except asyncpg.LockNotAvailableError as error:
            raise (Blocked(keys) if _is_of_a_row(error) else Blocked(whole=True)) from error


def _is_of_a_row(error: asyncpg.LockNotAvailableError) -> bool:
    """Whether the wait was for one row's holder, and not for a lock of a whole table."""
    return "tuple" in (error.context or "")


def _ordered(writes: dict[Kind[Any], list[Any]]) -> list[tuple[Kind[Any], list[Any]]]:
    return sorted(writes.items(), key=lambda entry: entry[0].place)


class PostgresStore:
    """One database on a server, shared by any number of nodes.

    Settled rows are remembered while the node hears of their changes; units always read what is committed.

    `gather_s` is how long the first unit of a batch waits for others to share its transaction. Of `readers` sessions
    one is kept free of lists.
    """

    def __init__(self, url: str, *, gather_s: float = 0.001, readers: int = 4) -> None:
        self.url = url
        self.on_signal: Callable[[str], None] = lambda name: None
        self._gather_s = gather_s
        self._readers = readers
        self._lists = asyncio.Semaphore(readers - 1)
        self._settled: dict[tuple[Kind[Any], tuple[Any, ...]], msgspec.Struct] = {}
        self._turn = 0
        self._listening = False

    async def open(self) -> None:
        try:
            self._pool = await sessions.pool(self.url, self._readers)
        except Exception as error:
            raise unavailable(error) from error
        self._driver = PostgresDriver(self.url, self._pool, self._forget_settled)
        self._writer = Writer(self._driver, lambda signals: tell(self.on_signal, signals), self._gather_s)
        self._writer.open()
        listening = asyncio.Event()
        self._listener = asyncio.create_task(self._listen_forever(listening))
        await listening.wait()

    async def close(self) -> None:
        if self._writer.closing:
            return
        await self._writer.close()
        self._listener.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._listener
        await self._driver.close()
        await self._pool.close()

    async def run(self, unit: Unit[A]) -> A:
        return cast(A, await self._writer.put(unit))

    async def get(self, kind: Kind[R], *values: Any) -> R | None:
        known = self._settled.get((kind, values))
        if known is not None:
            return cast(R, known)
        turn = self._turn
        found = await self._read(sql.postgresql_select(kind, "", False), [[value] for value in values])
        if not found:
            return None
        row = kind.from_columns(found[0])
        if kind.settled and self._listening and turn == self._turn:
            self._settled[kind, values] = row
        return row

    def _forget_settled(self) -> None:
        self._settled.clear()
        self._turn += 1

    async def find(self, kind: Kind[R], index: str, *values: Any) -> list[R]:
        found = await self._read(sql.postgresql_select(kind, index, False), [[value] for value in values])
        return [kind.from_columns(row) for row in found]

    async def select(self, statement: Select[Any], *, at_once: bool = False) -> list[tuple[Any, ...]]:
        text, values = sql.for_postgresql(statement)
        async with contextlib.nullcontext() if at_once else self._lists:
            return [tuple(row) for row in await self._read(text, values)]

    async def sweep(self, statement: Update | Delete) -> int:
        key = list(statement.table.primary_key)
        free = core_select(*key).with_for_update(skip_locked=True).correlate(None)
        if statement.whereclause is not None:
            free = free.where(statement.whereclause)
        text, values = sql.for_postgresql(statement.where(tuple_(*key).in_(free)))
        try:
            return int((await self._pool.execute(text, *values)).rpartition(" ")[2])
        except Exception as error:
            raise unavailable(error) from error

    async def now(self) -> int | None:
        ((now,),) = await self._read("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint", [])
        return int(now)

    async def ping(self) -> None:
        await self._read("SELECT 1", [])
        self._writer.judge()

    async def _read(self, text: str, values: Sequence[Any]) -> list[Any]:
        try:
            return await self._pool.fetch(text, *values)
        except Exception as error:
            raise unavailable(error) from error

    async def _listen_forever(self, listening: asyncio.Event) -> None:
        while True:
            gone = asyncio.Event()
            connection = None
            try:
                connection = await sessions.connect(self.url)
                connection.add_termination_listener(lambda _, gone=gone: gone.set())
                await connection.add_listener(CHANNEL, self._heard)
                if listening.is_set():
                    # What was told meanwhile is lost.
                    tell(self.on_signal, [MESSAGES_DUE])
                self._listening = True
                listening.set()
                await gone.wait()
                _log.warning("no signals from the database: the connection was lost")
            except Exception as error:
                _log.warning("no signals from the database: %s", words(error))
            finally:
                self._listening = False
                self._forget_settled()
                listening.set()
                if connection is not None:
                    await sessions.left(connection)
            await asyncio.sleep(RECONNECT_S)

    def _heard(self, connection: object, sender: int, channel: str, signal: object) -> None:
        if signal == SETTLED_CHANGED:
            self._forget_settled()
        elif sender != self._driver.pid:
            tell(self.on_signal, [str(signal)])
