"""The one writer of a database: units of work share a transaction, and are answered once it is on disk."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from otpost.domain import errors
from otpost.store.base import HELD, LOCKED, OUT_OF_ORDER, STOPPING
from otpost.store.units import Answer, Batch, Key, Query, Unit, Writes, decide
from otpost.telemetry import UNITS

BATCH = 256
TRIES = 5
TRIES_OF_BATCH = 2
BLOCKED_AT_MOST = 2
"""How many units of one batch may each wait for a lock before the rest of the batch is set aside untried."""
GIVE_UP_S = 8.0
"""Longer than a server lets a frozen node hold a row; then the caller is told."""
AGAIN_S = 0.1
LONGEST_AGAIN_S = 2.0
STUCK_S = 2.0
"""After this long a batch that hangs, or a table that somebody has locked, makes the node unready."""
FAILED_S = 5.0

_log = logging.getLogger(__name__)


class Blocked(Exception):
    """Another session holds rows of these keys; of none where it is not known which.

    `whole` says that it has locked a table, and not single rows.
    """

    def __init__(self, keys: Collection[Key] = (), *, whole: bool = False) -> None:
        self.keys = keys
        self.whole = whole


class Driver(Protocol):
    """A session with a database that writes; the writer has at most one transaction in it at a time."""

    async def begin(self) -> None: ...

    async def load(self, batch: Batch, keys: list[Key]) -> None:
        """Hand the batch what is stored under the keys, locked where they say so; Blocked where somebody holds it."""
        ...

    async def load_query(self, batch: Batch, query: Query[Any]) -> None: ...

    async def write(self, writes: Writes, signals: Collection[str]) -> None:
        """Write set by set; the signals reach other processes with the commit."""
        ...

    async def commit(self) -> None: ...

    async def roll_back(self, error: BaseException) -> None:
        """End what was begun, wherever it failed; the next `begin` starts afresh. Raises nothing."""
        ...

    async def find_held(self, keys: Collection[Key]) -> set[Key]:
        """Those of the locking keys of which another session holds a row now; asked for outside of a transaction."""
        ...

    def is_down(self, error: BaseException) -> bool:
        """Whether it ails the database and not the statement: nobody in the batch can be served."""
        ...

    def is_race(self, error: BaseException) -> bool:
        """Whether another node was first: on what it has written the same units may well succeed."""
        ...

    def refusal(self, error: BaseException) -> Exception:
        """Log it; what a caller is told: `errors.Unavailable`, or `Rejected` where to try again would not help."""
        ...


@dataclass(slots=True, eq=False)
class Job:
    """A unit whose caller waits, since the loop's time at which it came."""

    unit: Unit[Any]
    future: asyncio.Future[Any]
    since: float

    def answer(self, answer: Answer) -> None:
        well, value = answer
        if self.future.done():
            return
        if well:
            self.future.set_result(value)
        else:
            self.future.set_exception(value)


class Held(Exception):
    """These jobs of a batch need rows that another session holds, those of these keys."""

    def __init__(self, keys: Collection[Key], jobs: list[Job]) -> None:
        self.keys = keys
        self.jobs = jobs


class Wait(NamedTuple):
    """A job that waits until the rows of its keys are free; where they are not known, until a time of the loop."""

    job: Job
    keys: frozenset[Key]
    again_at: float
    whole: bool


class Aside:
    """The jobs that wait for somebody else's rows; `held` are the keys whose rows are known to be held."""

    def __init__(self) -> None:
        self.waits: list[Wait] = []
        self.held: set[Key] = set()

    def add(self, jobs: Iterable[Job], blocked: Blocked, now: float) -> None:
        """Where it is not known what is held, each waits as long again as it has waited already."""
        keys = frozenset(blocked.keys)
        self.held |= keys
        for job in jobs:
            pause_s = min(max(AGAIN_S, now - job.since), LONGEST_AGAIN_S)
            self.waits.append(Wait(job, keys, now + pause_s, blocked.whole))

    def take_overdue(self, now: float) -> list[Job]:
        """Those that have waited long enough."""
        return self._take(lambda wait: now - wait.job.since > GIVE_UP_S)

    def take_ready(self, now: float) -> list[Job]:
        """Those that may go on."""
        return self._take(lambda wait: not wait.keys & self.held if wait.keys else wait.again_at <= now)

    def _take(self, leaves: Callable[[Wait], bool]) -> list[Job]:
        leaving = [wait for wait in self.waits if leaves(wait)]
        self.waits = [wait for wait in self.waits if not leaves(wait)]
        self.held.intersection_update(key for wait in self.waits for key in wait.keys)
        return [wait.job for wait in leaving]

    def is_stuck(self, job: Job) -> bool:
        """Whether the job waits for more than single rows: for a table that somebody has locked."""
        return any(wait.whole and wait.job is job for wait in self.waits)


