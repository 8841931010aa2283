"""Messages as the official SDKs send, read, redact and delete them, and the callbacks that their validators believe."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, time, timedelta
from typing import Any
from urllib.parse import parse_qsl

import pytest

from compat.sdks import Sdk, twilio
from compat.served import Served, address, serving
from installation import installed, until
from messaging.through_twilio import MAIN, SENDER, SERVICE, accounts, choose_twilio
from otpost.store.base import Store
from standins.receiver import Got, posting, receiving
from standins.twilio import TwilioStandIn

TO, OTHER = "+14155550123", "+447400123456"
HOUR_S = 3600
messages = twilio.messages


@pytest.fixture
async def twilios(store: Store) -> AsyncIterator[tuple[Served, TwilioStandIn]]:
    """An Otpost whose texts go to a pretended Twilio, and whose reports come back."""
    with address() as (own, url):
        async with (
            installed(store, url) as here,
            serving(here, own, url) as made,
            posting(here),
            TwilioStandIn(accounts()) as twilio,
        ):
            await twilio.plan()
            await choose_twilio(here, twilio)
            yield made, twilio


@pytest.fixture
def served(twilios: tuple[Served, TwilioStandIn]) -> Served:
    return twilios[0]


@pytest.fixture
def beyond(twilios: tuple[Served, TwilioStandIn]) -> TwilioStandIn:
    return twilios[1]


async def test_a_message_goes_its_way_and_each_callback_is_signed_as_twilio_signs(
    sdk: Sdk, served: Served, beyond: TwilioStandIn
) -> None:
    async with receiving() as receiver:
        url = f"{receiver.url}/status?order=7&empty="
        sent = await sdk(messages.create(to=TO, from_=SENDER, body="Your parcel is here – é", status_callback=url))
        assert {name: sent[name] for name in ("to", "from", "body", "status", "direction", "num_media")} == {
            "to": TO,
            "from": SENDER,
            "body": "Your parcel is here – é",
            "status": "queued",
            "direction": "outbound-api",
            "num_media": "0",
        }
        assert sent["account_sid"] == served.account
        (theirs,) = await until(lambda: beyond.messages(to=TO), lambda found: len(found) == 1)
        await beyond.report(theirs.sid, "sent")
        await receiver.wait_for(1)
        await beyond.report(theirs.sid, "delivered")
        got = await receiver.wait_for(2)
        assert [told(each)["MessageStatus"] for each in got] == ["sent", "delivered"]
        for each in got:
            form = told(each)
            assert form == {
                "AccountSid": served.account,
                "ApiVersion": "2010-04-01",
                "From": SENDER,
                "MessageSid": sent["sid"],
                "MessageStatus": form["MessageStatus"],
                "SmsSid": sent["sid"],
                "SmsStatus": form["MessageStatus"],
                "To": TO,
            }
            await is_believed(sdk, served, url, each)
    assert (await sdk(messages(sent["sid"]).fetch()))["status"] == "delivered"


async def test_a_failure_is_told_with_twilios_number_of_it(sdk: Sdk, served: Served, beyond: TwilioStandIn) -> None:
    async with receiving() as receiver:
        url = f"{receiver.url}/status"
        sent = await sdk(messages.create(to=TO, body="hello", status_callback=f"{url}#rc=2&rp=all"))
        (theirs,) = await until(lambda: beyond.messages(to=TO), lambda found: len(found) == 1)
        await beyond.report(theirs.sid, "undelivered", 30003)
        (got,) = await receiver.wait_for(1)
        assert (told(got)["MessageStatus"], told(got)["ErrorCode"]) == ("undelivered", "30003")
        await is_believed(sdk, served, url, got)
    seen = await sdk(messages(sent["sid"]).fetch())
    assert (seen["status"], seen["error_code"]) == ("undelivered", 30003)
    assert seen["error_message"]


def told(got: Got) -> dict[str, str]:
    assert got.headers["content-type"].partition(";")[0] == "application/x-www-form-urlencoded"
    return dict(parse_qsl(got.body.decode(), keep_blank_values=True, strict_parsing=True))


async def is_believed(sdk: Sdk, served: Served, url: str, got: Got) -> None:
    """The SDK's validator takes it for the tenant's, and not once anything about it is another."""
    form, signature = told(got), got.headers["x-twilio-signature"]
    assert await sdk.believes(served.token, signature, url, form)
    assert not await sdk.believes("0" * 32, signature, url, form)
    assert not await sdk.believes(served.token, signature, f"{url}/other", form)
    assert not await sdk.believes(served.token, signature, url, {**form, "MessageStatus": "read"})
    assert not await sdk.believes(served.token, signature, url, {**form, "Added": ""})


async def test_a_caller_names_the_sender_of_the_policy_or_none(sdk: Sdk, served: Served, beyond: TwilioStandIn) -> None:
    assert (await sdk(messages.create(to=TO, body="hello")))["from"] == SENDER
    for named, answer in (
        ({"from_": "+14155550999"}, (400, 21606)),
        ({"messaging_service_sid": SERVICE}, (404, 21701)),
        ({"from_": SENDER, "messaging_service_sid": "MG1"}, (400, 21705)),
    ):
        assert (await sdk.refusal(messages.create(to=TO, body="hello", **named))).answer == answer
    await choose_twilio(served.here, beyond, use_copilot=True)
    sent = await sdk(messages.create(to=TO, body="hello", messaging_service_sid=SERVICE))
    assert (sent["from"], sent["messaging_service_sid"], sent["status"]) == (None, SERVICE, "accepted")
    assert {message.account for message in await beyond.messages(to=TO)} <= {MAIN}


async def test_what_cannot_be_sent_is_refused_with_twilios_number(
    sdk: Sdk, served: Served, beyond: TwilioStandIn
) -> None:
    refusals: tuple[tuple[dict[str, Any], int], ...] = (
        ({"to": "nobody"}, 21211),
        ({"to": "+1"}, 21211),
        ({"to": "+448001111111"}, 21614),
        ({"body": ""}, 21602),
        ({"body": "x" * 1601}, 21617),
        ({"validity_period": 0}, 21624),
        ({"validity_period": 36001}, 21624),
        ({"status_callback": "https://under_score.example/x"}, 21609),
        ({"status_callback": "no address"}, 21609),
        ({"from_": "+1"}, 21212),
        ({"media_url": ["https://example.com/a.png"]}, 21622),
    )
    for wrong, code in refusals:
        refused = await sdk.refusal(messages.create(**{"to": TO, "body": "hello", **wrong}))
        assert refused.answer == (400, code), wrong
    assert await beyond.messages() == []


async def test_messages_are_listed_filtered_redacted_and_deleted(
    sdk: Sdk, served: Served, beyond: TwilioStandIn
) -> None:
    sids: list[str] = []
    for number in range(5):
        sent = await sdk(messages.create(to=TO if number % 2 else OTHER, body=f"number {number}"))
        await served.here.message(sent["sid"])
        sids.insert(0, sent["sid"])
        served.here.clock.advance(6 * HOUR_S)
    assert sid_of(await sdk(messages.list(page_size=2))) == sids
    assert sid_of(await sdk(messages.list(page_size=2, limit=3))) == sids[:3]
    assert sid_of(await sdk(messages.list(to=TO))) == [sids[1], sids[3]]
    assert sid_of(await sdk(messages.list(from_=SENDER, to=OTHER))) == [sids[0], sids[2], sids[4]]
    assert await sdk(messages.list(from_="+14155550999")) == []
    began = datetime.fromtimestamp(served.here.clock.now // 1000, UTC) - timedelta(hours=30)
    since = began + timedelta(hours=18)
    assert sid_of(await sdk(messages.list(date_sent_after=since))) == sids[:2]
    assert sid_of(await sdk(messages.list(date_sent_before=since))) == sids[2:]
    assert sid_of(await sdk(messages.list(date_sent=since))) == [sids[1]]

    # A day, as the SDKs write it: the whole of it.
    days = sorted({began.date(), since.date(), (began + timedelta(hours=24)).date()})
    sent_on = {sid: (began + timedelta(hours=6 * place)).date() for place, sid in enumerate(reversed(sids))}
    for day in days:
        of_day = {
            "date_sent": [sid for sid in sids if sent_on[sid] == day],
            "date_sent_before": [sid for sid in sids if sent_on[sid] <= day],
            "date_sent_after": [sid for sid in sids if sent_on[sid] >= day],
        }
        for filter_, wanted in of_day.items():
            midnight = datetime.combine(day, time(), UTC)
            assert sid_of(await sdk(messages.list(**{filter_: midnight}))) == wanted, (filter_, day)

    gone = sids[1]
    (theirs,) = [one for one in await beyond.messages(to=TO) if one.body == "number 3"]
    await beyond.report(theirs.sid, "delivered")
    seen = await until(lambda: sdk(messages(gone).fetch()), lambda seen: seen["status"] == "delivered")
    assert (seen["date_sent"], seen["date_created"]) == (seen["date_sent"], f"{since:%Y-%m-%dT%H:%M:%SZ}")
    redacted = await sdk(messages(gone).update(body=""))
    assert (redacted["sid"], redacted["body"]) == (gone, "")
    assert await sdk(messages(gone).delete()) is True
    for call in (messages(gone).fetch(), messages(gone).delete(), messages("SM" + "0" * 32).fetch()):
        assert (await sdk.refusal(call)).answer == (404, 20404)
    assert sid_of(await sdk(messages.list(to=TO))) == [sids[3]]


def sid_of(listed: list[dict[str, str]]) -> list[str]:
    return [one["sid"] for one in listed]


async def test_a_text_under_way_cannot_be_deleted(sdk: Sdk, served: Served, beyond: TwilioStandIn) -> None:
    await beyond.fault("hang")
    sent = await sdk(messages.create(to=TO, body="hello"))
    assert (await sdk.refusal(messages(sent["sid"]).delete())).answer == (400, 20009)
    assert (await sdk.refusal(messages(sent["sid"]).update(status="canceled"))).status == 400
    await beyond.release()
    await served.here.message(sent["sid"])


async def test_a_codes_text_is_none_of_the_messages(sdk: Sdk, served: Served, beyond: TwilioStandIn) -> None:
    started = await served.here.ok("POST", "/v1/verifications", {"to": TO})
    assert await sdk(messages.list()) == []
    assert (await sdk.refusal(messages(started["message"]["sid"]).fetch())).answer == (404, 20404)
    assert (await sdk.refusal(messages(started["message"]["sid"]).delete())).answer == (404, 20404)
