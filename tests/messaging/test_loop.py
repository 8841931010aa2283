"""The messaging service at work: slots for each account, nodes that die or share the work, and a graceful stop."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import TypeVar

import pytest

from installation import TO, Clock, Installation, installed, until
from messaging.through_twilio import (
    INDIA,
    MAIN,
    SENDER,
    accounts,
    attempts,
    attempts_when,
    choose_twilio,
    goes_well,
    is_right_in_twilios_eyes,
    message,
    policy,
    send,
)
from otpost.domain import errors
from otpost.messaging.pace import IN_FLIGHT, Pace
from otpost.services.messages.attempts import Claimed, Handover, claim_messages
from otpost.services.messages.nodes import record_heartbeat, settle_lost, settle_stray
from otpost.store.base import Store
from otpost.store.kinds import NODES
from otpost.store.postgresql import PostgresStore
from otpost.store.sqlite import SqliteStore
from otpost.store.units import Unit
from standins.twilio import Config, TwilioStandIn

A = TypeVar("A")

GONE = "ND" + "0" * 32
WORDS = "Otpost was stopped while it was being sent."


async def intents_of_a_dead_node(otpost: Installation, numbers: list[str]) -> list[Handover]:
    """Messages that a node took and did not come to send; the installation's own messaging service has stopped."""
    for number in numbers:
        await send(otpost, number)
    unit = claim_messages(otpost.context, otpost.plans, otpost.wording, GONE, Pace(otpost.clock), None)
    return (await otpost.store.run(unit)).handovers


async def is_sent_once(otpost: Installation, twilio: TwilioStandIn, taken: list[Handover], begun: int) -> None:
    """The first of the two had reached Twilio and is found; the second is sent anew after its last look."""
    first, second = (handover.message.sid for handover in taken)
    otpost.clock.now = max(otpost.clock(), begun + 2_000)
    assert (await otpost.message(first))["status"] == "delivered"
    for at in (10_000, 25_000):
        if otpost.clock() < begun + at:
            await attempts_when(otpost, second, lambda rows: rows[0].looked_at == otpost.clock())
            otpost.clock.now = begun + at
    sent = await otpost.message(second)
    assert [tried["outcome"] for tried in sent["attempts"]] == ["unknown", "accepted"]
    told = [(tried["reason"], tried["detail"]) for tried in sent["attempts"]]
    assert told == [("answer_lost", WORDS), (None, None)]
    for handover in taken:
        assert len(await twilio.messages(handover.message.to)) == 1
    assert len(await attempts(otpost, first)) == 1


async def test_what_a_killed_embedded_installation_left_is_settled_from_its_next_start_on(
    store: Store, twilio: TwilioStandIn
) -> None:
    clock = Clock()
    async with installed(store, now=clock) as before:
        await choose_twilio(before, twilio)
        await before.messaging.stop()
        taken = await intents_of_a_dead_node(before, ["+14155550601", "+14155550602"])
        reached = taken[0]
        await reached.service.send(before.http, reached.settings, reached.route, reached.text)
        begun = clock()
    async with installed(store, now=clock) as otpost:
        for handover in taken:
            (attempt,) = await attempts(otpost, handover.message.sid)
            assert (attempt.outcome, attempt.detail, attempt.look_at) == ("unknown", WORDS, begun + 2_000)
        await is_sent_once(otpost, twilio, taken, begun)


@pytest.mark.postgres
async def test_what_a_dead_node_left_is_settled_by_another_once_its_heartbeat_is_fifteen_seconds_old(
    two_stores: tuple[Store, Store], twilio: TwilioStandIn
) -> None:
    clock = Clock()
    async with installed(two_stores[0], now=clock, alone=False) as before:
        await choose_twilio(before, twilio)
        await before.messaging.stop()
        await before.store.run(record_heartbeat(before.context, GONE, clock()))
        taken = await intents_of_a_dead_node(before, ["+14155550603", "+14155550604"])
        reached = taken[0]
        await reached.service.send(before.http, reached.settings, reached.route, reached.text)
        begun = clock()
    async with installed(two_stores[1], now=clock, alone=False) as otpost:
        clock.now = begun + 14_999
        assert await otpost.store.run(settle_lost(otpost.context, otpost.plans, alone=False)) == 0
        assert [(await attempts(otpost, one.message.sid))[0].outcome for one in taken] == [None, None]
        clock.now = begun + 15_000
        for handover in taken:
            (attempt,) = await attempts_when(otpost, handover.message.sid, lambda rows: rows[0].outcome)
            assert (attempt.outcome, attempt.look_at) == ("unknown", begun + 25_000)
        clock.now = begun + 25_000
        await is_sent_once(otpost, twilio, taken, begun)


