"""More than one way: what stands in when, in which order, and that nobody gets a text that is not needed."""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator
from functools import partial
from operator import eq
from typing import Any

import pytest

from installation import TO, Installation, installed, until
from messaging.through_gateway import choose_both, section, texts
from messaging.through_twilio import (
    INDIA,
    MAIN,
    attempts,
    attempts_when,
    choose_twilio,
    goes_well,
    message,
    policy,
    send,
    start,
)
from otpost.domain.message import Message
from otpost.senders.service import Reported
from otpost.services.messages.reports import keep_report
from otpost.store.base import Store
from otpost.store.kinds import BREAKERS
from senders.contract import Answer, StandIn, standing_in
from standins.twilio import TwilioStandIn

OF_INDIA = "+919191919191"


@pytest.fixture
async def unheard(store: Store, twilio: TwilioStandIn) -> AsyncIterator[Installation]:
    """An installation whose texts Twilio accepts, and then tells nothing of them."""
    await twilio.plan()
    async with installed(store, "https://otp.example") as otpost:
        yield otpost


async def tells(otpost: Installation, attempt_sid: str, status: Any, **more: Any) -> None:
    """A proven report of Twilio's on an attempt of the main account."""
    told = Reported(status, status, None, f"SM{attempt_sid}", MAIN, **more)
    await otpost.store.run(keep_report(otpost.context, otpost.plans, "twilio", attempt_sid, lambda *_: [told]))


async def ways_of(otpost: Installation, sid: str) -> list[tuple[str, str | None]]:
    """Services and outcomes of a message's attempts, in their order."""
    return [(tried.service, tried.outcome) for tried in await attempts(otpost, sid)]


async def waits(otpost: Installation, sid: str, tries: int) -> Message:
    row: Message = await until(lambda: message(otpost, sid), lambda row: row.tries == tries)
    return row


async def test_where_another_sender_can_help_the_text_goes_there_at_once(
    otpost: Installation, twilio: TwilioStandIn, gateway: StandIn
) -> None:
    await choose_both(otpost, twilio, gateway)
    await twilio.set_account(MAIN, status="suspended")
    verification = await start(otpost)
    sent = await otpost.message(verification["message"]["sid"])
    assert (sent["status"], sent["reason"]) == ("accepted", None)
    assert await ways_of(otpost, sent["sid"]) == [("twilio", "refused"), ("generic", "accepted")]
    assert texts(gateway) == [(TO, f"{otpost.code(verification)} is your Default code.")]
    assert (len(await twilio.requests()), await twilio.messages()) == (1, [])
    assert sent["route"]["service"] == "generic"
    assert sent["route"]["reason"].startswith("Twilio refused it. The gateway")
    assert [(line["who"], line["what"], line["reason"]) for line in sent["events"]] == [
        ("otpost", "queued", None),
        ("twilio", "refused", "account_trouble"),
        ("generic", "accepted", None),
    ]


async def test_services_stand_in_in_their_order_and_the_last_refusal_is_the_messages(
    otpost: Installation, twilio: TwilioStandIn, gateway: StandIn
) -> None:
    example = importlib.import_module("senders.test_infobip").EXAMPLE
    gateway.answers = [Answer(402, b"no funds")]
    await twilio.set_account(MAIN, status="suspended")
    async with standing_in(example.accepting) as third:
        body = {**policy(twilio.url), "generic": section(gateway.url), "infobip": example.section(third.url)}
        await otpost.ok("PUT", "/v1/sender-policy", {**body, "fallback": ["generic", "infobip"]})
        sent = await otpost.message((await send(otpost))["sid"])
        assert sent["status"] == "accepted"
        assert await ways_of(otpost, sent["sid"]) == [
            ("twilio", "refused"),
            ("generic", "refused"),
            ("infobip", "accepted"),
        ]
        await otpost.ok("PUT", "/v1/sender-policy", {"fallback": ["infobip", "generic"]})
        third.answers = [Answer(401, b"{}")]
        failed = await otpost.message((await send(otpost))["sid"])
        assert await ways_of(otpost, failed["sid"]) == [
            ("twilio", "refused"),
            ("infobip", "refused"),
            ("generic", "refused"),
        ]
        assert (failed["status"], failed["reason"]) == ("failed", "account_trouble")


