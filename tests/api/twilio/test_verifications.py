"""`…/Verifications` and `…/VerificationCheck` as Twilio's SDKs use them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from api.twilio.shaped import call, ok, refusal, service
from api.world import everything, neighbour
from installation import RING, TO, Installation, until
from otpost.domain.locale import Template
from otpost.services.verifications.check import expire_verifications
from otpost.store.kinds import TEMPLATES, VERIFICATIONS
from otpost.store.units import Unit

SMS = {"To": TO, "Channel": "sms"}
ATTEMPTS = "send_code_attempts"


@pytest.fixture
async def shop(otpost: Installation) -> str:
    """A service of a tenant whose texts go to the sandbox."""
    await otpost.choose_sandbox()
    return await service(otpost)


async def started(otpost: Installation, shop: str, **form: str) -> dict[str, Any]:
    made: dict[str, Any] = await ok(otpost, "POST", f"/v2/Services/{shop}/Verifications", {**SMS, **form})
    return made


async def checked(otpost: Installation, shop: str, code: str, **form: str) -> dict[str, Any]:
    path = f"/v2/Services/{shop}/VerificationCheck"
    done: dict[str, Any] = await ok(otpost, "POST", path, {"To": TO, "Code": code, **form})
    return done


async def refused_start(otpost: Installation, shop: str, **form: str) -> tuple[int, int]:
    return await refusal(otpost, "POST", f"/v2/Services/{shop}/Verifications", {**SMS, **form})


async def refused_check(otpost: Installation, shop: str, code: str, **form: str) -> tuple[int, int]:
    return await refusal(otpost, "POST", f"/v2/Services/{shop}/VerificationCheck", {"To": TO, "Code": code, **form})


def code_of(verification: dict[str, Any], length: int = 6) -> str:
    return RING.code(verification["sid"], RING.current, length)


def wrong_code(verification: dict[str, Any]) -> str:
    return f"{(int(code_of(verification)) + 1) % 1_000_000:06d}"


async def test_a_start_is_answered_as_verify_does_and_its_code_is_approved(otpost: Installation, shop: str) -> None:
    made = await started(otpost, shop)
    sid = made["sid"]
    url = f"/v2/Services/{shop}/Verifications/{sid}"
    assert made == {
        "sid": sid,
        "service_sid": shop,
        "account_sid": otpost.tenant.sid,
        "to": TO,
        "channel": "sms",
        "status": "pending",
        "valid": False,
        "lookup": {},
        "amount": None,
        "payee": None,
        "send_code_attempts": [
            {"time": made["date_created"], "channel": "SMS", "attempt_sid": made[ATTEMPTS][0]["attempt_sid"]}
        ],
        "date_created": made["date_created"],
        "date_updated": made["date_created"],
        "sna": None,
        "url": f"http://otpost.test{url}",
    }
    assert made[ATTEMPTS][0]["attempt_sid"].startswith("VL")
    assert await ok(otpost, "GET", url) == made
    otpost.clock.advance(3)
    done = await checked(otpost, shop, code_of(made))
    assert done == {
        "sid": sid,
        "service_sid": shop,
        "account_sid": otpost.tenant.sid,
        "to": TO,
        "channel": "sms",
        "status": "approved",
        "valid": True,
        "amount": None,
        "payee": None,
        "date_created": made["date_created"],
        "date_updated": done["date_updated"],
        "sna_attempts_error_codes": [],
    }
    assert done["date_updated"] > made["date_created"]
    assert await refused_check(otpost, shop, code_of(made)) == (404, 20404)
    assert await refusal(otpost, "GET", url) == (404, 20404)
    again = await started(otpost, shop)
    assert again["sid"] != sid


async def test_a_resend_is_the_same_verification_until_it_expires(otpost: Installation, shop: str) -> None:
    first = await started(otpost, shop)
    otpost.clock.advance(589)
    second = await started(otpost, shop)
    assert (second["sid"], len(second[ATTEMPTS])) == (first["sid"], 2)
    assert second[ATTEMPTS][0] == first[ATTEMPTS][0]
    assert second["date_created"] == first["date_created"]
    otpost.clock.advance(6)
    answer = await call(otpost, "POST", f"/v2/Services/{shop}/Verifications", SMS)
    assert (answer.status, answer.json()["code"], answer.headers["retry-after"]) == (503, 20503, "5")
    otpost.clock.advance(5)
    assert await refused_check(otpost, shop, code_of(first)) == (404, 20404)
    assert await refusal(otpost, "GET", f"/v2/Services/{shop}/Verifications/{first['sid']}") == (404, 20404)
    third = await started(otpost, shop)
    assert (third["sid"] == first["sid"], len(third[ATTEMPTS])) == (False, 1)


async def test_five_wrong_codes_are_pending_the_sixth_is_60202_and_a_start_60203(
    otpost: Installation, shop: str
) -> None:
    made = await started(otpost, shop)
    for _ in range(5):
        done = await checked(otpost, shop, wrong_code(made))
        assert (done["status"], done["valid"], done["sid"]) == ("pending", False, made["sid"])
    told = await call(otpost, "POST", f"/v2/Services/{shop}/VerificationCheck", {"To": TO, "Code": code_of(made)})
    assert told.json() == {
        "code": 60202,
        "message": "Max check attempts reached",
        "more_info": "https://www.twilio.com/docs/errors/60202",
        "status": 429,
        "details": {
            "retry_after": 600,
            "reason": "max_checks_reached",
            "detail": "All checks of this verification are used up. Cancel it (Status=canceled) and start a new one, "
            "or start one once it has expired.",
        },
    }
    assert told.headers["retry-after"] == "600"
    assert await refused_check(otpost, shop, code_of(made), VerificationSid=made["sid"]) == (429, 60202)
    path = f"/v2/Services/{shop}/Verifications/{made['sid']}"
    assert (await ok(otpost, "GET", path))["status"] == "max_attempts_reached"
    refused = await call(otpost, "POST", f"/v2/Services/{shop}/Verifications", SMS)
    assert (refused.status, refused.json()["code"]) == (429, 60203)
    assert refused.json()["details"]["detail"] == told.json()["details"]["detail"]
    otpost.clock.advance(600)
    assert await refused_check(otpost, shop, code_of(made)) == (404, 20404)
    assert (await started(otpost, shop))["sid"] != made["sid"]


async def test_canceling_a_used_up_verification_lets_the_next_begin(otpost: Installation, shop: str) -> None:
    made = await started(otpost, shop)
    for _ in range(5):
        await checked(otpost, shop, wrong_code(made))
    gone = await ok(otpost, "POST", f"/v2/Services/{shop}/Verifications/{TO}", {"Status": "canceled"})
    assert (gone["sid"], gone["status"]) == (made["sid"], "canceled")
    assert (await started(otpost, shop))["sid"] != made["sid"]


async def test_the_sixth_send_is_60203_until_a_new_verification_may_begin(otpost: Installation, shop: str) -> None:
    for sends in range(1, 6):
        assert len((await started(otpost, shop))[ATTEMPTS]) == sends
    otpost.clock.advance(100)
    told = await call(otpost, "POST", f"/v2/Services/{shop}/Verifications", SMS)
    assert (told.status, told.json()["code"], told.json()["details"]["retry_after"]) == (429, 60203, 500)
    otpost.clock.advance(500)
    assert len((await started(otpost, shop))[ATTEMPTS]) == 1


async def test_the_numbers_own_limits_are_60203_at_start_and_60202_at_check(otpost: Installation, shop: str) -> None:
    await otpost.ok("PATCH", f"/v1/applications/{shop}", {"number_checks_per_hour": 2, "number_sends_per_hour": 2})
    made = await started(otpost, shop)
    for _ in range(2):
        await checked(otpost, shop, wrong_code(made))
    assert await refused_check(otpost, shop, code_of(made)) == (429, 60202)
    assert await refused_start(otpost, shop) == (429, 60203)
    other = "+15005550009"
    for _ in range(2):
        await started(otpost, shop, To=other)
    assert await refused_start(otpost, shop, To=other) == (429, 60203)


async def test_other_limits_are_20429(otpost: Installation, shop: str) -> None:
    await otpost.ok("PATCH", f"/v1/applications/{shop}", {"max_sends_per_client_ip": 1, "resend_after_s": 30})
    await started(otpost, shop, DeviceIp="192.0.2.1")
    assert await refused_start(otpost, shop) == (429, 20429)
    assert await refused_start(otpost, shop, To="+15005550009", DeviceIp="192.0.2.1") == (429, 20429)


async def test_it_is_found_by_sid_and_by_number_with_its_plus_sign_in_any_form(otpost: Installation, shop: str) -> None:
    made = await started(otpost, shop)
    for written in (made["sid"], TO, TO.replace("+", "%2B"), TO.replace("+", "%20")):
        assert await ok(otpost, "GET", f"/v2/Services/{shop}/Verifications/{written}") == made
    for unknown in ("VE" + "0" * 32, "VE1", "+15005550003", "15005550006", "%00", "x" * 2000):
        assert await refusal(otpost, "GET", f"/v2/Services/{shop}/Verifications/{unknown}") == (404, 20404)


async def test_a_canceled_verification_stays_readable_and_its_code_is_dead(otpost: Installation, shop: str) -> None:
    made = await started(otpost, shop)
    path = f"/v2/Services/{shop}/Verifications/{made['sid']}"
    for _ in range(2):
        gone = await ok(otpost, "POST", path, {"Status": "canceled"})
        assert (gone["sid"], gone["status"], gone["valid"]) == (made["sid"], "canceled", False)
    assert (await ok(otpost, "GET", path))["status"] == "canceled"
    assert await refused_check(otpost, shop, code_of(made)) == (404, 20404)
    again = await started(otpost, shop)
    assert code_of(again) != code_of(made)
    otpost.clock.advance(600)
    assert await refusal(otpost, "GET", path) == (404, 20404)


async def test_the_application_may_say_that_a_number_is_proven(otpost: Installation, shop: str) -> None:
    made = await started(otpost, shop)
    path = f"/v2/Services/{shop}/Verifications/{TO.replace('+', '%2B')}"
    done = await ok(otpost, "POST", path, {"Status": "approved"})
    assert (done["sid"], done["status"], done["valid"]) == (made["sid"], "approved", True)
    for form in ({"Status": "approved"}, {"Status": "canceled"}):
        assert await refusal(otpost, "POST", path, form) == (404, 20404)
        assert await refusal(otpost, "POST", f"/v2/Services/{shop}/Verifications/{made['sid']}", form) == (404, 20404)
    native = await otpost.ok("GET", f"/v1/verifications/{made['sid']}")
    assert native["status"] == "approved"


async def test_an_update_takes_two_words(otpost: Installation, shop: str) -> None:
    path = f"/v2/Services/{shop}/Verifications/{(await started(otpost, shop))['sid']}"
    assert await refusal(otpost, "POST", path) == (400, 20001)
    for word in ("pending", "deleted", "Canceled"):
        assert await refusal(otpost, "POST", path, {"Status": word}) == (400, 60200)


WRONG_STARTS: list[tuple[dict[str, str], tuple[int, int]]] = [
    ({"To": ""}, (400, 20001)),
    ({"Channel": ""}, (400, 20001)),
    ({"To": "15005550006"}, (400, 60200)),
    ({"To": "+1500"}, (400, 60200)),
    ({"To": "ada@example.com"}, (400, 60200)),
    ({"To": "+18005550123"}, (400, 60200)),
    ({"To": "+" + "1" * 5000}, (400, 60200)),
    ({"Channel": "call"}, (400, 60223)),
    ({"Channel": "whatsapp"}, (400, 60223)),
    ({"Channel": "sna"}, (400, 60223)),
    ({"Channel": "rcs"}, (400, 60223)),
    ({"Channel": "email"}, (400, 60217)),
    ({"Channel": "auto", "To": "ada@example.com"}, (400, 60217)),
    ({"Channel": "email", "To": "ada@example.com"}, (400, 60217)),
    ({"Channel": "pigeon"}, (400, 60200)),
    ({"Locale": "tlh"}, (400, 60200)),
    ({"Locale": "en*US"}, (400, 60200)),
    ({"CustomFriendlyName": "Sh\u202eop"}, (400, 60200)),
    ({"CustomFriendlyName": "12345"}, (400, 60200)),
    ({"CustomFriendlyName": "evil.example/login"}, (400, 60200)),
    ({"CustomCode": "123456"}, (403, 60204)),
    ({"CustomMessage": "Hello"}, (400, 60243)),
    ({"Amount": "€ 5", "Payee": "Ada"}, (403, 60204)),
    ({"TemplateSid": "HJ" + "0" * 32}, (400, 60228)),
    ({"TemplateSid": "nonsense"}, (400, 60228)),
    ({"AppHash": "short"}, (400, 60200)),
    ({"DeviceIp": "not an address"}, (400, 60200)),
    ({"RiskCheck": "maybe"}, (400, 60200)),
    ({"EnableSnaClientToken": "maybe"}, (400, 60200)),
    ({"Tags": "{"}, (400, 60200)),
    ({"Tags": "[1]"}, (400, 60200)),
    ({"Tags": '{"a": {"b": 1}}'}, (400, 60200)),
    ({"Tags": '{"a": "\\u0000"}'}, (400, 60200)),
    ({"Tags": json.dumps({"a": "b" * 129})}, (400, 60200)),
    ({"Tags": json.dumps({str(place): 1 for place in range(11)})}, (400, 60200)),
    ({"RateLimits": "end_user_ip"}, (400, 60200)),
    ({"ChannelConfiguration": "x"}, (400, 60200)),
    ({"Tags": "[" * 15_000}, (400, 60200)),
]


async def test_a_start_with_one_thing_wrong_is_refused_and_keeps_nothing(otpost: Installation, shop: str) -> None:
    for form, told in WRONG_STARTS:
        assert await refused_start(otpost, shop, **form) == told, form
    assert (await otpost.ok("GET", "/v1/verifications"))["items"] == []


async def test_twilio_names_the_number_that_is_wrong(otpost: Installation, shop: str) -> None:
    answer = await call(otpost, "POST", f"/v2/Services/{shop}/Verifications", {**SMS, "To": "+1500"})
    assert answer.json()["message"] == "Invalid parameter `To`: +1500"


WRONG_CHECKS: list[tuple[dict[str, str], tuple[int, int]]] = [
    ({"To": ""}, (400, 60221)),
    ({"To": "5550006"}, (400, 60200)),
    ({"Code": ""}, (400, 60200)),
    ({"Code": "123"}, (400, 60200)),
    ({"Code": "12345678901"}, (400, 60200)),
    ({"Code": "abcdef"}, (400, 60200)),
    ({"To": "+15005550003"}, (404, 20404)),
    ({"VerificationSid": "VE" + "0" * 32}, (404, 20404)),
    ({"VerificationSid": "nonsense"}, (404, 20404)),
]


async def test_a_check_with_one_thing_wrong_uses_up_nothing(otpost: Installation, shop: str) -> None:
    made = await started(otpost, shop)
    for form, told in WRONG_CHECKS:
        given = {"To": TO, "Code": code_of(made), **form}
        assert await refusal(otpost, "POST", f"/v2/Services/{shop}/VerificationCheck", given) == told, form
    assert (await otpost.ok("GET", f"/v1/verifications/{made['sid']}"))["checks"] == 0


async def test_without_a_sender_service_a_start_says_that_the_service_is_not_configured(otpost: Installation) -> None:
    shop = await service(otpost)
    assert await refused_start(otpost, shop) == (400, 60217)


async def test_a_dialing_code_that_is_not_allowed_is_blocked_as_by_geo_permissions(
    otpost: Installation, shop: str
) -> None:
    await otpost.ok("PATCH", f"/v1/applications/{shop}", {"allowed_dialing_codes": ["+44"]})
    assert await refused_start(otpost, shop) == (403, 60605)


async def test_another_services_and_another_tenants_verifications_are_unknown(otpost: Installation, shop: str) -> None:
    made, there = await started(otpost, shop), await neighbour(otpost, TO)
    other = await service(otpost, "Other Shop")
    for place, sid in ((other, made["sid"]), (shop, there.verification["sid"]), (there.application, made["sid"])):
        base = f"/v2/Services/{place}"
        code = {"VerificationSid": sid, "Code": code_of({"sid": sid})}
        assert await refusal(otpost, "GET", f"{base}/Verifications/{sid}") == (404, 20404)
        assert await refusal(otpost, "POST", f"{base}/Verifications/{sid}", {"Status": "canceled"}) == (404, 20404)
        assert await refusal(otpost, "POST", f"{base}/Verifications/{sid}", {"Status": "approved"}) == (404, 20404)
        assert await refusal(otpost, "POST", f"{base}/VerificationCheck", code) == (404, 20404)
    assert await refusal(otpost, "GET", f"/v2/Services/{other}/Verifications/{TO}") == (404, 20404)
    assert await refused_start(otpost, there.application) == (404, 20404)
    assert (await ok(otpost, "GET", f"/v2/Services/{shop}/Verifications/{made['sid']}"))["status"] == "pending"


async def test_a_key_of_one_application_verifies_for_it_alone(otpost: Installation, shop: str) -> None:
    key = await otpost.key("verify", shop)
    path = f"/v2/Services/{shop}/Verifications"
    made = await ok(otpost, "POST", path, SMS, key=key)
    await ok(otpost, "POST", f"/v2/Services/{shop}/VerificationCheck", {"To": TO, "Code": code_of(made)}, key=key)
    default = f"/v2/Services/{otpost.tenant.default_application}/Verifications"
    assert await refusal(otpost, "POST", default, SMS, key=key) == (404, 20404)


async def test_both_apis_work_on_the_same_verification(otpost: Installation, shop: str) -> None:
    key = await otpost.key("verify", shop)
    native = await otpost.ok("POST", "/v1/verifications", {"to": TO}, key=key)
    shaped = await started(otpost, shop)
    assert (shaped["sid"], len(shaped[ATTEMPTS])) == (native["sid"], 2)
    done = await otpost.ok("POST", f"/v1/verifications/{native['sid']}/check", {"code": code_of(native)}, key=key)
    assert done["valid"] is True
    assert await refused_check(otpost, shop, code_of(native)) == (404, 20404)
    native = await otpost.ok("POST", "/v1/verifications", {"to": TO}, key=key)
    for _ in range(5):
        wrong = {"code": wrong_code(native)}
        await otpost.ok("POST", f"/v1/verifications/{native['sid']}/check", wrong, key=key)
    assert await refused_start(otpost, shop) == (429, 60203)
    assert (await otpost.ok("POST", "/v1/verifications", {"to": TO}, key=key))["sid"] != native["sid"]


async def arrived(otpost: Installation, count: int, to: str = TO) -> list[str]:
    """The texts on the sandbox phone, oldest first, once there are so many."""

    async def look() -> list[str]:
        items = (await otpost.ok("GET", f"/v1/sandbox/messages?to={to}"))["items"]
        return [item["body"] for item in reversed(items)]

    return list(await until(look, lambda texts: len(texts) == count))


async def test_the_text_speaks_the_numbers_language_unless_another_is_asked_for(
    otpost: Installation, shop: str
) -> None:
    to = "+4915112345678"
    code = code_of(await started(otpost, shop, To=to))
    told = [(await arrived(otpost, 1, to))[0]]
    for count, form in ((2, {"Locale": "fr-CA"}), (3, {"Locale": "en", "CustomFriendlyName": "Ada Bank"})):
        await started(otpost, shop, To=to, **form)
        told.append((await arrived(otpost, count, to))[-1])
    assert told == [
        f"{code} ist Ihr Code für Corner Shop.",
        f"{code} est votre code Corner Shop.",
        f"{code} is your Ada Bank code.",
    ]


async def test_an_applications_own_words_come_before_any_language(otpost: Installation, shop: str) -> None:
    await otpost.ok("PATCH", f"/v1/applications/{shop}", {"body": "{application}: {otp}, {minutes} min"})
    made = await started(otpost, shop, Locale="de", CustomFriendlyName="Ada Bank")
    assert await arrived(otpost, 1) == [f"Ada Bank: {code_of(made)}, 10 min"]


async def test_a_native_locale_chooses_the_words_of_the_default_text(otpost: Installation, shop: str) -> None:
    key = await otpost.key("verify", shop)
    made = await otpost.ok("POST", "/v1/verifications", {"to": TO, "locale": "pt-BR"}, key=key)
    assert await arrived(otpost, 1) == [f"{code_of(made)} é seu código Corner Shop."]
    plain = await otpost.ok("POST", "/v1/verifications", {"to": "+4915112345678"}, key=key)
    assert await arrived(otpost, 1, "+4915112345678") == [f"{code_of(plain)} ist Ihr Code für Corner Shop."]
    chinese = await otpost.ok("POST", "/v1/verifications", {"to": "+14155550100", "locale": "zh_Hant_TW"}, key=key)
    assert await arrived(otpost, 1, "+14155550100") == [f"{code_of(chinese)} 是您的 Corner Shop 驗證碼。"]
    otpost.clock.advance(40)
    await otpost.ok("POST", "/v1/verifications", {"to": "+14155550100"}, key=key)
    assert set(await arrived(otpost, 2, "+14155550100")) == {f"{code_of(chinese)} 是您的 Corner Shop 驗證碼。"}
    unknown = await otpost.call("POST", "/v1/verifications", {"to": "+14155550101", "locale": "tlh"}, key=key)
    assert (unknown.status, unknown.json()["errors"][0]["field"]) == (422, "locale")


async def test_the_warning_and_the_apps_hash_stand_where_phones_look_for_them(otpost: Installation, shop: str) -> None:
    await ok(otpost, "POST", f"/v2/Services/{shop}", {"DoNotShareWarningEnabled": "true"})
    made = await started(otpost, shop, AppHash="He42w354ol9")
    assert await arrived(otpost, 1) == [
        f"<#> {code_of(made)} is your Corner Shop code. Do not share it with anyone.\nHe42w354ol9"
    ]


async def test_what_otpost_has_no_use_for_is_taken_as_twilio_takes_it(otpost: Installation, shop: str) -> None:
    made = await started(
        otpost,
        shop,
        SendDigits="1234",
        RiskCheck="disable",
        Tags='{"tenant": "1", "n": 2}',
        ChannelConfiguration="{}",
        EnableSnaClientToken="false",
        RateLimits="{}",
        Unheard="of",
    )
    assert made["status"] == "pending"


async def test_a_custom_code_is_sent_checked_and_erased(otpost: Installation, shop: str) -> None:
    await ok(otpost, "POST", f"/v2/Services/{shop}", {"CustomCodeEnabled": "true"})
    for code in ("123", "12345678901", "12 45", "https://x"):
        assert await refused_start(otpost, shop, CustomCode=code) == (400, 60200)
    made = await started(otpost, shop, CustomCode="A1b2-C")
    assert await arrived(otpost, 1) == ["A1b2-C is your Corner Shop code."]
    again = await started(otpost, shop)
    assert again["sid"] == made["sid"]
    assert (await arrived(otpost, 2))[1] == "A1b2-C is your Corner Shop code."
    assert (await checked(otpost, shop, "a1b2-c"))["valid"] is False
    assert (await checked(otpost, shop, code_of(made)))["valid"] is False
    third = await started(otpost, shop, CustomCode="778899")
    assert third["sid"] == made["sid"]
    assert (await checked(otpost, shop, "A1b2-C"))["valid"] is False
    assert (await checked(otpost, shop, "778899"))["status"] == "approved"
    fresh = await started(otpost, shop)
    assert (await checked(otpost, shop, code_of(fresh)))["valid"] is True


async def test_a_payment_is_proven_by_its_code_its_amount_and_its_payee(otpost: Installation, shop: str) -> None:
    await ok(otpost, "POST", f"/v2/Services/{shop}", {"Psd2Enabled": "true"})
    assert await refused_start(otpost, shop) == (400, 60206)
    assert await refused_start(otpost, shop, Amount="€ 39.99") == (400, 60206)
    assert await refused_start(otpost, shop, Amount="5", Payee="https://evil.example") == (400, 60200)
    assert await refused_start(otpost, shop, Channel="call") == (400, 60214)
    payment = {"Amount": "39.99 EUR", "Payee": "Acme"}
    made = await started(otpost, shop, **payment)
    assert (made["amount"], made["payee"]) == ("39.99 EUR", "Acme")
    assert await arrived(otpost, 1) == [f"{code_of(made)} is your code to pay 39.99 EUR to Acme."]
    assert await refused_check(otpost, shop, code_of(made)) == (400, 60206)
    other = await checked(otpost, shop, code_of(made), Amount="3999 EUR", Payee="Acme")
    assert (other["status"], other["valid"], other["amount"]) == ("pending", False, "39.99 EUR")
    same = await started(otpost, shop, **payment)
    assert same["sid"] == made["sid"]
    anew = await started(otpost, shop, Amount="1 EUR", Payee="Acme")
    assert anew["sid"] != made["sid"]
    assert await refused_check(otpost, shop, code_of(made), VerificationSid=made["sid"], **payment) == (404, 20404)
    done = await checked(otpost, shop, code_of(anew), Amount="1 EUR", Payee="Acme")
    assert (done["status"], done["amount"], done["payee"]) == ("approved", "1 EUR", "Acme")


async def template(otpost: Installation, tenant: str, texts: dict[str, str]) -> str:
    """A template's SID, as a tenant has it."""
    sid, now = otpost.context.ids("HJ"), otpost.clock()
    row = Template(sid, tenant, "Bank", texts, now, now)
    await otpost.store.run(Unit(lambda rows: rows.put(TEMPLATES, row)))
    return sid


