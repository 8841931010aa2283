"""What goes into the database comes out of it, on both databases."""

from __future__ import annotations

import msgspec
import pytest
from sqlalchemy import delete, select, update

from otpost.domain import errors
from otpost.store import columns, kinds, tables
from otpost.store.base import Rejected, erase_rows, list_rows, rows_of
from otpost.store.units import Kind, Unit, lock
from store.examples import EVERY_KIND, LATE, attempt, message, verification


def put(kind, *rows):
    def decide(found):
        for row in rows:
            found.put(kind, row)

    return Unit(decide)


def locked(kind, values):
    return Unit(lambda rows: rows.get(kind, *values))


def looked_at(kind, values):
    return Unit(lambda rows: rows.look(kind, *values))


def delete_first(kind, rows):
    own = kind.key(rows[0])
    return Unit(lambda found: found.delete(kind, *own), [lock(kind, *own)])


def change(kind, row):
    return Unit(lambda found: found.put(kind, row), [lock(kind, *kind.key(row))])


def every_field(row):
    """As JSON, in which True is not 1 and a tuple in the wrong place is seen."""
    return msgspec.json.encode(row)


def test_there_is_an_example_of_every_kind():
    everything = {kind.name for kind in vars(kinds).values() if isinstance(kind, Kind)}
    assert {kind.name for kind, _ in EVERY_KIND} == everything == set(columns.metadata.tables)


async def test_a_row_of_every_kind_comes_back_as_it_was_put(store):
    for kind, rows in EVERY_KIND:
        await store.run(put(kind, *rows))
        for row in rows:
            own = kind.key(row)
            for found in (
                await store.get(kind, *own),
                await store.run(locked(kind, own)),
                await store.run(looked_at(kind, own)),
            ):
                assert found == row
                assert every_field(found) == every_field(row)
        listed = await rows_of(store, kind, select(kind.table))
        assert sorted(listed, key=kind.key) == sorted(rows, key=kind.key)


async def test_a_row_of_every_kind_can_be_changed_in_each_field_but_its_key(store):
    for kind, (one, *others) in EVERY_KIND:
        for other in others:
            changed = msgspec.structs.replace(one, **dict(zip(kind.key_columns, kind.key(other), strict=True)))
            await store.run(put(kind, other))
            await store.run(change(kind, changed))
            assert every_field(await store.get(kind, *kind.key(other))) == every_field(changed)
            await store.run(change(kind, other))
            assert every_field(await store.get(kind, *kind.key(other))) == every_field(other)
            assert len(await store.select(select(kind.table))) == 1


async def test_a_row_of_every_kind_can_be_deleted(store):
    for kind, rows in EVERY_KIND:
        await store.run(put(kind, *rows))
        await store.run(delete_first(kind, rows))
        assert await store.get(kind, *kind.key(rows[0])) is None
        assert await rows_of(store, kind, select(kind.table)) == rows[1:]


@pytest.mark.parametrize(
    ("kind", "index", "rows", "values", "found"),
    [
        (
            kinds.VERIFICATIONS,
            "pending",
            [verification("VE1", status="expired"), verification("VE2"), verification("VE3", to="+1")],
            ("VA1", "+4915112345678"),
            ["VE2"],
        ),
        (
            kinds.MESSAGES,
            "verification",
            [
                message("SM3", verification="VE1"),
                message("SM2", verification="VE2"),
                message("SM1", verification="VE1"),
            ],
            ("VE1",),
            ["SM1", "SM3"],
        ),
        (kinds.MESSAGES, "verification", [message("SM1"), message("SM2", verification="VE2")], (None,), []),
        (
            kinds.ATTEMPTS,
            "vendor_sid",
            [attempt("AT1"), attempt("AT2", vendor_sid="SM8"), attempt("AT3", vendor_sid="SM9")],
            ("twilio", "AC9", "SM9"),
            ["AT3"],
        ),
        (
            kinds.ATTEMPTS,
            "message",
            [attempt("AT2"), attempt("AT1"), attempt("AT3", message="SM2")],
            ("SM1",),
            ["AT1", "AT2"],
        ),
    ],
)
async def test_find_answers_the_rows_in_an_index_ordered_by_key(store, kind, index, rows, values, found):
    await store.run(put(kind, *rows))
    assert [row.sid for row in await store.find(kind, index, *values)] == found
    inside = await store.run(Unit(lambda seen: seen.find(kind, index, *values)))
    assert [row.sid for row in inside] == found
    # Other rows of the kind in the same unit change nothing about it.
    everything = [lock(kind, row.sid) for row in rows]
    inside = await store.run(Unit(lambda seen: seen.find(kind, index, *values), everything))
    assert [row.sid for row in inside] == found


