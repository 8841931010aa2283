"""A callback address that Twilio refuses (21609): the text goes out without it, and somebody is told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest

from asgi import ask
from installation import Clock, Installation, installed, until
from messaging.through_twilio import MAIN, attempts, choose_twilio, message, policy, send, start
from otpost.domain.policy import CALLBACKS_REFUSED, Notice
from otpost.services.policy.accounts import list_notices
from otpost.store.base import Store
from senders.contract import Answer, StandIn, standing_in
from standins.twilio import TwilioStandIn

REFUSED_URL, GOOD_URL = "https://otp_test.example", "https://otp.example"
DETAIL = "Twilio cannot call the callback URL; check OTPOST_PUBLIC_URL."


@pytest.fixture
async def refused(store: Store, twilio: TwilioStandIn) -> AsyncIterator[Installation]:
    """An installation whose public URL is one that Twilio refuses."""
    async with installed(store, REFUSED_URL) as otpost:
        await choose_twilio(otpost, twilio)
        yield otpost


async def asked_to_call_back(twilio: TwilioStandIn) -> list[bool]:
    """Of each text that was handed over so far, whether a callback address stood beside it."""
    return ["StatusCallback" in dict(request.form) for request in await twilio.requests("create")]


async def notices(otpost: Installation, public_url: str | None = None) -> list[Notice]:
    return list(await list_notices(otpost.context, otpost.tenant.sid, public_url))


async def test_a_text_whose_callback_address_is_refused_goes_out_at_once_without_it(
    refused: Installation, twilio: TwilioStandIn
) -> None:
    begun = refused.clock()
    verification = await start(refused)
    sent = await refused.message(verification["message"]["sid"])
    assert [tried["outcome"] for tried in sent["attempts"]] == ["refused", "accepted"]
    assert [tried["vendor"]["code"] for tried in sent["attempts"]] == ["21609", None]
    assert [tried["reason"] for tried in sent["attempts"]] == ["callback_refused", None]
    assert [tried["detail"] for tried in sent["attempts"]] == [DETAIL, None]
    (text,) = await twilio.messages()
    assert (text.body, text.status_callback) == (f"{refused.code(verification)} is your Default code.", None)
    (notice,) = await notices(refused)
    assert notice == Notice(
        refused.tenant.sid, CALLBACKS_REFUSED, "twilio", begun, begun + 3_600_000, REFUSED_URL, DETAIL
    )
    assert REFUSED_URL in notice.sentence
    assert "without underscores" in notice.remedy
    assert await asked_to_call_back(twilio) == [True, False]
    assert await twilio.violations() == []


async def test_for_an_hour_texts_go_without_a_callback_address_and_then_it_is_tried_again(
    refused: Installation, twilio: TwilioStandIn
) -> None:
    begun = refused.clock()
    await refused.message((await send(refused))["sid"])
    refused.clock.now = begun + 3_599_999
    await refused.message((await send(refused))["sid"])
    assert await asked_to_call_back(twilio) == [True, False, False]
    refused.clock.now = begun + 3_600_000
    assert (await refused.message((await send(refused))["sid"]))["status"] == "accepted"
    assert await asked_to_call_back(twilio) == [True, False, False, True, False]
    (notice,) = await notices(refused)
    assert (notice.since, notice.until) == (begun, begun + 7_200_000)


async def test_the_notice_goes_once_the_address_is_taken_again(store: Store, twilio: TwilioStandIn) -> None:
    await twilio.plan()
    async with installed(store, GOOD_URL) as otpost:
        await choose_twilio(otpost, twilio)
        await twilio.fault("answer", status=400, code=21609, times=1)
        await otpost.message((await send(otpost))["sid"])
        assert [notice.detail for notice in await notices(otpost)] == [GOOD_URL]
        otpost.clock.advance(3_600)
        await otpost.message((await send(otpost))["sid"])
        assert await notices(otpost) == []
        assert await asked_to_call_back(twilio) == [True, False, True]


async def test_another_public_url_is_tried_from_the_start_on(store: Store, twilio: TwilioStandIn) -> None:
    clock = Clock()
    await twilio.plan()
    async with installed(store, REFUSED_URL, now=clock) as before:
        await choose_twilio(before, twilio)
        await before.message((await send(before))["sid"])
        assert len(await notices(before)) == 1
    async with installed(store, REFUSED_URL, now=clock) as again:
        assert len(await notices(again)) == 1
    async with installed(store, GOOD_URL, now=clock) as otpost:
        assert await notices(otpost) == []
        await otpost.message((await send(otpost))["sid"])
        assert await asked_to_call_back(twilio) == [True, False, True]


async def test_what_is_refused_without_a_callback_address_too_has_failed(
    refused: Installation, twilio: TwilioStandIn
) -> None:
    await twilio.fault("answer", status=400, code=21609)
    failed = await refused.message((await send(refused))["sid"])
    assert (failed["status"], failed["reason"]) == ("failed", "callback_refused")
    assert [tried["outcome"] for tried in failed["attempts"]] == ["refused", "refused"]
    assert await asked_to_call_back(twilio) == [True, False]


async def test_a_message_is_sent_again_for_this_once_however_long_it_lives(
    refused: Installation, twilio: TwilioStandIn
) -> None:
    await twilio.fault("answer", status=429, nth=2, retry_after=3_600)
    sid = (await send(refused, valid_for_s=7_200))["sid"]
    await until(lambda: message(refused, sid), lambda row: row.tries == 1)
    refused.clock.advance(3_600)
    failed = await refused.message(sid)
    assert (failed["status"], failed["reason"]) == ("failed", "callback_refused")
    assert [tried["outcome"] for tried in failed["attempts"]] == ["refused", "unavailable", "refused"]


async def test_with_less_than_ten_seconds_left_it_is_not_sent_again(
    refused: Installation, twilio: TwilioStandIn
) -> None:
    await twilio.fault("hang", account=MAIN, times=1)
    sid = (await send(refused, valid_for_s=60))["sid"]
    await twilio.wait_for(lambda records: records.held == 1)
    refused.clock.advance(50.001)
    await twilio.release("go_on")
    over = await refused.message(sid)
    assert (over["status"], over["reason"]) == ("expired", "callback_refused")
    assert [(tried.outcome, tried.detail) for tried in await attempts(refused, sid)] == [("refused", DETAIL)]
    assert await twilio.messages() == []


VONAGE = {"api_key": "abcd1234", "api_secret": "secret", "sender": "MyBrand"}
TAKEN = Answer(200, b'{"message-count": "1", "messages": [{"status": "0", "message-id": "0A0000000123ABCD1"}]}')


def of_length(characters: int) -> str:
    return f"https://{'o' * (characters - 16)}.example"


def callback_of(gateway: StandIn) -> str | None:
    return dict(parse_qsl(gateway.received[-1].body.decode())).get("callback")


async def through_vonage(otpost: Installation, gateway: StandIn, twilio: TwilioStandIn | None = None) -> None:
    body: dict[str, Any] = {"sender_service": "vonage", "vonage": {**VONAGE, "api_url": gateway.url}}
    if twilio is not None:
        body = {**policy(twilio.url), "fallback": ["vonage"], "vonage": body["vonage"]}
    await otpost.ok("PUT", "/v1/sender-policy", body)


async def test_a_refusal_by_one_service_is_not_anothers(store: Store, twilio: TwilioStandIn) -> None:
    refused = b'{"message-count": "1", "messages": [{"status": "23", "error-text": "Invalid callback url"}]}'
    await twilio.plan()
    async with standing_in(Answer(200, refused), TAKEN) as gateway, installed(store, GOOD_URL) as otpost:
        await through_vonage(otpost, gateway, twilio)
        await twilio.fault("answer", status=401, code=20003, times=1)
        sent = await otpost.message((await send(otpost))["sid"])
        assert [(one["service"], one["reason"]) for one in sent["attempts"]] == [
            ("twilio", "credentials_refused"),
            ("vonage", "callback_refused"),
            ("vonage", None),
        ]
        (notice,) = await notices(otpost)
        why = "The address for receipts is too long for Vonage, or has signs that it refuses."
        assert (notice.service, notice.detail, notice.why) == ("vonage", GOOD_URL, why)
        assert notice.sentence.startswith(f"Callbacks to {GOOD_URL} are refused. {why} ")
        assert "underscore" not in notice.remedy
        await otpost.message((await send(otpost))["sid"])
        assert await asked_to_call_back(twilio) == [True, True]


@pytest.mark.parametrize("characters", [25, 26, 33, 37])
async def test_where_the_address_would_be_too_long_it_has_a_short_form_that_takes_reports(
    store: Store, characters: int
) -> None:
    async with standing_in(TAKEN) as gateway, installed(store, of_length(characters)) as otpost:
        await through_vonage(otpost, gateway)
        sid = (await send(otpost))["sid"]
        assert (await otpost.message(sid))["status"] == "accepted"
        (attempt,) = await attempts(otpost, sid)
        address = callback_of(gateway)
        assert address is not None
        assert len(address) <= 100
        assert (attempt.sid in address) is (characters == 25)
        assert await notices(otpost, of_length(characters)) == []
        path = address.removeprefix(of_length(characters))
        fields = urlencode({"messageId": "0A0000000123ABCD1", "status": "delivered", "client-ref": attempt.sid})
        headers = {"content-type": "application/x-www-form-urlencoded"}
        assert (await ask(otpost.app, "POST", path, headers=headers, body=fields.encode())).status == 204
        assert (await otpost.ok("GET", f"/v1/messages/{sid}"))["status"] == "delivered"
        wrong = path.replace("?proof=", "?proof=x")
        assert (await ask(otpost.app, "POST", wrong, headers=headers, body=fields.encode())).status == 403


async def test_a_public_url_that_is_too_long_for_a_service_is_told_at_save_and_at_the_start_and_refuses_no_text(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    long, clock = of_length(38), Clock()
    why = "Vonage takes addresses of at most 100 characters, of which OTPOST_PUBLIC_URL can have 37; it has 38."
    async with standing_in(TAKEN) as gateway:
        async with installed(store, long, now=clock) as otpost:
            assert await notices(otpost, long) == []
            await through_vonage(otpost, gateway)
            (notice,) = await notices(otpost, long)
            assert (notice.service, notice.why) == ("vonage", why)
            assert notice.remedy == "Set OTPOST_PUBLIC_URL to a shorter address and start Otpost again."
            sent = await otpost.message((await send(otpost))["sid"])
            assert [tried["outcome"] for tried in sent["attempts"]] == ["accepted"]
            assert callback_of(gateway) is None
        assert why not in caplog.text
        async with installed(store, long, now=clock):
            assert why in caplog.text
