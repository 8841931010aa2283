"""The exercise that every driver has to pass: what the one writer promises, whatever becomes of the database."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from otpost.domain import errors
from otpost.domain.message import Node
from otpost.store import sessions
from otpost.store.base import Rejected
from otpost.store.kinds import MESSAGES, NODES
from otpost.store.postgresql import PostgresDriver
from otpost.store.sqlite import SqliteDriver
from otpost.store.units import Query, Unit, lock
from otpost.store.writer import Blocked, Writer
from store.examples import message


class Lost(Exception):
    """What a driver raises whose transaction was lost against another node's."""


class Watched:
    """A driver that counts what it is asked for, and fails where the test says; `down` is an error of its database."""

    def __init__(self, driver, down):
        self.driver = driver
        self.down = down
        self.asked: Counter[str] = Counter()
        self.before = {}
        self.after = {}
        self.held = set()

    def __getattr__(self, name):
        return getattr(self.driver, name)

    async def begin(self):
        await self._do("begin")

    async def load(self, batch, keys):
        if self.held.intersection(keys):
            raise Blocked(keys)
        await self._do("load", batch, keys)

    async def write(self, writes, signals):
        await self._do("write", writes, signals)

    async def commit(self):
        await self._do("commit")

    async def find_held(self, keys):
        return self.held.intersection(keys)

    def is_race(self, error):
        return isinstance(error, Lost) or self.driver.is_race(error)

    async def _do(self, name, *arguments):
        self.asked[name] += 1
        self._fail(self.before, name)
        await getattr(self.driver, name)(*arguments)
        self._fail(self.after, name)

    def _fail(self, where, name):
        if where.get(name):
            raise where[name].pop(0)


@pytest.fixture
async def driver(database_url):
    """A driver of each database that the store knows."""
    if database_url.startswith("sqlite"):
        file = SqliteDriver(Path(database_url.removeprefix("sqlite:///")))
        file.open()
        down = sqlite3.OperationalError("disk I/O error")
        down.sqlite_errorcode = sqlite3.SQLITE_IOERR
        yield Watched(file, down)
        await file.close()
    else:
        async with await sessions.pool(database_url, 2) as pool:
            session = PostgresDriver(database_url, pool)
            yield Watched(session, ConnectionResetError("gone"))
            await session.close()


@pytest.fixture
def heard():
    """The signals that the writer has told."""
    return []


@pytest.fixture
async def writer(driver, heard):
    made = Writer(driver, heard.extend, gather_s=0.02)
    made.open()
    yield made
    if not made.closing:
        await made.close()


def add(sid, amount=1):
    def decide(rows):
        row = rows.get(NODES, sid) or Node(sid, 0, 0)
        row = msgspec.structs.replace(row, beat_at=row.beat_at + amount)
        rows.put(NODES, row)
        rows.signal(sid)
        return row.beat_at

    return Unit(decide, [lock(NODES, sid)])


async def together(writer, *units):
    """The answers of units that are given to the writer at one moment; exceptions are answers too."""
    async with asyncio.timeout(20):
        return await asyncio.gather(*(writer.put(unit) for unit in units), return_exceptions=True)


async def stored(writer, sid):
    """What the database holds of a counter."""
    (row,) = await together(writer, Unit(lambda rows: rows.look(NODES, sid)))
    return None if row is None else row.beat_at


async def unready(writer):
    """What a health answer says, as soon as it says that something is wrong."""
    while True:
        try:
            writer.judge()
        except errors.Unavailable as refusal:
            return refusal.detail
        await asyncio.sleep(0.05)


async def test_units_that_come_together_share_one_transaction(writer, driver, heard):
    assert await together(writer, *(add("ND1") for _ in range(50))) == list(range(1, 51))
    assert (driver.asked["begin"], driver.asked["commit"]) == (1, 1)
    assert heard == ["ND1"]


async def test_a_unit_whose_statement_fails_fails_alone(writer, driver, heard):
    wrong = add("ND2", 2**70)
    assert [
        answer if isinstance(answer, int) else type(answer)
        for answer in await together(writer, add("ND1"), wrong, add("ND1"))
    ] == [1, Rejected, 2]
    assert (driver.asked["begin"], driver.asked["commit"]) == (4, 2)
    assert await stored(writer, "ND2") is None
    assert heard == ["ND1", "ND1"]
    writer.judge()


async def test_a_batch_that_was_lost_against_another_node_is_done_again(writer, driver, heard):
    driver.after["write"] = [Lost()]
    assert await together(writer, add("ND1"), add("ND1")) == [1, 2]
    assert await stored(writer, "ND1") == 2
    assert heard == ["ND1"]


async def test_a_unit_that_is_lost_against_other_nodes_again_and_again_is_refused_at_last(writer, driver):
    driver.after["write"] = [Lost() for _ in range(5)]
    assert [type(answer) for answer in await together(writer, add("ND1"))] == [Rejected]
    assert await together(writer, add("ND1")) == [1]


@pytest.mark.parametrize("step", ["begin", "load", "write", "commit"])
async def test_a_database_that_is_down_answers_the_whole_batch_once_and_is_used_again_when_it_is_back(
    writer, driver, heard, step
):
    await together(writer, add("ND1"))
    driver.before[step] = [driver.down]
    begun = driver.asked["begin"]
    answers = await together(writer, *(add("ND1") for _ in range(9)))
    assert {type(answer) for answer in answers} == {errors.Unavailable}
    assert len({id(answer) for answer in answers}) == 9
    assert driver.asked["begin"] == begun + 1
    with pytest.raises(errors.Unavailable):
        writer.judge()
    assert await together(writer, add("ND1")) == [2]
    writer.judge()
    assert heard == ["ND1", "ND1"]


