"""Every region's mobile numbers go where the longest filter says, and the route explainer says the same beforehand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import quote

import phonenumbers
import pytest
from phonenumbers import PhoneNumberFormat, PhoneNumberType

from installation import Installation
from messaging.through_twilio import (
    AIRTEL,
    MAIN,
    MAIN_TOKEN,
    ROWS,
    SENDER,
    SERVICE,
    accounts,
    choose_twilio,
    is_right_in_twilios_eyes,
    send,
)
from standins.twilio import TwilioStandIn

TOKENS = {MAIN: MAIN_TOKEN, **{row.account: row.token for row in ROWS}}


@pytest.fixture
async def twilio() -> AsyncIterator[TwilioStandIn]:
    async with TwilioStandIn(accounts()) as standin:
        yield standin


def example_numbers() -> dict[str, str]:
    """The library's example mobile number of every region that it knows."""
    numbers = {}
    for region in phonenumbers.SUPPORTED_REGIONS:
        number = phonenumbers.example_number_for_type(
            region, PhoneNumberType.MOBILE
        ) or phonenumbers.example_number_for_type(region, PhoneNumberType.FIXED_LINE_OR_MOBILE)
        assert number is not None
        numbers[region] = phonenumbers.format_number(number, PhoneNumberFormat.E164)
    return numbers


def who_sends(to: str, otherwise: str) -> tuple[str, str]:
    """Account and origin, found by taking digits off the number's end until a filter is left."""
    senders = {row.dialing_code: (row.account, row.origin) for row in ROWS}
    prefix = to
    while prefix and prefix not in senders:
        prefix = prefix[:-1]
    return senders.get(prefix, (MAIN, otherwise))


@pytest.mark.parametrize("use_copilot", [False, True], ids=["sender_phone", "copilot"])
async def test_the_example_number_of_every_region_goes_where_the_longest_filter_says(
    otpost: Installation, twilio: TwilioStandIn, use_copilot: bool
) -> None:
    await choose_twilio(otpost, twilio, ROWS, use_copilot=use_copilot)
    numbers = example_numbers()
    assert len(numbers) >= 240
    expected = {region: who_sends(to, SERVICE if use_copilot else SENDER) for region, to in numbers.items()}

    async def told_and_sent(region: str, to: str) -> None:
        told = await otpost.ok("GET", f"/v1/sender-policy/route?to={quote(to)}")
        assert (told["service"], told["account_sid"], told["origin"]) == ("twilio", *expected[region])
        message = await send(otpost, to, f"to {region}")
        assert {**message["route"], "fallback": []} == told

    await asyncio.gather(*(told_and_sent(region, to) for region, to in numbers.items()))
    await twilio.wait_for(lambda records: len(records.messages) >= len(numbers), 30)
    seen = {}
    for request in await twilio.requests("create"):
        form = dict(request.form)
        assert ("From" in form) != ("MessagingServiceSid" in form)
        assert (request.username, request.password) == (request.account, TOKENS[str(request.account)])
        region = form["Body"].removeprefix("to ")
        assert form["To"] == numbers[region]
        seen[region] = (request.account, form.get("From") or form["MessagingServiceSid"])
    assert seen == expected
    assert len(twilio.records.messages) == len(numbers)
    assert {account for account, _ in seen.values()} == {MAIN, *TOKENS} - {AIRTEL.account}  # India's is no +9198
    await is_right_in_twilios_eyes(twilio)


async def test_a_code_goes_out_through_the_account_of_the_longest_filter_whatever_copilot_says(
    otpost: Installation, twilio: TwilioStandIn
) -> None:
    await choose_twilio(otpost, twilio, ROWS, use_copilot=True)
    for to, account, origin in (
        ("+14155552671", "AC" + "1" * 32, "+14155550101"),
        ("+18765551234", "AC" + "2" * 32, "+18765550102"),
        ("+79161234567", "AC" + "7" * 32, "MG" + "7" * 32),
        ("+77012345678", "AC" + "8" * 32, "+77012345678"),
        ("+447400123456", "AC" + "4" * 32, "MG" + "4" * 32),
        ("+919191919191", "AC" + "9" * 32, "+919191919191"),
        ("+919812345678", "AC" + "5" * 32, "+919812345678"),
        ("+4915112345678", "AC" + "1" * 32, "+14155550149"),
        ("+33612345678", MAIN, SERVICE),
    ):
        verification = await otpost.ok("POST", "/v1/verifications", {"to": to, "locale": "en"}, key=otpost.verify)
        await otpost.message(verification["message"]["sid"])
        (text,) = await twilio.messages(to)
        assert (text.account, text.origin or text.messaging_service_sid) == (account, origin)
        assert text.body == f"{otpost.code(verification)} is your Default code."
        assert text.validity_period == 300
    await is_right_in_twilios_eyes(twilio)


async def test_only_listed_dialing_codes_refuses_the_others_at_the_field(
    otpost: Installation, twilio: TwilioStandIn
) -> None:
    await choose_twilio(otpost, twilio, ROWS, only_listed_dialing_codes=True)
    for method, target, body in (
        ("POST", "/v1/verifications", {"to": "+33612345678"}),
        ("POST", "/v1/messages", {"to": "+33612345678", "body": "hello"}),
        ("GET", "/v1/sender-policy/route?to=%2B33612345678", None),
    ):
        refused = await otpost.call(method, target, body)
        assert refused.status == 422
        assert [(error["field"], error["code"]) for error in refused.json()["errors"]] == [
            ("to", "dialing_code_refused")
        ]
    assert await twilio.requests() == []


async def test_a_row_for_a_region_goes_before_the_dialing_code_that_it_shares(otpost: Installation) -> None:
    def row(dialing_code: str, digit: str) -> dict[str, str]:
        account = "AC" + digit * 32
        return {"dialing_code": dialing_code, "account_sid": account, "auth_token": "t", "sender_phone": "+14155550101"}

    rows = [row("+1", "1"), row("us", "2"), row("PR", "3"), row("+1787", "4")]
    main = {"account_sid": MAIN, "auth_token": "t", "sender_phone": SENDER, "subaccounts": rows}
    saved = await otpost.ok("PUT", "/v1/sender-policy", {"sender_service": "twilio", "twilio": main})
    assert [one["dialing_code"] for one in saved["twilio"]["subaccounts"]] == ["+1", "US", "PR", "+1787"]
    for to, account in (
        ("+14162345678", "AC" + "1" * 32),
        ("+14155550100", "AC" + "2" * 32),
        ("+19392345678", "AC" + "3" * 32),
        ("+17872345678", "AC" + "4" * 32),
        ("+4915112345678", MAIN),
    ):
        told = await otpost.ok("GET", f"/v1/sender-policy/route?to={quote(to)}")
        assert told["account_sid"] == account
    for filters, place in ((["US", "us"], 1), (["XX"], 0), (["USA"], 0)):
        twilio = {**main, "subaccounts": [row(one, "5") for one in filters]}
        answer = await otpost.call("PUT", "/v1/sender-policy", {"sender_service": "twilio", "twilio": twilio})
        assert answer.status == 422
        assert answer.json()["errors"][0]["field"] == f"twilio.subaccounts[{place}].dialing_code"