@pytest.mark.postgres
async def test_two_nodes_share_the_messages_and_each_is_sent_once(two_stores: tuple[Store, Store]) -> None:
    clock = Clock()
    async with (
        TwilioStandIn(Config(accounts=accounts(), latency_ms=30)) as twilio,
        installed(two_stores[0], now=clock, alone=False) as one,
        installed(two_stores[1], now=clock, alone=False) as other,
    ):
        await choose_twilio(one, twilio, [INDIA])
        numbers = [f"+1415555{place:04d}" for place in range(2000, 2100)]
        numbers += [f"+9191919191{place:02d}" for place in range(100)]
        made = await asyncio.gather(
            *(send((one, other)[place % 2], number, f"to {number}") for place, number in enumerate(numbers))
        )
        tried = [(await attempts_when(one, text["sid"], lambda rows: rows and rows[-1].outcome))[0] for text in made]
        assert {attempt.outcome for attempt in tried} == {"accepted"}
        assert Counter(text.to for text in await twilio.messages()) == Counter(numbers)
        assert len(await twilio.requests()) == len(numbers)
        shares = Counter(attempt.node for attempt in tried)
        assert shares.keys() == {one.messaging.node, other.messaging.node}
        await is_right_in_twilios_eyes(twilio)


class _Answers:
    """Whether the answer to the next claim that takes something is lost, after it was committed."""

    def __init__(self) -> None:
        self.lose_next = False

    def pass_on(self, answer: A) -> A:
        if self.lose_next and isinstance(answer, Claimed) and answer.handovers:
            self.lose_next = False
            raise errors.Unavailable
        return answer


class _LosingSqlite(SqliteStore):
    def __init__(self, path: Path, answers: _Answers) -> None:
        super().__init__(path)
        self.answers = answers

    async def run(self, unit: Unit[A]) -> A:
        return self.answers.pass_on(await super().run(unit))


class _LosingPostgres(PostgresStore):
    def __init__(self, url: str, answers: _Answers) -> None:
        super().__init__(url)
        self.answers = answers

    async def run(self, unit: Unit[A]) -> A:
        return self.answers.pass_on(await super().run(unit))


async def test_a_claim_whose_commit_was_not_heard_of_is_settled_while_the_node_lives_on(
    database_url: str, twilio: TwilioStandIn
) -> None:
    answers, path = _Answers(), database_url.removeprefix("sqlite:///")
    store: Store = (
        _LosingPostgres(database_url, answers) if path == database_url else _LosingSqlite(Path(path), answers)
    )
    await store.open()
    try:
        async with installed(store) as otpost:
            await choose_twilio(otpost, twilio)
            begun = otpost.clock()
            answers.lose_next = True
            sid = (await send(otpost))["sid"]
            await attempts_when(otpost, sid, lambda rows: rows)
            other = (await send(otpost, "+14155550670"))["sid"]
            assert (await otpost.message(other))["status"] == "accepted"
            assert await twilio.messages(TO) == []
            otpost.clock.now = begun + 19_999
            assert await otpost.store.run(settle_stray(otpost.context, otpost.plans, otpost.messaging.node, [])) == 0
            otpost.clock.now = begun + 20_000
            (attempt,) = await attempts_when(otpost, sid, lambda rows: rows[0].outcome)
            assert (attempt.outcome, attempt.look_at) == ("unknown", begun + 25_000)
            otpost.clock.now = begun + 25_000
            sent = await otpost.message(sid)
            assert [tried["outcome"] for tried in sent["attempts"]] == ["unknown", "accepted"]
            assert len(await twilio.messages(TO)) == 1
    finally:
        await store.close()


