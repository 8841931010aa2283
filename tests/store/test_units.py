"""A unit of work sees its own changes and those before it, fails alone, and is answered once it is on disk."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import Any

import asyncpg
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select

from otpost.domain import errors
from otpost.domain.message import Node
from otpost.domain.verification import Verification
from otpost.store import tables
from otpost.store.base import Rejected
from otpost.store.kinds import MESSAGES, NODES, VERIFICATIONS
from otpost.store.units import Kind, Query, Unit, lock, lock_by, look, look_by
from otpost.telemetry import REGISTRY
from store.examples import message, verification

NUMBER = "+4915112345678"


def put(kind, *rows, answer=None):
    def decide(found):
        for row in rows:
            found.put(kind, row)
        return answer

    return Unit(decide)


def add(sid, amount=1):
    """A unit that adds to a counter row and answers the sum."""

    def decide(rows):
        row = rows.get(NODES, sid) or Node(sid, 0, 0)
        row = msgspec.structs.replace(row, beat_at=row.beat_at + amount)
        rows.put(NODES, row)
        return row.beat_at

    return Unit(decide, [lock(NODES, sid)])


def tell(name):
    return Unit(lambda rows: rows.signal(name))


async def together(store, *units):
    """The answers of units that are given to the store at one moment; exceptions are answers too."""
    return await asyncio.gather(*(store.run(unit) for unit in units), return_exceptions=True)


async def pending(store):
    table = tables.verifications
    found = await store.select(select(table.c.sid).where(table.c.status == "pending").order_by(table.c.sid))
    return [sid for (sid,) in found]


async def test_a_unit_reads_its_own_changes(store):
    def decide(rows):
        assert rows.get(VERIFICATIONS, "VE1") is None
        rows.put(VERIFICATIONS, verification("VE1"))
        assert rows.get(VERIFICATIONS, "VE1") == verification("VE1")
        assert rows.find(VERIFICATIONS, "pending", "VA1", NUMBER) == [verification("VE1")]
        rows.put(VERIFICATIONS, verification("VE1", status="canceled"))
        assert rows.find(VERIFICATIONS, "pending", "VA1", NUMBER) == []
        rows.delete(VERIFICATIONS, "VE1")
        assert rows.get(VERIFICATIONS, "VE1") is None
        rows.put(VERIFICATIONS, verification("VE1", locale="de"))
        return rows.look(VERIFICATIONS, "VE1")

    answer = await store.run(
        Unit(decide, [lock(VERIFICATIONS, "VE1"), look_by(VERIFICATIONS, "pending", "VA1", NUMBER)])
    )
    assert answer == await store.get(VERIFICATIONS, "VE1") == verification("VE1", locale="de")


async def test_each_unit_sees_what_the_one_before_it_changed(store):
    assert await together(store, *(add("ND1") for _ in range(50))) == list(range(1, 51))
    assert await store.get(NODES, "ND1") == Node("ND1", 0, 50)


async def test_a_row_that_an_earlier_unit_put_is_found_in_its_index(store):
    def find(rows):
        return [row.sid for row in rows.find(VERIFICATIONS, "pending", "VA1", NUMBER)]

    answers = await together(
        store,
        Unit(find, [lock_by(VERIFICATIONS, "pending", "VA1", NUMBER)]),
        put(VERIFICATIONS, verification("VE1")),
        Unit(find, [lock_by(VERIFICATIONS, "pending", "VA1", NUMBER)]),
        Unit(find),
    )
    assert answers[2:] == [["VE1"], ["VE1"]]


async def test_a_row_that_left_its_index_in_an_earlier_unit_is_not_found(store):
    await store.run(put(VERIFICATIONS, verification("VE1")))
    needs = [lock_by(VERIFICATIONS, "pending", "VA1", NUMBER)]

    def end(rows):
        (row,) = rows.find(VERIFICATIONS, "pending", "VA1", NUMBER)
        rows.put(VERIFICATIONS, msgspec.structs.replace(row, status="expired"))

    def start(rows):
        assert rows.find(VERIFICATIONS, "pending", "VA1", NUMBER) == []
        rows.put(VERIFICATIONS, verification("VE2"))

    assert await together(store, Unit(end, needs), Unit(start, needs)) == [None, None]
    assert await pending(store) == ["VE2"]
    assert [row.sid for row in await store.find(VERIFICATIONS, "pending", "VA1", NUMBER)] == ["VE2"]


async def test_a_row_that_was_deleted_in_an_earlier_unit_is_not_found(store):
    await store.run(put(VERIFICATIONS, verification("VE1")))
    find = Unit(lambda rows: rows.find(VERIFICATIONS, "pending", "VA1", NUMBER), [lock(VERIFICATIONS, "VE1")])
    gone = Unit(lambda rows: rows.delete(VERIFICATIONS, "VE1"), [lock(VERIFICATIONS, "VE1")])
    assert await together(store, gone, find) == [None, []]


async def test_a_unit_that_asks_for_more_rows_is_run_again_with_them(store):
    await store.run(put(VERIFICATIONS, verification("VE1", message="SM1"), verification("VE2", message="SM2", to="+1")))
    await store.run(put(MESSAGES, message("SM1"), message("SM2")))
    runs = []

    def decide(rows):
        runs.append("begun")
        first = rows.get(VERIFICATIONS, "VE1")
        second = rows.look(VERIFICATIONS, "VE2")
        rows.require(lock(MESSAGES, first.message), look(MESSAGES, second.message))
        text, other = rows.get(MESSAGES, first.message), rows.look(MESSAGES, second.message)
        rows.put(MESSAGES, msgspec.structs.replace(text, tries=7))
        return text.sid, other.sid

    assert await store.run(Unit(decide)) == ("SM1", "SM2")
    assert len(runs) == 4
    assert (await store.get(MESSAGES, "SM1")).tries == 7


async def test_a_unit_that_fails_leaves_nothing_and_disturbs_nobody(store):
    def failing(error):
        def decide(rows):
            rows.put(NODES, Node("ND9", 1, 1))
            rows.put(NODES, Node("ND1", 0, 1_000))
            rows.signal("never")
            raise error

        return Unit(decide, [lock(NODES, "ND1")])

    heard: list[str] = []
    store.on_signal = heard.append
    wrong = [errors.ResendTooSoon(retry_at=5), ValueError("no"), StopIteration(), AssertionError(), KeyError("k")]
    units = [unit for error in wrong for unit in (add("ND1"), failing(error))]
    answers = await together(store, *units, add("ND1"))
    assert answers[::2] == [1, 2, 3, 4, 5, 6]
    assert [type(answer) for answer in answers[1::2]] == [
        errors.ResendTooSoon,
        ValueError,
        RuntimeError,
        AssertionError,
        KeyError,
    ]
    assert answers[1] is wrong[0]
    assert await store.select(select(tables.nodes)) == [("ND1", 0, 6)]
    assert heard == []


async def test_undo_forgets_what_the_unit_has_changed_so_far(store):
    heard: list[str] = []
    store.on_signal = heard.append

    def decide(rows):
        rows.put(NODES, Node("ND1", 1, 1))
        rows.delete(NODES, "ND2")
        rows.signal("undone")
        rows.undo()
        rows.put(NODES, Node("ND3", 3, 3))
        return rows.get(NODES, "ND1"), rows.get(NODES, "ND2")

    await store.run(put(NODES, Node("ND2", 2, 2)))
    assert await store.run(Unit(decide)) == (None, Node("ND2", 2, 2))
    assert await store.select(select(tables.nodes).order_by(tables.nodes.c.sid)) == [("ND2", 2, 2), ("ND3", 3, 3)]
    assert heard == []


async def test_delete_and_insert_of_one_row_in_one_batch_end_as_the_last_says(store):
    await store.run(put(NODES, Node("ND1", 1, 1)))
    gone = Unit(lambda rows: rows.delete(NODES, "ND1"), [lock(NODES, "ND1")])
    gone_new = Unit(lambda rows: rows.delete(NODES, "ND2"), [lock(NODES, "ND2")])
    new = put(NODES, Node("ND2", 2, 2))
    assert await together(store, gone, add("ND1", 5), new, gone_new) == [None, 5, None, None]
    assert await store.select(select(tables.nodes)) == [("ND1", 0, 5)]
    assert await together(store, gone, add("ND1", 7), gone) == [None, 7, None]
    assert await store.select(select(tables.nodes)) == []


@pytest.mark.parametrize("needs", [[], [look(NODES, "ND1")]])
async def test_a_row_that_was_only_looked_at_cannot_be_changed(store, needs):
    await store.run(put(NODES, Node("ND1", 1, 1)))

    def decide(rows):
        rows.put(NODES, msgspec.structs.replace(rows.look(NODES, "ND1"), beat_at=2))

    with pytest.raises(AssertionError, match="without a lock"):
        await store.run(Unit(decide, needs))
    assert await store.get(NODES, "ND1") == Node("ND1", 1, 1)


async def test_a_row_that_is_needed_twice_is_locked_if_once_it_was_asked_for_with_a_lock(store):
    await store.run(put(VERIFICATIONS, verification("VE1")))

    def decide(rows):
        (row,) = rows.find(VERIFICATIONS, "pending", "VA1", NUMBER)
        rows.put(VERIFICATIONS, msgspec.structs.replace(row, checks=row.checks + 1))

    locked, looked = lock_by(VERIFICATIONS, "pending", "VA1", NUMBER), look(VERIFICATIONS, "VE1")
    await store.run(Unit(decide, [locked, looked]))
    await store.run(Unit(decide, [looked, locked]))
    assert (await store.get(VERIFICATIONS, "VE1")).checks == 2


async def test_a_statement_that_fails_fails_its_own_unit_alone(store):
    await store.run(put(VERIFICATIONS, verification("VE1")))
    answers = await together(
        store,
        add("ND1"),
        put(VERIFICATIONS, verification("VE2")),
        add("ND1"),
        put(MESSAGES, message("SM1", due_at=2**70)),
        put(MESSAGES, message("SM2"), answer="kept"),
        put(NODES, Node("ND5", 1, 1)),
        put(NODES, msgspec.structs.replace(Node("ND6", 1, 1), sid=None)),
    )
    assert [type(answer) for answer in answers] == [int, Rejected, int, Rejected, str, type(None), Rejected]
    assert sorted([answers[0], answers[2]]) == [1, 2]
    assert await pending(store) == ["VE1"]
    assert await store.select(select(tables.messages.c.sid)) == [("SM2",)]
    assert await store.get(NODES, "ND5") == Node("ND5", 1, 1)


async def test_a_query_finds_rows_by_a_condition_and_shows_them_as_they_are_now(store):
    await store.run(put(MESSAGES, *(message(f"SM{n}", due_at=n, lane="b" if n % 2 else "a") for n in range(8))))

    def claim(many):
        query = Query(
            MESSAGES,
            "due_at <= :now AND NOT lane IN :full ORDER BY due_at LIMIT :many",
            now=6,
            full=["b"],
            many=many,
        )

        def decide(rows):
            due = [row for row in rows.found(query) if row.due_at is not None]
            for row in due:
                rows.put(MESSAGES, msgspec.structs.replace(row, due_at=None))
            return [row.sid for row in due]

        return Unit(decide, query=query)

    first, second = await together(store, claim(3), claim(4))
    assert first + second == ["SM0", "SM2", "SM4", "SM6"]
    assert await store.run(claim(9)) == []


async def test_a_query_does_not_hide_what_the_units_before_it_have_changed(store):
    await store.run(put(NODES, Node("ND1", 0, 5), Node("ND2", 0, 5)))
    query = Query(NODES, "beat_at = :beat", beat=5)
    find = Unit(lambda rows: sorted(row.beat_at for row in rows.found(query)), query=query)
    gone = Unit(lambda rows: rows.delete(NODES, "ND2"), [lock(NODES, "ND2")])
    assert await together(store, add("ND1"), gone, find) == [6, None, [6]]


async def test_many_more_units_than_a_batch_holds_are_all_answered(store):
    answers = await together(store, *(add(f"ND{n % 7}") for n in range(1_500)))
    assert len(answers) == 1_500
    assert sum(row[0] for row in await store.select(select(tables.nodes.c.beat_at))) == 1_500


async def test_a_caller_that_leaves_does_not_disturb_the_others(store):
    tasks = [asyncio.create_task(store.run(add("ND1"))) for _ in range(40)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(answer, asyncio.CancelledError) for answer in answers[::2])
    assert all(isinstance(answer, int) for answer in answers[1::2])
    assert await store.run(add("ND1", 0)) >= 20


async def test_what_was_given_before_the_end_is_answered_and_what_comes_later_is_refused(
    store, database_url, open_store
):
    tasks = [asyncio.create_task(store.run(add("ND1"))) for _ in range(600)]
    await asyncio.sleep(0)
    await store.close()
    assert sorted([task.result() for task in tasks]) == list(range(1, 601))
    with pytest.raises(errors.Unavailable, match="stopping"):
        await store.run(add("ND1"))
    for read in (store.ping(), store.get(NODES, "ND1"), store.select(select(tables.nodes))):
        with pytest.raises(errors.Unavailable):
            await read
    assert await (await open_store(database_url)).get(NODES, "ND1") == Node("ND1", 0, 600)


async def see_all(store, count):
    async def one(sid):
        await store.run(put(NODES, Node(sid, 1, 1)))
        return await count(sid), await store.get(NODES, sid) is not None

    assert await asyncio.gather(*(one(f"ND{n}") for n in range(300))) == [(1, True)] * 300


async def test_an_answer_comes_only_after_the_commit(store, database_url):
    """Somebody else sees the row at the moment at which the answer arrives."""
    if database_url.startswith("sqlite"):
        other = sqlite3.connect(database_url.removeprefix("sqlite:///"))

        async def count(sid):
            return other.execute("SELECT count(*) FROM nodes WHERE sid = ?", (sid,)).fetchone()[0]

        await see_all(store, count)
        other.close()
    else:
        async with asyncpg.create_pool(database_url, min_size=2, max_size=2) as pool:
            await see_all(store, lambda sid: pool.fetchval("SELECT count(*) FROM nodes WHERE sid = $1", sid))


async def test_signals_are_heard_once_and_after_the_commit(store):
    heard: asyncio.Queue[Any] = asyncio.Queue()
    store.on_signal = lambda name: heard.put_nowait((name, asyncio.create_task(store.get(NODES, "ND1"))))

    def decide(rows):
        rows.put(NODES, Node("ND1", 1, 1))
        rows.signal("messages_due")
        rows.signal("messages_due")

    await store.run(Unit(decide))
    await store.run(tell("end"))
    for expected in ("messages_due", "end"):
        name, row = await heard.get()
        assert name == expected
        assert await row == Node("ND1", 1, 1)
    assert heard.empty()


async def test_a_listener_that_fails_does_not_stop_the_store(store):
    heard: asyncio.Queue[str] = asyncio.Queue()

    def listen(name):
        heard.put_nowait(name)
        raise RuntimeError("the listener is broken")

    store.on_signal = listen
    for name in ("one", "two"):
        await store.run(tell(name))
        assert await heard.get() == name
    await store.ping()


class Stopped(Exception):
    """What a unit of the model raises."""


SIDS, GROUPS = st.sampled_from(["SM1", "SM2", "SM3"]), st.sampled_from(["VE1", "VE2", None])
STEPS = st.one_of(
    st.tuples(st.just("put"), SIDS, GROUPS),
    st.tuples(st.just("delete"), SIDS, st.none()),
    st.tuples(st.just("get"), SIDS, st.none()),
    st.tuples(st.just("find"), st.none(), GROUPS),
    st.tuples(st.just("undo"), st.none(), st.none()),
    st.tuples(st.just("fail"), st.none(), st.none()),
)
UNITS = st.tuples(st.lists(STEPS, max_size=5), st.booleans())


def apply(model, steps):
    """What a unit of these steps sees and leaves, told by a plain dict of SIDs and groups."""
    own = dict(model)
    seen: list[Any] = []
    for what, sid, group in steps:
        match what:
            case "put":
                own[sid] = group
            case "delete":
                own.pop(sid, None)
            case "get":
                seen.append((sid in own, own.get(sid)))
            case "find":
                seen.append(sorted(sid for sid, of in own.items() if of == group and group is not None))
            case "undo":
                own = dict(model)
            case "fail":
                return model, "stopped"
    return own, seen


def unit_of(place, steps, named, order):
    def decide(rows):
        seen: list[Any] = []
        for what, sid, group in steps:
            match what:
                case "put":
                    rows.get(MESSAGES, sid)
                    rows.put(MESSAGES, message(sid, verification=group))
                case "delete":
                    rows.delete(MESSAGES, sid)
                case "get":
                    row = rows.look(MESSAGES, sid)
                    seen.append((row is not None, row.verification if row else None))
                case "find":
                    seen.append([row.sid for row in rows.find(MESSAGES, "verification", group, locked=False)])
                case "undo":
                    rows.undo()
                case "fail":
                    order.append(place)
                    raise Stopped
        order.append(place)
        return seen

    needs = [lock(MESSAGES, sid) for what, sid, _ in steps if what in ("put", "delete")]
    return Unit(decide, needs if named else [])


@given(batches=st.lists(st.lists(UNITS, min_size=1, max_size=6), min_size=1, max_size=4))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_units_do_what_they_would_do_one_after_another_on_a_dict(store, batches):
    await store.sweep(delete(tables.messages))
    model: dict[str, str | None] = {}
    for batch in batches:
        order: list[int] = []
        units = [unit_of(place, steps, named, order) for place, (steps, named) in enumerate(batch)]
        answers = await together(store, *units)
        assert sorted(order) == list(range(len(batch)))
        for place in order:
            model, seen = apply(model, batch[place][0])
            answer = "stopped" if isinstance(answers[place], Stopped) else answers[place]
            assert answer == seen
        table = tables.messages
        assert dict(await store.select(select(table.c.sid, table.c.verification))) == model


def test_the_columns_of_a_table_are_the_fields_of_its_value():
    with pytest.raises(TypeError, match="nodes"):
        Kind(tables.nodes, Verification)


async def test_the_metric_counts_the_units_that_shared_a_commit(store):
    def units() -> float:
        return REGISTRY.get_sample_value("otpost_units_in_a_commit_sum") or 0.0

    before = units()
    await asyncio.gather(*(store.run(Unit(lambda rows: None)) for _ in range(7)))
    assert units() == before + 7
