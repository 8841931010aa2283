"""What becomes of an attempt whose answer was lost: it is looked up, and nothing is sent twice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from installation import LOOPBACK, TO, Installation, installed, until
from messaging.through_twilio import (
    attempts,
    attempts_when,
    choose_twilio,
    goes_well,
    is_right_in_twilios_eyes,
    message,
    send,
    start,
)
from otpost.domain.message import Attempt
from otpost.outbound import Outbound, Response
from otpost.senders.service import Reported
from otpost.services.messages.lookups import due_questions
from otpost.services.messages.reports import keep_report
from otpost.store.base import Store
from standins.twilio import TwilioStandIn

LOST = "The text was handed to Twilio, but no answer came. "
FAULTS: tuple[tuple[dict[str, Any], bool, bool], ...] = (
    # the fault, whether an answer came, whether Twilio has the text
    ({"action": "answer", "status": 500}, True, False),
    ({"action": "answer", "status": 503}, True, False),
    ({"action": "answer", "status": 502, "body": "<html>bad gateway</html>"}, True, False),
    ({"action": "answer", "when": "after", "status": 500}, True, True),
    ({"action": "answer", "when": "after", "status": 503, "retry_after": 60}, True, True),
    ({"action": "close"}, False, False),
    ({"action": "reset"}, False, False),
    ({"action": "hang"}, False, False),
    ({"action": "close", "when": "after"}, False, True),
    ({"action": "reset", "when": "after"}, False, True),
    ({"action": "hang", "when": "after"}, False, True),
    ({"action": "cut"}, False, True),
)
"""Everything after which it is unknown whether Twilio has the text."""


async def lost(otpost: Installation, sid: str) -> Attempt:
    """The message's first attempt, once its answer is lost."""
    row, *_ = await attempts_when(otpost, sid, lambda rows: rows and rows[0].outcome == "unknown")
    return row


async def looked(otpost: Installation, sid: str, next_at: int | None) -> Attempt:
    """The message's first attempt after a look that left it for another at `next_at` (None: for none)."""
    row, *_ = await attempts_when(
        otpost, sid, lambda rows: rows[0].looked_at == otpost.clock() and rows[0].look_at == next_at
    )
    return row


async def listings(twilio: TwilioStandIn, to: str) -> int:
    return sum(f"To=%2B{to[1:]}" in request.path for request in await twilio.requests("list"))


async def test_every_lost_answer_is_looked_up_at_its_moments_and_no_attempt_has_two_texts(
    otpost: Installation, twilio: TwilioStandIn
) -> None:
    await choose_twilio(otpost, twilio)
    begun = otpost.clock()
    cases = []
    for place, (fault, answered, has_it) in enumerate(FAULTS):
        to = f"+141555502{place:02d}"
        await twilio.fault(to=to, times=1, **fault)
        verification = await start(otpost, to)
        cases.append((to, verification["message"]["sid"], answered, has_it, otpost.code(verification)))
        if fault["action"] != "hang":
            await lost(otpost, verification["message"]["sid"])
            await goes_well(otpost)
    await twilio.wait_for(lambda records: records.held == 2)
    await twilio.release("close")
    for to, sid, answered, has_it, code in cases:
        attempt = await lost(otpost, sid)
        assert (attempt.answered, attempt.look_at, attempt.looked_at) == (answered, begun + 2_000, None)
        assert attempt.reason == "answer_lost"
        assert str(attempt.detail).startswith("Twilio answered 50" if answered else LOST)
        assert (await message(otpost, sid)).status == "sending"
        assert [text.body for text in await twilio.messages(to)] == [f"{code} is your Default code."] * has_it
    otpost.clock.now = begun + 1_999
    assert await otpost.store.run(due_questions(otpost.context)) == []
    assert await twilio.requests("list") == []

    otpost.clock.now = begun + 2_000
    for to, sid, answered, has_it, _ in cases:
        if has_it:
            found = await otpost.message(sid)
            (text,) = await twilio.messages(to)
            assert (found["status"], found["reason"]) == ("delivered", None)
            (tried,) = found["attempts"]
            assert (tried["outcome"], tried["vendor"]["sid"]) == ("accepted", text.sid)
        else:
            await looked(otpost, sid, begun + (6_000 if answered else 10_000))
    for at, whose, next_at in ((6_000, True, None), (10_000, False, 25_000), (25_000, False, None)):
        otpost.clock.now = begun + at - 1
        assert await otpost.store.run(due_questions(otpost.context)) == []
        otpost.clock.now = begun + at
        for to, sid, answered, has_it, code in cases:
            if has_it or answered is not whose:
                continue
            await looked(otpost, sid, next_at and begun + next_at)
            if next_at is not None:
                assert await twilio.messages(to) == []
                continue
            sent = await otpost.message(sid)
            assert [tried["outcome"] for tried in sent["attempts"]] == ["unknown", "accepted"]
            (text,) = await twilio.messages(to)
            assert (text.body, text.validity_period) == (f"{code} is your Default code.", 300 - at // 1000)
            assert await listings(twilio, to) == (2 if answered else 3)
    for to, sid, _, has_it, _ in cases:
        assert len(await twilio.messages(to)) == 1
        tried = await attempts(otpost, sid)
        assert len(tried) == (1 if has_it else 2)
        assert all(attempt.look_at is None for attempt in tried)
        assert has_it <= (await listings(twilio, to) == 1)
    await is_right_in_twilios_eyes(twilio)


class Hasty(Outbound):
    """Waits a quarter of a second where the senders ask for ten."""

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] = {},  # never changed
        body: bytes | None = None,
        connect_s: float | None = None,
        total_s: float | None = None,
        ca: str | None = None,
    ) -> Response:
        assert (connect_s, total_s) == (5.0, 10.0)
        return await super().request(method, url, headers=headers, body=body, connect_s=connect_s, total_s=0.25, ca=ca)