async def test_a_template_says_its_own_text_in_the_language_asked_for(otpost: Installation, shop: str) -> None:
    texts = {"en": "{{code}} for {{friendly_name}}, {{ttl}} min, {{table}}", "de": "{{code}} {{table}}, {{code}}!"}
    sid = await template(otpost, otpost.tenant.sid, texts)
    foreign = await template(otpost, (await neighbour(otpost)).tenant.sid, texts)
    assert await refused_start(otpost, shop, TemplateSid=foreign) == (400, 60228)
    assert await refused_start(otpost, shop, TemplateSid=sid) == (400, 60224)
    link = json.dumps({"table": "http://x"})
    assert await refused_start(otpost, shop, TemplateSid=sid, TemplateCustomSubstitutions=link) == (400, 60200)
    given = {"TemplateSid": sid, "TemplateCustomSubstitutions": json.dumps({"table": "{otp} 5"})}
    code = code_of(await started(otpost, shop, **given))
    assert await arrived(otpost, 1) == [f"{code} for Corner Shop, 10 min, {{otp}} 5"]
    otpost.clock.advance(150)
    await started(otpost, shop, **given, CustomFriendlyName="Ada Bank")
    assert (await arrived(otpost, 2))[1] == f"{code} for Ada Bank, 8 min, {{otp}} 5"
    await started(otpost, shop, **given, Locale="de")
    assert (await arrived(otpost, 3))[2] == f"{code} {{otp}} 5, {code}!"


