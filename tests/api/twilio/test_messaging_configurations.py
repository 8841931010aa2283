"""`MessagingConfigurations` as Twilio's SDKs use them, and the routes that verifications then take."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import pytest

from api.twilio.shaped import ok, refusal, service
from api.world import neighbour
from installation import Installation
from messaging.through_twilio import (
    AMERICA,
    BRITAIN,
    MAIN,
    SENDER,
    SERVICE,
    accounts,
    attempts_when,
    choose_twilio,
    is_right_in_twilios_eyes,
    send,
)
from standins.twilio import MessagingService, TwilioStandIn

CANADIAN, EVERYWHERE, OTHER = "MG" + "c" * 32, "MG" + "e" * 32, "MG" + "F" * 32
CANADA, USA, FRANCE, JERSEY = "+14165550123", "+12125550123", "+33612345678", "+447797712345"


@pytest.fixture
async def twilio() -> AsyncIterator[TwilioStandIn]:
    """The pretended Twilio, whose main account has the Messaging Services of the applications as well."""
    known = accounts()
    main = next(account for account in known if account.sid == MAIN)
    main.messaging_services += [MessagingService(CANADIAN, ["+14165550199"]), MessagingService(EVERYWHERE, [SENDER])]
    async with TwilioStandIn(known) as standin:
        yield standin


async def configure(otpost: Installation, va: str, country: str, service_sid: str) -> Any:
    form = {"Country": country, "MessagingServiceSid": service_sid}
    return await ok(otpost, "POST", f"/v2/Services/{va}/MessagingConfigurations", form)


async def route(otpost: Installation, to: str, va: str | None = None) -> tuple[str, str, str]:
    query = f"to={quote(to)}" + (f"&application={va}" if va else "")
    told = await otpost.ok("GET", f"/v1/sender-policy/route?{query}")
    return told["account_sid"], told["origin"], told["reason"]


async def test_a_configuration_is_answered_as_it_was_made(otpost: Installation) -> None:
    va = await service(otpost)
    made = await configure(otpost, va, "ca", CANADIAN)
    path = f"/v2/Services/{va}/MessagingConfigurations"
    assert made == {
        "account_sid": otpost.tenant.sid,
        "service_sid": va,
        "country": "CA",
        "messaging_service_sid": CANADIAN,
        "date_created": made["date_created"],
        "date_updated": made["date_created"],
        "url": f"http://otpost.test{path}/CA",
    }
    assert await ok(otpost, "GET", f"{path}/CA") == made
    otpost.clock.advance(5)
    changed = await ok(otpost, "POST", f"{path}/CA", {"MessagingServiceSid": OTHER})
    assert (changed["messaging_service_sid"], changed["date_created"]) == (OTHER, made["date_created"])
    assert changed["date_updated"] > changed["date_created"]
    await configure(otpost, va, "ALL", EVERYWHERE)
    await configure(otpost, va, "FR", EVERYWHERE)
    page = await ok(otpost, "GET", f"{path}?PageSize=2")
    assert [row["country"] for row in page["messaging_configurations"]] == ["CA", "FR"]
    page = await ok(otpost, "GET", page["meta"]["next_page_url"].removeprefix("http://otpost.test"))
    assert [row["country"] for row in page["messaging_configurations"]] == ["all"]
    await ok(otpost, "DELETE", f"{path}/CA")
    assert await refusal(otpost, "GET", f"{path}/CA") == (404, 20404)
    assert await refusal(otpost, "DELETE", f"{path}/CA") == (404, 20404)


async def test_a_change_of_the_service_leaves_its_configurations_alone(otpost: Installation) -> None:
    va = await service(otpost)
    await configure(otpost, va, "CA", CANADIAN)
    await ok(otpost, "POST", f"/v2/Services/{va}", {"FriendlyName": "Renamed", "TtsName": "Zoe"})
    told = await ok(otpost, "GET", f"/v2/Services/{va}/MessagingConfigurations/CA")
    assert told["messaging_service_sid"] == CANADIAN


NO_CONFIGURATIONS: list[tuple[dict[str, str], tuple[int, int]]] = [
    ({}, (400, 20001)),
    ({"Country": "CA"}, (400, 20001)),
    ({"MessagingServiceSid": OTHER}, (400, 20001)),
    ({"Country": "ZZ", "MessagingServiceSid": OTHER}, (400, 60200)),
    ({"Country": "+1", "MessagingServiceSid": OTHER}, (400, 60200)),
    ({"Country": "CA", "MessagingServiceSid": "MG1"}, (400, 60200)),
    ({"Country": "CA", "MessagingServiceSid": "AC" + "a" * 32}, (400, 60200)),
    ({"Country": "fr", "MessagingServiceSid": OTHER}, (400, 60213)),
]


async def test_what_cannot_be_a_configuration_is_refused(otpost: Installation) -> None:
    va = await service(otpost)
    await configure(otpost, va, "FR", EVERYWHERE)
    path = f"/v2/Services/{va}/MessagingConfigurations"
    for form, told in NO_CONFIGURATIONS:
        assert await refusal(otpost, "POST", path, form) == told, form
    assert [row["country"] for row in (await ok(otpost, "GET", path))["messaging_configurations"]] == ["FR"]


async def test_configurations_are_those_of_one_service(otpost: Installation) -> None:
    va, other = await service(otpost, "One"), await service(otpost, "Two")
    await configure(otpost, va, "CA", CANADIAN)
    nearby = await neighbour(otpost)
    own = await otpost.key("verify", va)
    path = f"/v2/Services/{va}/MessagingConfigurations"
    assert (await ok(otpost, "GET", f"{path}/CA", key=own))["country"] == "CA"
    form = {"Country": "FR", "MessagingServiceSid": OTHER}
    assert await refusal(otpost, "POST", path, form, key=own) == (403, 20403)
    for method, target, sent in (
        ("GET", path, None),
        ("POST", path, form),
        ("GET", f"{path}/CA", None),
        ("POST", f"{path}/CA", {"MessagingServiceSid": OTHER}),
        ("DELETE", f"{path}/CA", None),
    ):
        assert await refusal(otpost, method, target, sent, key=nearby.admin) == (404, 20404), target
    for country in ("CA", "ZZ", "%00"):
        assert await refusal(otpost, "GET", f"/v2/Services/{other}/MessagingConfigurations/{country}") == (404, 20404)


async def test_the_country_of_the_number_decides_after_subaccounts_and_before_copilot(
    otpost: Installation, twilio: TwilioStandIn
) -> None:
    await choose_twilio(otpost, twilio, [BRITAIN], use_copilot=True)
    va = await service(otpost)
    unmatched = "No subaccount's filter matches this number. "
    copilot = f"{unmatched}Use Copilot is on: the main account's Messaging Service picks the sender."
    assert await route(otpost, CANADA, va) == (MAIN, SERVICE, copilot)
    await configure(otpost, va, "CA", CANADIAN)
    why = f"{unmatched}The application has a Messaging Service for CA, which picks the main account's sender."
    assert await route(otpost, CANADA, va) == (MAIN, CANADIAN, why)
    assert await route(otpost, CANADA) == (MAIN, SERVICE, copilot)
    assert await route(otpost, USA, va) == (MAIN, SERVICE, copilot)
    await configure(otpost, va, "all", EVERYWHERE)
    why = why.replace("for CA", "for all countries")
    assert await route(otpost, USA, va) == (MAIN, EVERYWHERE, why)
    assert (await route(otpost, CANADA, va))[1] == CANADIAN
    await configure(otpost, va, "JE", OTHER)
    assert (await route(otpost, JERSEY, va))[:2] == (BRITAIN.account, BRITAIN.origin)
    await choose_twilio(otpost, twilio, [BRITAIN], only_listed_dialing_codes=True)
    answer = await otpost.call("GET", f"/v1/sender-policy/route?to={quote(CANADA)}&application={va}")
    assert answer.json()["errors"][0]["code"] == "dialing_code_refused"


async def test_a_route_is_asked_only_for_applications_of_the_tenant(otpost: Installation) -> None:
    await otpost.choose_sandbox()
    nearby = await neighbour(otpost)
    for va in (nearby.application, "VA" + "0" * 32, "nonsense", ""):
        answer = await otpost.call("GET", f"/v1/sender-policy/route?to={quote(CANADA)}&application={va}")
        assert (answer.status, answer.json()["code"]) == (404, "not_found"), va


async def test_other_sender_services_know_no_configurations(otpost: Installation) -> None:
    await otpost.choose_sandbox()
    va = await service(otpost)
    plain = await route(otpost, CANADA)
    await configure(otpost, va, "all", EVERYWHERE)
    assert await route(otpost, CANADA, va) == plain


async def start(otpost: Installation, va: str, to: str) -> Any:
    started = await otpost.ok("POST", "/v1/verifications", {"to": to, "application": va})
    return started["message"]


async def test_a_verification_goes_out_by_the_applications_messaging_service(
    otpost: Installation, twilio: TwilioStandIn
) -> None:
    await choose_twilio(otpost, twilio)
    va = await service(otpost)
    await configure(otpost, va, "CA", CANADIAN)
    started = await start(otpost, va, CANADA)
    done = await otpost.message(started["sid"])
    assert (done["route"]["account_sid"], done["route"]["origin"]) == (MAIN, CANADIAN)
    assert done["route"]["reason"].endswith("for CA, which picks the main account's sender.")
    plain = await otpost.message((await send(otpost, CANADA))["sid"])
    assert plain["route"]["origin"] == SENDER
    forms = [dict(request.form) for request in await twilio.requests("create")]
    told = [(form.get("MessagingServiceSid"), form.get("From")) for form in forms]
    assert told == [(CANADIAN, None), (None, SENDER)]
    await is_right_in_twilios_eyes(twilio)


async def test_the_main_account_stands_in_for_a_subaccount_by_the_applications_messaging_service(
    otpost: Installation, twilio: TwilioStandIn
) -> None:
    await choose_twilio(otpost, twilio, [AMERICA], subaccount_falls_back=True)
    va = await service(otpost)
    await configure(otpost, va, "CA", CANADIAN)
    await twilio.fault("answer", status=401, code=20003, account=AMERICA.account)
    started = await start(otpost, va, CANADA)
    rows = await attempts_when(otpost, started["sid"], lambda rows: len(rows) == 2 and rows[-1].outcome)
    assert [(row.account_sid, row.origin) for row in rows] == [(AMERICA.account, AMERICA.origin), (MAIN, CANADIAN)]