class Broken(Outbound):
    """Fails inside where a listing is asked for."""

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] = {},  # never changed
        body: bytes | None = None,
        connect_s: float | None = None,
        total_s: float | None = None,
        ca: str | None = None,
    ) -> Response:
        if method == "GET":
            raise ValueError("an answer that nobody foresaw")
        return await super().request(
            method, url, headers=headers, body=body, connect_s=connect_s, total_s=total_s, ca=ca
        )


async def test_a_look_that_fails_inside_proves_nothing_and_ends_with_the_messages_life(
    store: Store, twilio: TwilioStandIn
) -> None:
    async with installed(store, http=Broken(allow=LOOPBACK)) as otpost:
        await choose_twilio(otpost, twilio)
        await twilio.fault("close", times=1)
        sid = (await send(otpost, valid_for_s=60))["sid"]
        await lost(otpost, sid)
        otpost.clock.advance(2)
        await attempts_when(otpost, sid, lambda rows: rows[0].look_at == otpost.clock() + 10_000)
        otpost.clock.advance(60)
        over = await otpost.message(sid)
        assert (over["status"], over["reason"]) == ("unconfirmed", "answer_lost")
        assert over["attempts"][0]["detail"] == "Twilio could not be asked: the sender failed inside."


async def test_an_answer_that_does_not_come_in_time_is_lost(store: Store, twilio: TwilioStandIn) -> None:
    async with installed(store, http=Hasty(allow=LOOPBACK)) as otpost:
        await choose_twilio(otpost, twilio)
        await twilio.fault("hang", "after", times=1)
        sid = (await start(otpost))["message"]["sid"]
        attempt = await lost(otpost, sid)
        assert (attempt.detail, attempt.answered) == (f"{LOST}127.0.0.1 did not answer within 0.25 s.", False)
        otpost.clock.advance(2)
        assert (await otpost.message(sid))["status"] == "delivered"
        assert len(await twilio.messages()) == len(await twilio.requests("create")) == 1


