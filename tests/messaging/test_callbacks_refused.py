"""A callback address that Twilio refuses (21609): the text goes out without it, and somebody is told."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from installation import Clock, Installation, installed, until
from messaging.through_twilio import MAIN, attempts, choose_twilio, message, send, start
from otpost.domain.policy import CALLBACKS_REFUSED, Notice
from otpost.services import reading
from otpost.store.base import Store
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


async def notices(otpost: Installation) -> list[Notice]:
    return list(await reading.notices(otpost.house, otpost.tenant.sid))


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
    assert notice == Notice(refused.tenant.sid, CALLBACKS_REFUSED, begun, begun + 3_600_000, REFUSED_URL)
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