async def test_nobody_else_is_asked_about_a_number_that_is_none(
    otpost: Installation, twilio: TwilioStandIn, gateway: StandIn
) -> None:
    await choose_both(otpost, twilio, gateway)
    await twilio.fault("answer", status=400, code=21211, times=1)
    failed = await otpost.message((await send(otpost))["sid"])
    assert (failed["status"], failed["reason"]) == ("failed", "invalid_number")
    assert await ways_of(otpost, failed["sid"]) == [("twilio", "refused")]
    assert gateway.received == []


async def test_what_cannot_be_reached_is_tried_three_times_and_then_goes_another_way(
    otpost: Installation, twilio: TwilioStandIn, gateway: StandIn
) -> None:
    await choose_both(otpost, twilio, gateway)
    await twilio.stop_listening()
    sid = (await start(otpost))["message"]["sid"]
    for tries, usual_ms in ((1, 1_000), (2, 2_000)):
        row = await waits(otpost, sid, tries)
        assert row.due_at is not None
        assert 0.75 * usual_ms <= row.due_at - otpost.clock() <= 1.25 * usual_ms
        otpost.clock.now = row.due_at
    sent = await otpost.message(sid)
    assert sent["status"] == "accepted"
    assert await ways_of(otpost, sid) == [("twilio", "unavailable")] * 3 + [("generic", "accepted")]
    assert len(gateway.received) == 1


async def test_an_account_that_asks_for_a_long_rest_gets_it_and_its_texts_go_another_way_meanwhile(
    otpost: Installation, twilio: TwilioStandIn, gateway: StandIn
) -> None:
    await choose_both(otpost, twilio, gateway)
    await twilio.fault("answer", status=429, retry_after=400, times=1)
    first = await otpost.message((await start(otpost))["message"]["sid"])
    assert await ways_of(otpost, first["sid"]) == [("twilio", "unavailable"), ("generic", "accepted")]
    second = await otpost.message((await start(otpost, "+14155550701"))["message"]["sid"])
    assert await ways_of(otpost, second["sid"]) == [("generic", "accepted")]
    otpost.clock.advance(400)
    third = await otpost.message((await start(otpost, "+14155550702"))["message"]["sid"])
    assert await ways_of(otpost, third["sid"]) == [("twilio", "accepted")]
    assert len(gateway.received) == 2


async def test_a_short_rest_is_waited_for(otpost: Installation, twilio: TwilioStandIn, gateway: StandIn) -> None:
    await choose_both(otpost, twilio, gateway)
    await twilio.fault("answer", status=429, retry_after=5, times=1)
    sid = (await start(otpost))["message"]["sid"]
    row = await waits(otpost, sid, 1)
    assert row.due_at == otpost.clock() + 5_000
    otpost.clock.advance(5)
    await otpost.message(sid)
    assert await ways_of(otpost, sid) == [("twilio", "unavailable"), ("twilio", "accepted")]
    assert gateway.received == []


@pytest.mark.parametrize("falls_back", [True, False])
async def test_the_main_account_stands_in_for_a_suspended_subaccount_only_where_the_policy_says_so(
    otpost: Installation, twilio: TwilioStandIn, falls_back: bool
) -> None:
    await choose_twilio(otpost, twilio, [INDIA], subaccount_falls_back=falls_back)
    await twilio.set_account(INDIA.account, status="suspended")
    told = await otpost.message((await start(otpost, OF_INDIA))["message"]["sid"])
    accounts = [tried["account_sid"] for tried in told["attempts"]]
    assert (told["status"], accounts) == (
        ("accepted", [INDIA.account, MAIN]) if falls_back else ("failed", [INDIA.account])
    )
    assert [text.account for text in await twilio.messages()] == ([MAIN] if falls_back else [])


@pytest.mark.parametrize(("code", "reason"), [(21211, "invalid_number"), (21618, "filtered"), (21610, "opted_out")])
async def test_the_main_account_does_not_stand_in_where_the_account_is_not_at_fault(
    otpost: Installation, twilio: TwilioStandIn, code: int, reason: str
) -> None:
    await choose_twilio(otpost, twilio, [INDIA], subaccount_falls_back=True)
    await twilio.fault("answer", account=INDIA.account, status=400, code=code)
    failed = await otpost.message((await send(otpost, OF_INDIA))["sid"])
    assert (failed["status"], failed["reason"], len(failed["attempts"])) == ("failed", reason, 1)
    assert await twilio.requests(account=MAIN) == []


