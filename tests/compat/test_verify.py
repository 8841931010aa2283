"""Verifications and checks as the official SDKs make them, from the first text to the last refusal."""

from __future__ import annotations

from typing import Any

import pytest

from compat.sdks import Call, Sdk, services
from compat.served import Served, wrong

TO, OTHER = "+15005550006", "+447400123456"
LIFETIME_S = 600


@pytest.fixture
async def service(sdk: Sdk) -> str:
    made = await sdk(services.create(friendly_name="Corner Shop"))
    return str(made["sid"])


def start(service: str, to: str = TO, **more: Any) -> Call:
    return services(service).verifications.create(to=to, channel="sms", **more)


def check(service: str, code: str, **which: str) -> Call:
    return services(service).verification_checks.create(code=code, **(which or {"to": TO}))


async def test_a_code_that_came_is_approved_and_the_verification_is_gone(
    sdk: Sdk, served: Served, service: str
) -> None:
    started = await sdk(start(service))
    assert started["sid"].startswith("VE")
    assert {name: started[name] for name in ("service_sid", "account_sid", "to", "channel", "status", "valid")} == {
        "service_sid": service,
        "account_sid": served.account,
        "to": TO,
        "channel": "sms",
        "status": "pending",
        "valid": False,
    }
    assert [(sent["channel"], sent["time"]) for sent in started["send_code_attempts"]] == [
        ("SMS", started["date_created"])
    ]
    assert started["url"] == f"{served.url}/v2/Services/{service}/Verifications/{started['sid']}"
    assert await sdk(services(service).verifications(started["sid"]).fetch()) == started
    assert await sdk(services(service).verifications(TO).fetch()) == started

    code = await served.code(TO)
    approved = await sdk(check(service, code))
    assert {name: approved[name] for name in ("sid", "to", "channel", "status", "valid")} == {
        "sid": started["sid"],
        "to": TO,
        "channel": "sms",
        "status": "approved",
        "valid": True,
    }
    for gone in (
        check(service, code),
        check(service, code, verification_sid=started["sid"]),
        services(service).verifications(started["sid"]).fetch(),
        services(service).verifications(TO).fetch(),
    ):
        assert (await sdk.refusal(gone)).answer == (404, 20404)
    refused = await sdk.refusal(check(service, code))
    assert refused.message.endswith(f"The requested resource /Services/{service}/VerificationCheck was not found")


async def test_a_start_again_sends_the_same_code_of_the_same_verification(
    sdk: Sdk, served: Served, service: str
) -> None:
    first = await sdk(start(service))
    code = await served.code(TO)
    served.here.clock.advance(590)
    second = await sdk(start(service))
    assert second["sid"] == first["sid"]
    assert second["date_created"] == first["date_created"]
    assert [sent["channel"] for sent in second["send_code_attempts"]] == ["SMS", "SMS"]
    assert second["send_code_attempts"][0] == first["send_code_attempts"][0]
    assert len({sent["attempt_sid"] for sent in second["send_code_attempts"]}) == 2
    assert (await sdk(services(service).verifications(first["sid"]).fetch())) == second
    assert (await sdk(check(service, code)))["status"] == "approved"


async def test_the_sixth_send_is_60203_until_the_verification_ends(sdk: Sdk, served: Served, service: str) -> None:
    sids = {(await sdk(start(service)))["sid"] for _ in range(5)}
    assert len(sids) == 1
    code = await served.code(TO, 5)
    refused = await sdk.refusal(start(service))
    assert refused.answer == (429, 60203)
    assert "Max send attempts reached" in refused.message
    assert len(await served.texts(TO, 5)) == 5
    assert refused.details["retry_after"] == LIFETIME_S
    assert (await sdk(check(service, wrong(code))))["valid"] is False
    assert (await sdk(services(service).verifications(TO).update(status="canceled")))["status"] == "canceled"
    fresh = await sdk(start(service))
    assert fresh["sid"] not in sids
    assert len(fresh["send_code_attempts"]) == 1


async def test_a_sixth_check_is_60202_whatever_is_sent_meanwhile(sdk: Sdk, served: Served, service: str) -> None:
    started = await sdk(start(service))
    code = await served.code(TO)
    for _ in range(3):
        seen = await sdk(check(service, wrong(code)))
        assert (seen["status"], seen["valid"], seen["sid"]) == ("pending", False, started["sid"])
    await sdk(start(service))
    for _ in range(2):
        assert (await sdk(check(service, wrong(code))))["status"] == "pending"
    for one in (wrong(code), code):
        refused = await sdk.refusal(check(service, one))
        assert refused.answer == (429, 60202)
        assert "Max check attempts reached" in refused.message
    assert (await sdk(services(service).verifications(started["sid"]).fetch()))["status"] == "max_attempts_reached"
    assert (await sdk.refusal(start(service))).answer == (429, 60203)
    served.here.clock.advance(LIFETIME_S)
    assert (await sdk.refusal(check(service, code))).answer == (404, 20404)
    assert (await sdk(start(service)))["sid"] != started["sid"]


async def test_a_canceled_verification_can_be_fetched_and_not_checked(sdk: Sdk, served: Served, service: str) -> None:
    started = await sdk(start(service))
    code = await served.code(TO)
    canceled = await sdk(services(service).verifications(started["sid"]).update(status="canceled"))
    assert (canceled["sid"], canceled["status"], canceled["valid"]) == (started["sid"], "canceled", False)
    assert (await sdk(services(service).verifications(started["sid"]).fetch()))["status"] == "canceled"
    assert (await sdk.refusal(check(service, code))).answer == (404, 20404)
    again = await sdk(start(service))
    assert again["sid"] != started["sid"]
    assert await served.code(TO, 2) != code


