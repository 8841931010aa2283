"""Whose message is next: applications have their turns, and verifications go before plain messages."""

from __future__ import annotations

from typing import Any

import pytest

from installation import Installation
from messaging.through_twilio import message, policy, send
from otpost.domain.delivery import Rest
from otpost.services.context import LONGEST_LEAD_MS, QueueOrder, Standing
from otpost.services.messages.queue import count_waiting
from services.by_hand import NOWHERE, Idle, claim

T = 1_800_000_000_000


LANE, OTHER = "AC1:twilio:AC9", "AC1:twilio:AC8"


def test_a_message_has_its_turn_at_once_and_the_next_of_its_application_one_step_later() -> None:
    turns = QueueOrder()
    assert [turns.take(LANE, "VA1", T) - T for _ in range(4)] == [0, 10, 20, 30]
    assert [turns.take(LANE, "VA2", T) - T for _ in range(2)] == [0, 10]
    assert [turns.take(OTHER, "VA1", T) - T for _ in range(2)] == [0, 10]
    assert turns.take(LANE, "VA1", T + 35) == T + 40
    assert turns.take(LANE, "VA1", T + 500) == T + 500


def test_a_turn_is_never_further_away_than_five_minutes() -> None:
    turns = QueueOrder()
    taken = [turns.take(LANE, "VA1", T) for _ in range(31_000)]
    assert taken[30_000] == taken[-1] == T + LONGEST_LEAD_MS == T + 300_000


def test_a_unit_that_is_run_again_has_the_same_turn_and_draws_another_only_in_another_lane() -> None:
    turns = QueueOrder()
    first, second = turns.place("VA1", T), turns.place("VA1", T)
    assert [first(LANE), first(LANE), first(OTHER), second(LANE)] == [T, T, T, T + 10]


def test_plain_messages_come_after_the_verifications_of_ten_minutes() -> None:
    turns = QueueOrder()
    assert turns.take(LANE, "VA1", T, plain=True) == T + 600_000
    assert turns.take(LANE, "VA1", T) == T
    assert turns.take(LANE, "VA1", T, plain=True) == T + 600_010


def test_an_application_of_which_nothing_waits_begins_anew() -> None:
    turns = QueueOrder()
    for _ in range(100):
        turns.take(LANE, "VA1", T)
        turns.take(LANE, "VA2", T)
    turns.keep([Standing(LANE, "VA2", False, T + 500)])
    assert turns.take(LANE, "VA1", T + 700) == T + 500
    assert turns.take(LANE, "VA2", T + 700) == T + 1_000
    turns.keep([])
    assert turns.take(LANE, "VA1", T + 700) == T + 700


def test_behind_a_burst_the_first_message_of_another_has_the_turn_that_the_lane_has_come_to() -> None:
    turns = QueueOrder()
    burst = [turns.take(LANE, "VA1", T) for _ in range(300)]
    turns.reached(LANE, burst[63], plain=False)
    turns.reached(LANE, burst[5], plain=False)
    later = T + 60_000
    assert [turns.take(LANE, "VA2", later) for _ in range(2)] == [burst[63], burst[64]]
    assert turns.take(OTHER, "VA2", later) == later
    assert turns.take(LANE, "VA2", later, plain=True) == later + 600_000
    turns.reached(LANE, T + 600_000, plain=True)
    assert turns.take(LANE, "VA3", later, plain=True) == T + 600_000


async def started(still: Installation, application: str, number: int) -> str:
    """The message of a new verification."""
    body = {"to": f"+1415555{number:04d}", "application": application}
    return str((await still.ok("POST", "/v1/verifications", body))["message"]["sid"])


async def another_application(still: Installation) -> str:
    made: Any = await still.ok("POST", "/v1/applications", {"name": "Bank"})
    return str(made["sid"])