async def test_a_services_own_template_is_the_one_where_a_start_names_none(otpost: Installation, shop: str) -> None:
    sid = await template(otpost, otpost.tenant.sid, {"en": "Shop: {{code}}"})
    await ok(otpost, "POST", f"/v2/Services/{shop}", {"DefaultTemplateSid": sid})
    made = await started(otpost, shop)
    assert await arrived(otpost, 1) == [f"Shop: {code_of(made)}"]


async def kept_code(otpost: Installation, made: dict[str, Any]) -> str | None:
    """The custom code of a verification as the database has it."""
    row = await otpost.store.get(VERIFICATIONS, made["sid"])
    assert row is not None
    assert row.extras is not None
    return row.extras.custom_code


async def test_a_custom_code_lies_nowhere_in_the_clear_and_not_at_all_after_the_end(
    otpost: Installation, shop: str
) -> None:
    await ok(otpost, "POST", f"/v2/Services/{shop}", {"CustomCodeEnabled": "true"})
    for ends in ("approved", "canceled"):
        made = await started(otpost, shop, CustomCode="secret-77")
        assert "secret-77" not in await everything(otpost)
        assert await kept_code(otpost, made) is not None
        await ok(otpost, "POST", f"/v2/Services/{shop}/Verifications/{made['sid']}", {"Status": ends})
        assert await kept_code(otpost, made) is None
    made = await started(otpost, shop, CustomCode="secret-77")
    for _ in range(5):
        await checked(otpost, shop, "secret-78")
    assert await kept_code(otpost, made) is None
    otpost.clock.advance(600)
    made = await started(otpost, shop, CustomCode="secret-77")
    otpost.clock.advance(600)
    await otpost.store.run(expire_verifications(otpost.context))
    assert await kept_code(otpost, made) is None