async def test_ten_minutes_later_there_is_nothing_left_to_check(sdk: Sdk, served: Served, service: str) -> None:
    started = await sdk(start(service))
    code = await served.code(TO)
    served.here.clock.advance(LIFETIME_S - 1)
    assert (await sdk(services(service).verifications(started["sid"]).fetch()))["status"] == "pending"
    served.here.clock.advance(1)
    for gone in (
        check(service, code),
        check(service, code, verification_sid=started["sid"]),
        services(service).verifications(started["sid"]).fetch(),
        services(service).verifications(TO).fetch(),
        services(service).verifications(started["sid"]).update(status="canceled"),
    ):
        assert (await sdk.refusal(gone)).answer == (404, 20404)


async def test_an_application_may_say_itself_that_a_number_is_proven(sdk: Sdk, served: Served, service: str) -> None:
    started = await sdk(start(service))
    approved = await sdk(services(service).verifications(started["sid"]).update(status="approved"))
    assert (approved["sid"], approved["status"], approved["valid"]) == (started["sid"], "approved", True)
    assert (await sdk.refusal(services(service).verifications(started["sid"]).fetch())).answer == (404, 20404)
    assert (await sdk(start(service)))["sid"] != started["sid"]


async def test_two_services_verify_one_number_beside_each_other(sdk: Sdk, served: Served, service: str) -> None:
    other = str((await sdk(services.create(friendly_name="Other Shop")))["sid"])
    one, two = await sdk(start(service)), await sdk(start(other))
    assert one["sid"] != two["sid"]
    for where, which in ((other, one), (service, two)):
        assert (await sdk.refusal(services(where).verifications(which["sid"]).fetch())).answer == (404, 20404)
        refused = await sdk.refusal(check(where, "123456", verification_sid=which["sid"]))
        assert refused.answer == (404, 20404)


async def test_a_limit_of_ones_own_is_20429_for_the_value_that_reached_it(
    sdk: Sdk, served: Served, service: str
) -> None:
    limit = await sdk(services(service).rate_limits.create(unique_name="end_user_ip", description="one address"))
    buckets = services(service).rate_limits(limit["sid"]).buckets
    await sdk(buckets.create(max=2, interval=60))
    await sdk(buckets.create(max=3, interval=3600))
    asked = {"end_user_ip": "198.51.100.7"}
    for to in ("+447400123451", "+447400123452"):
        await sdk(start(service, to, rate_limits=asked))
    refused = await sdk.refusal(start(service, "+447400123453", rate_limits=asked))
    assert refused.answer == (429, 20429)
    assert refused.details["retry_after"] == 60
    said = served.heard.exchanges[-1]
    assert said.status == 429
    await sdk(start(service, "+447400123453", rate_limits={"end_user_ip": "198.51.100.8"}))
    await sdk(start(service, "+447400123454"))
    served.here.clock.advance(60)
    await sdk(start(service, "+447400123455", rate_limits=asked))
    refused = await sdk.refusal(start(service, "+447400123456", rate_limits=asked))
    assert refused.answer == (429, 20429)
    assert refused.details["retry_after"] == 3540


async def test_what_is_no_sms_gets_twilios_own_error(sdk: Sdk, service: str) -> None:
    for channel, answer in (
        ("call", (400, 60223)),
        ("whatsapp", (400, 60223)),
        ("rcs", (400, 60223)),
        ("sna", (400, 60223)),
        ("email", (400, 60217)),
        ("pigeon", (400, 60200)),
    ):
        call = services(service).verifications.create(to=TO, channel=channel)
        assert (await sdk.refusal(call)).answer == answer, channel


async def test_what_a_start_may_bring_shows_in_the_text(sdk: Sdk, served: Served, service: str) -> None:
    await sdk(start(service, locale="fr", custom_friendly_name="Chez Nous"))
    (french,) = await served.texts(TO, 1)
    assert "Chez Nous" in french
    assert "code" in french.lower()
    await sdk(start(service, OTHER, app_hash="He42w354ol9", tags='{"shop": "7"}', risk_check="disable"))
    (hashed,) = await served.texts(OTHER, 1)
    assert hashed.endswith("He42w354ol9")


async def test_a_code_of_ones_own_is_sent_and_checked(sdk: Sdk, served: Served) -> None:
    service = str((await sdk(services.create(friendly_name="Own Codes", custom_code_enabled=True)))["sid"])
    await sdk(start(service, custom_code="4711"))
    assert await served.code(TO) == "4711"
    assert (await sdk(check(service, "4712")))["valid"] is False
    assert (await sdk(check(service, "4711")))["status"] == "approved"


async def test_a_code_is_bound_to_amount_and_payee(sdk: Sdk, served: Served) -> None:
    service = str((await sdk(services.create(friendly_name="Bank", psd2_enabled=True)))["sid"])
    assert (await sdk.refusal(start(service))).answer == (400, 60206)
    started = await sdk(start(service, amount="39.99", payee="Acme"))
    assert (started["amount"], started["payee"]) == ("39.99", "Acme")
    (text,) = await served.texts(TO, 1)
    assert "39.99" in text
    assert "Acme" in text
    code = await served.code(TO)
    paid = services(service).verification_checks
    assert (await sdk(paid.create(to=TO, code=code, amount="40.00", payee="Acme")))["valid"] is False
    assert (await sdk(paid.create(to=TO, code=code, amount="39.99", payee="Acme")))["valid"] is True
