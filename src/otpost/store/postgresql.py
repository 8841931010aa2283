"""PostgreSQL: batches of units in set-based statements, and signals between nodes by LISTEN and NOTIFY."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import asyncpg
import msgspec
from asyncpg.transaction import Transaction
from sqlalchemy import Delete, Select, Update

from otpost.domain import errors
from otpost.store import sql
from otpost.store.base import FULL, MESSAGES_DUE, OUT_OF_ORDER, STOPPING, Rejected, tell
from otpost.store.units import Answer, Batch, Key, Kind, Query, Unit, Writes, decide
from otpost.telemetry import UNITS

A = TypeVar("A")
R = TypeVar("R", bound=msgspec.Struct)

_log = logging.getLogger(__name__)

BATCH = 256
RETRIES = 5
RETRIES_OF_BATCH = 2
CHANNEL = "otpost"
SETTLED_CHANGED = "settled_changed"
COMMAND_TIMEOUT_S = 15.0
RECONNECT_S = 1.0
PLANS_KEPT_S = 5.0

# Another node was first: on what it has written the same units may well succeed.
_TRY_AGAIN = (
    asyncpg.UniqueViolationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
)
# SQLSTATE classes of a server that serves nobody: connection, resources, an operator's doing, its system.
_OUT_OF_ORDER = frozenset({"08", "53", "57", "58"})
# Those of a statement that may succeed another time: a transaction lost against another, an error inside the server.
_ANOTHER_TIME = frozenset({"40", "XX"})


class PostgresStore:
    """One database on a server, shared by any number of nodes.

    Settled rows are remembered while the node hears of their changes; units always read what is committed.

    `gather_s` is how long the first unit of a batch waits for others to share its transaction.
    """

    def __init__(self, url: str, *, gather_s: float = 0.001, readers: int = 4) -> None:
        self.url = url
        self.on_signal: Callable[[str], None] = lambda name: None
        self._gather_s = gather_s
        self._readers = readers
        self._jobs: list[tuple[Unit[Any], asyncio.Future[Any]]] = []
        self._work = asyncio.Event()
        self._writer: asyncpg.Connection[Any] | None = None
        self._closing = False
        self._plan_anew_at = 0.0
        self._settled: dict[tuple[Kind[Any], tuple[Any, ...]], msgspec.Struct] = {}
        self._turn = 0
        self._listening = False

    async def open(self) -> None:
        try:
            self._pool = await asyncpg.create_pool(
                self.url,
                min_size=1,
                max_size=self._readers,
                command_timeout=COMMAND_TIMEOUT_S,
                timeout=COMMAND_TIMEOUT_S,
                server_settings={"plan_cache_mode": "force_custom_plan"},
            )
        except Exception as error:
            raise _unavailable(error) from error
        listening = asyncio.Event()
        self._tasks = [
            asyncio.create_task(self._write_forever()),
            asyncio.create_task(self._listen_forever(listening)),
        ]
        await listening.wait()

    async def close(self) -> None:
        if self._closing:
            return
        self._closing = True
        self._work.set()
        writer, listener = self._tasks
        await writer
        listener.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await listener
        if self._writer is not None:
            await _left(self._writer)
        await self._pool.close()

    async def run(self, unit: Unit[A]) -> A:
        if self._closing:
            raise errors.Unavailable(STOPPING)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._jobs.append((unit, future))
        self._work.set()
        return cast(A, await future)

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

    async def select(self, statement: Select[Any]) -> list[tuple[Any, ...]]:
        text, values = sql.for_postgresql(statement)
        return [tuple(row) for row in await self._read(text, values)]

    async def sweep(self, statement: Update | Delete) -> int:
        text, values = sql.for_postgresql(statement)
        try:
            return int((await self._pool.execute(text, *values)).rpartition(" ")[2])
        except Exception as error:
            raise _unavailable(error) from error

    async def ping(self) -> None:
        await self._read("SELECT 1", [])

    async def _read(self, text: str, values: Sequence[Any]) -> list[Any]:
        try:
            return await self._pool.fetch(text, *values)
        except Exception as error:
            raise _unavailable(error) from error

    async def _write_forever(self) -> None:
        while True:
            await self._work.wait()
            if not self._closing:
                await asyncio.sleep(self._gather_s)
            jobs, self._jobs = self._jobs[:BATCH], self._jobs[BATCH:]
            if not self._jobs:
                if not jobs and self._closing:
                    return
                if not self._closing:
                    self._work.clear()
            if not jobs:
                continue
            answers, signals = await self._answered([unit for unit, _ in jobs])
            UNITS.observe(len(jobs))
            for (_, future), (well, value) in zip(jobs, answers, strict=True):
                if future.done():
                    continue
                if well:
                    future.set_result(value)
                else:
                    future.set_exception(value)
            tell(self.on_signal, signals)

    async def _answered(self, units: list[Unit[Any]]) -> tuple[list[Answer], set[str]]:
        """The whole batch at once; if a statement fails, each unit by itself, so that one fails alone.

        Where another node was first, again on what it has written.
        """
        for tries_left in reversed(range(RETRIES if len(units) == 1 else RETRIES_OF_BATCH)):
            try:
                return await self._transaction(units)
            except _TRY_AGAIN as error:
                if not tries_left and len(units) == 1:
                    return [(False, _refusal(error))], set()
            except Exception as error:
                if len(units) == 1 or _out_of_order(error):
                    refusal = _refusal(error)
                    return [(False, type(refusal)(*refusal.args)) for _ in units], set()
                break
        answers: list[Answer] = []
        signals: set[str] = set()
        for unit in units:
            own, told = await self._answered([unit])
            answers.extend(own)
            signals |= told
        return answers, signals

    async def _connection(self) -> asyncpg.Connection[Any]:
        if self._writer is None or self._writer.is_closed():
            try:
                self._writer = await asyncpg.connect(
                    self.url, command_timeout=COMMAND_TIMEOUT_S, timeout=COMMAND_TIMEOUT_S
                )
            except Exception as error:
                raise ConnectionError(_words(error)) from error
        return self._writer

    async def _plan_anew(self, connection: asyncpg.Connection[Any]) -> None:
        """Now and then forget the plans: one that was made while a table was small reads all of a grown one."""
        now = asyncio.get_running_loop().time()
        if now >= self._plan_anew_at:
            self._plan_anew_at = now + PLANS_KEPT_S
            try:
                await connection.execute("DISCARD PLANS")
            except Exception as error:
                connection.terminate()
                raise ConnectionError(_words(error)) from error

    async def _transaction(self, units: list[Unit[Any]]) -> tuple[list[Answer], set[str]]:
        connection = await self._connection()
        await self._plan_anew(connection)
        batch = Batch()
        answers: dict[int, Answer] = {}
        transaction = connection.transaction()
        try:
            await transaction.start()
            missing = [key for unit in units for key in unit.needs]
            await self._load(connection, batch, batch.wanted(missing))
            for unit in units:
                if unit.query is not None:
                    await self._load_query(connection, batch, unit.query)
            while missing := decide(batch, units, answers):
                await self._load(connection, batch, batch.wanted(missing))
            writes = batch.writes()
            await self._write(connection, writes)
            settled = any(kind.settled for changes in writes for kind in changes)
            for signal in batch.signals | ({SETTLED_CHANGED} if settled else set()):
                await connection.execute("SELECT pg_notify($1, $2)", CHANNEL, signal)
            await transaction.commit()
            if settled:
                self._forget_settled()
        except BaseException as error:
            await self._roll_back(connection, transaction, error)
            raise
        return [answers[place] for place in range(len(units))], batch.signals

    async def _roll_back(
        self, connection: asyncpg.Connection[Any], transaction: Transaction, error: BaseException
    ) -> None:
        """Leave the writer without a transaction: as it is, or, where that may not work, as no connection at all."""
        if isinstance(error, asyncpg.PostgresError) or not _out_of_order(error):
            with contextlib.suppress(Exception):
                await transaction.rollback()
                return
        connection.terminate()
        self._writer = None

    async def _load(self, connection: asyncpg.Connection[Any], batch: Batch, keys: list[Key]) -> None:
        sets: dict[tuple[Kind[Any], str, bool], list[Key]] = defaultdict(list)
        for key in keys:
            sets[key.kind, key.by, key.lock].append(key)
        for (kind, index, locked), wanted in sorted(sets.items(), key=lambda entry: entry[0][0].place):
            columns = _columns([key.values for key in wanted])
            found = await connection.fetch(sql.postgresql_select(kind, index, locked), *columns)
            by_values: dict[tuple[Any, ...], list[Any]] = {key.values: [] for key in wanted}
            names = kind.indexes[index].columns if index else kind.key_columns
            for record in found:
                by_values[tuple(record[name] for name in names)].append(kind.from_columns(record))
            for key in wanted:
                batch.load(key, by_values[key.values])

    async def _load_query(self, connection: asyncpg.Connection[Any], batch: Batch, query: Query[Any]) -> None:
        text, values = sql.numbered(query.sql, query.parameters)
        found = await connection.fetch(
            f"SELECT {sql.listed(query.kind.columns)} FROM {sql.quoted(query.kind.name)} WHERE {text} "
            "FOR UPDATE SKIP LOCKED",
            *values,
        )
        batch.load_query(query, [query.kind.from_columns(record) for record in found])

    async def _write(self, connection: asyncpg.Connection[Any], writes: Writes) -> None:
        """Write set by set, kinds and keys in the order of every node, so that two rarely wait for each other."""
        for kind, gone in _ordered(writes.deletes):
            await connection.execute(sql.postgresql_delete(kind), *_columns(gone))
        for kind, updates in _ordered(writes.updates):
            named = {column for update in updates for column in update.columns}
            columns = tuple(column for column in kind.columns if column in named)
            values = _columns([kind.values_of(update.row, (*columns, *kind.key_columns)) for update in updates])
            status = await connection.execute(sql.postgresql_update(kind, columns), *values)
            if status != f"UPDATE {len(updates)}":
                raise RuntimeError(f"{status} of {len(updates)} rows of {kind!r}")
        for kind, rows in _ordered(writes.inserts):
            values = _columns([kind.to_columns(row) for row in sorted(rows, key=kind.key)])
            await connection.execute(sql.postgresql_insert(kind), *values)

    async def _listen_forever(self, listening: asyncio.Event) -> None:
        while True:
            gone = asyncio.Event()
            connection = None
            try:
                connection = await asyncpg.connect(self.url, timeout=COMMAND_TIMEOUT_S)
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
                _log.warning("no signals from the database: %s", _words(error))
            finally:
                self._listening = False
                self._forget_settled()
                listening.set()
                if connection is not None:
                    await _left(connection)
            await asyncio.sleep(RECONNECT_S)

    def _heard(self, connection: object, sender: int, channel: str, signal: object) -> None:
        if signal == SETTLED_CHANGED:
            self._forget_settled()
        elif self._writer is None or self._writer.is_closed() or sender != self._writer.get_server_pid():
            tell(self.on_signal, [str(signal)])


async def _left(connection: asyncpg.Connection[Any]) -> None:
    try:
        await connection.close(timeout=1)
    except Exception:
        connection.terminate()


def _columns(rows: list[Any]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


def _ordered(writes: dict[Kind[Any], list[Any]]) -> list[tuple[Kind[Any], list[Any]]]:
    return sorted(writes.items(), key=lambda entry: entry[0].place)


def _class(error: BaseException) -> str:
    """The class of the SQLSTATE, for what the server said."""
    return str(error.sqlstate)[:2] if isinstance(error, asyncpg.PostgresError) else ""


def _out_of_order(error: BaseException) -> bool:
    if isinstance(error, asyncpg.PostgresError):
        return _class(error) in _OUT_OF_ORDER
    # asyncpg's complaint about a value that fits no column is an InterfaceError and a ValueError.
    return isinstance(error, OSError | asyncpg.InterfaceError) and not isinstance(error, ValueError)


def _words(error: BaseException) -> str:
    """What may be logged of an error: without its detail, which quotes the row."""
    told = str(error.args[0]) if error.args and not isinstance(error, ValueError) else ""
    return f"{type(error).__name__}: {told}"


def _refusal(error: Exception) -> Exception:
    if _out_of_order(error) or _class(error) in _ANOTHER_TIME:
        return _unavailable(error)
    ours = None if isinstance(error, asyncpg.PostgresError | asyncpg.InterfaceError) else error
    _log.error("the database refused what was written: %s", _words(error), exc_info=ours)
    return Rejected(f"the database refused what was written: {_words(error)}")


def _unavailable(error: Exception) -> errors.Unavailable:
    _log.error("the database is out of order: %s", _words(error))
    return errors.Unavailable(FULL if isinstance(error, asyncpg.DiskFullError) else OUT_OF_ORDER)