async def test_a_burst_of_one_application_does_not_hold_up_the_code_of_another(still: Installation) -> None:
    shop, bank = still.tenant.default_application, await another_application(still)
    burst = [await started(still, shop, place) for place in range(2_000, 2_070)]
    code = await started(still, bank, 3_000)
    second = await started(still, bank, 3_001)
    order = [handover.message.sid for handover in await claim(still)]
    assert len(order) == 64
    assert order.index(code) <= 1
    assert order.index(second) <= 3
    assert [sid for sid in order if sid in burst] == burst[:62]
    assert [handover.message.sid for handover in await claim(still)] == burst[62:]


@pytest.mark.parametrize("waits_s", [1, 60])
async def test_a_code_is_among_the_next_ones_sent_though_its_lane_became_slow_behind_a_burst(
    still: Installation, waits_s: int
) -> None:
    shop, bank = still.tenant.default_application, await another_application(still)
    burst = [await started(still, shop, place) for place in range(2_000, 2_140)]
    assert [handover.message.sid for handover in await claim(still)] == burst[:64]
    still.clock.advance(waits_s)
    code = await started(still, bank, 3_000)
    order = [handover.message.sid for handover in await claim(still)]
    assert order.index(code) == 0
    assert order[1:] == burst[64:127]


async def test_a_node_that_sends_nothing_learns_how_far_a_lane_is_behind(still: Installation) -> None:
    shop, bank = still.tenant.default_application, await another_application(still)
    burst = [await started(still, shop, place) for place in range(2_000, 2_003)]
    still.clock.advance(60)
    await count_waiting(still.context)
    assert (await message(still, await started(still, bank, 3_000))).turn == (await message(still, burst[0])).turn


async def test_two_bursts_share_the_lane_evenly(still: Installation) -> None:
    shop, bank = still.tenant.default_application, await another_application(still)
    first = [await started(still, shop, place) for place in range(2_000, 2_040)]
    for place in range(3_000, 3_040):
        await started(still, bank, place)
    order = [handover.message.sid for handover in await claim(still)]
    of_shop = [place for place, sid in enumerate(order) if sid in first]
    assert len(of_shop) == 32
    assert all(abs(place - 2 * index) <= 2 for index, place in enumerate(of_shop))


async def test_verifications_go_before_plain_messages_that_were_there_first(still: Installation) -> None:
    plain = [(await send(still, f"+1415555{place:04d}"))["sid"] for place in range(2_000, 2_005)]
    codes = [await started(still, still.tenant.default_application, place) for place in range(3_000, 3_005)]
    order = [handover.message.sid for handover in await claim(still)]
    assert order == [*codes, *plain]


async def test_what_is_tried_again_keeps_its_old_place(still: Installation) -> None:
    shop = still.tenant.default_application
    sid = await started(still, shop, 2_000)
    turn = (await message(still, sid)).turn
    assert turn == still.clock()
    rests = {str((await message(still, sid)).account_sid): Rest(2_000, "throttled")}
    assert await claim(still, pacing=Idle(rests=rests)) == []
    still.clock.advance(2)
    later = await started(still, shop, 2_001)
    assert [handover.message.sid for handover in await claim(still)] == [sid, later]
    assert (await message(still, sid)).turn == turn


@pytest.mark.parametrize("rate", [1.0, 5.0])
async def test_an_origin_with_a_rate_gets_no_more_than_it_may_send_now(still: Installation, rate: float) -> None:
    rated = {"rates": [{"origin": "+14155550100", "messages_per_second": rate}]}
    await still.ok("PUT", "/v1/sender-policy", {**policy(NOWHERE), **rated})
    for place in range(2_000, 2_010):
        await started(still, still.tenant.default_application, place)
    taken = await claim(still, pacing=Idle(drops=int(rate)))
    assert len(taken) == int(rate)
    (lane,) = {handover.lane for handover in taken}
    assert await claim(still, pacing=Idle(dry_origins=[f"{lane} +14155550100"])) == []
    assert len(await claim(still, pacing=Idle(dry_origins=[f"{lane} Acme"]))) == 10 - int(rate)
