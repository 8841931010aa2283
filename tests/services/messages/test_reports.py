"""Reports as units of work: forward only, once each, whoever was first, and late ones too."""

from __future__ import annotations

import pytest

from installation import Installation
from messaging.through_gateway import section
from messaging.through_twilio import INDIA, attempts, message, policy, send, start
from otpost.domain.outcome import Accepted, Refused, Unavailable, Vendor
from otpost.senders.service import NotProven, Reported
from otpost.services.messages.attempts import settle_attempt
from otpost.services.messages.lookups import due_questions
from otpost.services.messages.reports import keep_report
from otpost.store.kinds import REPORTS
from services.by_hand import LOST, NOWHERE, answer, claim, listed, report, sent

BUSY = Unavailable("throttled", "Busy.", retry_after_s=2)


async def test_reports_move_forward_only_and_count_once(still: Installation) -> None:
    for order, message_status in (
        (["sent", "delivered"], "delivered"),
        (["delivered", "sent"], "delivered"),
        (["delivered", "delivered", "accepted"], "delivered"),
        (["accepted", "sent", "sent"], "sent"),
        (["undelivered", "delivered"], "delivered"),
        (["failed", "delivered"], "delivered"),
        (["delivered", "undelivered"], "delivered"),
        (["failed", "sent"], "failed"),
    ):
        sid, attempt_sid = await sent(still, Accepted(Vendor(sid=f"SM{still.context.ids('')}", status="queued")))
        (attempt,) = await attempts(still, sid)
        for status in order:
            await report(still, attempt_sid, status, str(attempt.vendor_sid))
        row, (attempt,) = await message(still, sid), await attempts(still, sid)
        assert (row.status, attempt.status, attempt.vendor_status) == (message_status,) * 3
        assert row.body is None or message_status == "sent"
        reports = await still.store.find(REPORTS, "message", sid)
        assert sorted(one.status for one in reports) == sorted(set(order))


async def test_a_report_before_the_answer_is_not_undone_by_it(still: Installation) -> None:
    for outcome in (Accepted(Vendor(http_status=201, sid="SM1", status="queued")), LOST, BUSY):
        sid = (await send(still))["sid"]
        (handover,) = await claim(still)
        vendor_sid = f"SM{sid}"
        await report(still, handover.attempt.sid, "delivered", vendor_sid)
        if isinstance(outcome, Accepted):
            outcome = Accepted(Vendor(http_status=201, sid=vendor_sid, status="queued"))
        await still.store.run(settle_attempt(still.context, still.plans, handover, outcome))
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
    assert await still.store.run(due_questions(still.context)) == []


async def test_a_report_on_an_attempt_that_is_waiting_for_its_next_try_stops_that_try(still: Installation) -> None:
    sid, attempt_sid = await sent(still, BUSY)
    await report(still, attempt_sid, "sent", "SM8")
    still.clock.advance(2)
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
    await report(still, first, "failed", "SM1", "30001", "throttled", "Its time ran out.")
    assert (await message(still, sid)).status == "sending"
    await report(still, second, "delivered", "SM2")
    assert (await message(still, sid)).status == "delivered"

    sid, first, second = await again(still)
    await report(still, second, "undelivered", "SM4", "30003", "not_reachable", "The phone is off.")
    row = await message(still, sid)
    assert (row.status, row.reason) == ("undelivered", "not_reachable")
    _, attempt = await attempts(still, sid)
    assert (attempt.reason, attempt.detail) == ("not_reachable", "The phone is off.")
    kept = await still.store.find(REPORTS, "message", sid)
    assert [(one.status, one.reason, one.vendor_code) for one in kept] == [("undelivered", "not_reachable", "30003")]
    await report(still, first, "delivered", "SM3")
    row = await message(still, sid)
    assert (row.status, row.reason) == ("delivered", None)


async def test_a_report_on_no_attempt_of_the_account_changes_nothing(still: Installation) -> None:
    sid, attempt_sid = await sent(still, Accepted(Vendor(sid="SM1", status="queued")))
    told = Reported("delivered", "delivered", None, "SM1", INDIA.account)
    answered = [
        await still.store.run(keep_report(still.context, still.plans, service, attempt, lambda *_: [told]))
        for service, attempt in (("twilio", attempt_sid), ("twilio", "AT" + "0" * 32), ("sandbox", attempt_sid))
    ]
    assert isinstance(answered[0], NotProven)
    assert answered[1:] == [None, None]
    assert (await message(still, sid)).status == "accepted"
    assert await still.store.find(REPORTS, "message", sid) == []


async def with_a_gateway_behind(still: Installation) -> None:
    """A policy by which a gateway stands in for Twilio."""
    body = {**policy(NOWHERE, [INDIA]), "generic": section("https://sms.example.com"), "fallback": ["generic"]}
    await still.ok("PUT", "/v1/sender-policy", body)


@pytest.mark.parametrize("ended", ["approved", "canceled", None])
@pytest.mark.parametrize("status", ["failed", "undelivered"])
async def test_a_failure_that_is_reported_after_the_verification_has_ended_sends_no_text_another_way(
    still: Installation, ended: str | None, status: str
) -> None:
    await with_a_gateway_behind(still)
    verification = await start(still)
    (handover,) = await claim(still)
    taken = Accepted(Vendor(sid="SM1", http_status=201))
    await still.store.run(settle_attempt(still.context, still.plans, handover, taken))
    path = f"/v1/verifications/{verification['sid']}"
    if ended == "approved":
        await still.ok("POST", f"{path}/check", {"code": still.code(verification)}, key=still.verify)
    elif ended == "canceled":
        await still.ok("POST", f"{path}/cancel", key=still.verify)
    row = await report(still, handover.attempt.sid, status, reason="not_delivered")
    if ended is not None:
        assert (row.status, row.reason, row.due_at) == (status, "not_delivered", None)
        assert await claim(still) == []
        return
    assert (row.status, row.due_at) == ("queued", still.clock())
    (handover,) = await claim(still)
    assert handover.service.NAME == "generic"


async def test_a_verification_that_ends_while_its_text_waits_for_another_way_calls_that_off(
    still: Installation,
) -> None:
    await with_a_gateway_behind(still)
    verification = await start(still)
    (handover,) = await claim(still)
    await still.store.run(
        settle_attempt(still.context, still.plans, handover, Refused("account_trouble", "Suspended."))
    )
    await still.ok("POST", f"/v1/verifications/{verification['sid']}/cancel", key=still.verify)
    assert await claim(still) == []
    row = await message(still, handover.message.sid)
    assert (row.status, row.reason) == ("expired", "verification_over")


async def test_a_text_that_arrives_after_the_other_has_failed_the_message_is_delivered(still: Installation) -> None:
    await with_a_gateway_behind(still)
    sid, first = await sent(still, LOST)
    for after_s in (2, 8, 15):
        still.clock.advance(after_s)
        await answer(still, first)
    (handover,) = await claim(still)
    assert handover.service.NAME == "generic"
    await still.store.run(settle_attempt(still.context, still.plans, handover, Refused("text_refused", "Too long.")))
    row = await message(still, sid)
    assert (row.status, row.reason, row.body) == ("failed", "text_refused", None)
    late = await report(still, first, "delivered")
    assert (late.status, late.reason, late.due_at) == ("delivered", None, None)
    assert [attempt.outcome for attempt in await attempts(still, sid)] == ["accepted", "refused"]
    assert (await report(still, first, "undelivered")).status == "delivered"