async def test_a_listing_that_fails_proves_nothing_and_is_repeated(otpost: Installation, twilio: TwilioStandIn) -> None:
    await choose_twilio(otpost, twilio)
    failing: tuple[dict[str, Any], ...] = (
        {"action": "answer", "status": 500},
        {"action": "answer", "status": 401, "code": 20003},
        {"action": "answer", "status": 429, "retry_after": 3},
        {"action": "answer", "status": 200, "body": '{"messages": "none"}'},
        {"action": "answer", "status": 200, "body": '{"messages": [{"sid": 7}]}'},
        {"action": "close"},
        {"action": "cut"},
    )
    cases = []
    for place, fault in enumerate(failing):
        for has_it in (True, False):
            to = f"+1415555{place:02d}{int(has_it):02d}"
            await twilio.fault("close", "after" if has_it else "before", to=to, times=1)
            await twilio.fault(operation="list", to=to, times=3, **fault)
            cases.append((to, (await send(otpost, to, valid_for_s=120))["sid"], has_it))
            await lost(otpost, cases[-1][1])
            await goes_well(otpost)
    begun = otpost.clock()
    for _, sid, _ in cases:
        await lost(otpost, sid)
    for at in (2, 12, 22):
        otpost.clock.now = begun + at * 1000
        for _, sid, _ in cases:
            (row,) = await attempts_when(otpost, sid, lambda rows: rows[0].look_at == otpost.clock() + 10_000)
            assert (row.outcome, row.looked_at) == ("unknown", otpost.clock())
            assert (await message(otpost, sid)).status == "sending"
            assert len(await twilio.requests("create")) == 2 * len(cases)
    otpost.clock.now = begun + 32_000
    for to, sid, has_it in cases:
        done = await otpost.message(sid)
        assert done["status"] == ("delivered" if has_it else "accepted")
        assert [tried["outcome"] for tried in done["attempts"]] == (["accepted"] if has_it else ["unknown", "accepted"])
        assert len(await twilio.messages(to)) == 1


async def test_a_message_whose_listings_fail_for_its_whole_life_is_unconfirmed_until_a_late_report(
    otpost: Installation, twilio: TwilioStandIn
) -> None:
    await choose_twilio(otpost, twilio)
    await twilio.fault("close", "after", times=1)
    await twilio.fault("answer", operation="list", status=500)
    sid = (await send(otpost, valid_for_s=60))["sid"]
    attempt = await lost(otpost, sid)
    otpost.clock.advance(61)
    unconfirmed = await otpost.message(sid)
    assert (unconfirmed["status"], unconfirmed["reason"]) == ("unconfirmed", "answer_lost")
    assert [tried["detail"] for tried in unconfirmed["attempts"]] == ["Twilio had an internal error."]
    (text,) = await twilio.messages()
    told = Reported("delivered", "delivered", None, text.sid, attempt.account_sid)
    await otpost.store.run(keep_report(otpost.context, otpost.plans, "twilio", attempt.sid, lambda *_: [told]))
    late = await otpost.ok("GET", f"/v1/messages/{sid}")
    assert (late["status"], late["reason"]) == ("delivered", None)
    assert len(await twilio.requests("create")) == 1


async def test_absent_in_all_listings_it_is_sent_again_only_with_ten_seconds_left(
    otpost: Installation, twilio: TwilioStandIn
) -> None:
    await choose_twilio(otpost, twilio)
    begun = otpost.clock()
    for to, later_s in (("+14155550265", 265), ("+14155550266", 266)):
        await twilio.fault("answer", to=to, status=429, retry_after=later_s, times=1)
        await twilio.fault("close", to=to, nth=2)
    in_time = (await start(otpost, "+14155550265"))["message"]["sid"]
    await until(lambda: message(otpost, in_time), lambda row: row.tries == 1)
    otpost.clock.now = begun + 265_000
    await attempts_when(otpost, in_time, lambda rows: [row.outcome for row in rows] == ["unavailable", "unknown"])
    for at in (267, 275, 290):
        otpost.clock.now = begun + at * 1000
        await attempts_when(otpost, in_time, lambda rows: rows[1].looked_at == otpost.clock())
    sent = await otpost.message(in_time)
    assert [tried["outcome"] for tried in sent["attempts"]] == ["unavailable", "unknown", "accepted"]
    assert [text.validity_period for text in await twilio.messages()] == [10]

    begun = otpost.clock()
    too_late = (await start(otpost, "+14155550266"))["message"]["sid"]
    await until(lambda: message(otpost, too_late), lambda row: row.tries == 1)
    otpost.clock.now = begun + 266_000
    await attempts_when(otpost, too_late, lambda rows: [row.outcome for row in rows] == ["unavailable", "unknown"])
    for at in (268, 276, 291):
        otpost.clock.now = begun + at * 1000
        await attempts_when(otpost, too_late, lambda rows: rows[1].looked_at == otpost.clock())
    over = await otpost.message(too_late)
    assert over["status"] == "expired"
    assert over["reason"] == "answer_lost"
    assert await twilio.messages("+14155550266") == []


