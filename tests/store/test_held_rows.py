"""PostgreSQL: a row that somebody else holds keeps waiting what needs it, for a while, and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time

import asyncpg
import pytest
from sqlalchemy import delete, update

from otpost.domain import errors
from otpost.domain.message import Node
from otpost.store import tables
from otpost.store.kinds import NODES, VERIFICATIONS
from otpost.store.migrate import upgrade
from otpost.store.units import Unit, lock, lock_by, look
from otpost.store.writer import GIVE_UP_S
from store.examples import verification

pytestmark = pytest.mark.postgres

SOON_S = 3.0
"""Well below the 8 s after which a unit is refused, and far above what a unit takes."""

# Takes a row's lock, says so, and then stands still until the test lets it go on.
NODE_THAT_IS_FROZEN = """
import asyncio, os, signal, sys
from otpost.domain.message import Node
from otpost.store.kinds import NODES
from otpost.store.postgresql import PostgresStore
from otpost.store.migrate import upgrade
from otpost.store.units import Unit, lock

def freeze(rows):
    row = rows.get(NODES, "ND1")
    rows.put(NODES, Node("ND1", row.started_at, 99))
    print("frozen", flush=True)
    os.kill(os.getpid(), signal.SIGSTOP)

async def main(url):
    store = PostgresStore(url)
    await store.open()
    try:
        await store.run(Unit(freeze, [lock(NODES, "ND1")]))
    except Exception as error:
        print(type(error).__name__, flush=True)
    await store.run(Unit(lambda rows: rows.put(NODES, Node("ND9", 9, 9))))
    print("well", flush=True)
    await store.close()

