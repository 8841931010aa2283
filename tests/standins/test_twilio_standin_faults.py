"""The pretended Twilio's callbacks, judged by the SDK's RequestValidator; its faults, and its records."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest
from twilio.request_validator import RequestValidator

import oai
from standins.twilio import Config, Step, TwilioStandIn
from standins.twilio_asking import (
    MAIN,
    POOL,
    SUB,
    SUBS,
    TO,
    Receiver,
    accounts,
    ask,
    create,
)
from standins.twilio_callbacks import read_target

# Status callbacks


async def test_callbacks_are_signed_with_the_token_of_the_owning_account(
    twilio: TwilioStandIn, receiver: Receiver
) -> None:
    callback = receiver.url.replace("://", "://user:pass@") + "/cb/AT1?x=1#rc=2&rp=5xx"
    answer = await create(twilio, SUB, (MAIN, "main-token"), From=SUBS, StatusCallback=callback)
    await twilio.wait_for(lambda records: sum(c.finished for c in records.callbacks) == 2)
    signed = receiver.url + "/cb/AT1?x=1"
    for (headers, form, path), status in zip(receiver.taken, ["sent", "delivered"], strict=True):
        fields = dict(form)
        assert RequestValidator("sub-token").validate(signed, fields, headers["X-Twilio-Signature"])
        assert not RequestValidator("main-token").validate(signed, fields, headers["X-Twilio-Signature"])
        assert path == "/cb/AT1?x=1"
        assert headers["Authorization"] == "Basic dXNlcjpwYXNz"
        fields.pop("RawDlrDoneDate", None)
        assert fields == {
            "MessageSid": answer.json["sid"],
            "SmsSid": answer.json["sid"],
            "MessageStatus": status,
            "SmsStatus": status,
            "AccountSid": SUB,
            "From": SUBS,
            "To": TO,
            "ApiVersion": "2010-04-01",
        }
    assert "RawDlrDoneDate" in dict(receiver.taken[1][1])


async def test_a_plan_may_be_out_of_order_or_fail_and_holds_for_whom_it_names(
    inner: TwilioStandIn, receiver: Receiver
) -> None:
    await inner.plan("delivered", "sent", to="+447400123456")
    await inner.plan(Step("failed", 30008), account=SUB, times=1)
    callback = receiver.url + "/cb"
    await create(inner, To="+447400123456", StatusCallback=callback)
    await create(inner, SUB, (SUB, "sub-token"), From=SUBS, StatusCallback=callback)
    await create(inner, From=None, MessagingServiceSid=POOL, StatusCallback=callback)
    records = await inner.wait_for(lambda records: sum(c.finished for c in records.callbacks) == 6)
    reports = [
        [(c.status, dict(c.form).get("ErrorCode")) for c in records.callbacks if c.message == m.sid]
        for m in records.messages
    ]
    assert reports == [
        [("delivered", None), ("sent", None)],
        [("failed", "30008")],
        [("queued", None), ("sent", None), ("delivered", None)],
    ]
    assert [(m.status, m.error_code) for m in records.messages] == [
        ("delivered", None),
        ("failed", 30008),
        ("delivered", None),
    ]


async def test_callbacks_may_overtake_the_answer_and_the_empty_plan_sends_none(
    inner: TwilioStandIn, receiver: Receiver
) -> None:
    await inner.plan("sent", before_answer=True, times=1)
    await create(inner, StatusCallback=receiver.url)
    assert len(receiver.taken) == 1
    await inner.plan()
    sid = (await create(inner, StatusCallback=receiver.url)).json["sid"]
    tries = await inner.report(sid, "undelivered", 30003)
    assert [(t.status, t.attempt, t.answered) for t in tries] == [("undelivered", 1, 204)]
    assert dict(receiver.taken[1][1])["ErrorCode"] == "30003"
    assert len(receiver.taken) == 2


@pytest.mark.parametrize(
    ("fragment", "answers", "tries"),
    [("", [500], 1), ("#rc=2&rp=5xx", [500, 503], 3), ("#rc=1&rp=all", [500, 404], 2), ("#rc=5&rp=4xx", [500], 1)],
)
async def test_a_callback_is_repeated_as_its_fragment_says_under_one_token(
    inner: TwilioStandIn, receiver: Receiver, fragment: str, answers: list[int], tries: int
) -> None:
    await inner.plan()
    receiver.answers = list(answers)
    sid = (await create(inner, StatusCallback=receiver.url + "/cb" + fragment)).json["sid"]
    assert len(await inner.report(sid, "delivered")) == tries
    assert len({headers["I-Twilio-Idempotency-Token"] for headers, _, _ in receiver.taken}) == 1


async def test_a_callback_that_cannot_connect_is_tried_once_more(inner: TwilioStandIn, unused_tcp_port: int) -> None:
    await inner.plan()
    sid = (await create(inner, StatusCallback=f"http://127.0.0.1:{unused_tcp_port}/")).json["sid"]
    tries = await inner.report(sid, "delivered")
    assert [(t.attempt, t.answered, t.error) for t in tries] == [
        (1, None, "could not connect: ClientConnectorError"),
        (2, None, "could not connect: ClientConnectorError"),
    ]


def test_time_outs_of_a_fragment_are_kept_within_their_ranges() -> None:
    limits = read_target("https://a.example/x#rc=9&rp=ct,rt&ct=50&rt=99999&tt=2000", 15.0).overrides
    assert (limits.retries, limits.conditions) == (5, {"ct", "rt"})
    assert (limits.connect_s, limits.read_s, limits.total_s) == (0.1, 15.0, 2.0)


# Faults


@pytest.mark.parametrize(("when", "accepted"), [("before", 0), ("after", 1)])
async def test_a_request_hangs_until_it_is_released(twilio: TwilioStandIn, when: Any, accepted: int) -> None:
    await twilio.fault("hang", when, to=TO)
    asked = asyncio.create_task(create(twilio))
    records = await twilio.wait_for(lambda records: records.held == 1)
    assert len(records.messages) == accepted
    assert (await create(twilio, To="+447400123456")).status == 201
    assert await twilio.release() == 1
    assert (await asked).status == 201
    assert len(await twilio.messages(TO)) == 1


async def test_a_held_request_may_be_closed_without_being_accepted(inner: TwilioStandIn) -> None:
    await inner.fault("hang")
    asked = asyncio.create_task(create(inner))
    await inner.wait_for(lambda records: records.held == 1)
    await inner.release("close")
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await asked
    assert await inner.messages() == []


async def test_a_client_that_gave_up_does_not_keep_a_held_message_from_being_accepted(inner: TwilioStandIn) -> None:
    await inner.fault("hang")
    asked = asyncio.create_task(create(inner))
    await inner.wait_for(lambda records: records.held == 1)
    asked.cancel()
    await inner.release()
    await inner.wait_for(lambda records: len(records.messages) == 1)


@pytest.mark.parametrize("action", ["close", "reset"])
@pytest.mark.parametrize(("when", "accepted"), [("before", 0), ("after", 1)])
async def test_a_connection_ends_without_an_answer(
    twilio: TwilioStandIn, action: Any, when: Any, accepted: int
) -> None:
    number = await twilio.fault(action, when, times=1)
    with pytest.raises((aiohttp.ClientOSError, aiohttp.ServerDisconnectedError)) as lost:
        await create(twilio)
    assert isinstance(lost.value, aiohttp.ClientOSError) is (action == "reset")
    assert len(await twilio.messages()) == accepted
    assert [(r.fault, r.status) for r in await twilio.requests()] == [(number, None)]
    assert (await create(twilio)).status == 201


async def test_an_answer_is_cut_in_the_middle_after_the_message_was_accepted(twilio: TwilioStandIn) -> None:
    await twilio.fault("cut")
    with pytest.raises(aiohttp.ClientPayloadError):
        await create(twilio)
    assert len(await twilio.messages()) == 1


@pytest.mark.parametrize(
    ("fields", "when", "status", "text", "accepted"),
    [
        ({"status": 429, "retry_after": 7}, "before", 429, None, 0),
        ({"status": 429}, "before", 429, None, 0),
        ({"status": 500}, "before", 500, None, 0),
        ({"status": 503}, "after", 503, None, 1),
        ({"status": 201, "body": ""}, "after", 201, "", 1),
        ({"status": 502, "body": "<html>Bad Gateway"}, "before", 502, "<html>Bad Gateway", 0),
    ],
)
async def test_a_scripted_answer_comes_with_or_without_the_message_accepted(
    inner: TwilioStandIn, fields: dict[str, Any], when: Any, status: int, text: str | None, accepted: int
) -> None:
    await inner.fault("answer", when, **fields)
    answer = await create(inner)
    assert (answer.status, len(await inner.messages())) == (status, accepted)
    assert answer.headers.get("Retry-After") == ("7" if "retry_after" in fields else None)
    if text is None:
        assert oai.judge_response("CreateMessage", status, answer.json) == []
    else:
        assert answer.text == text


async def test_faults_strike_the_nth_every_nth_and_an_accounts_requests(inner: TwilioStandIn) -> None:
    await inner.fault("answer", nth=2, status=429)
    await inner.fault("answer", every=3, times=1, status=503)
    await inner.fault("answer", account=SUB, status=500)
    assert [(await create(inner)).status for _ in range(7)] == [201, 429, 503, 201, 201, 201, 201]
    assert (await create(inner, SUB, (SUB, "sub-token"), From=SUBS)).status == 500
    await inner.clear_faults()
    assert (await create(inner, SUB, (SUB, "sub-token"), From=SUBS)).status == 201


async def test_listings_can_fail_too(inner: TwilioStandIn) -> None:
    await inner.fault("answer", operation="list", to=TO, status=500)
    path = f"/2010-04-01/Accounts/{MAIN}/Messages.json"
    assert (await create(inner)).status == 201
    assert (await ask(inner, "GET", path + "?To=%2B919191919191")).status == 500
    assert (await ask(inner, "GET", path)).status == 200


async def test_a_stand_in_that_does_not_listen_refuses_connections_and_keeps_its_messages(inner: TwilioStandIn) -> None:
    await create(inner)
    await inner.stop_listening()
    with pytest.raises(aiohttp.ClientConnectorError):
        await create(inner)
    await inner.listen_again()
    assert (await create(inner)).status == 201
    assert len(await inner.messages()) == 2


# Records and control


async def test_requests_are_kept_as_they_came_and_forgotten_at_a_reset(twilio: TwilioStandIn) -> None:
    body = b"To=%2B1&To=%2B2&Body="
    headers = [("Content-Type", "application/x-www-form-urlencoded"), ("X-Twice", "1"), ("X-Twice", "2")]
    async with aiohttp.ClientSession() as session:
        await session.post(f"{twilio.url}/2010-04-01/Accounts/{MAIN}/Messages.json?a=%20", data=body, headers=headers)
    [request] = await twilio.requests()
    assert (request.method, request.path) == ("POST", f"/2010-04-01/Accounts/{MAIN}/Messages.json?a=%20")
    assert (request.form, request.body) == ([("To", "+1"), ("To", "+2"), ("Body", "")], body.decode())
    assert [value for name, value in request.headers if name == "X-Twice"] == ["1", "2"]
    assert (request.status, request.code, request.username) == (401, 20003, None)
    await create(twilio)
    counts = await twilio.counts()
    assert (counts["requests"], counts["messages"], counts["messages_by_account"]) == (2, 1, {MAIN: 1})
    await twilio.reset()
    assert await twilio.requests() == []
    await create(twilio, Body="after")
    assert [message.body for message in await twilio.messages()] == ["after"]


async def test_a_process_is_controlled_over_http_and_says_what_it_does_not_know(twilio: TwilioStandIn) -> None:
    await create(twilio)
    found = await ask(twilio, "GET", "/_control/messages?to=%2B919191919191")
    assert [message["body"] for message in json.loads(found.text)] == ["123456 is your code"]
    assert json.loads((await ask(twilio, "GET", "/_control/messages?to=%2B1")).text) == []
    unknown = await ask(twilio, "GET", "/_control/nothing")
    assert (unknown.status, unknown.json) == (400, {"error": "UnknownControl: nothing"})


async def test_waiting_in_vain_says_what_there_was(twilio: TwilioStandIn) -> None:
    await create(twilio)
    with pytest.raises(TimeoutError, match="'messages': 1"):
        await twilio.wait_for(lambda records: len(records.messages) == 2, timeout_s=0.05)


async def test_requests_are_counted_where_they_are_not_kept() -> None:
    async with TwilioStandIn(Config(accounts=accounts(), keep_requests=False, latency_ms=1)) as twilio:
        await create(twilio)
        assert (await twilio.requests(), (await twilio.counts())["requests"]) == ([], 1)