async def test_redacted_texts_match_and_those_of_others_do_not(otpost: Installation, twilio: TwilioStandIn) -> None:
    await choose_twilio(otpost, twilio)
    account = (await otpost.ok("GET", "/v1/sender-policy"))["twilio"]["account_sid"]
    await twilio.fault("close", "before", times=1)
    first = (await start(otpost))["message"]["sid"]
    begun = (await lost(otpost, first)).started_at
    await twilio.plant(account, to=TO, body="Your parcel comes today.", sender="+14155550100")
    await twilio.plant(account, to="+15005550009", body="", sender="+14155550100")
    await twilio.plant(account, to=TO, body="", sender="+14155550100", created_at=begun - 60_000)
    for at in (2, 10, 25):
        otpost.clock.now = begun + at * 1000
        await attempts_when(otpost, first, lambda rows: rows[0].looked_at == otpost.clock())
    assert [tried["outcome"] for tried in (await otpost.message(first))["attempts"]] == ["unknown", "accepted"]

    await twilio.set_account(account, redact_bodies=True)
    await twilio.set_clock(otpost.clock())
    await twilio.fault("close", "after", times=1)
    second = (await send(otpost, "+15005550010"))["sid"]
    await lost(otpost, second)
    otpost.clock.advance(2)
    found = await otpost.message(second)
    (text,) = await twilio.messages("+15005550010")
    assert [tried["vendor"]["sid"] for tried in found["attempts"]] == [text.sid]


async def test_the_caller_may_send_again_while_an_answer_is_lost_and_each_text_keeps_its_owner(
    otpost: Installation, twilio: TwilioStandIn
) -> None:
    await choose_twilio(otpost, twilio)
    await twilio.fault("close", "after", times=1)
    await twilio.fault("answer", operation="list", status=500, times=4)
    verification = await start(otpost)
    first = verification["message"]["sid"]
    attempt = await lost(otpost, first)
    for at in (2, 12, 22):
        otpost.clock.now = attempt.started_at + at * 1000
        await attempts_when(otpost, first, lambda rows: rows[0].look_at == otpost.clock() + 10_000)
    otpost.clock.now = attempt.started_at + 30_000
    again = await otpost.call("POST", "/v1/verifications", {"to": TO}, key=otpost.verify)
    assert (again.status, again.json()["sid"], again.json()["sends"]) == (200, verification["sid"], 2)
    second = await otpost.message(again.json()["message"]["sid"])
    assert second["status"] == "accepted"
    otpost.clock.now = attempt.started_at + 32_000
    await attempts_when(otpost, first, lambda rows: rows[0].look_at == otpost.clock() + 10_000)
    otpost.clock.now = attempt.started_at + 42_000
    settled = await otpost.message(first)
    older, newer = await twilio.messages(TO)
    assert older.body == newer.body == f"{otpost.code(verification)} is your Default code."
    assert [tried["vendor"]["sid"] for tried in settled["attempts"]] == [older.sid]
    assert [tried["vendor"]["sid"] for tried in second["attempts"]] == [newer.sid]


async def test_a_look_up_outlives_the_policy_that_sent_the_text(otpost: Installation, twilio: TwilioStandIn) -> None:
    """A token that was replaced still opens the account's listing for 48 hours."""
    await choose_twilio(otpost, twilio)
    await twilio.fault("close", "after", times=1)
    sid = (await start(otpost))["message"]["sid"]
    await lost(otpost, sid)
    await choose_twilio(otpost, twilio, auth_token="not the token")
    otpost.clock.advance(2)
    assert (await otpost.message(sid))["status"] == "delivered"
    assert [request.status for request in await twilio.requests("list")] == [401, 200]