class Writer:
    """Takes units of work from any number of callers and answers each, whatever happens.

    Units that come within `gather_s` of the first share a transaction and a sync to disk. If a statement fails, each
    is tried by itself, so that one fails alone; only a unit that needs a row which another session holds waits aside.
    `turn` is held while a batch is written: who holds it has the driver alone.
    """

    def __init__(self, driver: Driver, tell: Callable[[Iterable[str]], None], gather_s: float) -> None:
        self.turn = asyncio.Lock()
        self._driver = driver
        self._tell = tell
        self._gather_s = gather_s
        self._jobs: list[Job] = []
        self._batch: list[Job] = []
        self._work = asyncio.Event()
        self._aside = Aside()
        self._bringing_back: asyncio.Task[None] | None = None
        self._begun_at: float | None = None
        self._failure: tuple[float, str] | None = None
        self.closing = False

    def open(self) -> None:
        loop = asyncio.get_running_loop()
        self._now, self._future = loop.time, loop.create_future
        self._task = loop.create_task(self._write_forever())

    async def close(self) -> None:
        """Answer what was given before, and take nothing more."""
        self.closing = True
        self._work.set()
        await self._task
        if self._bringing_back is not None:
            self._bringing_back.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._bringing_back

    def put(self, unit: Unit[Any]) -> asyncio.Future[Any]:
        """Queue a unit; its answer comes once its changes are on disk."""
        if self.closing:
            raise errors.Unavailable(STOPPING)
        future = self._future()
        self._jobs.append(Job(unit, future, self._now()))
        self._work.set()
        return future

    def judge(self) -> None:
        """Raise `errors.Unavailable` while what is written does not get through, or did not a moment ago."""
        now = self._now()
        if self._begun_at is not None and now - self._begun_at > STUCK_S:
            raise errors.Unavailable(OUT_OF_ORDER)
        if self._failure is not None and now - self._failure[0] < FAILED_S:
            raise errors.Unavailable(self._failure[1])
        if any(wait.whole and now - wait.job.since > STUCK_S for wait in self._aside.waits):
            raise errors.Unavailable(LOCKED)

    async def _write_forever(self) -> None:
        try:
            while True:
                await self._work.wait()
                if not self.closing:
                    await asyncio.sleep(self._gather_s)
                self._batch, self._jobs = self._jobs[:BATCH], self._jobs[BATCH:]
                if not self._jobs and not self.closing:
                    self._work.clear()
                if self._batch:
                    async with self.turn:
                        self._begun_at = self._now()
                        await self._serve(self._batch)
                        self._begun_at = None
                elif self.closing:
                    return
        finally:
            # Nobody waits for an answer that does not come.
            self.closing = True
            for job in (*self._batch, *self._jobs, *(wait.job for wait in self._aside.waits)):
                job.answer((False, errors.Unavailable(STOPPING)))
            self._aside.waits = []

    async def _serve(self, jobs: list[Job]) -> None:
        """Answer each job, or let it wait aside for rows that another session holds."""
        tries_left = TRIES if len(jobs) == 1 else TRIES_OF_BATCH
        while jobs and tries_left:
            tries_left -= 1
            try:
                answers, signals = await self._transact(jobs)
            except asyncio.CancelledError:
                raise
            except Held as held:
                self._set_aside(held.jobs, Blocked(held.keys))
                jobs = [job for job in jobs if job not in held.jobs]
                tries_left += bool(held.jobs)
            except Blocked as blocked:
                if len(jobs) > 1:
                    break
                self._set_aside(jobs, blocked)
                return
            except BaseException as error:
                if self._driver.is_race(error) and (tries_left or len(jobs) > 1):
                    continue
                if len(jobs) > 1 and not self._driver.is_down(error):
                    break
                self._refuse(jobs, error)
                return
            else:
                self._failure = None
                for job, answer in zip(jobs, answers, strict=True):
                    job.answer(answer)
                self._tell(signals)
                return
        if len(jobs) == 1:
            # Each time its rows were found free again, and were not when it came: it comes back in a moment.
            self._set_aside(jobs, Blocked())
        else:
            await self._serve_one_by_one(jobs)

    async def _serve_one_by_one(self, jobs: list[Job]) -> None:
        blocked = 0
        for number, job in enumerate(jobs):
            await self._serve([job])
            blocked += self._aside.is_stuck(job)
            if blocked == BLOCKED_AT_MOST:
                self._set_aside(jobs[number + 1 :], Blocked())
                return

    async def _transact(self, jobs: list[Job]) -> tuple[list[Answer], set[str]]:
        driver, batch = self._driver, Batch()
        units = [job.unit for job in jobs]
        answers: dict[int, Answer] = {}
        try:
            await driver.begin()
            await self._load(batch, [key for unit in units for key in unit.needs])
            for unit in units:
                if unit.query is not None:
                    await driver.load_query(batch, unit.query)
            while missing := decide(batch, units, answers):
                await self._load(batch, missing)
            await driver.write(batch.writes(), batch.signals)
            await driver.commit()
        except BaseException as error:
            await driver.roll_back(error)
            if not isinstance(error, Blocked) or not error.keys:
                raise
            # Nothing of them may be held any more: then no unit needs it, and the batch is simply tried once more.
            held = self._aside.held.intersection(error.keys) or await driver.find_held(error.keys)
            needs = ({*unit.needs, *batch.asked.get(number, ())} for number, unit in enumerate(units))
            raise Held(held, [job for job, keys in zip(jobs, needs, strict=True) if keys & held]) from None
        UNITS.observe(len(jobs))
        return [answers[number] for number in range(len(jobs))], batch.signals

    async def _load(self, batch: Batch, keys: list[Key]) -> None:
        if wanted := batch.wanted(keys):
            if self._aside.held and not self._aside.held.isdisjoint(wanted):
                raise Blocked(wanted)
            await self._driver.load(batch, wanted)

    def _refuse(self, jobs: list[Job], error: BaseException) -> None:
        refusal = self._driver.refusal(error)
        if isinstance(refusal, errors.Unavailable):
            self._failure = (self._now(), refusal.detail)
        for job in jobs:
            job.answer((False, type(refusal)(*refusal.args)))

    def _set_aside(self, jobs: list[Job], blocked: Blocked) -> None:
        if not jobs:
            return
        if not self._aside.waits:
            tables = " and ".join(sorted({key.kind.name for key in blocked.keys})) or "a table"
            _log.warning(
                "another session holds rows of %s; what needs them waits: pg_stat_activity shows who is in a "
                "transaction for long",
                tables,
            )
        self._aside.add(jobs, blocked, self._now())
        if self._bringing_back is None or self._bringing_back.done():
            self._bringing_back = asyncio.create_task(self._bring_back())

    async def _bring_back(self) -> None:
        """Bring back the units that wait aside, as soon as what they need is free."""
        aside = self._aside
        while aside.waits:
            await asyncio.sleep(AGAIN_S)
            if overdue := aside.take_overdue(self._now()):
                _log.error("another session still holds what %d units need; they are refused", len(overdue))
                for job in overdue:
                    job.answer((False, errors.Unavailable(HELD)))
            try:
                asked = set(aside.held)
                aside.held -= asked - await self._driver.find_held(asked)
            except Exception as error:
                _log.warning("the database does not tell what is held: %s", type(error).__name__)
            if ready := aside.take_ready(self._now()):
                self._jobs[:0] = ready
                self._work.set()