async def test_a_stop_takes_nothing_more_and_waits_for_what_is_in_flight(
    otpost: Installation, twilio: TwilioStandIn
) -> None:
    await choose_twilio(otpost, twilio)
    await twilio.fault("hang", "after")
    sid = (await send(otpost))["sid"]
    await twilio.wait_for(lambda records: records.held == 1)
    assert await otpost.store.get(NODES, otpost.messaging.node) is not None
    stopping = asyncio.create_task(otpost.messaging.stop())
    await asyncio.sleep(0)
    later = (await send(otpost, "+14155550611"))["sid"]
    assert not stopping.done()
    await twilio.release("go_on")
    await stopping
    assert (await message(otpost, sid)).status == "accepted"
    assert (await message(otpost, later)).status == "queued"
    assert await otpost.store.get(NODES, otpost.messaging.node) is None
    assert len(await twilio.requests()) == 1


async def test_a_stop_in_the_middle_of_a_claim_leaves_no_intent_behind(
    otpost: Installation, twilio: TwilioStandIn
) -> None:
    await choose_twilio(otpost, twilio)
    made = await asyncio.gather(*(send(otpost, f"+1415555{place:04d}") for place in range(2000, 2020)))
    otpost.messaging.wake()
    await asyncio.sleep(0)
    await otpost.messaging.stop()
    for text in made:
        rows = await attempts(otpost, text["sid"])
        assert (await message(otpost, text["sid"])).status == ("accepted" if rows else "queued")
        assert all(row.outcome == "accepted" for row in rows)


async def test_an_account_that_hangs_fills_its_own_slots_and_delays_nobody_else(
    otpost: Installation, twilio: TwilioStandIn
) -> None:
    await choose_twilio(otpost, twilio, [INDIA])
    await twilio.fault("hang", account=INDIA.account)
    hanging = [(await send(otpost, f"+9191919191{place:02d}"))["sid"] for place in range(IN_FLIGHT + 6)]
    await twilio.wait_for(lambda records: records.held == IN_FLIGHT)
    others = [(await send(otpost, f"+1415555{place:04d}"))["sid"] for place in range(2000, 2020)]
    for sid in others:
        assert (await otpost.message(sid))["status"] == "accepted"
    assert (await twilio.counts())["held"] == IN_FLIGHT
    assert len(await twilio.requests(account=INDIA.account)) == IN_FLIGHT
    kept = [(await message(otpost, sid)).status for sid in hanging]
    assert Counter(kept) == {"sending": IN_FLIGHT, "queued": 6}
    await twilio.clear_faults()
    await twilio.release("go_on")
    for sid in hanging:
        assert (await otpost.message(sid))["status"] == "accepted"
    assert len(await twilio.messages(account=INDIA.account)) == len(hanging)


async def test_an_account_that_asks_for_a_rest_gets_it_and_no_other_account_waits(
    otpost: Installation, twilio: TwilioStandIn
) -> None:
    await choose_twilio(otpost, twilio, [INDIA])
    await twilio.fault("answer", account=INDIA.account, status=429, retry_after=30, times=1)
    first = (await send(otpost, "+919191919191"))["sid"]
    await until(lambda: message(otpost, first), lambda row: row.tries == 1)
    second = (await send(otpost, "+919191919192"))["sid"]
    otpost.clock.now += 29_999
    other = (await send(otpost, "+14155550620"))["sid"]
    assert (await otpost.message(other))["status"] == "accepted"
    assert (await message(otpost, second)).status == "queued"
    assert len(await twilio.requests(account=INDIA.account)) == 1
    otpost.clock.now += 1
    for sid in (first, second):
        assert (await otpost.message(sid))["status"] == "accepted"
    assert [text.account for text in await twilio.messages()] == [MAIN, INDIA.account, INDIA.account]