async def test_the_main_account_comes_before_other_services(
    otpost: Installation, twilio: TwilioStandIn, gateway: StandIn
) -> None:
    await choose_both(otpost, twilio, gateway, [INDIA], subaccount_falls_back=True)
    await twilio.set_account(INDIA.account, status="suspended")
    await twilio.fault("answer", account=MAIN, status=400, code=21606)
    sent = await otpost.message((await send(otpost, OF_INDIA))["sid"])
    assert [(tried["service"], tried["account_sid"]) for tried in sent["attempts"]][:2] == [
        ("twilio", INDIA.account),
        ("twilio", MAIN),
    ]
    assert (sent["status"], sent["attempts"][2]["service"]) == ("accepted", "generic")


async def test_without_a_report_in_time_the_text_goes_another_way_once(
    unheard: Installation, twilio: TwilioStandIn, gateway: StandIn
) -> None:
    await choose_both(unheard, twilio, gateway, failover_after_s=30)
    begun = unheard.clock()
    verification = await start(unheard)
    sid = verification["message"]["sid"]
    row = await until(lambda: message(unheard, sid), lambda row: row.status == "accepted")
    assert row.due_at == begun + 30_000
    unheard.clock.now = begun + 29_999
    await goes_well(unheard)
    assert gateway.received == []
    unheard.clock.now = begun + 30_000
    await attempts_when(unheard, sid, lambda rows: len(rows) == 2 and rows[1].outcome)
    assert await ways_of(unheard, sid) == [("twilio", "accepted"), ("generic", "accepted")]
    assert (TO, f"{unheard.code(verification)} is your Default code.") in texts(gateway)
    row = await message(unheard, sid)
    assert (row.status, row.due_at, row.service) == ("accepted", None, "generic")
    assert row.route_reason.startswith("No report has said in time that Twilio delivered it. The gateway")
    first, _ = await attempts(unheard, sid)
    await tells(unheard, first.sid, "delivered")
    assert (await message(unheard, sid)).status == "delivered"


async def test_a_report_in_time_calls_the_other_way_off_and_so_does_the_right_code(
    unheard: Installation, twilio: TwilioStandIn, gateway: StandIn
) -> None:
    await choose_both(unheard, twilio, gateway, failover_after_s=30)
    delivered, approved = await start(unheard), await start(unheard, "+14155550710")
    for verification in (delivered, approved):
        await unheard.message(verification["message"]["sid"])
    (attempt,) = await attempts(unheard, delivered["message"]["sid"])
    await tells(unheard, attempt.sid, "sent")
    assert (await message(unheard, delivered["message"]["sid"])).due_at == unheard.clock() + 30_000
    await tells(unheard, attempt.sid, "delivered")
    assert (await message(unheard, delivered["message"]["sid"])).due_at is None
    await unheard.ok("POST", f"/v1/verifications/{approved['sid']}/check", {"code": unheard.code(approved)})
    unheard.clock.advance(30)
    row = await until(lambda: message(unheard, approved["message"]["sid"]), lambda row: row.due_at is None)
    assert (row.status, row.service) == ("accepted", "twilio")
    assert gateway.received == []


async def test_a_second_way_that_refuses_leaves_the_first_as_it_is(
    unheard: Installation, twilio: TwilioStandIn, gateway: StandIn
) -> None:
    gateway.answers = [Answer(402, b"no funds")]
    await choose_both(unheard, twilio, gateway, failover_after_s=30)
    sid = (await start(unheard))["message"]["sid"]
    await unheard.message(sid)
    unheard.clock.advance(30)
    await attempts_when(unheard, sid, lambda rows: len(rows) == 2 and rows[1].outcome)
    row = await message(unheard, sid)
    assert (row.status, row.due_at) == ("accepted", None)
    first, second = await attempts(unheard, sid)
    assert (second.outcome, second.reason, row.attempt) == ("refused", "account_trouble", first.sid)
    await tells(unheard, first.sid, "undelivered", reason="not_delivered")
    row = await message(unheard, sid)
    assert (row.status, row.reason) == ("undelivered", "not_delivered")


