"""What comes in by Twilio's forms: codes, names and channels as people and programs write them."""

from __future__ import annotations

import unicodedata

import pytest

from api.twilio.shaped import call, ok
from api.twilio.test_verifications import SMS, arrived, checked, code_of, refused_check, refused_start, started
from api.twilio.test_verifications import shop as shop
from installation import Installation

NAME = "A rather long name of a shop"
NAMES = ["ඩෙමෝ රා\u200dම", "خانه\u200cما", "👨\u200d👩\u200d👧", "हिन्दी", "Coop\u00a024", "Cafe\u0301"]
TYPED = ["1 2 3 4 5 6", "123-456", " 123 456\n", "１２３４５６", "\u200b123456\ufeff", "1 - 2 3 4 5 6 "]


@pytest.mark.parametrize("typed", TYPED)
async def test_a_code_is_judged_after_it_is_cleaned(otpost: Installation, shop: str, typed: str) -> None:
    await ok(otpost, "POST", f"/v2/Services/{shop}", {"CustomCodeEnabled": "true"})
    await started(otpost, shop, CustomCode="123456")
    assert (await checked(otpost, shop, typed))["valid"] is True


async def test_a_code_of_letters_is_read_with_its_hyphens_or_without_what_copying_brought(
    otpost: Installation, shop: str
) -> None:
    await ok(otpost, "POST", f"/v2/Services/{shop}", {"CustomCodeEnabled": "true"})
    for typed, valid in (("A1b2-C", True), (" A1 b2\u2011C\n", True), ("a1b2-c", False)):
        await started(otpost, shop, CustomCode="A1b2-C")
        assert (await checked(otpost, shop, typed))["valid"] is valid


@pytest.mark.parametrize("typed", ["", "1 2 3", "1 2 3 4 5 6 7 8 9 0 1", "- - - -", "\u200b\u200b\u200b\u200b"])
async def test_what_is_too_short_or_too_long_once_it_is_cleaned_is_60200(
    otpost: Installation, shop: str, typed: str
) -> None:
    await started(otpost, shop)
    assert await refused_check(otpost, shop, typed) == (400, 60200)


async def test_a_text_for_an_app_has_140_bytes_at_most(otpost: Installation, shop: str) -> None:
    most = 140 - len("<#> 000000\n" + "He42w354ol9")
    await otpost.ok("PATCH", f"/v1/applications/{shop}", {"body": "{otp}" + "x" * most})
    made = await started(otpost, shop, AppHash="He42w354ol9")
    assert len((await arrived(otpost, 1))[0].encode()) == 140
    assert (await started(otpost, shop, AppHash="He42w354ol9"))["sid"] == made["sid"]
    await otpost.ok("PATCH", f"/v1/applications/{shop}", {"body": "{otp}" + "x" * (most + 1)})
    told = await call(otpost, "POST", f"/v2/Services/{shop}/Verifications", {**SMS, "AppHash": "He42w354ol9"})
    assert (told.status, told.json()["code"]) == (400, 60247)
    assert "has 141 bytes; an Android app reads 140 at most" in told.json()["details"]["detail"]
    await otpost.ok("PATCH", f"/v1/applications/{shop}", {"body": "{otp}" + "ü" * (most // 2 + 1)})
    assert await refused_start(otpost, shop, AppHash="He42w354ol9") == (400, 60247)
    assert (await started(otpost, shop))["sid"] == made["sid"]


async def test_auto_means_sms_and_an_e_mail_address_gets_the_code_of_its_channel(
    otpost: Installation, shop: str
) -> None:
    made = await started(otpost, shop, Channel="auto")
    assert (made["channel"], made["status"]) == ("sms", "pending")
    assert len(await arrived(otpost, 1)) == 1
    path, ada = f"/v2/Services/{shop}/Verifications", "ada@example.com"
    assert await refused_start(otpost, shop, To=ada, Channel="email") == (400, 60217)
    assert await refused_start(otpost, shop, To=ada, Channel="auto") == (400, 60217)
    told = (await call(otpost, "POST", path, {"To": ada, "Channel": "sms"})).json()
    assert (told["code"], told["message"]) == (60200, f"Invalid parameter `To`: {ada}")
    assert told["details"]["detail"] == "This is an e-mail address; Otpost sends codes by sms."


@pytest.mark.parametrize("name", NAMES)
async def test_a_name_may_be_written_in_any_script(otpost: Installation, shop: str, name: str) -> None:
    await started(otpost, shop, To="+14155550100", CustomFriendlyName=name)
    (text,) = await arrived(otpost, 1, "+14155550100")
    kept = unicodedata.normalize("NFC", name)
    assert text.endswith(f" is your {kept} code.")
    assert (await ok(otpost, "POST", f"/v2/Services/{shop}", {"FriendlyName": name}))["friendly_name"] == kept


async def test_an_unknown_address_of_twilios_is_answered_in_twilios_shape(otpost: Installation) -> None:
    for path in ("/v2", "/v2/", "/v2/Nope", "/v2/Services/VA0/Nope", "/2010-04-01", "/2010-04-01/", "/2010-04-01.json"):
        for method in ("GET", "POST", "PUT", "DELETE"):
            answer = await otpost.call(method, path)
            assert (answer.status, answer.json()["code"]) == (404, 20404), path
            assert answer.headers["content-type"] == "application/json"


async def test_the_applications_language_gives_way_to_english_where_it_would_cost_more_than_allowed(
    otpost: Installation, shop: str
) -> None:
    await otpost.ok("PATCH", f"/v1/applications/{shop}", {"max_segments": 1, "name": NAME})
    greek = await started(otpost, shop, To="+306912345678")
    assert await arrived(otpost, 1, "+306912345678") == [f"{code_of(greek)} είναι ο κωδικός σας για {NAME}."]
    await ok(otpost, "POST", f"/v2/Services/{shop}", {"DoNotShareWarningEnabled": "true"})
    other = await started(otpost, shop, To="+306912345679")
    assert await arrived(otpost, 1, "+306912345679") == [
        f"{code_of(other)} is your {NAME} code. Do not share it with anyone."
    ]
