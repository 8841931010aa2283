"""SQLite: one writer, whose batches of units share one transaction and one sync to disk."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec
from sqlalchemy import Delete, Select, Update

from otpost.domain import errors
from otpost.store import sql
from otpost.store.base import FULL, OUT_OF_ORDER, STOPPING, Rejected, Writing, tell
from otpost.store.units import Answer, Batch, Key, Kind, Query, Unit, decide
from otpost.telemetry import UNITS

A = TypeVar("A")
R = TypeVar("R", bound=msgspec.Struct)

_log = logging.getLogger(__name__)

BATCH = 256
BUSY_S = 5.0
BUSY_AGAIN_S = 0.005
SEVERAL = 3
"""From how many keys of one kind on they are loaded together."""

Sweep = tuple[str, Mapping[str, Any]]
Job = tuple[Unit[Any] | Sweep, "asyncio.Future[Any]"]

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


class SqliteStore:
    """The embedded database, in one file.

    Statements run on the event loop's own thread, between its other work: each takes microseconds, and a thread of
    their own would fight the loop for the interpreter. What waits for the disk, the commit, has a thread.
    `gather_s` is how long the first unit of a batch waits for others to share its sync, `busy_s` how long a batch
    waits for another process that writes.
    """

    def __init__(self, path: Path, *, gather_s: float = 0.002, busy_s: float = BUSY_S) -> None:
        self.path = path
        self._busy_s = busy_s
        self.on_signal: Callable[[str], None] = lambda name: None
        self._gather_s = gather_s
        self._jobs: list[Job] = []
        self._work = asyncio.Event()
        self._closing = False
        self._writing = Writing()
        self._writer: sqlite3.Connection | None = None
        self._settled: dict[tuple[Kind[Any], tuple[Any, ...]], Any] = {}
        self._settled_at = -1
        self._settled_seen = False

    async def open(self) -> None:
        self._loop = asyncio.get_running_loop()
        try:
            self._connection()
            self._reader = connect(self.path, read_only=True)
            self._list_reader = connect(self.path, read_only=True)
        except sqlite3.Error as error:
            raise _unavailable(error) from error
        self._lists = ThreadPoolExecutor(1, thread_name_prefix="otpost-lists")
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="otpost-disk")
        self._task = asyncio.create_task(self._write_forever())

    async def close(self) -> None:
        if self._closing:
            return
        self._closing = True
        self._work.set()
        await self._task
        await asyncio.to_thread(self._lists.shutdown)
        await asyncio.to_thread(self._disk.shutdown)
        self._leave()
        self._list_reader.close()
        self._reader.close()

    async def run(self, unit: Unit[A]) -> A:
        return cast(A, await self._submit(unit))

    async def sweep(self, statement: Update | Delete) -> int:
        return cast(int, await self._submit(sql.for_sqlite(statement)))

    def _submit(self, work: Unit[Any] | Sweep) -> asyncio.Future[Any]:
        if self._closing:
            raise errors.Unavailable(STOPPING)
        future = self._loop.create_future()
        self._jobs.append((work, future))
        self._work.set()
        return future

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
        if self._closing:
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
        self._writing.judge(self._loop.time())

    async def _write_forever(self) -> None:
        while True:
            await self._work.wait()
            if not self._closing:
                await asyncio.sleep(self._gather_s)
            jobs, self._jobs = self._jobs[:BATCH], self._jobs[BATCH:]
            if not self._jobs and not self._closing:
                self._work.clear()
            if not jobs and self._closing:
                return
            await self._serve(jobs)

    async def _serve(self, jobs: list[Job]) -> None:
        """Answer each job, whatever happens: nobody waits for an answer that does not come."""
        units = [(work, future) for work, future in jobs if isinstance(work, Unit)]
        if units:
            self._writing.begins(self._loop.time())
            answers, signals = await self._answered([unit for unit, _ in units])
            self._writing.ends()
            UNITS.observe(len(units))
            for (_, future), answer in zip(units, answers, strict=True):
                _deliver(future, answer)
            tell(self.on_signal, signals)
        for work, future in jobs:
            if not isinstance(work, Unit):
                _deliver(future, await self._swept(*work))

    async def _answered(self, units: list[Unit[Any]]) -> tuple[list[Answer], set[str]]:
        """The whole batch at once; if a statement fails, each unit by itself, so that one fails alone."""
        try:
            answered = await self._transaction(units)
        except asyncio.CancelledError:
            # Only `close` is cancelled, by somebody who no longer waits for another process that writes.
            raise
        except BaseException as error:
            if _out_of_order(error):
                self._writing.failed(self._loop.time(), _words(error))
            if len(units) == 1 or _out_of_order(error):
                return [(False, refused) for refused in _refusals(error, len(units))], set()
        else:
            self._writing.went_well()
            return answered
        answers: list[Answer] = []
        signals: set[str] = set()
        for unit in units:
            own, told = await self._answered([unit])
            answers.extend(own)
            signals |= told
        return answers, signals

    async def _transaction(self, units: list[Unit[Any]]) -> tuple[list[Answer], set[str]]:
        batch = Batch()
        answers: dict[int, Answer] = {}
        try:
            connection = await self._begun()
            missing = [key for unit in units for key in unit.needs]
            self._load(connection, batch, batch.wanted(missing))
            for unit in units:
                if unit.query is not None:
                    self._load_query(connection, batch, unit.query)
            while missing := decide(batch, units, answers):
                self._load(connection, batch, batch.wanted(missing))
            writes = batch.writes()
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
            if batch.changed:
                await self._loop.run_in_executor(self._disk, connection.commit)
            else:
                connection.rollback()
        except BaseException:
            self._roll_back()
            raise
        return [answers[place] for place in range(len(units))], batch.signals

    async def _begun(self) -> sqlite3.Connection:
        """The writer in a transaction that writes, as soon as no other process has one."""
        deadline = self._loop.time() + self._busy_s
        while True:
            connection = self._connection()
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or self._loop.time() > deadline:
                    raise
                await asyncio.sleep(BUSY_AGAIN_S)
            else:
                return connection

    def _roll_back(self) -> None:
        """Leave the writer without a transaction: as it is, or, where even that fails, as a new connection."""
        try:
            if self._writer is not None and self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
        except sqlite3.Error as error:
            _log.error("the database cannot roll back: %s", error)
            self._leave()

    def _leave(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            with contextlib.suppress(sqlite3.Error):
                writer.close()

    def _connection(self) -> sqlite3.Connection:
        if self._writer is None:
            self._writer = connect(self.path, busy_s=0)
        return self._writer

    def _load(self, connection: sqlite3.Connection, batch: Batch, keys: list[Key]) -> None:
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

    def _load_query(self, connection: sqlite3.Connection, batch: Batch, query: Query[Any]) -> None:
        text = f"SELECT {sql.listed(query.kind.columns)} FROM {sql.quoted(query.kind.name)} WHERE {query.sqlite}"
        parameters = {
            name: json.dumps(value) if isinstance(value, list) else value for name, value in query.parameters.items()
        }
        found = connection.execute(text, parameters).fetchall()
        batch.load_query(query, [query.kind.from_columns(row) for row in found])

    async def _swept(self, text: str, parameters: Mapping[str, Any]) -> Answer:
        """Change rows by a condition; it may touch many, and so runs beside the loop."""

        def sweep(connection: sqlite3.Connection) -> int:
            count = connection.execute(text, parameters).rowcount
            connection.commit()
            return count

        try:
            connection = await self._begun()
            return True, await self._loop.run_in_executor(self._disk, sweep, connection)
        except asyncio.CancelledError:
            self._roll_back()
            raise
        except BaseException as error:
            self._roll_back()
            return False, _refusals(error, 1)[0]


def _deliver(future: asyncio.Future[Any], answer: Answer) -> None:
    if future.done():
        return
    well, value = answer
    if well:
        future.set_result(value)
    else:
        future.set_exception(value)


def _out_of_order(error: BaseException) -> bool:
    return isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorcode", 0) & 0xFF in _OUT_OF_ORDER


def _refusals(error: BaseException, count: int) -> list[Exception]:
    """What `count` callers are told of an error of the database; each gets an exception of its own."""
    if _out_of_order(error):
        told = str(_unavailable(error))
        return [errors.Unavailable(told) for _ in range(count)]
    ours = None if isinstance(error, sqlite3.Error) else error
    _log.error("the database refused what was written: %s: %s", type(error).__name__, error, exc_info=ours)
    return [Rejected(f"the database refused what was written: {error}") for _ in range(count)]


def _unavailable(error: BaseException) -> errors.Unavailable:
    _log.error("the database is out of order: %s: %s", type(error).__name__, error)
    return errors.Unavailable(_words(error))


def _words(error: BaseException) -> str:
    return FULL if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL else OUT_OF_ORDER
