"""The route explainer in the console: by the saved policy, and by what is in the form."""

from __future__ import annotations

import pytest

from web.browsing import Browser, Console
from web.policy.world import INDIA, INDIA_ROW, INDIA_SENDER, MAIN, MAIN_FIELDS, PATH, SENDER, PolicyPage

AIRTEL = "AC" + "5" * 32


@pytest.fixture
async def page(console: Console) -> PolicyPage:
    made = await PolicyPage.enter(await console.signed_in())
    await made.choose(changed=MAIN_FIELDS)
    await made.add(INDIA_ROW)
    await made.save()
    return made


async def explained(browser: Browser, numbers: str) -> str:
    return (await browser.post(f"{PATH}/routes", {"numbers": numbers})).text


async def test_it_says_which_subaccount_sends_and_that_its_filter_is_the_longest_match(page: PolicyPage):
    said = await explained(page.browser, "+91 98123 45678")
    assert f"+919812345678: It goes through Twilio {INDIA}. +91 is the longest filter that this number begins" in said
    assert f"The phone shows {INDIA_SENDER}." in said


async def test_it_says_why_the_main_account_sends(page: PolicyPage):
    said = await explained(page.browser, "+15005550006")
    assert f"+15005550006: It goes through Twilio {MAIN}." in said
    assert "No subaccount's filter matches this number." in said
    assert f"The phone shows {SENDER}." in said


async def test_it_says_that_nobody_sends_where_only_listed_codes_may(page: PolicyPage):
    await page.save({"twilio.only_listed_dialing_codes": "on"})
    said = await explained(page.browser, "+15005550006")
    assert "Not sent: +15005550006: It gets no text. No subaccount's filter matches this number" in said


async def test_a_list_is_explained_line_by_line_and_a_wrong_number_gets_a_line_of_its_own(page: PolicyPage):
    said = await explained(page.browser, "+919812345678\r\n12\n<b>x</b>; +15005550006,,\n")
    for part in ("+919812345678: It goes through", "Not a number:", "+15005550006: It goes through"):
        assert part in said
    assert said.count("Not a number:") == 2
    assert "<b>x</b>" in said


async def test_five_hundred_numbers_are_explained_and_one_more_is_refused(page: PolicyPage):
    numbers = [f"+9198123{index:05d}" for index in range(500)]
    assert (await explained(page.browser, "\n".join(numbers))).count(f"It goes through Twilio {INDIA}.") == 500
    seen = await page.browser.post(f"{PATH}/routes", {"numbers": "\n".join([*numbers, "+15005550006"])})
    assert seen.status == 422
    assert "These are 501 numbers. Paste 500 at most." in seen.text


async def test_nothing_typed_is_said_at_the_field(page: PolicyPage):
    seen = await page.browser.post(f"{PATH}/routes", {"numbers": " \n"})
    assert seen.status == 422
    assert "Type a number, or paste a list." in seen.text


async def test_without_a_chosen_service_it_says_where_to_choose_one(console: Console):
    seen = await (await console.signed_in()).get(f"{PATH}/routes")
    assert "There is no route to explain yet" in seen.text
    assert "Choose who sends your texts" in seen.text


async def test_the_sandbox_takes_every_number(page: PolicyPage):
    await page.choose("sandbox")
    await page.save()
    assert "+919812345678: It goes through Sandbox." in await explained(page.browser, "+919812345678")


async def test_in_the_form_it_goes_by_what_is_not_saved_yet(page: PolicyPage):
    await page.add({**INDIA_ROW, "dialing_code": "9198", "account_sid": AIRTEL})
    await page.press("explain", {"numbers": "+919812345678"})
    assert f"It goes through Twilio {AIRTEL}. +9198 is the longest filter" in page.text
    by_what_is_saved = await explained(page.browser, "+919812345678")
    assert f"It goes through Twilio {INDIA}. +91 is the longest filter" in by_what_is_saved
    await page.press("explain", {"numbers": ""})
    assert page.error("numbers") == "Type a number, or paste a list."


async def test_a_region_is_told_as_the_filter_and_fallbacks_are_told_as_the_api_tells_them(page: PolicyPage):
    await page.add({**INDIA_ROW, "dialing_code": "PR", "account_sid": AIRTEL})
    await page.press("fallback-add", {"fallback_to_add": "messagebird"})
    await page.save({"messagebird.access_key": "k3y", "messagebird.originator": "MyBrand"})
    said = await explained(page.browser, "+17873456789")
    assert f"+17873456789: It goes through Twilio {AIRTEL}. This is a number of PR, so its subaccount sends." in said
    assert "Where that fails: MessageBird from MyBrand." in said
    await page.press("explain", {"numbers": "+17873456789"})
    assert "This is a number of PR, so its subaccount sends. Where that fails: MessageBird from MyBrand." in page.text


async def test_without_the_tokens_that_are_needed_every_page_says_that_nothing_can_be_sent(page: PolicyPage):
    await page.save({"twilio.auth_token~clear": "on"})
    told = "Nothing can be sent: Twilio lacks Authentication token."
    assert page.text.count(told) == 2, "as the notice after Save, and as what stands"
    assert "Revision 2 is saved, and nothing can be sent by it." in page.text
    assert "in force" not in page.text
    overview = (await page.browser.get("/overview")).text
    assert told in overview
    assert "through Twilio" not in overview
    routes = await explained(page.browser, "+919812345678")
    assert told in routes
    assert "goes through" not in routes
    await page.press("explain", {"numbers": "+919812345678"})
    assert told in page.text
    await page.save({"twilio.auth_token": "typed-again"})
    assert "Revision 3 is in force: Twilio." in page.text
    assert told not in page.text
    assert told not in (await page.browser.get("/overview")).text


async def test_a_fallback_without_its_secret_is_told_and_left_out(page: PolicyPage):
    await page.press("fallback-add", {"fallback_to_add": "messagebird"})
    await page.save({"messagebird.access_key": "k3y", "messagebird.originator": "MyBrand"})
    await page.save({"messagebird.access_key~clear": "on"})
    assert "Revision 3 is in force: Twilio." in page.text
    for html in (
        page.text,
        (await page.browser.get("/overview")).text,
        await explained(page.browser, "+15005550006"),
    ):
        assert "MessageBird lacks Access key." in html
        assert "It stands in for nobody until it is mended" in html
        assert "Where that fails" not in html
