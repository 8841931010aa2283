"""Unknown outcomes as units of work: which listed text is the attempt's, and when the account is asked again."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import update

from installation import Installation
from messaging.through_gateway import section
from messaging.through_twilio import INDIA, MAIN, TEXT, attempts, message, policy, send, start
from otpost.domain.delivery import Rest
from otpost.domain.message import Message
from otpost.domain.outcome import Accepted, Unavailable, Vendor
from otpost.senders.service import Listed, LookUpFailed, Reported
from otpost.services.messages.attempts import claim_messages, settle_attempt
from otpost.services.messages.lookups import due_questions, keep_listing, look_again
from otpost.services.messages.nodes import settle_lost
from otpost.services.messages.reports import report_early
from otpost.store.kinds import ATTEMPTS, EARLY_REPORTS, MESSAGES
from otpost.store.units import Unit, lock
from services.by_hand import LOST, NODE, NOWHERE, PUBLIC_URL, Idle, answer, claim, listed, report, sent

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
        await still.store.run(settle_attempt(still.context, still.plans, handover, LOST))
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


# The promise is per message: what is found, adopted and sent again with more than one attempt.


async def looked_out(still: Installation, attempt_sid: str, *rows: Listed) -> None:
    """Moves the clock from look to look, each of which shows these rows, until no other follows."""
    while True:
        attempt = await still.store.get(ATTEMPTS, attempt_sid)
        assert attempt is not None
        if attempt.look_at is None:
            return
        still.clock.now = attempt.look_at
        await answer(still, attempt_sid, *rows)


async def lost_and_looked_out(still: Installation) -> tuple[str, str]:
    """A text whose answer was lost and that no look has shown; the SIDs of its message and its attempt."""
    sid, first = await sent(still, LOST)
    await looked_out(still, first)
    row = await message(still, sid)
    assert (row.status, row.due_at) == ("queued", still.clock())
    return sid, first


async def lost_twice(still: Installation) -> tuple[str, str, str]:
    """The same, sent once more with the answer lost again; the SIDs of its message and both attempts."""
    sid, first = await lost_and_looked_out(still)
    (handover,) = await claim(still)
    await still.store.run(settle_attempt(still.context, still.plans, handover, LOST))
    return sid, first, handover.attempt.sid


async def owners(still: Installation, sid: str) -> list[tuple[str | None, str | None]]:
    """Outcome and the vendor's SID of each of the message's attempts, oldest first."""
    return [(attempt.outcome, attempt.vendor_sid) for attempt in await attempts(still, sid)]


async def test_a_look_compares_with_everything_since_the_messages_first_attempt(still: Installation) -> None:
    begun = still.clock()
    sid, _, second = await lost_twice(still)
    still.clock.advance(2)
    (question,) = await still.store.run(due_questions(still.context))
    assert (question.attempt.sid, question.since) == (second, begun)
    row, attempt = await answer(still, second, listed("SM1", begun - 5_000))
    assert await owners(still, sid) == [("accepted", "SM1"), ("unknown", None)]
    assert (row.status, attempt.look_at) == ("delivered", begun + 35_000)
    row, attempt = await answer(still, second, listed("SM0", begun - 5_001), listed("SM1", begun - 5_000))
    assert attempt.outcome == "unknown"


async def test_the_oldest_text_is_the_oldest_attempts_and_both_are_found_in_one_look(still: Installation) -> None:
    sid, _, second = await lost_twice(still)
    newer, older = listed("SM1", still.clock() + 200, status="sent"), listed("SM2", still.clock() + 100, status="sent")
    await answer(still, second, newer, older)
    assert await owners(still, sid) == [("accepted", "SM2"), ("accepted", "SM1")]
    assert all(attempt.look_at is None for attempt in await attempts(still, sid))
    still.clock.advance(120)
    assert await claim(still) == []


async def test_once_one_of_two_lost_texts_is_found_no_third_is_sent(still: Installation) -> None:
    _, _, second = await lost_twice(still)
    row, attempt = await answer(still, second, listed("SM1", still.clock(), status="sent"))
    assert (row.status, attempt.outcome) == ("sent", "unknown")
    await looked_out(still, second, listed("SM1", still.clock(), status="sent"))
    row = await message(still, row.sid)
    assert (row.status, row.due_at) == ("sent", None)
    assert await claim(still) == []


async def test_after_two_lost_answers_the_message_stops_and_the_recipients_own_resend_goes_out(
    still: Installation,
) -> None:
    verification = await start(still)
    sid = verification["message"]["sid"]
    for _ in range(2):
        (handover,) = await claim(still)
        await still.store.run(settle_attempt(still.context, still.plans, handover, LOST))
        await looked_out(still, handover.attempt.sid)
    row = await message(still, sid)
    assert (row.status, row.reason, row.due_at) == ("unconfirmed", "answer_lost", None)
    assert await claim(still) == []
    again = await start(still)
    assert (again["sid"], again["sends"]) == (verification["sid"], 2)
    (handover,) = await claim(still)
    assert handover.message.sid == again["message"]["sid"] != sid
    late = await report(still, (await attempts(still, sid))[0].sid, "delivered")
    assert (late.sid, late.status, late.reason) == (sid, "delivered", None)


async def test_a_text_is_looked_for_once_more_before_its_message_goes_again_after_a_wait(still: Installation) -> None:
    sid, first = await lost_and_looked_out(still)
    busy = Idle(rests={MAIN: Rest(1_000, "throttled")})
    assert await claim(still, pacing=busy) == []
    still.clock.advance(30)
    claimed = await still.store.run(claim_messages(still.context, still.plans, still.wording, NODE, Idle(), PUBLIC_URL))
    assert (claimed.handovers, list(claimed.unsettled)) == ([], [sid])
    await still.store.run(look_again(still.context, sid))
    await still.store.run(look_again(still.context, sid))
    row = await message(still, sid)
    assert (row.status, row.due_at) == ("sending", None)
    assert await claim(still) == []
    (question,) = await still.store.run(due_questions(still.context))
    assert question.attempt.sid == first
    failed = LookUpFailed("Twilio does not answer.")
    await still.store.run(
        keep_listing(still.context, still.plans, still.wording, question.attempt, failed, still.clock())
    )
    assert await claim(still) == []
    still.clock.advance(10)
    row, attempt = await answer(still, first, listed("SM1", still.clock() - 60_000))
    assert (row.status, attempt.outcome, attempt.vendor_sid) == ("delivered", "accepted", "SM1")
    assert await claim(still) == []


async def test_what_that_look_does_not_show_goes_again_at_once(still: Installation) -> None:
    sid, first = await lost_and_looked_out(still)
    assert await claim(still, pacing=Idle(rests={MAIN: Rest(1_000, "throttled")})) == []
    still.clock.advance(30)
    await still.store.run(look_again(still.context, sid))
    await answer(still, first)
    (handover,) = await claim(still)
    assert handover.message.sid == sid


async def test_a_claim_that_follows_the_last_look_needs_no_other(still: Installation) -> None:
    sid, _ = await lost_and_looked_out(still)
    still.clock.advance(5)
    (handover,) = await claim(still)
    assert handover.message.sid == sid


async def test_a_report_during_a_look_up_settles_and_the_look_adds_nothing(still: Installation) -> None:
    sid, _, second = await lost_twice(still)
    still.clock.advance(2)
    (question,) = await still.store.run(due_questions(still.context))
    assert (await report(still, second, "sent", "SM2")).status == "sent"
    rows = [listed("SM2", still.clock(), status="sent")]
    await still.store.run(
        keep_listing(still.context, still.plans, still.wording, question.attempt, rows, still.clock())
    )
    assert await owners(still, sid) == [("unknown", None), ("accepted", "SM2")]
    assert (await message(still, sid)).due_at is None


async def test_a_report_on_the_first_text_during_the_second_attempt_keeps_that_from_being_repeated(
    still: Installation,
) -> None:
    _, first = await lost_and_looked_out(still)
    (handover,) = await claim(still)
    await report(still, first, "sent")
    busy = Unavailable("throttled", "Busy.", retry_after_s=1)
    row = (await still.store.run(settle_attempt(still.context, still.plans, handover, busy))).message
    assert (row.status, row.due_at, row.attempt) == ("sent", None, first)


async def test_a_resend_that_is_asked_for_while_a_text_is_looked_for_keeps_its_own_text(still: Installation) -> None:
    verification = await start(still)
    (older,) = await claim(still)
    await still.store.run(settle_attempt(still.context, still.plans, older, LOST))
    still.clock.advance(30)
    again = await start(still)
    (newer,) = await claim(still)
    assert newer.message.sid == again["message"]["sid"]
    taken = Accepted(Vendor(sid="SM2", http_status=201))
    await still.store.run(settle_attempt(still.context, still.plans, newer, taken))
    body = f"{still.code(verification)} is your Default code."
    rows = [listed("SM2", still.clock(), body), listed("SM1", still.clock() + 10, body)]
    row, attempt = await answer(still, older.attempt.sid, *rows)
    assert (attempt.vendor_sid, row.status) == ("SM1", "delivered")
    assert await owners(still, again["message"]["sid"]) == [("accepted", "SM2")]


async def test_a_text_that_may_be_one_in_flight_is_not_adopted_before_that_has_its_answer(still: Installation) -> None:
    verification = await start(still)
    (older,) = await claim(still)
    await still.store.run(settle_attempt(still.context, still.plans, older, LOST))
    first, body = older.attempt.sid, f"{still.code(verification)} is your Default code."
    still.clock.advance(30)
    await start(still)
    (newer,) = await claim(still)
    row, attempt = await answer(still, first, listed("SM2", still.clock(), body))
    assert (row.status, attempt.outcome, attempt.look_at) == ("sending", "unknown", still.clock() + 10_000)
    await still.store.run(
        settle_attempt(still.context, still.plans, newer, Accepted(Vendor(sid="SM2", http_status=201)))
    )
    still.clock.advance(10)
    row, attempt = await answer(still, first, listed("SM2", still.clock() - 10_000, body))
    assert (row.status, attempt.outcome, attempt.look_at) == ("queued", "unknown", None)


async def test_the_older_of_two_texts_is_adopted_while_the_newer_is_in_flight(still: Installation) -> None:
    verification = await start(still)
    (older,) = await claim(still)
    await still.store.run(settle_attempt(still.context, still.plans, older, LOST))
    body = f"{still.code(verification)} is your Default code."
    still.clock.advance(30)
    await start(still)
    assert len(await claim(still)) == 1
    rows = [listed("SM2", still.clock(), body), listed("SM1", still.clock() - 30_000, body)]
    _, attempt = await answer(still, older.attempt.sid, *rows)
    assert (attempt.outcome, attempt.vendor_sid) == ("accepted", "SM1")


async def test_a_text_that_bears_the_name_of_another_attempt_is_not_adopted(still: Installation) -> None:
    _, attempt_sid = await sent(still, LOST)
    still.clock.advance(2)
    _, attempt = await answer(still, attempt_sid, listed("AT" + "0" * 32, still.clock()))
    assert attempt.outcome == "unknown"
    _, attempt = await answer(still, attempt_sid, listed(attempt_sid, None, "whatever it says"))
    assert (attempt.outcome, attempt.vendor_sid) == ("accepted", attempt_sid)


async def test_a_node_that_dies_with_the_second_text_in_hand_leaves_no_third(still: Installation) -> None:
    sid, _ = await lost_and_looked_out(still)
    (handover,) = await claim(still)
    assert await still.store.run(settle_lost(still.context, still.plans, alone=True)) == 1
    await looked_out(still, handover.attempt.sid)
    row = await message(still, sid)
    assert (row.status, row.reason) == ("unconfirmed", "answer_lost")
    assert await claim(still) == []


@pytest.mark.parametrize(("failover_after_s", "goes_after_s"), [(10, 15), (60, 60)])
async def test_a_text_that_a_node_lost_goes_another_way_when_its_time_has_come(
    still: Installation, failover_after_s: int, goes_after_s: int
) -> None:
    """As one whose answer was lost does; a time that has passed meanwhile is now."""
    body = {**policy(NOWHERE), "generic": section("https://sms.example.com"), "fallback": ["generic"]}
    await still.ok("PUT", "/v1/sender-policy", {**body, "failover_after_s": failover_after_s})
    sid = (await send(still))["sid"]
    (handover,) = await claim(still)
    begun = still.clock()
    still.clock.advance(15)
    assert await still.store.run(settle_lost(still.context, still.plans, alone=True)) == 1
    row = await message(still, sid)
    assert (row.status, row.due_at) == ("sending", begun + goes_after_s * 1000)
    await looked_out(still, handover.attempt.sid)
    assert [one.service.NAME for one in await claim(still)] == ["generic"]


async def test_a_report_that_came_before_its_text_was_adopted_counts_then(still: Installation) -> None:
    api_url = "https://xxxxx.api.infobip.com"
    infobip = {"api_url": api_url, "api_key": "key", "sender": "MyBrand"}
    await still.ok("PUT", "/v1/sender-policy", {"sender_service": "infobip", "infobip": infobip})
    await send(still)
    (handover,) = await claim(still)
    account = handover.attempt.account_sid
    early = Reported("delivered", "DELIVERED_TO_HANDSET", None, "ib-1", account)
    kept = await still.store.run(report_early(still.context, still.plans, "infobip", still.tenant.sid, [early]))
    assert kept == ([early], [])
    await still.store.run(settle_attempt(still.context, still.plans, handover, LOST))
    still.clock.advance(2)
    in_log = Listed("ib-1", still.clock(), TEXT, Reported("sent", "PENDING_ENROUTE", None, "ib-1", account))
    row, attempt = await answer(still, handover.attempt.sid, in_log)
    assert (row.status, attempt.vendor_sid, attempt.status) == ("delivered", "ib-1", "delivered")
    assert await still.store.find(EARLY_REPORTS, "service", still.tenant.sid, "infobip") == []


async def test_a_lost_answer_sends_the_second_text_another_way_and_a_second_one_ends_it(still: Installation) -> None:
    body = {**policy(NOWHERE, [INDIA]), "generic": section("https://sms.example.com"), "fallback": ["generic"]}
    await still.ok("PUT", "/v1/sender-policy", body)
    sid, _ = await lost_and_looked_out(still)
    (handover,) = await claim(still)
    assert handover.service.NAME == "generic"
    row = (await still.store.run(settle_attempt(still.context, still.plans, handover, LOST))).message
    still.clock.now = row.valid_until
    assert await still.store.run(due_questions(still.context)) == []
    row = await message(still, sid)
    assert (row.status, row.reason) == ("unconfirmed", "answer_lost")


@pytest.mark.parametrize(
    ("shown", "goes_on"), [(["delivered"], False), (["sent"], True), ([], True), (None, True)], ids=str
)
async def test_before_another_way_is_taken_for_want_of_a_report_one_look_is_waited_for(
    still: Installation, shown: list[str] | None, goes_on: bool
) -> None:
    """A look that shows the text as delivered calls the other way off; one that fails holds nothing up."""
    body = {**policy(NOWHERE), "generic": section("https://sms.example.com"), "fallback": ["generic"]}
    await still.ok("PUT", "/v1/sender-policy", {**body, "failover_after_s": 18})
    begun = still.clock()
    sid, first = await sent(still, LOST)
    for at in (2_000, 10_000):
        still.clock.now = begun + at
        row, _ = await answer(still, first)
        assert (row.status, row.due_at) == ("sending", begun + 18_000)
    still.clock.now = begun + 18_000
    await still.store.sweep(update(MESSAGES.table).values(put_off=0))
    claimed = await still.store.run(claim_messages(still.context, still.plans, still.wording, NODE, Idle(), PUBLIC_URL))
    assert (claimed.handovers, list(claimed.unsettled)) == ([], [sid])
    await still.store.run(look_again(still.context, sid))
    assert await claim(still) == []
    (question,) = await still.store.run(due_questions(still.context))
    told = [listed("SM1", begun, status=status) for status in shown or []]
    answered = LookUpFailed("Twilio does not answer.") if shown is None else told
    await still.store.run(
        keep_listing(still.context, still.plans, still.wording, question.attempt, answered, still.clock())
    )
    assert [handover.service.NAME for handover in await claim(still)] == ["generic"] * goes_on
    await looked_out(still, first)
    assert await claim(still) == []
