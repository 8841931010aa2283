"""Two stores on one database: nothing is lost, nothing is done twice."""

from __future__ import annotations

import asyncio

import asyncpg
import msgspec
import pytest
from sqlalchemy import select

from otpost.domain.access import Tenant
from otpost.domain.message import Node
from otpost.store import tables
from otpost.store.kinds import MESSAGES, NODES, TENANTS, VERIFICATIONS
from otpost.store.migrate import upgrade
from otpost.store.units import Query, Unit, lock, lock_by
from store.examples import message, verification

NUMBER = "+4915112345678"


@pytest.fixture
async def stores(database_url, open_store):
    return await open_store(database_url), await open_store(database_url)


@pytest.fixture
def impatient(postgres_template, postgres_database):
    """A PostgreSQL database whose sessions look for deadlocks at once and not after a second."""
    return postgres_database(postgres_template("otpost", upgrade)) + "?deadlock_timeout=10ms"


def add(*sids):
    def decide(rows):
        for sid in sids:
            row = rows.get(NODES, sid) or Node(sid, 0, 0)
            rows.put(NODES, msgspec.structs.replace(row, beat_at=row.beat_at + 1))

    return decide


async def test_counting_from_two_stores_ends_at_the_exact_sum(stores):
    units = [Unit(add("ND1"), [lock(NODES, "ND1")]) for _ in range(64)]
    await asyncio.gather(*(stores[place % 2].run(unit) for place, unit in enumerate(units)))
    assert await stores[0].get(NODES, "ND1") == Node("ND1", 0, 64)


async def test_of_parallel_starts_from_two_stores_one_makes_the_row_and_all_get_it(stores):
    def start(sid):
        def decide(rows):
            for row in rows.find(VERIFICATIONS, "pending", "VA1", NUMBER):
                return row.sid
            rows.put(VERIFICATIONS, verification(sid))
            return sid

        return Unit(decide, [lock_by(VERIFICATIONS, "pending", "VA1", NUMBER)])

    answers = await asyncio.gather(*(stores[n % 2].run(start(f"VE{n}")) for n in range(64)))
    assert len(set(answers)) == 1
    table = tables.verifications
    assert await stores[0].select(select(table.c.sid, table.c.status)) == [(answers[0], "pending")]


async def test_a_settled_row_is_remembered_until_any_node_changes_it(stores):
    def name(given):
        return Unit(lambda rows: rows.put(TENANTS, Tenant("AC1", given, 1, "VA1")), [lock(TENANTS, "AC1")])

    one, other = stores
    assert await one.get(TENANTS, "AC1") is None
    await one.run(name("first"))
    for count, store in enumerate((other, one, other)):
        await store.run(name(f"new {count}"))
        async with asyncio.timeout(5):
            while True:
                seen, again = await one.get(TENANTS, "AC1"), await one.get(TENANTS, "AC1")
                if seen is again and again.name == f"new {count}":
                    break
                await asyncio.sleep(0.01)


@pytest.mark.postgres
async def test_units_that_lock_in_opposite_orders_are_tried_again_and_lose_nothing(impatient, open_store):
    one, other = await open_store(impatient), await open_store(impatient)
    await one.run(Unit(add("ND1", "ND2"), [lock(NODES, "ND1"), lock(NODES, "ND2")]))
    for _ in range(12):
        await asyncio.gather(one.run(Unit(add("ND1", "ND2"))), other.run(Unit(add("ND2", "ND1"))))
    assert await one.get(NODES, "ND1") == Node("ND1", 0, 25)
    assert await one.get(NODES, "ND2") == Node("ND2", 0, 25)


def tell(name):
    return Unit(lambda rows: rows.signal(name))


def claim(many):
    query = Query(MESSAGES, "due_at <= :now ORDER BY due_at LIMIT :many", now=1_000, many=many)

    def decide(rows):
        due = [row for row in rows.found(query) if row.due_at is not None]
        for row in due:
            rows.put(MESSAGES, msgspec.structs.replace(row, due_at=None))
        return [row.sid for row in due]

    return Unit(decide, query=query)


async def fill(store, count):
    def decide(rows):
        for n in range(count):
            rows.put(MESSAGES, message(f"SM{n:03}", due_at=n))

    await store.run(Unit(decide))


async def test_two_stores_that_claim_never_get_the_same_row(stores):
    await fill(stores[0], 300)

    async def claim_all(store):
        taken = []
        while due := await store.run(claim(7)):
            taken += due
        return taken

    taken = await asyncio.gather(*(claim_all(stores[n % 2]) for n in range(6)))
    assert sorted(sid for some in taken for sid in some) == [f"SM{n:03}" for n in range(300)]


@pytest.mark.postgres
async def test_a_claim_does_not_wait_for_rows_that_somebody_else_holds(impatient, open_store):
    store = await open_store(impatient)
    await fill(store, 5)
    other = await asyncpg.connect(impatient)
    async with other.transaction():
        await other.execute("SELECT FROM messages WHERE sid IN ('SM000', 'SM002') FOR UPDATE")
        assert await asyncio.wait_for(store.run(claim(9)), 10) == ["SM001", "SM003", "SM004"]
    assert await store.run(claim(9)) == ["SM000", "SM002"]
    await other.close()


@pytest.mark.postgres
async def test_a_signal_reaches_every_store_once_and_only_after_the_commit(impatient, open_store):
    one, other = await open_store(impatient), await open_store(impatient)
    heard: asyncio.Queue[str] = asyncio.Queue()
    heard_by_other: asyncio.Queue[str] = asyncio.Queue()
    one.on_signal, other.on_signal = heard.put_nowait, heard_by_other.put_nowait

    def fail(rows):
        rows.signal("never")
        raise ValueError

    with pytest.raises(ValueError):
        await one.run(Unit(fail))
    for name in ("first", "second", "third"):
        await one.run(tell(name))
    await other.run(tell("end"))
    assert [await heard.get() for _ in range(4)] == ["first", "second", "third", "end"]
    assert sorted([await heard_by_other.get() for _ in range(4)]) == ["end", "first", "second", "third"]
    assert heard.empty()
    assert heard_by_other.empty()
