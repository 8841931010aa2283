"""Questions to accounts: an account is free again only when the last of its questions has ended."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import pytest

from domain.test_delivery import ACME, MAIN, tried
from installation import Installation, until
from otpost.domain import errors
from otpost.domain.delivery import Way
from otpost.domain.message import Attempt
from otpost.messaging.asking import AT_ONCE, Asking
from otpost.senders.service import Account


class Question(NamedTuple):
    attempt: Attempt


def question(otpost: Installation, place: int, way: Way = MAIN) -> Question:
    made = tried(way, "unknown", sid=f"AT{place}")
    return Question(msgspec.structs.replace(made, tenant=otpost.tenant.sid))


async def nobody_is_asked(asking: Asking[Question]) -> None:
    async def asked() -> int:
        return len(asking.tasks)

    await until(asked, lambda count: count == 0)


async def test_where_the_database_is_away_the_account_is_free_only_when_all_its_questions_have_ended(
    otpost: Installation, caplog: pytest.LogCaptureFixture
) -> None:
    asked, busy = asyncio.Event(), []

    async def ask(one: Question, opened: Sequence[Account]) -> None:
        if one.attempt.sid == "AT0":
            await asked.wait()
            raise errors.Unavailable("The database is away.")
        asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            busy.append(list(asking.tasks))

    asking = Asking(otpost.context, "asking", ask)
    first, second = question(otpost, 0), question(otpost, 1)
    asking.begin([first, second])
    assert list(asking.tasks) == [first.attempt.lane]
    await nobody_is_asked(asking)
    assert busy == [[first.attempt.lane]]
    assert [record.message for record in caplog.records] == ["asking waits: The database is away."]


async def test_a_question_that_fails_leaves_the_others_and_the_next_account_alone(
    otpost: Installation, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    answered: list[str] = []

    async def ask(one: Question, opened: Sequence[Account]) -> None:
        if one.attempt.sid == "AT3":
            raise ValueError("an answer that nobody foresaw")
        await asyncio.sleep(0)
        answered.append(one.attempt.sid)

    asking = Asking(otpost.context, "asking", ask)
    asking.begin([*(question(otpost, place) for place in range(6)), question(otpost, 6, ACME)])
    assert len(asking.tasks) == 2
    await nobody_is_asked(asking)
    assert sorted(answered) == ["AT0", "AT1", "AT2", "AT4", "AT5", "AT6"]
    assert [record.message for record in caplog.records] == ["asking failed for AT3"]


async def test_an_account_is_asked_a_few_questions_at_one_time(otpost: Installation) -> None:
    now, most, go_on = 0, 0, asyncio.Event()

    async def ask(one: Question, opened: Sequence[Account]) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await go_on.wait()
        now -= 1

    asking = Asking(otpost.context, "asking", ask)
    asking.begin([question(otpost, place) for place in range(3 * AT_ONCE)])

    async def in_hand() -> int:
        return now

    await until(in_hand, lambda count: count == AT_ONCE)
    go_on.set()
    await nobody_is_asked(asking)
    assert (now, most) == (0, AT_ONCE)