async def test_a_lost_answer_goes_another_way_when_its_time_has_come(
    unheard: Installation, twilio: TwilioStandIn, gateway: StandIn
) -> None:
    await choose_both(unheard, twilio, gateway, failover_after_s=10)
    await twilio.fault("close", "after", times=1)
    await twilio.fault("answer", operation="list", status=500)
    sid = (await start(unheard))["message"]["sid"]
    await attempts_when(unheard, sid, lambda rows: rows and rows[0].outcome == "unknown")
    assert (await message(unheard, sid)).status == "sending"
    unheard.clock.advance(10)
    await attempts_when(unheard, sid, lambda rows: len(rows) == 2 and rows[1].outcome)
    first, second = await attempts(unheard, sid)
    assert (first.outcome, second.outcome, second.service) == ("unknown", "accepted", "generic")
    assert first.look_at is not None
    assert (await message(unheard, sid)).status == "accepted"
    await twilio.clear_faults()
    unheard.clock.advance(15)
    await attempts_when(unheard, sid, lambda rows: rows[0].outcome == "accepted")
    assert len(await twilio.messages()) == len(gateway.received) == 1


@pytest.mark.parametrize(
    ("reason", "ways"),
    [
        ("not_delivered", [("twilio", "accepted"), ("generic", "accepted")]),
        ("filtered", [("twilio", "accepted"), ("generic", "accepted")]),
        ("not_reachable", [("twilio", "accepted")]),
        ("opted_out", [("twilio", "accepted")]),
    ],
)
async def test_a_text_that_is_reported_undelivered_goes_another_way_where_that_helps(
    unheard: Installation, twilio: TwilioStandIn, gateway: StandIn, reason: Any, ways: list[Any]
) -> None:
    await choose_both(unheard, twilio, gateway)
    sid = (await start(unheard))["message"]["sid"]
    await unheard.message(sid)
    (attempt,) = await attempts(unheard, sid)
    await tells(unheard, attempt.sid, "undelivered", reason=reason)
    told = await unheard.message(sid)
    assert await ways_of(unheard, sid) == ways
    assert (told["status"], told["reason"]) == (("accepted", None) if len(ways) == 2 else ("undelivered", reason))
    assert len(gateway.received) == len(ways) - 1


# Circuit breakers.


async def breaker_of(otpost: Installation) -> Any:
    return await otpost.store.get(BREAKERS, f"{otpost.tenant.sid}:twilio:{MAIN}")


async def test_a_suspended_account_is_left_alone_and_all_codes_arrive_by_the_other_way_until_it_recovers(
    otpost: Installation, twilio: TwilioStandIn, gateway: StandIn
) -> None:
    await choose_both(otpost, twilio, gateway)
    await goes_well(otpost)
    await twilio.set_account(MAIN, status="suspended")
    began = otpost.clock()
    for place in range(9):
        told = await otpost.message((await start(otpost, f"+1415555071{place}"))["message"]["sid"])
        assert (told["status"], told["route"]["service"]) == ("accepted", "generic")
    assert len(await twilio.requests()) == 1 + 5
    assert len(gateway.received) == 9
    breaker = await until(lambda: breaker_of(otpost), lambda row: row is not None)
    assert (breaker.reason, breaker.failures, breaker.probe_at) == ("account_trouble", 5, began + 5_000)
    otpost.clock.advance(5)
    await otpost.message((await start(otpost, "+14155550720"))["message"]["sid"])
    breaker = await until(lambda: breaker_of(otpost), lambda row: row.failures == 6)
    assert (breaker.opened_at, breaker.probe_at) == (began, otpost.clock() + 10_000)
    assert (len(await twilio.requests()), len(gateway.received)) == (1 + 6, 10)

    await twilio.set_account(MAIN, status="active")
    otpost.clock.advance(10)
    told = await otpost.message((await start(otpost, "+14155550721"))["message"]["sid"])
    assert (told["status"], told["route"]["service"]) == ("accepted", "twilio")
    assert await until(lambda: breaker_of(otpost), lambda row: row is None) is None
    told = await otpost.message((await start(otpost, "+14155550722"))["message"]["sid"])
    assert told["route"]["service"] == "twilio"
    assert len(gateway.received) == 10


