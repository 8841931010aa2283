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

from otpost.domain import errors
from otpost.store import sessions, sql
from otpost.store.base import HELD, LOCKED, MESSAGES_DUE, STOPPING, Rejected, Writing, tell
from otpost.store.held import AGAIN_S, Aside, Blocked, Held, Job, Place, held_now, needing, of_a_row, place_of
from otpost.store.sessions import unavailable, words
from otpost.store.units import Answer, Batch, Key, Kind, Query, Unit, Writes, decide
from otpost.telemetry import UNITS

A = TypeVar("A")
R = TypeVar("R", bound=msgspec.Struct)

_log = logging.getLogger(__name__)

BATCH = 256
RETRIES = 5
RETRIES_OF_BATCH = 2
BLOCKED_AT_MOST = 2
"""How many units of one batch may each wait for a lock before the rest of the batch is set aside untried."""
CHANNEL = "otpost"
SETTLED_CHANGED = "settled_changed"
RECONNECT_S = 1.0
PLANS_KEPT_S = 5.0

# Another node was first: on what it has written the same units may well succeed.
_TRY_AGAIN = (
    asyncpg.UniqueViolationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
)


class PostgresStore:
    """One database on a server, shared by any number of nodes.

    Settled rows are remembered while the node hears of their changes; units always read what is committed. A unit
    that needs a row which another session holds waits aside, and no other unit with it.

    `gather_s` is how long the first unit of a batch waits for others to share its transaction. Of `readers` sessions
    one is kept free of lists.
    """

    def __init__(self, url: str, *, gather_s: float = 0.001, readers: int = 4) -> None:
        self.url = url
        self.on_signal: Callable[[str], None] = lambda name: None
        self._gather_s = gather_s
        self._readers = readers
        self._lists = asyncio.Semaphore(readers - 1)
        self._jobs: list[Job] = []
        self._work = asyncio.Event()
        self._aside = Aside()
        self._set_aside = asyncio.Event()
        self._writing = Writing()
        self._writer: asyncpg.Connection[Any] | None = None
        self._closing = False
        self._plan_anew_at = 0.0
        self._settled: dict[tuple[Kind[Any], tuple[Any, ...]], msgspec.Struct] = {}
        self._turn = 0
        self._listening = False

    async def open(self) -> None:
        self._now = asyncio.get_running_loop().time
        try:
            self._pool = await sessions.pool(self.url, self._readers)
        except Exception as error:
            raise unavailable(error) from error
        listening = asyncio.Event()
        self._tasks = [
            asyncio.create_task(self._write_forever()),
            asyncio.create_task(self._listen_forever(listening)),
            asyncio.create_task(self._wait_forever()),
        ]
        await listening.wait()

    async def close(self) -> None:
        if self._closing:
            return
        self._closing = True
        self._work.set()
        writer, *others = self._tasks
        await writer
        for task in others:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        for job in self._aside.jobs:
            job.fail(errors.Unavailable(STOPPING))
        if self._writer is not None:
            await sessions.left(self._writer)
        await self._pool.close()

    async def run(self, unit: Unit[A]) -> A:
        if self._closing:
            raise errors.Unavailable(STOPPING)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._jobs.append(Job(unit, future, self._now()))
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
        now = self._now()
        self._writing.judge(now)
        if self._aside.stands_still(now):
            raise errors.Unavailable(LOCKED)

    async def _read(self, text: str, values: Sequence[Any]) -> list[Any]:
        try:
            return await self._pool.fetch(text, *values)
        except Exception as error:
            raise unavailable(error) from error

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
            UNITS.observe(len(jobs))
            self._writing.begins(self._now())
            await self._serve(jobs)
            self._writing.ends()

    async def _serve(self, jobs: list[Job]) -> None:
        """Answer each unit, or let it wait aside for rows that another session holds.

        The whole batch at once; if a statement fails, each unit by itself, so that one fails alone. Where another
        node was first, again on what it has written.
        """
        tries_left = RETRIES if len(jobs) == 1 else RETRIES_OF_BATCH
        while jobs and tries_left:
            tries_left -= 1
            try:
                answers, signals = await self._transaction([job.unit for job in jobs])
            except Held as held:
                self._wait([job for number, job in enumerate(jobs) if number in held.units], held.places)
                jobs = [job for number, job in enumerate(jobs) if number not in held.units]
                tries_left += bool(held.units)
            except asyncpg.LockNotAvailableError as error:
                if len(jobs) == 1:
                    self._wait(jobs, (), whole=not of_a_row(error))
                    return
                break
            except _TRY_AGAIN as error:
                if not tries_left and len(jobs) == 1:
                    self._refuse(jobs, error)
                    return
            except Exception as error:
                if len(jobs) == 1 or sessions.out_of_order(error):
                    self._refuse(jobs, error)
                    return
                break
            else:
                self._writing.went_well()
                for job, (well, value) in zip(jobs, answers, strict=True):
                    if not well:
                        job.fail(value)
                    elif not job.future.done():
                        job.future.set_result(value)
                tell(self.on_signal, signals)
                return
        if len(jobs) == 1:
            # Each time its rows were found free again, and were not when it came: it comes back in a moment.
            self._wait(jobs, ())
        else:
            await self._one_by_one(jobs)

    async def _one_by_one(self, jobs: list[Job]) -> None:
        blocked = 0
        for number, job in enumerate(jobs):
            await self._serve([job])
            blocked += job.whole and job in self._aside.jobs
            if blocked == BLOCKED_AT_MOST:
                self._wait(jobs[number + 1 :], ())
                return

    def _refuse(self, jobs: list[Job], error: Exception) -> None:
        refusal = _refusal(error)
        if isinstance(refusal, errors.Unavailable):
            self._writing.failed(self._now(), refusal.detail)
        for job in jobs:
            job.fail(type(refusal)(*refusal.args))

    def _wait(self, jobs: list[Job], places: Collection[Place], *, whole: bool = False) -> None:
        if not self._aside.jobs and jobs:
            tables = " and ".join(sorted({place.kind.name for place in places})) or "a table"
            _log.warning(
                "another session holds rows of %s; what needs them waits: pg_stat_activity shows who is in a "
                "transaction for long",
                tables,
            )
        self._aside.take(jobs, places, self._now(), whole=whole)
        self._set_aside.set()

    async def _wait_forever(self) -> None:
        """Bring back the units that waited aside, as soon as what they need is free."""
        while True:
            if not self._aside.jobs:
                self._set_aside.clear()
            await self._set_aside.wait()
            await asyncio.sleep(AGAIN_S)
            if given_up := self._aside.over(self._now()):
                _log.error("another session still holds what %d units need; they are refused", len(given_up))
                for job in given_up:
                    job.fail(errors.Unavailable(HELD))
            try:
                self._aside.free(self._aside.places - await held_now(self._pool, self._aside.places))
            except Exception as error:
                _log.warning("the database does not tell what is held: %s", words(error))
            if ready := self._aside.again(self._now()):
                self._jobs[:0] = ready
                self._work.set()

    async def _connection(self) -> asyncpg.Connection[Any]:
        if self._writer is None or self._writer.is_closed():
            try:
                self._writer = await sessions.connect(self.url)
            except Exception as error:
                raise ConnectionError(words(error)) from error
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
                raise ConnectionError(words(error)) from error

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
            if isinstance(error, Blocked):
                # Nothing of them may be held any more: then they are simply tried once more.
                held = error.known or await held_now(connection, {place_of(key) for key in error.keys})
                raise Held(held, needing(units, batch, held)) from None
            raise
        return [answers[place] for place in range(len(units))], batch.signals

    async def _roll_back(
        self, connection: asyncpg.Connection[Any], transaction: Transaction, error: BaseException
    ) -> None:
        """Leave the writer without a transaction: as it is, or, where that may not work, as no connection at all."""
        if isinstance(error, asyncpg.PostgresError) or not sessions.out_of_order(error):
            with contextlib.suppress(Exception):
                await transaction.rollback()
                return
        connection.terminate()
        self._writer = None

    async def _load(self, connection: asyncpg.Connection[Any], batch: Batch, keys: list[Key]) -> None:
        if known := self._aside.known(keys):
            raise Blocked(keys, known)
        sets: dict[tuple[Kind[Any], str, bool], list[Key]] = defaultdict(list)
        for key in keys:
            sets[key.kind, key.by, key.lock].append(key)
        for (kind, index, locked), wanted in sorted(sets.items(), key=lambda entry: entry[0][0].place):
            columns = sql.columns_of([key.values for key in wanted])
            try:
                found = await connection.fetch(sql.postgresql_select(kind, index, locked), *columns)
            except asyncpg.LockNotAvailableError as error:
                if not of_a_row(error):
                    raise
                raise Blocked(wanted, set()) from None
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
            await connection.execute(sql.postgresql_delete(kind), *sql.columns_of(gone))
        for kind, updates in _ordered(writes.updates):
            named = {column for update in updates for column in update.columns}
            columns = tuple(column for column in kind.columns if column in named)
            values = sql.columns_of([kind.values_of(update.row, (*columns, *kind.key_columns)) for update in updates])
            status = await connection.execute(sql.postgresql_update(kind, columns), *values)
            if status != f"UPDATE {len(updates)}":
                raise RuntimeError(f"{status} of {len(updates)} rows of {kind!r}")
        for kind, rows in _ordered(writes.inserts):
            values = sql.columns_of([kind.to_columns(row) for row in sorted(rows, key=kind.key)])
            await connection.execute(sql.postgresql_insert(kind), *values)

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
        elif self._writer is None or self._writer.is_closed() or sender != self._writer.get_server_pid():
            tell(self.on_signal, [str(signal)])


def _ordered(writes: dict[Kind[Any], list[Any]]) -> list[tuple[Kind[Any], list[Any]]]:
    return sorted(writes.items(), key=lambda entry: entry[0].place)


def _refusal(error: Exception) -> Exception:
    if sessions.another_time(error):
        return unavailable(error)
    ours = None if isinstance(error, asyncpg.PostgresError | asyncpg.InterfaceError) else error
    _log.error("the database refused what was written: %s", words(error), exc_info=ours)
    return Rejected(f"the database refused what was written: {words(error)}")