async def test_what_is_not_there_is_none_and_empty(store):
    assert await store.get(kinds.TENANTS, "AC0") is None
    assert await store.get(kinds.WINDOWS, "client", "::1") is None
    assert await store.find(kinds.VERIFICATIONS, "pending", "VA0", "+1") == []
    assert await store.select(select(tables.tenants)) == []
    assert await store.run(Unit(lambda rows: rows.get(kinds.TENANTS, None))) is None


async def test_select_takes_lists_and_moments_and_limits(store):
    await store.run(put(kinds.MESSAGES, *(message(f"SM{n}", due_at=LATE + n) for n in range(9))))
    table = tables.messages
    found = await store.select(
        select(table.c.sid, table.c.due_at)
        .where(table.c.sid.in_(["SM2", "SM4", "SM6", "SM8"]), table.c.due_at > LATE + 2)
        .order_by(table.c.sid)
        .limit(2)
    )
    assert found == [("SM4", LATE + 4), ("SM6", LATE + 6)]


async def test_rows_are_listed_and_erased_by_the_values_of_columns(store):
    lanes = ["b", "a", "a", "c"]
    await store.run(put(kinds.MESSAGES, *(message(f"SM{n}", lane=lane, turn=n) for n, lane in enumerate(lanes))))

    async def listed(*order, **values):
        return [row.sid for row in await list_rows(store, kinds.MESSAGES, *order, **values)]

    assert await listed() == ["SM0", "SM1", "SM2", "SM3"]
    assert await listed("lane", "sid", tenant="AC1", limit=3) == ["SM1", "SM2", "SM0"]
    assert await listed(lane=["b", "c"]) == ["SM0", "SM3"]
    assert await listed(lane=[]) == []
    assert await erase_rows(store, kinds.MESSAGES, lane="a", turn=1) == 1
    assert await listed() == ["SM0", "SM2", "SM3"]


async def test_sweep_changes_and_deletes_by_a_condition_and_answers_the_count(store):
    await store.run(put(kinds.MESSAGES, *(message(f"SM{n}", body="sealed", due_at=LATE + n) for n in range(5))))
    table = tables.messages
    assert await store.sweep(update(table).where(table.c.due_at < LATE + 2).values(body=None)) == 2
    assert (await store.get(kinds.MESSAGES, "SM1")).body is None
    assert (await store.get(kinds.MESSAGES, "SM2")).body == "sealed"
    assert await store.sweep(delete(table).where(table.c.body.is_(None))) == 2
    assert await store.sweep(delete(table).where(table.c.body.is_(None))) == 0
    assert len(await store.select(select(table.c.sid))) == 3


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(lambda: message("SM1", due_at=2**70), id="a number too great for its column"),
        pytest.param(lambda: message("SM1", reason="half a character: \ud83d"), id="text that is no UTF-8"),
        pytest.param(lambda: message("SM1", tenant=None), id="nothing where something must be"),
    ],
)
async def test_a_value_that_fits_no_column_is_rejected_and_quoted_nowhere(store, row, caplog):
    with pytest.raises(Rejected) as rejected:
        await store.run(put(kinds.MESSAGES, row()))
    assert not isinstance(rejected.value, errors.Refusal)
    assert await store.select(select(tables.messages)) == []
    assert "+4915112345678" not in str(rejected.value)
    assert "+4915112345678" not in caplog.text


async def test_a_broken_rule_of_the_schema_is_rejected_and_its_row_is_quoted_nowhere(store, caplog):
    await store.run(put(kinds.VERIFICATIONS, verification("VE1")))
    with pytest.raises(Rejected) as rejected:
        await store.run(put(kinds.VERIFICATIONS, verification("VE2")))
    assert "verifications" in str(rejected.value)
    assert "+4915112345678" not in str(rejected.value)
    assert "+4915112345678" not in caplog.text
