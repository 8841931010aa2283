"""Delivery as units of work, with nothing sent: intents, outcomes, listings, reports, and nodes that are gone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from installation import TO, Installation, installed
from messaging.through_twilio import INDIA, MAIN, SENDER, TEXT, Row, attempts, message, policy, send, start
from otpost.domain.message import Attempt, Message, intend
from otpost.domain.outcome import Accepted, Refused, Unavailable, Unknown, Vendor
from otpost.domain.routing import Route
from otpost.messaging import nodes
from otpost.outbound import Outbound
from otpost.senders.base import Listed, NotProven, Reported
from otpost.services import delivery
from otpost.services.delivery import Handover
from otpost.store.base import Store
from otpost.store.kinds import ATTEMPTS, MESSAGES, REPORTS
from otpost.store.units import Unit, lock

NODE, NOWHERE = "ND" + "1" * 32, "http://127.0.0.1:9"
LOST = Unknown("The connection broke.")
GONE = "Otpost was stopped while it was being sent."


@pytest.fixture
async def still(store: Store) -> AsyncIterator[Installation]:
    """An installation that sends through Twilio and whose messaging service has stopped."""
    async with installed(store) as made:
        await made.ok("PUT", "/v1/sender-policy", policy(NOWHERE, [INDIA]))
        await made.messaging.stop()
        made.http = Outbound()
        yield made


def callback_url(service: str, attempt: str) -> str:
    return f"https://otp.example/callbacks/{service}/{attempt}"


async def claim(still: Installation, node: str = NODE, free: int = 64) -> list[Handover]:
    """What a node takes, its intents committed."""
    unit = delivery.claim(still.house, node, lambda lane: free, [], callback_url)
    return (await still.store.run(unit)).handovers


async def sent(still: Installation, outcome: Any, to: str = TO) -> tuple[str, str]:
    """A text whose first attempt came to this; the SIDs of its message and its attempt."""
    sid = (await send(still, to))["sid"]
    (handover,) = await claim(still)
    await still.store.run(delivery.settle(still.house, handover, outcome))
    return sid, handover.attempt.sid


async def report(
    still: Installation, attempt: str, status: Any, vendor_sid: str = "SM1", code: str | None = None, reason: str = ""
) -> Message:
    told = Reported(status, status, code, vendor_sid, MAIN, reason)
    assert await still.store.run(delivery.report(still.house, "twilio", attempt, lambda *_: told)) is told
    row = await still.store.get(ATTEMPTS, attempt)
    assert row is not None
    return await message(still, row.message)


def listed(sid: str, created_at: int | None, body: str = TEXT, status: Any = "delivered") -> Listed:
    return Listed(sid, created_at, body, Reported(status, status, None, sid, MAIN, ""))


async def answer(still: Installation, attempt_sid: str, *rows: Listed) -> tuple[Message, Attempt]:
    """Both after a listing showed these rows."""
    attempt = await still.store.get(ATTEMPTS, attempt_sid)
    assert attempt is not None
    await still.store.run(delivery.answered(still.house, attempt.sid, attempt.message, list(rows), ""))
    after = await still.store.get(ATTEMPTS, attempt_sid)
    assert after is not None
    return await message(still, attempt.message), after


async def test_a_claim_commits_the_intent_with_all_that_is_needed_to_send(still: Installation) -> None:
    verification = await start(still, "+919191919191")
    still.clock.advance(0.5)
    (handover,) = await claim(still)
    assert handover.service.NAME == "twilio"
    assert (handover.route.account_sid, handover.route.origin) == (INDIA.account, INDIA.origin)
    attempt = handover.attempt.sid
    assert handover.text.attempt == attempt
    assert handover.text.body == f"{still.code(verification)} is your Default code."
    assert (handover.text.to.e164, handover.text.valid_for_s) == ("+919191919191", 299)
    assert handover.text.callback_url == f"https://otp.example/callbacks/twilio/{attempt}"
    (kept,) = await attempts(still, verification["message"]["sid"])
    assert kept == handover.attempt
    assert (kept.outcome, kept.node, kept.started_at) == (None, NODE, still.clock())
    row = await message(still, verification["message"]["sid"])
    assert (row.status, row.attempt, row.due_at, row.body) == ("sending", attempt, None, None)
    assert await claim(still) == []


async def test_a_claim_takes_no_more_of_a_lane_than_it_has_free_slots(still: Installation) -> None:
    for place in range(5):
        await send(still, f"+1415555300{place}")
        await send(still, f"+91919191919{place}")
    taken = await claim(still, free=2)
    assert sorted(handover.route.account_sid for handover in taken) == sorted([INDIA.account] * 2 + [MAIN] * 2)
    assert {(await message(still, one.message.sid)).status for one in taken} == {"sending"}
    assert len(await claim(still, free=64)) == 6


async def test_a_claim_says_that_there_may_be_more_after_messages_that_only_ended(still: Installation) -> None:
    for place in range(delivery.DUE_AT_ONCE):
        await send(still, f"+141555531{place:02d}", valid_for_s=60)
    still.clock.advance(51)
    late = (await send(still, "+14155553200"))["sid"]
    unit = delivery.claim(still.house, NODE, lambda lane: 64, [], callback_url)
    claimed = await still.store.run(unit)
    assert (claimed.handovers, claimed.more) == ([], True)
    (handover,) = await claim(still)
    assert handover.message.sid == late


async def test_what_could_not_be_taken_is_not_asked_for_again_at_once(still: Installation) -> None:
    for place in range(delivery.DUE_AT_ONCE):
        await send(still, f"+141555531{place:02d}")
    claimed = await still.store.run(delivery.claim(still.house, NODE, lambda lane: 0, [], callback_url))
    assert (claimed.handovers, claimed.more) == ([], False)


async def test_hopeless_messages_of_a_full_lane_end_all_the_same(still: Installation) -> None:
    sid = (await send(still, valid_for_s=60))["sid"]
    lane = (await message(still, sid)).lane
    still.clock.advance(51)
    await still.store.run(delivery.claim(still.house, NODE, lambda _: 0, [lane], callback_url))
    row = await message(still, sid)
    assert (row.status, row.body, row.reason) == ("expired", None, "Not sent: less than 10 s of its life were left.")


async def test_exactly_ten_seconds_of_life_are_enough_and_a_millisecond_less_is_not(still: Installation) -> None:
    await send(still, valid_for_s=60)
    still.clock.advance(50)
    (handover,) = await claim(still)
    assert handover.text.valid_for_s == 10
    sid = (await send(still, valid_for_s=60))["sid"]
    still.clock.advance(50.001)
    assert await claim(still) == []
    assert (await message(still, sid)).status == "expired"


async def test_each_outcome_moves_message_and_attempt(still: Installation) -> None:
    vendor = Vendor(http_status=201, sid="SM77", status="queued", request_id="RQ1")
    refused = Refused("number", "No such number.", Vendor(http_status=400, code="21211"), "https://docs.example/21211")
    for outcome, status, reason, kept, look_after_s in (
        (Accepted(vendor), "accepted", None, "accepted", None),
        (refused, "failed", "No such number.", "refused", None),
        (Unavailable("Busy.", retry_after_s=3), "queued", "Busy.", "unavailable", None),
        (LOST, "sending", None, "unknown", 2),
        (Unknown("It answered 500.", answered=True), "sending", None, "unknown", 2),
    ):
        sid, attempt_sid = await sent(still, outcome)
        row, (attempt,) = await message(still, sid), await attempts(still, sid)
        assert (row.status, row.reason, attempt.outcome) == (status, reason, kept)
        look_at = None if look_after_s is None else still.clock() + look_after_s * 1000
        assert (attempt.sid, attempt.look_at) == (attempt_sid, look_at)
        assert row.due_at == (still.clock() + 3_000 if status == "queued" else None)
        assert (row.body is None) == (status == "failed")
        if status == "queued":
            still.clock.advance(1)


async def test_a_service_that_can_neither_list_nor_report_leaves_it_unconfirmed(still: Installation) -> None:
    await still.choose_sandbox()
    sid = (await send(still))["sid"]
    (handover,) = await claim(still)
    assert handover.text.callback_url is None
    await still.store.run(delivery.settle(still.house, handover, LOST))
    row, (attempt,) = await message(still, sid), await attempts(still, sid)
    assert (row.status, row.reason, row.body) == ("unconfirmed", LOST.reason, None)
    assert (attempt.outcome, attempt.look_at) == ("unknown", None)
    assert await claim(still) == []


async def test_an_intent_of_such_a_service_whose_node_is_gone_is_unconfirmed_too(still: Installation) -> None:
    await still.choose_sandbox()
    sid = (await send(still))["sid"]
    assert len(await claim(still, "ND" + "2" * 32)) == 1
    assert await still.store.run(nodes.find_lost(still.house, alone=False)) == 1
    row, (attempt,) = await message(still, sid), await attempts(still, sid)
    assert (row.status, row.reason) == ("unconfirmed", GONE)
    assert (attempt.outcome, attempt.look_at) == ("unknown", None)


async def test_an_intent_is_lost_once_the_heartbeat_of_its_node_is_fifteen_seconds_old(still: Installation) -> None:
    await still.store.run(nodes.beat(still.house, NODE, still.clock()))
    sid = (await send(still))["sid"]
    await claim(still)
    begun = still.clock()
    still.clock.now = begun + 14_999
    assert await still.store.run(nodes.find_lost(still.house, alone=False)) == 0
    still.clock.now = begun + 15_000
    assert await still.store.run(nodes.find_lost(still.house, alone=False)) == 1
    (attempt,) = await attempts(still, sid)
    assert (attempt.outcome, attempt.reason, attempt.answered) == ("unknown", GONE, False)
    assert attempt.look_at == begun + 25_000
    assert (await message(still, sid)).status == "sending"
    assert await still.store.run(nodes.find_lost(still.house, alone=False)) == 0


async def test_a_node_that_was_taken_for_dead_may_still_tell_its_outcome(still: Installation) -> None:
    for outcome, status in (
        (Accepted(Vendor(sid="SM5", http_status=201)), "accepted"),
        (Refused("number", "No."), "failed"),
    ):
        sid = (await send(still))["sid"]
        (handover,) = await claim(still, "ND" + "3" * 32)
        assert await still.store.run(nodes.find_lost(still.house, alone=False)) == 1
        await still.store.run(delivery.settle(still.house, handover, outcome))
        row, (attempt,) = await message(still, sid), await attempts(still, sid)
        assert (row.status, attempt.look_at) == (status, None)


MATCHES: tuple[tuple[str, list[tuple[str, int | None, str]], str | None], ...] = (
    ("nothing is listed", [], None),
    ("the text itself", [("SM1", 0, TEXT)], "SM1"),
    ("a trial account's words before it", [("SM1", 0, f"Sent from a trial account - {TEXT}")], "SM1"),
    ("words after it", [("SM1", 0, f"{TEXT}!")], None),
    ("another's text", [("SM1", 0, "Your parcel comes today.")], None),
    ("a redacted text", [("SM1", 0, "")], "SM1"),
    ("created 5 s before the intent", [("SM1", -5_000, TEXT)], "SM1"),
    ("created longer before it", [("SM1", -5_001, TEXT)], None),
    ("created at an unreadable time", [("SM1", None, TEXT)], None),
    ("the oldest of several", [("SM3", 3_000, TEXT), ("SM2", 1_000, ""), ("SM1", 2_000, TEXT)], "SM2"),
    ("one that another attempt owns", [("SM99", 0, TEXT)], None),
    ("the oldest that nobody owns", [("SM99", 0, TEXT), ("SM1", 1_000, TEXT)], "SM1"),
)


async def test_a_listed_text_matches_by_time_words_and_owner(still: Installation) -> None:
    await sent(still, Accepted(Vendor(sid="SM99", http_status=201)))
    for case, rows, wanted in MATCHES:
        sid, attempt_sid = await sent(still, LOST)
        begun = still.clock()
        still.clock.advance(2)
        shown = [
            listed(vendor if vendor == "SM99" else f"{vendor}{sid}", None if after is None else begun + after, body)
            for vendor, after, body in rows
        ]
        row, attempt = await answer(still, attempt_sid, *shown)
        if wanted is None:
            assert (attempt.outcome, attempt.vendor_sid, row.status) == ("unknown", None, "sending"), case
            assert (attempt.looked_at, attempt.look_at) == (still.clock(), begun + 10_000), case
        else:
            assert (attempt.outcome, attempt.vendor_sid, row.status) == ("accepted", f"{wanted}{sid}", "delivered"), (
                case
            )
            assert attempt.look_at is None, case


async def test_a_code_matches_wherever_it_stands_in_the_text(still: Installation) -> None:
    for place, (body, is_found) in enumerate(
        (
            ("Sent from a trial account - {code} is your code. Thanks!", True),
            ("{wrong} is your code.", False),
            ("", True),
        )
    ):
        verification = await start(still, f"+1415555330{place}")
        (handover,) = await claim(still)
        await still.store.run(delivery.settle(still.house, handover, LOST))
        words = body.format(code=still.code(verification), wrong=still.wrong_code(verification))
        _, attempt = await answer(still, handover.attempt.sid, listed(f"SM{place}", still.clock(), words))
        assert (attempt.outcome == "accepted") is is_found


async def test_a_text_that_was_erased_matches_nobody_elses(still: Installation) -> None:
    sid, attempt_sid = await sent(still, LOST)

    def erase(rows: Any) -> None:
        row = rows.get(MESSAGES, sid)
        rows.put(MESSAGES, Message(**{name: getattr(row, name) for name in row.__struct_fields__} | {"body": None}))

    await still.store.run(Unit(erase, [lock(MESSAGES, sid)]))
    _, attempt = await answer(still, attempt_sid, listed("SM1", still.clock(), "Your parcel comes today."))
    assert (attempt.outcome, attempt.vendor_sid) == ("unknown", None)


async def test_reports_move_forward_only_and_count_once(still: Installation) -> None:
    for order, message_status in (
        (["sent", "delivered"], "delivered"),
        (["delivered", "sent"], "delivered"),
        (["delivered", "delivered", "accepted"], "delivered"),
        (["accepted", "sent", "sent"], "sent"),
        (["undelivered", "delivered"], "undelivered"),
        (["failed", "sent"], "failed"),
    ):
        sid, attempt_sid = await sent(still, Accepted(Vendor(sid=f"SM{still.house.sid('')}", status="queued")))
        (attempt,) = await attempts(still, sid)
        for status in order:
            await report(still, attempt_sid, status, str(attempt.vendor_sid))
        row, (attempt,) = await message(still, sid), await attempts(still, sid)
        assert (row.status, attempt.status, attempt.vendor_status) == (message_status,) * 3
        assert row.body is None or message_status == "sent"
        reports = await still.store.find(REPORTS, "message", sid)
        assert sorted(one.status for one in reports) == sorted(set(order))


async def test_a_report_before_the_answer_is_not_undone_by_it(still: Installation) -> None:
    for outcome in (Accepted(Vendor(http_status=201, sid="SM1", status="queued")), LOST, Unavailable("Busy.")):
        sid = (await send(still))["sid"]
        (handover,) = await claim(still)
        vendor_sid = f"SM{sid}"
        await report(still, handover.attempt.sid, "delivered", vendor_sid)
        if isinstance(outcome, Accepted):
            outcome = Accepted(Vendor(http_status=201, sid=vendor_sid, status="queued"))
        await still.store.run(delivery.settle(still.house, handover, outcome))
        row, (attempt,) = await message(still, sid), await attempts(still, sid)
        assert (row.status, row.due_at) == ("delivered", None)
        assert (attempt.outcome, attempt.status, attempt.vendor_status) == ("accepted", "delivered", "delivered")
        assert (attempt.vendor_sid, attempt.look_at) == (vendor_sid, None)
    assert await claim(still) == []


async def test_a_report_settles_an_unknown_attempt_and_ends_its_look_ups(still: Installation) -> None:
    sid, attempt_sid = await sent(still, LOST)
    await report(still, attempt_sid, "sent", "SM8")
    row, (attempt,) = await message(still, sid), await attempts(still, sid)
    assert (row.status, attempt.outcome, attempt.vendor_sid, attempt.look_at) == ("sent", "accepted", "SM8", None)
    still.clock.advance(30)
    assert await still.store.run(delivery.questions(still.house)) == []


async def test_a_report_on_an_attempt_that_is_waiting_for_its_next_try_stops_that_try(still: Installation) -> None:
    sid, attempt_sid = await sent(still, Unavailable("Busy.", retry_after_s=3))
    await report(still, attempt_sid, "sent", "SM8")
    still.clock.advance(3)
    assert await claim(still) == []
    assert (await message(still, sid)).status == "sent"


async def test_a_report_names_its_attempt_whoever_was_taken_for_the_owner_of_its_text(still: Installation) -> None:
    first, first_attempt = await sent(still, LOST)
    second, second_attempt = await sent(still, LOST)
    row, _ = await answer(still, first_attempt, listed("SM8", still.clock(), ""))
    assert row.status == "delivered"
    assert await report(still, second_attempt, "sent", "SM8") is not None
    row, (attempt,) = await message(still, second), await attempts(still, second)
    assert (row.status, attempt.outcome, attempt.look_at, attempt.vendor_sid) == ("sent", "accepted", None, None)
    assert (await attempts(still, first))[0].vendor_sid == "SM8"


async def again(still: Installation) -> tuple[str, str, str]:
    """A message that was absent in all listings and is sent anew: its SID and those of both attempts."""
    sid, first = await sent(still, LOST)
    for at in (2, 8, 15):
        still.clock.advance(at)
        await answer(still, first)
    (handover,) = await claim(still)
    return sid, first, handover.attempt.sid


async def test_a_late_report_of_the_first_attempt_moves_the_message_as_far_as_it_came(still: Installation) -> None:
    sid, first, second = await again(still)
    await report(still, first, "delivered", "SM1")
    assert (await message(still, sid)).status == "delivered"
    await report(still, second, "sent", "SM2")
    assert (await message(still, sid)).status == "delivered"


async def test_a_late_failure_of_the_first_attempt_does_not_hide_that_the_second_was_delivered(
    still: Installation,
) -> None:
    sid, first, second = await again(still)
    await report(still, first, "failed", "SM1", "30001", "Its time ran out.")
    assert (await message(still, sid)).status == "sending"
    await report(still, second, "delivered", "SM2")
    assert (await message(still, sid)).status == "delivered"

    sid, first, second = await again(still)
    await report(still, second, "undelivered", "SM4", "30003", "The phone is off.")
    row = await message(still, sid)
    assert (row.status, row.reason) == ("undelivered", "The phone is off.")
    await report(still, first, "delivered", "SM3")
    row = await message(still, sid)
    assert (row.status, row.reason) == ("delivered", None)


async def test_a_report_on_no_attempt_of_the_account_changes_nothing(still: Installation) -> None:
    sid, attempt_sid = await sent(still, Accepted(Vendor(sid="SM1", status="queued")))
    told = Reported("delivered", "delivered", None, "SM1", INDIA.account, "")
    answered = [
        await still.store.run(delivery.report(still.house, service, attempt, lambda *_: told))
        for service, attempt in (("twilio", attempt_sid), ("twilio", "AT" + "0" * 32), ("sandbox", attempt_sid))
    ]
    assert isinstance(answered[0], NotProven)
    assert answered[1:] == [None, None]
    assert (await message(still, sid)).status == "accepted"
    assert await still.store.find(REPORTS, "message", sid) == []


async def test_a_saved_policy_counts_for_messages_that_wait(still: Installation) -> None:
    sid = (await send(still, "+919191919191"))["sid"]
    other = Row("+9191", "AC" + "f" * 32, "token-other", "+919100000000")
    await still.ok("PUT", "/v1/sender-policy", policy(NOWHERE, [INDIA, other]))
    (handover,) = await claim(still)
    row = await message(still, sid)
    assert (row.account_sid, row.origin, row.lane) == (other.account, other.origin, handover.route.lane)
    assert handover.attempt.account_sid == other.account


def test_an_intent_holds_the_route_that_is_taken_now() -> None:
    queued = Message("SM1", "AC1", "VA1", TO, "queued", 1, 0, 60_000, "twilio", "AC9", "+1", "", "twilio:AC9", due_at=0)
    row, attempt = intend(queued, "AT1", Route("twilio", MAIN, SENDER, "because"), 5, NODE)
    assert (row.account_sid, row.lane, row.route_reason) == (MAIN, f"twilio:{MAIN}", "because")
    assert (attempt.account_sid, attempt.origin, attempt.to, attempt.started_at) == (MAIN, SENDER, TO, 5)
