"""Idempotency: the first answer to a call is kept with the unit that made it, and given again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from otpost.domain.access import FirstAnswer
from otpost.domain.errors import IdempotencyKeyReused, LimitReached, Refusal, Unauthenticated, Unavailable
from otpost.services.context import Context
from otpost.store.kinds import FIRST_ANSWERS
from otpost.store.units import Rows, Unit, lock

A = TypeVar("A")

KEPT_MS = 24 * 3_600_000
IN_WORK_MS = 60_000
SEAL = "first-answers"
HASH = "first-answer-bodies"


class Call(msgspec.Struct, frozen=True):
    """One POST with an Idempotency-Key: whose (`scope`), which (`call` stands for method and path), and its body.

    `call` is a digest: a path is as long as its caller likes, and a key of the database is not.
    """

    scope: str
    call: str
    key: str
    body: bytes


class Answer(msgspec.Struct, frozen=True):
    """An answer as it goes over the wire; `replayed` if it was given before, else `outcome` is what it was made of."""

    status: int
    body: bytes
    replayed: bool = False
    outcome: Any = None


Render = Callable[[A | Refusal], Answer]


def keeps(refusal: Refusal) -> bool:
    """Whether a refusal is a first answer: those that pass by themselves are not."""
    return not isinstance(refusal, LimitReached | Unauthenticated | Unavailable)


def answer_once(context: Context, call: Call, unit: Unit[A], render: Render[A]) -> Unit[Answer]:
    """The unit's answer, or the first answer again; both share the unit's commit.

    Raises IdempotencyKeyReused for another body, and refusals that are not kept.
    """
    now = context.clock()

    def decide(rows: Rows) -> Answer:
        first = _first(context, rows, call, now)
        if first is not None:
            return first
        outcome: A | Refusal
        try:
            outcome = unit.decide(rows)
        except Refusal as refusal:
            if not keeps(refusal):
                raise
            rows.undo()
            outcome = refusal
        answer = render(outcome)
        rows.put(FIRST_ANSWERS, _kept(context, call, answer, now))
        return msgspec.structs.replace(answer, outcome=outcome)

    return Unit(decide, [lock(FIRST_ANSWERS, call.scope, call.call, call.key), *unit.needs], unit.query)


def refuse_once(context: Context, call: Call, refusal: Refusal, render: Callable[[Refusal], Answer]) -> Unit[Answer]:
    """Keep a refusal that was found before any unit ran, or give the first answer again."""

    def decide(rows: Rows) -> Refusal:
        raise refusal

    return answer_once(context, call, Unit(decide), render)


def reserve_key(context: Context, call: Call) -> Unit[Answer | None]:
    """Reserve the key for a call that works outside of a unit; None if this is the first, else its answer.

    Raises Unavailable while the first is still in work (for a minute at most).
    """
    now = context.clock()

    def decide(rows: Rows) -> Answer | None:
        first = _first(context, rows, call, now)
        if first is None:
            rows.put(FIRST_ANSWERS, _kept(context, call, None, now))
        return first

    return Unit(decide, [lock(FIRST_ANSWERS, call.scope, call.call, call.key)])


def keep_answer(context: Context, call: Call, answer: Answer | None) -> Unit[None]:
    """Keep the answer of a call that `begin` reserved, or forget the key where there is none to keep."""
    now = context.clock()

    def decide(rows: Rows) -> None:
        if answer is not None:
            rows.get(FIRST_ANSWERS, call.scope, call.call, call.key)
            rows.put(FIRST_ANSWERS, _kept(context, call, answer, now))
        elif rows.get(FIRST_ANSWERS, call.scope, call.call, call.key) is not None:
            rows.delete(FIRST_ANSWERS, call.scope, call.call, call.key)

    return Unit(decide, [lock(FIRST_ANSWERS, call.scope, call.call, call.key)])


def _place(call: Call) -> str:
    return f"{call.scope} {call.call} {call.key}"


def _first(context: Context, rows: Rows, call: Call, now: int) -> Answer | None:
    row = rows.get(FIRST_ANSWERS, call.scope, call.call, call.key)
    if row is None or row.until <= now:
        return None
    if not context.keyring.hashes_to(HASH, call.body, row.body_hash):
        raise IdempotencyKeyReused
    if row.answer is None:
        raise Unavailable("The first request with this Idempotency-Key is still in work.", retry_at=now + 1000)
    return Answer(row.status, context.keyring.open(SEAL, row.answer, _place(call)).reveal().encode(), replayed=True)


def _kept(context: Context, call: Call, answer: Answer | None, now: int) -> FirstAnswer:
    return FirstAnswer(
        scope=call.scope,
        call=call.call,
        key=call.key,
        body_hash=context.keyring.hash(HASH, call.body),
        status=answer.status if answer else 0,
        answer=context.keyring.seal(SEAL, answer.body.decode(), _place(call)) if answer else None,
        until=now + (KEPT_MS if answer else IN_WORK_MS),
    )
