"""What each answer of Twilio makes of a message: texts, status, reason, attempts, and when it is tried again."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from installation import TO, Installation, until
from messaging.through_twilio import (
    INDIA,
    MAIN,
    ROWS,
    SENDER,
    attempts,
    attempts_when,
    choose_twilio,
    goes_well,
    is_right_in_twilios_eyes,
    message,
    send,
    start,
)
from otpost.domain.message import Message
from standins.twilio import TwilioStandIn

MAGIC = "AC" + "e" * 32


async def ended(otpost: Installation, sid: str) -> dict[str, Any]:
    """The message once it waits for nothing."""
    return dict(await otpost.message(sid))


async def waiting(otpost: Installation, sid: str, tries: int) -> Message:
    """The message once it waits for another try, after as many that failed."""
    row: Message = await until(lambda: message(otpost, sid), lambda row: row.status == "queued" and row.tries == tries)
    return row


def tried_or_over(tries: int, row: Message) -> bool:
    return row.tries == tries or row.status == "expired"


async def test_a_refused_account_fails_the_message_with_its_reason_and_nothing_is_tried_again(
    otpost: Installation, twilio: TwilioStandIn
) -> None:
    await choose_twilio(otpost, twilio, auth_token="not the token")
    failed = await ended(otpost, (await start(otpost))["message"]["sid"])
    assert (failed["status"], failed["reason"]) == ("failed", "credentials_refused")
    (tried,) = failed["attempts"]
    assert (tried["reason"], tried["detail"]) == (
        "credentials_refused",
        "Twilio did not accept the account SID and token.",
    )
    assert (tried["outcome"], tried["account_sid"], tried["origin"]) == ("refused", MAIN, SENDER)
    assert (tried["vendor"]["http_status"], tried["vendor"]["code"]) == (401, "20003")
    assert tried["vendor"]["message"] == "Authenticate"
    assert tried["link"] == "https://www.twilio.com/docs/api/errors/20003"
    assert (len(await twilio.requests()), len(await twilio.messages())) == (1, 0)


async def test_a_suspended_subaccount_fails_its_own_messages_alone(otpost: Installation, twilio: TwilioStandIn) -> None:
    await choose_twilio(otpost, twilio, ROWS)
    await twilio.set_account(INDIA.account, status="suspended")
    failed = await ended(otpost, (await start(otpost, "+919191919191"))["message"]["sid"])
    assert failed["status"] == "failed"
    assert failed["reason"] == "account_trouble"
    assert [tried["detail"] for tried in failed["attempts"]] == [
        "The Twilio account is not active; it may be suspended or out of funds."
    ]
    assert [tried["vendor"]["code"] for tried in failed["attempts"]] == ["20005"]
    sent = await ended(otpost, (await start(otpost, "+14155552671"))["message"]["sid"])
    assert sent["status"] == "accepted"
    assert [text.to for text in await twilio.messages()] == ["+14155552671"]


async def test_magic_numbers_are_refused_in_twilios_words_and_ours(otpost: Installation, twilio: TwilioStandIn) -> None:
    await twilio.set_account(MAGIC, auth_token="test-token", test=True)
    await choose_twilio(otpost, twilio, account_sid=MAGIC, auth_token="test-token", sender_phone="+15005550006")
    for to, code, reason, detail in (
        ("+15005550001", "21211", "invalid_number", "The recipient's number is not a valid phone number."),
        ("+15005550002", "21612", "sender_not_allowed", "This sender cannot reach the recipient's number."),
        (
            "+15005550003",
            "21408",
            "country_not_permitted",
            "Texts to this country are not enabled; see the account's Messaging Geo Permissions.",
        ),
        (
            "+15005550004",
            "21610",
            "opted_out",
            "The recipient has answered STOP to this sender and gets no more texts from it.",
        ),
        ("+15005550009", "21614", "cannot_receive", "The recipient's number is not a mobile number."),
    ):
        failed = await ended(otpost, (await start(otpost, to))["message"]["sid"])
        assert (failed["status"], failed["reason"]) == ("failed", reason)
        (tried,) = failed["attempts"]
        assert (tried["outcome"], tried["reason"], tried["vendor"]["code"]) == ("refused", reason, code)
        assert tried["detail"] == detail
        assert tried["link"] == f"https://www.twilio.com/docs/api/errors/{code}"
        assert to not in tried["vendor"]["message"]
    assert (len(await twilio.requests()), len(await twilio.messages())) == (5, 0)
    await is_right_in_twilios_eyes(twilio)


async def test_magic_senders_are_refused(otpost: Installation, twilio: TwilioStandIn) -> None:
    await twilio.set_account(MAGIC, auth_token="test-token", test=True)
    for origin, code, reason, detail in (
        ("+15005550001", "21212", "wrong_settings", "The sender is not a valid one."),
        (
            "+15005550007",
            "21606",
            "sender_not_allowed",
            "The sender phone is not the account's, or cannot send to this number.",
        ),
    ):
        await choose_twilio(otpost, twilio, account_sid=MAGIC, auth_token="test-token", sender_phone=origin)
        failed = await ended(otpost, (await send(otpost))["sid"])
        assert (failed["status"], failed["reason"]) == ("failed", reason)
        assert [(tried["vendor"]["code"], tried["detail"]) for tried in failed["attempts"]] == [(code, detail)]


async def test_a_magic_sender_with_a_full_queue_is_tried_again_until_the_life_of_the_code_is_over(
    otpost: Installation, twilio: TwilioStandIn
) -> None:
    await twilio.set_account(MAGIC, auth_token="test-token", test=True)
    await choose_twilio(otpost, twilio, account_sid=MAGIC, auth_token="test-token", sender_phone="+15005550008")
    verification = await start(otpost)
    sid = verification["message"]["sid"]
    waits_s = []
    for tries in range(1, 30):
        row = await until(lambda: message(otpost, sid), partial(tried_or_over, tries))
        if row.due_at is None:
            break
        waits_s.append((row.due_at - otpost.clock()) / 1000)
        assert row.reason == "throttled"
        otpost.clock.now = row.due_at
    expired = await ended(otpost, sid)
    assert expired["status"] == "expired"
    assert expired["reason"] == "throttled"
    assert {tried["detail"] for tried in expired["attempts"]} == {"The sender phone's queue at Twilio is full."}
    for wait_s, usual_s in zip(waits_s, (1, 2, 4, 8, 16, 32, 60, 60, 60, 60), strict=False):
        assert 0.75 * usual_s <= wait_s <= 1.25 * usual_s
    assert len(waits_s) >= 7
    assert sum(waits_s) <= 300 - 10
    assert {tried["outcome"] for tried in expired["attempts"]} == {"unavailable"}
    assert len(expired["attempts"]) == len(waits_s) + 1 == len(await twilio.requests())
    assert await twilio.messages() == []


async def test_too_many_requests_waits_as_long_as_twilio_says_and_sends_one_text(
    otpost: Installation, twilio: TwilioStandIn
) -> None:
    await choose_twilio(otpost, twilio)
    await twilio.fault("answer", status=429, retry_after=7, times=1)
    verification = await start(otpost)
    sid = verification["message"]["sid"]
    row = await waiting(otpost, sid, 1)
    assert row.due_at == otpost.clock() + 7_000
    assert row.reason == "throttled"
    assert len(await twilio.requests()) == 1
    otpost.clock.advance(7)
    sent = await ended(otpost, sid)
    assert [tried["outcome"] for tried in sent["attempts"]] == ["unavailable", "accepted"]
    assert [tried["vendor"]["http_status"] for tried in sent["attempts"]] == [429, 201]
    assert sent["attempts"][0]["detail"] == "Twilio is getting too many requests of this account at once."
    assert (sent["status"], sent["reason"]) == ("accepted", None)
    (text,) = await twilio.messages()
    assert (text.to, text.validity_period) == (TO, 293)
    assert text.body == f"{otpost.code(verification)} is your Default code."
    await is_right_in_twilios_eyes(twilio)


async def test_too_many_requests_without_a_time_is_tried_again_after_one_two_and_four_seconds(
    otpost: Installation, twilio: TwilioStandIn
) -> None:
    await choose_twilio(otpost, twilio)
    await twilio.fault("answer", status=429, times=3)
    sid = (await start(otpost))["message"]["sid"]
    for tries, usual_ms in ((1, 1_000), (2, 2_000), (3, 4_000)):
        row = await waiting(otpost, sid, tries)
        assert row.due_at is not None
        assert 0.75 * usual_ms <= row.due_at - otpost.clock() <= 1.25 * usual_ms
        assert len(await twilio.requests()) == tries
        otpost.clock.now = max(row.due_at, otpost.clock() + 1_000)
    sent = await ended(otpost, sid)
    assert [tried["outcome"] for tried in sent["attempts"]] == ["unavailable"] * 3 + ["accepted"]
    assert len(await twilio.messages()) == 1


async def test_a_wait_beyond_the_life_of_the_code_ends_the_message_at_once(
    otpost: Installation, twilio: TwilioStandIn
) -> None:
    await choose_twilio(otpost, twilio)
    await twilio.fault("answer", status=429, retry_after=291, times=1)
    expired = await ended(otpost, (await start(otpost))["message"]["sid"])
    assert expired["status"] == "expired"
    assert expired["reason"] == "throttled"
    assert (len(await twilio.requests()), len(await twilio.messages())) == (1, 0)


async def test_a_start_is_refused_while_the_account_asks_to_be_left_alone_for_longer_than_a_code_lives(
    otpost: Installation, twilio: TwilioStandIn
) -> None:
    await choose_twilio(otpost, twilio)
    await twilio.fault("answer", status=429, retry_after=400, times=1)
    await ended(otpost, (await start(otpost))["message"]["sid"])
    refused = await otpost.call("POST", "/v1/verifications", {"to": "+15005550010"}, key=otpost.verify)
    assert (refused.status, refused.json()["code"]) == (503, "unavailable")
    assert 1 <= int(refused.headers["retry-after"]) <= 400
    assert (await otpost.ok("GET", "/v1/verifications?to=%2B15005550010"))["items"] == []


async def test_a_message_that_could_not_connect_is_tried_again(otpost: Installation, twilio: TwilioStandIn) -> None:
    await choose_twilio(otpost, twilio)
    await twilio.stop_listening()
    sid = (await start(otpost))["message"]["sid"]
    row = await waiting(otpost, sid, 1)
    assert row.reason == "network_trouble"
    (tried,) = await attempts(otpost, sid)
    assert str(tried.detail).startswith("Twilio could not be reached.")
    assert row.due_at is not None
    await twilio.listen_again()
    otpost.clock.now = row.due_at
    sent = await ended(otpost, sid)
    assert [tried["outcome"] for tried in sent["attempts"]] == ["unavailable", "accepted"]
    assert len(await twilio.messages()) == 1


async def test_the_validity_period_is_what_is_left_rounded_down(otpost: Installation, twilio: TwilioStandIn) -> None:
    await choose_twilio(otpost, twilio)
    await twilio.fault("answer", status=429, retry_after=289, times=1)
    sid = (await start(otpost))["message"]["sid"]
    await waiting(otpost, sid, 1)
    otpost.clock.advance(289.5)
    assert (await ended(otpost, sid))["status"] == "accepted"
    assert [text.validity_period for text in await twilio.messages()] == [10]


async def test_with_less_than_ten_seconds_left_nothing_is_sent(otpost: Installation, twilio: TwilioStandIn) -> None:
    await choose_twilio(otpost, twilio)
    await twilio.fault("answer", status=429, retry_after=289, times=1)
    sid = (await start(otpost))["message"]["sid"]
    await waiting(otpost, sid, 1)
    otpost.clock.advance(290.001)
    expired = await ended(otpost, sid)
    assert (expired["status"], expired["reason"]) == ("expired", "throttled")
    assert len(expired["attempts"]) == 1
    assert (len(await twilio.requests()), len(await twilio.messages())) == (1, 0)


@pytest.mark.parametrize("how", ["approved", "canceled"])
async def test_a_message_of_a_verification_that_is_over_is_not_sent(
    otpost: Installation, twilio: TwilioStandIn, how: str
) -> None:
    await choose_twilio(otpost, twilio)
    await twilio.fault("answer", status=429, retry_after=5, times=1)
    verification = await start(otpost)
    sid = verification["message"]["sid"]
    await waiting(otpost, sid, 1)
    if how == "approved":
        target = f"/v1/verifications/{verification['sid']}/check"
        assert (await otpost.ok("POST", target, {"code": otpost.code(verification)}))["valid"]
    else:
        await otpost.ok("POST", f"/v1/verifications/{verification['sid']}/cancel")
    otpost.clock.advance(5)
    over = await ended(otpost, sid)
    assert (over["status"], over["reason"]) == ("expired", "verification_over")
    assert (len(await twilio.requests()), len(await twilio.messages())) == (1, 0)


async def test_a_policy_without_its_token_keeps_messages_waiting_and_sends_them_once_it_is_typed(
    otpost: Installation, twilio: TwilioStandIn
) -> None:
    await choose_twilio(otpost, twilio)
    await twilio.fault("answer", status=429, retry_after=5, times=1)
    sid = (await start(otpost))["message"]["sid"]
    await waiting(otpost, sid, 1)
    shown = await otpost.ok("GET", "/v1/sender-policy")
    without = {"twilio": {**shown["twilio"], "auth_token_set": False}}
    await otpost.ok("PUT", "/v1/sender-policy", without)
    otpost.clock.advance(5)
    row = await until(lambda: message(otpost, sid), lambda row: row.due_at == otpost.clock() + 5_000)
    assert row.status == "queued"
    await choose_twilio(otpost, twilio)
    otpost.clock.advance(5)
    assert (await ended(otpost, sid))["status"] == "accepted"
    assert len(await twilio.messages()) == 1


async def test_an_own_text_goes_out_word_for_word_and_is_erased_once_it_is_final(
    otpost: Installation, twilio: TwilioStandIn
) -> None:
    await choose_twilio(otpost, twilio)
    words = "Grüße & + = % 你好 🐘\n“end”"
    sid = (await send(otpost, TO, words, valid_for_s=60))["sid"]
    await ended(otpost, sid)
    (text,) = await twilio.messages()
    assert (text.body, text.validity_period, text.origin) == (words, 60, SENDER)
    assert (await attempts(otpost, sid))[0].vendor_sid == text.sid
    await is_right_in_twilios_eyes(twilio)


async def test_an_answer_that_does_not_name_the_message_is_looked_up(
    otpost: Installation, twilio: TwilioStandIn
) -> None:
    await choose_twilio(otpost, twilio)
    sids = []
    for place, body in enumerate(("", "<html>created</html>", "{}", '{"status": "queued"}', "[]", "{")):
        to = f"+1415555010{place}"
        await twilio.fault("answer", "after", to=to, status=201, body=body, times=1)
        sids.append((await start(otpost, to))["message"]["sid"])
        (lost,) = await attempts_when(otpost, sids[-1], lambda rows: rows and rows[0].outcome)
        assert (lost.outcome, lost.answered, lost.look_at) == ("unknown", True, otpost.clock() + 2_000)
        assert lost.detail == "Twilio took the text, but its answer does not name the message."
        assert lost.reason == "answer_lost"
        await goes_well(otpost)
    otpost.clock.advance(2)
    for sid in sids:
        found = await ended(otpost, sid)
        (text,) = await twilio.messages(found["to"])
        assert (found["status"], found["attempts"][0]["vendor"]["sid"]) == ("delivered", text.sid)
    assert len(await twilio.requests("create")) == 2 * len(sids)


async def test_twilio_keeps_to_its_own_limit_and_every_text_gets_through_once(
    otpost: Installation, twilio: TwilioStandIn
) -> None:
    await choose_twilio(otpost, twilio)
    await twilio.set_account(MAIN, max_concurrent=1)
    bodies = [f"number {place}" for place in range(10, 22)]
    sids = [(await send(otpost, f"+141555520{body[-2:]}", body))["sid"] for body in bodies]

    async def none_left() -> bool:
        rows = [await message(otpost, sid) for sid in sids]
        due = [row.due_at for row in rows if row.due_at is not None]
        if due and min(due) > otpost.clock():
            otpost.clock.now = min(due)
        return all(row.status == "accepted" for row in rows)

    await until(none_left, bool, 20)
    assert sorted(text.body for text in await twilio.messages()) == bodies
