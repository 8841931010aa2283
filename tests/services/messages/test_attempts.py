"""Claims and outcomes as units of work, with nothing sent: which way a message takes, and what its attempt came to."""

from __future__ import annotations

from installation import Installation
from messaging.through_twilio import INDIA, MAIN, Row, attempts, message, policy, send, start
from otpost.domain.outcome import Accepted, Refused, Unavailable, Unknown, Vendor
from otpost.services.messages.attempts import DUE_AT_ONCE, claim_messages, settle_attempt
from otpost.services.messages.nodes import record_heartbeat, settle_lost
from services.by_hand import LOST, NODE, NOWHERE, PUBLIC_URL, Idle, claim, sent

BUSY = Unavailable("throttled", "Busy.", retry_after_s=2)
GONE = "Otpost was stopped while it was being sent."


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
    taken = await claim(still, pacing=Idle(slots=2))
    assert sorted(handover.route.account_sid for handover in taken) == sorted([INDIA.account] * 2 + [MAIN] * 2)
    assert {(await message(still, one.message.sid)).status for one in taken} == {"sending"}
    assert len(await claim(still)) == 6


async def test_a_claim_says_that_there_may_be_more_after_messages_that_only_ended(still: Installation) -> None:
    for place in range(DUE_AT_ONCE):
        await send(still, f"+141555531{place:02d}", valid_for_s=60)
    still.clock.advance(51)
    late = (await send(still, "+14155553200"))["sid"]
    unit = claim_messages(still.context, still.plans, still.wording, NODE, Idle(), PUBLIC_URL)
    claimed = await still.store.run(unit)
    assert (claimed.handovers, claimed.more) == ([], True)
    (handover,) = await claim(still)
    assert handover.message.sid == late


async def test_what_could_not_be_taken_is_not_asked_for_again_at_once(still: Installation) -> None:
    for place in range(DUE_AT_ONCE):
        await send(still, f"+141555531{place:02d}")
    claimed = await still.store.run(
        claim_messages(still.context, still.plans, still.wording, NODE, Idle(slots=0), PUBLIC_URL)
    )
    assert (claimed.handovers, claimed.more) == ([], False)


async def test_hopeless_messages_of_a_full_lane_end_all_the_same(still: Installation) -> None:
    sid = (await send(still, valid_for_s=60))["sid"]
    lane = (await message(still, sid)).lane
    still.clock.advance(51)
    assert await claim(still, pacing=Idle(slots=0, full_lanes=[lane])) == []
    row = await message(still, sid)
    assert (row.status, row.body, row.reason) == ("expired", None, "too_late")


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
    said = Vendor(http_status=400, code="21211")
    refused = Refused("invalid_number", "No such number.", said, "https://docs.example/21211")
    for outcome, status, reason, kept, told, look_after_s in (
        (Accepted(vendor), "accepted", None, "accepted", (None, None), None),
        (refused, "failed", "invalid_number", "refused", ("invalid_number", "No such number."), None),
        (BUSY, "queued", "throttled", "unavailable", ("throttled", "Busy."), None),
        (LOST, "sending", None, "unknown", ("answer_lost", "The connection broke."), 2),
        (Unknown("It said 500.", answered=True), "sending", None, "unknown", ("answer_lost", "It said 500."), 2),
    ):
        sid, attempt_sid = await sent(still, outcome)
        row, (attempt,) = await message(still, sid), await attempts(still, sid)
        assert (row.status, row.reason, attempt.outcome) == (status, reason, kept)
        assert (attempt.reason, attempt.detail) == told
        look_at = None if look_after_s is None else still.clock() + look_after_s * 1000
        assert (attempt.sid, attempt.look_at) == (attempt_sid, look_at)
        assert row.due_at == (still.clock() + 2_000 if status == "queued" else None)
        assert (row.body is None) == (status == "failed")
        if status == "queued":
            still.clock.advance(1)


async def test_a_service_that_can_neither_list_nor_report_leaves_it_unconfirmed(still: Installation) -> None:
    await still.choose_sandbox()
    sid = (await send(still))["sid"]
    (handover,) = await claim(still)
    assert handover.text.callback_url is None
    await still.store.run(settle_attempt(still.context, still.plans, handover, LOST))
    row, (attempt,) = await message(still, sid), await attempts(still, sid)
    assert (row.status, row.reason, row.body) == ("unconfirmed", "answer_lost", None)
    assert (attempt.outcome, attempt.look_at, attempt.detail) == ("unknown", None, "The connection broke.")
    assert await claim(still) == []


async def test_an_intent_of_such_a_service_whose_node_is_gone_is_unconfirmed_too(still: Installation) -> None:
    await still.choose_sandbox()
    sid = (await send(still))["sid"]
    assert len(await claim(still, "ND" + "2" * 32)) == 1
    assert await still.store.run(settle_lost(still.context, still.plans, alone=False)) == 1
    row, (attempt,) = await message(still, sid), await attempts(still, sid)
    assert (row.status, row.reason) == ("unconfirmed", "answer_lost")
    assert (attempt.outcome, attempt.look_at, attempt.detail) == ("unknown", None, GONE)


async def test_an_intent_is_lost_once_the_heartbeat_of_its_node_is_fifteen_seconds_old(still: Installation) -> None:
    await still.store.run(record_heartbeat(still.context, NODE, still.clock()))
    sid = (await send(still))["sid"]
    await claim(still)
    begun = still.clock()
    still.clock.now = begun + 14_999
    assert await still.store.run(settle_lost(still.context, still.plans, alone=False)) == 0
    still.clock.now = begun + 15_000
    assert await still.store.run(settle_lost(still.context, still.plans, alone=False)) == 1
    (attempt,) = await attempts(still, sid)
    assert (attempt.outcome, attempt.reason, attempt.detail) == ("unknown", "answer_lost", GONE)
    assert attempt.answered is False
    assert attempt.look_at == begun + 25_000
    assert (await message(still, sid)).status == "sending"
    assert await still.store.run(settle_lost(still.context, still.plans, alone=False)) == 0


async def test_a_node_that_was_taken_for_dead_may_still_tell_its_outcome(still: Installation) -> None:
    for outcome, status in (
        (Accepted(Vendor(sid="SM5", http_status=201)), "accepted"),
        (Refused("invalid_number", "No."), "failed"),
    ):
        sid = (await send(still))["sid"]
        (handover,) = await claim(still, "ND" + "3" * 32)
        assert await still.store.run(settle_lost(still.context, still.plans, alone=False)) == 1
        await still.store.run(settle_attempt(still.context, still.plans, handover, outcome))
        row, (attempt,) = await message(still, sid), await attempts(still, sid)
        assert (row.status, attempt.look_at) == (status, None)


async def test_a_saved_policy_counts_for_messages_that_wait(still: Installation) -> None:
    sid = (await send(still, "+919191919191"))["sid"]
    other = Row("+9191", "AC" + "f" * 32, "token-other", "+919100000000")
    await still.ok("PUT", "/v1/sender-policy", policy(NOWHERE, [INDIA, other]))
    (handover,) = await claim(still)
    row = await message(still, sid)
    assert (row.account_sid, row.origin, row.lane) == (other.account, other.origin, handover.lane)
    assert handover.attempt.account_sid == other.account