async def test_where_the_answer_of_a_commit_is_lost_nobody_is_told_yes_and_nothing_is_done_twice(writer, driver, heard):
    driver.after["commit"] = [driver.down]
    assert {type(answer) for answer in await together(writer, add("ND1"), add("ND1"))} == {errors.Unavailable}
    assert heard == []
    assert await stored(writer, "ND1") == 2


async def test_what_is_no_error_of_a_database_is_answered_as_well(writer):
    class Over(BaseException):
        pass

    def end(rows):
        raise Over

    assert [type(answer) for answer in await together(writer, Unit(end))] == [Rejected]
    assert await together(writer, add("ND1")) == [1]


async def test_only_the_units_that_need_a_held_row_wait_and_they_go_on_once_it_is_free(writer, driver):
    driver.held = {lock(NODES, "ND1")}
    waiting = [asyncio.ensure_future(writer.put(add("ND1"))) for _ in range(3)]
    assert await together(writer, *(add("ND2") for _ in range(20))) == list(range(1, 21))
    needs_it_late = Unit(lambda rows: add("ND1", 10).decide(rows))
    waiting.append(asyncio.ensure_future(writer.put(needs_it_late)))
    assert await together(writer, add("ND2")) == [21]
    assert not any(unit.done() for unit in waiting)
    writer.judge()
    driver.held = set()
    async with asyncio.timeout(5):
        await asyncio.gather(*waiting)
    assert await stored(writer, "ND1") == 13


async def test_a_row_that_is_free_again_before_anybody_looks_keeps_nobody_waiting(writer, driver):
    driver.before["load"] = [Blocked([lock(NODES, "ND1")])]
    assert await together(writer, add("ND1"), add("ND2")) == [1, 1]


async def test_a_locked_table_keeps_few_units_waiting_one_by_one_and_makes_the_node_unready(writer, driver):
    driver.before["write"] = [Blocked(whole=True) for _ in range(40)]
    waiting = [asyncio.ensure_future(writer.put(add(f"ND{n}"))) for n in range(40)]
    await asyncio.sleep(0.1)
    assert driver.asked["write"] <= 1 + 2
    async with asyncio.timeout(10):
        refusal = await unready(writer)
    assert "locked a table" in refusal
    driver.before["write"] = []
    async with asyncio.timeout(10):
        assert await asyncio.gather(*waiting) == [1] * 40
    writer.judge()


async def test_what_waits_when_the_end_comes_is_answered_and_what_comes_later_is_refused(writer, driver):
    waiting = [asyncio.ensure_future(writer.put(add("ND1"))) for _ in range(600)]
    await asyncio.sleep(0)
    async with asyncio.timeout(20):
        await writer.close()
        assert sorted(await asyncio.gather(*waiting)) == list(range(1, 601))
    with pytest.raises(errors.Unavailable, match="stopping"):
        writer.put(add("ND1"))


async def test_at_the_end_nobody_waits_for_rows_that_others_hold(writer, driver):
    driver.held = {lock(NODES, "ND1")}
    waiting = asyncio.ensure_future(writer.put(add("ND1")))
    await together(writer, add("ND2"))
    began = time.monotonic()
    await writer.close()
    assert time.monotonic() - began < 2
    with pytest.raises(errors.Unavailable, match="stopping"):
        await waiting


async def test_an_end_that_cannot_be_waited_for_leaves_nobody_without_an_answer(writer, driver):
    async def stand_still(batch, keys):
        await asyncio.Event().wait()

    driver.load = stand_still
    waiting = [asyncio.ensure_future(writer.put(add("ND1"))) for _ in range(300)]
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await writer.close()
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(answer) for answer in answers} == {errors.Unavailable}


@pytest.mark.parametrize(
    ("condition", "lists", "found"),
    [
        ("lane IN :lanes", {"lanes": ["a", "c"]}, ["SM0", "SM2", "SM3"]),
        ("NOT lane IN :lanes", {"lanes": ["a", "c"]}, ["SM1"]),
        ("lane IN :lanes", {"lanes": []}, []),
        ("NOT lane IN :lanes", {"lanes": []}, ["SM0", "SM1", "SM2", "SM3"]),
        ("NOT (lane IN :lanes OR lane || ':' || sid IN :both)", {"lanes": ["a"], "both": ["b:SM1"]}, ["SM2"]),
        ("due_at IN :moments AND lane = :lane", {"moments": [1, 2, 3], "lane": "c"}, ["SM2"]),
    ],
)
async def test_a_list_in_a_query_is_one_parameter(writer, condition, lists, found):
    def fill(rows):
        for n, lane in enumerate("abca"):
            rows.put(MESSAGES, message(f"SM{n}", due_at=n, lane=lane))

    query = Query(MESSAGES, f"{condition} AND due_at < :before ORDER BY sid", before=9, **lists)
    assert await together(writer, Unit(fill)) == [None]
    answers = await together(writer, *[Unit(lambda rows: [row.sid for row in rows.found(query)], query=query)])
    assert answers == [found]
