"""The first answer to a call, kept in the unit that made it."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from sqlalchemy import select

from installation import Installation
from otpost.domain.access import AuditLine
from otpost.domain.errors import IdempotencyKeyReused, NotFound, Refusal, ResendTooSoon, Unavailable
from otpost.services.idempotency import (
    IN_WORK_MS,
    KEPT_MS,
    Answer,
    Call,
    answer_once,
    keep_answer,
    refuse_once,
    reserve_key,
)
from otpost.store import tables
from otpost.store.kinds import AUDIT
from otpost.store.units import Rows, Unit

CALL = Call("AC1", "call", "key", b'{"a":1}')
ANOTHER_BODY = Call("AC1", "call", "key", b'{"a":2}')


def render(answer: str | Refusal) -> Answer:
    return Answer(409, answer.code.encode()) if isinstance(answer, Refusal) else Answer(201, answer.encode())


def writes(line: str, then: Refusal | None = None) -> Unit[str]:
    """A unit that writes an audit line, and answers with its SID or refuses."""

    def decide(rows: Rows) -> str:
        rows.put(AUDIT, AuditLine(line, "AC1", 0, "test", "written", ""))
        if then is not None:
            raise then
        return line

    return Unit(decide)


async def lines(otpost: Installation) -> list[str]:
    found = await otpost.store.select(select(tables.audit.c.sid).where(tables.audit.c.what == "written"))
    return sorted(sid for (sid,) in found)


async def run(otpost: Installation, call: Call, unit: Unit[str]) -> Answer:
    """The answer as it goes over the wire."""
    answer = await otpost.store.run(answer_once(otpost.context, call, unit, render))
    return msgspec.structs.replace(answer, outcome=None)


async def test_a_unit_runs_once_and_its_answer_comes_again_for_a_day(otpost: Installation) -> None:
    assert await run(otpost, CALL, writes("1")) == Answer(201, b"1")
    assert await run(otpost, CALL, writes("2")) == Answer(201, b"1", replayed=True)
    with pytest.raises(IdempotencyKeyReused):
        await run(otpost, ANOTHER_BODY, writes("3"))
    otpost.clock.now += KEPT_MS - 1
    assert (await run(otpost, CALL, writes("4"))).replayed
    otpost.clock.now += 1
    assert await run(otpost, ANOTHER_BODY, writes("5")) == Answer(201, b"5")
    assert await lines(otpost) == ["1", "5"]


async def test_of_parallel_units_one_runs(otpost: Installation) -> None:
    answers = await asyncio.gather(*(run(otpost, CALL, writes(f"{number:02}")) for number in range(40)))
    first = [answer for answer in answers if not answer.replayed]
    assert len(first) == 1
    assert {answer.body for answer in answers} == {first[0].body}
    assert await lines(otpost) == [first[0].body.decode()]


async def test_a_refusal_that_is_kept_takes_back_what_its_unit_had_changed(otpost: Installation) -> None:
    assert await run(otpost, CALL, writes("1", NotFound())) == Answer(409, b"not_found")
    assert await run(otpost, CALL, writes("2")) == Answer(409, b"not_found", replayed=True)
    assert await lines(otpost) == []


async def test_a_refusal_that_passes_and_an_error_leave_the_key_free(otpost: Installation) -> None:
    for passing in (ResendTooSoon(retry_at=1), Unavailable()):
        with pytest.raises(type(passing)):
            await run(otpost, CALL, writes("1", passing))

    def broken(rows: Rows) -> str:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await run(otpost, CALL, Unit(broken))
    assert await lines(otpost) == []
    assert await run(otpost, ANOTHER_BODY, writes("2")) == Answer(201, b"2")


async def test_a_refusal_from_before_any_unit_is_kept_like_one_of_a_unit(otpost: Installation) -> None:
    early = refuse_once(otpost.context, CALL, NotFound(), render)
    first = await otpost.store.run(early)
    assert (first.status, first.body) == (409, b"not_found")
    assert await run(otpost, CALL, writes("1")) == Answer(409, b"not_found", replayed=True)
    later = Call("AC1", "call", "later", b"")
    assert await run(otpost, later, writes("2")) == Answer(201, b"2")
    assert await otpost.store.run(refuse_once(otpost.context, later, NotFound(), render)) == Answer(
        201, b"2", replayed=True
    )


async def test_while_the_first_call_is_in_work_the_second_is_told_to_wait_a_minute_at_most(
    otpost: Installation,
) -> None:
    context, store = otpost.context, otpost.store
    assert await store.run(reserve_key(context, CALL)) is None
    with pytest.raises(Unavailable) as told:
        await store.run(reserve_key(context, CALL))
    assert told.value.retry_at == otpost.clock.now + 1000
    with pytest.raises(IdempotencyKeyReused):
        await store.run(reserve_key(context, ANOTHER_BODY))
    otpost.clock.now += IN_WORK_MS
    assert await store.run(reserve_key(context, CALL)) is None
    await store.run(keep_answer(context, CALL, Answer(200, b"done")))
    assert await store.run(reserve_key(context, CALL)) == Answer(200, b"done", replayed=True)


async def test_a_call_that_ends_without_an_answer_leaves_the_key_free(otpost: Installation) -> None:
    context, store = otpost.context, otpost.store
    for _ in range(2):
        assert await store.run(reserve_key(context, CALL)) is None
        await store.run(keep_answer(context, CALL, None))
    assert await store.run(reserve_key(context, ANOTHER_BODY)) is None