asyncio.run(main(sys.argv[1]))
"""


@pytest.fixture
def url(postgres_template, postgres_database):
    return postgres_database(postgres_template("otpost", upgrade))


@contextlib.asynccontextmanager
async def held(url, *statements):
    """Another session that has done this in a transaction and not ended it."""
    session = await asyncpg.connect(url)
    transaction = session.transaction()
    await transaction.start()
    for statement in statements:
        await session.execute(statement)
    try:
        yield
    finally:
        await transaction.rollback()
        await session.close()


def beat(sid, at):
    """A unit that changes a row which it names beforehand."""

    def decide(rows):
        rows.put(NODES, Node(sid, 1, at))

    return Unit(decide, [lock(NODES, sid)])


def beat_late(sid, at):
    """The same, but it finds out only while it decides which row it needs."""

    def decide(rows):
        rows.get(NODES, sid)
        rows.put(NODES, Node(sid, 1, at))

    return Unit(decide)


async def make(store, *sids):
    await asyncio.gather(*(store.run(beat(sid, 1)) for sid in sids))


async def unready(store):
    """What a health answer says, as soon as it says that something is wrong."""
    async with asyncio.timeout(GIVE_UP_S):
        while True:
            try:
                await store.ping()
            except errors.Unavailable as refusal:
                return refusal.detail
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("changed", [beat, beat_late])
async def test_only_the_unit_that_needs_a_held_row_waits(url, open_store, changed):
    store = await open_store(url)
    await make(store, "ND1", "ND2", "ND3")
    async with held(url, "SELECT * FROM nodes WHERE sid = 'ND1' FOR UPDATE"):
        waiting = asyncio.create_task(store.run(changed("ND1", 7)))
        async with asyncio.timeout(SOON_S):
            await asyncio.gather(*(store.run(changed("ND2", n)) for n in range(60)), store.run(changed("ND3", 8)))
            # What comes later and needs the row waits as well, and still nobody else does.
            later = asyncio.create_task(store.run(changed("ND1", 9)))
            for n in range(20):
                await store.run(changed("ND2", n))
            await store.run(Unit(lambda rows: rows.look(NODES, "ND1"), [look(NODES, "ND1")]))
            await store.ping()
        assert not waiting.done()
        assert not later.done()
    async with asyncio.timeout(SOON_S):
        await asyncio.gather(waiting, later)
    assert await store.get(NODES, "ND1") in (Node("ND1", 1, 7), Node("ND1", 1, 9))


async def test_a_known_held_row_costs_no_further_wait(url, open_store):
    store = await open_store(url)
    await make(store, "ND1", "ND2")
    async with held(url, "SELECT * FROM nodes WHERE sid = 'ND1' FOR UPDATE"):
        waiting = [asyncio.create_task(store.run(beat("ND1", 0)))]
        await store.run(beat("ND2", 0))
        began = time.monotonic()
        for n in range(40):
            waiting.append(asyncio.create_task(store.run(beat_late("ND1", n))))
            await store.run(beat("ND2", n))
        # Forty waits for the lock would be ten seconds.
        assert time.monotonic() - began < SOON_S
    await asyncio.gather(*waiting)


async def test_what_waits_too_long_is_refused_with_a_word_for_the_caller(url, open_store):
    store = await open_store(url)
    await make(store, "ND1")
    async with held(url, "SELECT * FROM nodes WHERE sid = 'ND1' FOR UPDATE"):
        began = time.monotonic()
        with pytest.raises(errors.Unavailable, match="Another session holds a row"):
            await store.run(beat("ND1", 7))
        assert GIVE_UP_S - 1 < time.monotonic() - began < GIVE_UP_S + 3
    await store.run(beat("ND1", 8))
    assert await store.get(NODES, "ND1") == Node("ND1", 1, 8)


async def test_a_row_that_somebody_inserts_and_does_not_commit_keeps_nobody_else_waiting(url, open_store):
    store = await open_store(url)
    await make(store, "ND1")
    insert = "INSERT INTO nodes VALUES ('ND5', 1, 1)"
    async with held(url, insert):
        waiting = asyncio.create_task(store.run(beat("ND5", 7)))
        async with asyncio.timeout(SOON_S):
            await asyncio.gather(*(store.run(beat("ND1", n)) for n in range(60)))
            await store.ping()
    async with asyncio.timeout(SOON_S):
        await waiting
    assert await store.get(NODES, "ND5") == Node("ND5", 1, 7)


async def test_rows_that_are_found_by_an_index_are_waited_for_as_well(url, open_store):
    store = await open_store(url)
    await store.run(Unit(lambda rows: rows.put(VERIFICATIONS, verification("VE1", to="+1"))))
    pending = lock_by(VERIFICATIONS, "pending", verification("VE1").application, "+1")
    unit = Unit(lambda rows: len(rows.find(VERIFICATIONS, "pending", *pending.values)), [pending])
    async with held(url, "SELECT * FROM verifications FOR UPDATE"):
        waiting = asyncio.create_task(store.run(unit))
        async with asyncio.timeout(SOON_S):
            await asyncio.gather(*(store.run(beat("ND1", n)) for n in range(20)))
        assert not waiting.done()
    async with asyncio.timeout(SOON_S):
        assert await waiting == 1


async def test_sweeps_leave_the_rows_that_somebody_holds(url, open_store):
    store = await open_store(url)
    await make(store, "ND1", "ND2", "ND3")
    nodes = tables.nodes
    async with held(url, "SELECT * FROM nodes WHERE sid = 'ND1' FOR UPDATE"):
        async with asyncio.timeout(SOON_S):
            assert await store.sweep(update(nodes).where(nodes.c.beat_at == 1).values(beat_at=2)) == 2
            assert await store.sweep(delete(nodes).where(nodes.c.sid != "ND3")) == 1
    assert await store.sweep(delete(nodes)) == 2


async def test_a_locked_table_makes_the_node_unready_until_it_is_free(url, open_store):
    store = await open_store(url)
    await make(store, "ND1")
    async with held(url, "LOCK TABLE nodes IN EXCLUSIVE MODE"):
        waiting = [asyncio.create_task(store.run(beat(f"ND{n}", 1))) for n in range(40)]
        assert "locked a table" in await unready(store)
    async with asyncio.timeout(SOON_S):
        await asyncio.gather(*waiting)
    await store.ping()


async def test_a_batch_that_hangs_makes_the_node_unready(url, open_store, postgres_server):
    store = await open_store(url)
    await make(store, "ND1")
    pid = store._driver.pid
    os.kill(pid, signal.SIGSTOP)
    try:
        waiting = asyncio.create_task(store.run(beat("ND1", 2)))
        assert await unready(store)
    finally:
        os.kill(pid, signal.SIGCONT)
    await waiting
    await store.ping()


async def test_a_node_that_is_frozen_in_the_middle_loses_its_rows_and_goes_on_when_it_wakes(url, open_store):
    store = await open_store(url)
    await make(store, "ND1", "ND2")
    frozen = subprocess.Popen([sys.executable, "-c", NODE_THAT_IS_FROZEN, url], stdout=subprocess.PIPE, text=True)
    said = frozen.stdout
    assert said is not None
    try:
        assert await asyncio.to_thread(said.readline) == "frozen\n"
        waiting = asyncio.create_task(store.run(beat("ND1", 7)))
        async with asyncio.timeout(SOON_S):
            await asyncio.gather(*(store.run(beat("ND2", n)) for n in range(60)))
        # The server ends the frozen node's transaction before the unit that waits for it is refused.
        await waiting
        os.kill(frozen.pid, signal.SIGCONT)
        assert await asyncio.to_thread(said.readline) == "Unavailable\n"
        assert await asyncio.to_thread(said.readline) == "well\n"
        assert await asyncio.to_thread(frozen.wait, 20) == 0
    finally:
        frozen.kill()
        said.close()
        frozen.wait()
    assert await store.get(NODES, "ND1") == Node("ND1", 1, 7)