async def test_messages_that_nobody_needs_any_more_do_not_hold_up_a_fresh_one(
    otpost: Installation, twilio: TwilioStandIn
) -> None:
    await choose_twilio(otpost, twilio)
    await twilio.fault("answer", status=429, retry_after=100, times=1)
    first = (await send(otpost, "+14155550630", valid_for_s=3_600))["sid"]
    await until(lambda: message(otpost, first), lambda row: row.tries == 1)
    stale = await asyncio.gather(
        *(send(otpost, f"+1415555{place:04d}", valid_for_s=120) for place in range(2000, 2150))
    )
    otpost.clock.advance(119)
    fresh = (await send(otpost, "+14155550631"))["sid"]
    assert (await otpost.message(fresh))["status"] == "accepted"
    for text in stale:
        assert (await otpost.message(text["sid"]))["status"] == "expired"
    assert {text.to for text in await twilio.messages()} == {"+14155550630", "+14155550631"}


async def test_an_account_whose_listings_hang_keeps_no_other_accounts_look_ups_waiting(
    otpost: Installation, twilio: TwilioStandIn
) -> None:
    await choose_twilio(otpost, twilio, [INDIA])
    await twilio.fault("hang", operation="list", account=INDIA.account)
    lost = []
    for number in (*(f"+9191919191{place:02d}" for place in range(12)), "+14155550640"):
        await twilio.fault("close", "after", to=number, times=1)
        lost.append((await send(otpost, number))["sid"])
        await attempts_when(otpost, lost[-1], lambda rows: rows and rows[0].outcome)
        await goes_well(otpost, f"{number[:-2]}99")
    *slow, quick = lost
    otpost.clock.advance(2)
    await twilio.wait_for(lambda records: records.held == 8)
    assert (await otpost.message(quick))["status"] == "delivered"
    assert (await twilio.counts())["held"] == 8
    await twilio.clear_faults()
    await twilio.release("go_on")
    for sid in slow:
        assert (await otpost.message(sid))["status"] == "delivered"


async def test_look_ups_keep_to_the_rest_that_an_account_asked_for(otpost: Installation, twilio: TwilioStandIn) -> None:
    await choose_twilio(otpost, twilio, [INDIA])
    await twilio.fault("close", "after", times=1)
    lost = (await send(otpost, "+919191919191"))["sid"]
    await attempts_when(otpost, lost, lambda rows: rows and rows[0].outcome)
    await twilio.fault("answer", account=INDIA.account, status=429, retry_after=20, times=1)
    busy = (await send(otpost, "+919191919192"))["sid"]
    await until(lambda: message(otpost, busy), lambda row: row.tries == 1)
    await twilio.fault("close", "after", account=MAIN, times=1)
    other = (await send(otpost, "+14155550650"))["sid"]
    await attempts_when(otpost, other, lambda rows: rows and rows[0].outcome)
    otpost.clock.advance(19.9)
    assert (await otpost.message(other))["status"] == "delivered"
    assert await twilio.requests("list", INDIA.account) == []
    otpost.clock.advance(0.1)
    assert (await otpost.message(lost))["status"] == "delivered"
    assert (await otpost.message(busy))["status"] == "accepted"
    assert len(await twilio.messages(account=INDIA.account)) == 2


async def test_a_rate_that_was_taken_out_of_the_policy_holds_nothing_back_any_more(
    otpost: Installation, twilio: TwilioStandIn
) -> None:
    rated = {"rates": [{"origin": SENDER, "messages_per_second": 0.1}]}
    await otpost.ok("PUT", "/v1/sender-policy", {**policy(twilio.url), **rated})
    sids = [(await send(otpost, f"+1415555{place:04d}"))["sid"] for place in range(700, 730)]
    await until(lambda: twilio.messages(), lambda texts: len(texts) == 1)
    await otpost.ok("PUT", "/v1/sender-policy", {**policy(twilio.url), "rates": []})
    for sid in sids:
        assert (await otpost.message(sid))["status"] == "accepted"
    made = await otpost.ok("POST", "/v1/verifications", {"to": "+14155550798"}, key=otpost.verify)
    assert (await otpost.message(made["message"]["sid"]))["status"] == "accepted"
