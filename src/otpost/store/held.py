"""Rows that another session holds: which units wait for them aside, and for how long, while all others go on."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import asyncpg

from otpost.store import sql
from otpost.store.units import Batch, Key, Kind, Unit, Values

GIVE_UP_S = 8.0
"""Longer than the server lets a frozen node hold a row; then the caller is told."""
AGAIN_S = 0.1
LONGEST_AGAIN_S = 2.0
TELLS_S = 2.0


class Place(NamedTuple):
    """What is held, as units name it: the rows under these values of a key or an index."""

    kind: Kind[Any]
    by: str
    values: Values


class Held(Exception):
    """A batch needs rows that another session holds; `units` are the numbers of those in the batch that need them."""

    def __init__(self, places: Collection[Place], units: Collection[int]) -> None:
        self.places = places
        self.units = frozenset(units)


class Blocked(Exception):
    """Some of these keys' rows are held by another session; `known` are the places of which that is known already."""

    def __init__(self, keys: Sequence[Key], known: Collection[Place] = ()) -> None:
        self.keys = keys
        self.known = known


@dataclass(slots=True, eq=False)
class Job:
    """A unit whose caller waits; `since` is the loop's time when it came, `waits` how often it was set aside.

    `whole` says that it met a table that somebody has locked, and not single rows.
    """

    unit: Unit[Any]
    future: asyncio.Future[Any]
    since: float
    places: frozenset[Place] = frozenset()
    waits: int = 0
    again_at: float = 0.0
    whole: bool = False

    def fail(self, error: Exception) -> None:
        if not self.future.done():
            self.future.set_exception(error)


def place_of(key: Key) -> Place:
    return Place(key.kind, key.by, key.values)


def of_a_row(error: asyncpg.LockNotAvailableError) -> bool:
    """Whether a wait was for one row's holder, and not for a lock of a whole table."""
    return "tuple" in (error.context or "")


async def held_now(connection: Any, places: Iterable[Place]) -> set[Place]:
    """Those of the places of which another session holds a row now."""
    found: set[Place] = set()
    by_index: dict[tuple[Kind[Any], str], list[Place]] = defaultdict(list)
    for place in places:
        by_index[place.kind, place.by].append(place)
    for (kind, by), wanted in by_index.items():
        columns = sql.columns_of([place.values for place in wanted])
        names = kind.indexes[by].columns if by else kind.key_columns
        free = await connection.fetch(sql.postgresql_select(kind, by, True) + " SKIP LOCKED", *columns)
        keys = {tuple(record[name] for name in kind.key_columns) for record in free}
        for record in await connection.fetch(sql.postgresql_select(kind, by, False), *columns):
            if tuple(record[name] for name in kind.key_columns) not in keys:
                found.add(Place(kind, by, tuple(record[name] for name in names)))
    return found


def needing(units: Sequence[Unit[Any]], batch: Batch, places: Collection[Place]) -> list[int]:
    """The numbers of the units that want one of these places locked, from the start or as they found out."""
    return [
        number
        for number, unit in enumerate(units)
        if any(key.lock and place_of(key) in places for key in (*unit.needs, *batch.asked.get(number, ())))
    ]


class Aside:
    """The units that wait for somebody else's rows; `places` are the rows that are known to be held."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self.places: set[Place] = set()

    def take(self, jobs: Iterable[Job], places: Collection[Place], now: float, *, whole: bool = False) -> None:
        """Set these aside: until the places are free, or, where what is held is not known, for a growing moment."""
        self.places.update(places)
        for job in jobs:
            job.places, job.whole = frozenset(places), whole
            job.again_at = now + min(AGAIN_S * 2**job.waits, LONGEST_AGAIN_S)
            job.waits += 1
            self.jobs.append(job)

    def known(self, keys: Iterable[Key]) -> set[Place]:
        """Those of the places wanted locked that are known to be held."""
        return {place for key in keys if key.lock and (place := place_of(key)) in self.places} if self.places else set()

    def free(self, places: Iterable[Place]) -> None:
        """These are held no longer."""
        self.places.difference_update(places)

    def over(self, now: float) -> list[Job]:
        """Take out the units that have waited long enough."""
        return self._without([job for job in self.jobs if now - job.since > GIVE_UP_S])

    def again(self, now: float) -> list[Job]:
        """Take out the units that may go on."""
        return self._without(
            [job for job in self.jobs if (not job.places & self.places if job.places else job.again_at <= now)]
        )

    def _without(self, gone: list[Job]) -> list[Job]:
        taken = set(gone)
        self.jobs = [job for job in self.jobs if job not in taken]
        self.places.intersection_update({place for job in self.jobs for place in job.places})
        return gone

    def stands_still(self, now: float) -> bool:
        """Whether units wait for more than single rows: for a table that somebody has locked."""
        return any(job.whole and now - job.since > TELLS_S for job in self.jobs)