async def test_messages_that_waited_for_a_breaker_go_at_once_when_it_closes(
    otpost: Installation, twilio: TwilioStandIn
) -> None:
    await choose_twilio(otpost, twilio)
    await twilio.stop_listening()
    failed = [(await start(otpost, f"+1415555073{place}"))["message"]["sid"] for place in range(5)]
    for sid in failed:
        await waits(otpost, sid, 1)
    await until(lambda: breaker_of(otpost), lambda row: row is not None)
    waiting = [(await start(otpost, f"+1415555074{place}"))["message"]["sid"] for place in range(5)]
    for sid in waiting:
        row = await until(partial(message, otpost, sid), lambda row: row.reason is not None)
        assert (row.status, row.reason, row.due_at) == ("queued", "network_trouble", otpost.clock() + 5_000)
        assert await attempts(otpost, sid) == []
    await twilio.listen_again()
    otpost.clock.now += 5_000
    for sid in (*failed, *waiting):
        assert (await otpost.message(sid))["status"] == "accepted"
    assert await until(lambda: breaker_of(otpost), lambda row: row is None) is None
    assert len(await twilio.messages()) == 10


async def test_a_save_closes_a_breaker_and_what_waited_goes_out(otpost: Installation, twilio: TwilioStandIn) -> None:
    await choose_twilio(otpost, twilio, auth_token="not the token")
    for place in range(5):
        told = await otpost.message((await start(otpost, f"+1415555075{place}"))["message"]["sid"])
        assert (told["status"], told["reason"]) == ("failed", "credentials_refused")
    await until(lambda: breaker_of(otpost), lambda row: row is not None)
    sid = (await start(otpost, "+14155550760"))["message"]["sid"]
    await until(lambda: message(otpost, sid), lambda row: row.reason == "credentials_refused")
    await choose_twilio(otpost, twilio)
    assert (await otpost.message(sid))["status"] == "accepted"
    assert await until(lambda: breaker_of(otpost), lambda row: row is None) is None
    assert len(await twilio.requests()) == 5 + 1


@pytest.mark.postgres
async def test_every_node_leaves_an_account_alone_that_one_of_them_has_seen_fail(
    two_stores: tuple[Store, Store], twilio: TwilioStandIn
) -> None:
    async with (
        installed(two_stores[0], alone=False) as one,
        installed(two_stores[1], now=one.clock, alone=False) as other,
    ):
        await choose_twilio(one, twilio)
        lane = f"{one.tenant.sid}:twilio:{MAIN}"
        await twilio.stop_listening()
        for place in range(12):
            await start(one, f"+1415555{place:04d}")

        async def known() -> list[bool]:
            return [lane in node.messaging.pace.breakers.open for node in (one, other)]

        await until(known, all)
        tried = sum([len(await attempts(one, sid)) for sid in await everything(one)])
        assert tried <= 12
        await twilio.listen_again()
        one.clock.advance(6)
        for sid in await everything(one):
            assert (await one.message(sid))["status"] == "accepted"
        await until(known, lambda seen: not any(seen))
        assert len(await twilio.messages()) == 12


async def everything(otpost: Installation) -> list[str]:
    """Every message's SID."""
    return [row["sid"] for row in (await otpost.ok("GET", "/v1/messages?limit=100"))["items"]]


async def test_an_origin_keeps_to_its_rate_and_no_other_one_waits_for_it(
    otpost: Installation, twilio: TwilioStandIn
) -> None:
    rated = {"rates": [{"origin": INDIA.origin, "messages_per_second": 2}]}
    await otpost.ok("PUT", "/v1/sender-policy", {**policy(twilio.url, [INDIA]), **rated})
    sids = [(await start(otpost, f"+9191919191{place:02d}"))["message"]["sid"] for place in range(6)]
    await goes_well(otpost)

    async def gone() -> int:
        return len(await twilio.messages(account=INDIA.account))

    await until(gone, lambda count: count == 2)
    for later_s, expected in ((0.4, 2), (0.1, 3), (0.5, 4), (1.0, 6)):
        otpost.clock.advance(later_s)
        await goes_well(otpost)
        await until(gone, partial(eq, expected))
    for sid in sids:
        assert (await otpost.message(sid))["status"] == "accepted"
