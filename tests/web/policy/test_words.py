"""What the sender policy's page says: what happened last, what is in force now, what a number is."""

from __future__ import annotations

import re

import pytest

from web.browsing import Console, Seen
from web.policy.world import MAIN_FIELDS, PATH, SENDER, SERVICE, PolicyPage

HTMX = {"hx-request": "true", "origin": "http://otpost.test", "sec-fetch-site": "same-origin"}


NEXT_TO = "+15005550009"


@pytest.fixture
async def page(small_console: Console) -> PolicyPage:
    made = await PolicyPage.enter(await small_console.signed_in())
    await made.choose(changed=MAIN_FIELDS)
    return made


def said(seen: Seen) -> str:
    """What the live region says of an answer to htmx."""
    found = re.search(r'id="policy"[^>]* data-say="([^"]*)"', seen.html)
    assert found is not None
    return found[1]


async def test_the_live_region_says_what_the_button_did(page: PolicyPage):
    assert said(await page.press("test", {"to": "12"}, headers=HTMX)).startswith("Nothing was sent: 1 field needs your")
    assert said(await page.press("show", headers=HTMX)) == "The settings of Twilio are shown."
    await page.press("add:twilio.subaccounts", headers=HTMX)
    assert said(page.seen) == "Subaccount is open for changes."
    assert said(await page.press("cancel", headers=HTMX)) == "The row is what it was."
    await page.press("explain", {"numbers": "+15005550006\n+15005550009"}, headers=HTMX)
    assert said(page.seen) == "2 numbers are explained."


async def test_the_test_keeps_its_number_and_its_text_after_a_save(page: PolicyPage):
    await page.save({"to": NEXT_TO, "message": "Is this on?"})
    assert "Saved as revision 1." in page.text
    assert (page.fields["to"], page.fields["message"]) == (NEXT_TO, "Is this on?")
    assert NEXT_TO not in page.seen.where
    assert (await PolicyPage.enter(page.browser)).fields["to"] == ""


async def test_a_text_that_no_cookie_can_hold_is_left_and_its_number_stays(page: PolicyPage):
    await page.save({"to": NEXT_TO, "message": "é" * 800})
    assert page.fields["to"] == NEXT_TO
    assert "é" not in page.fields["message"]


async def test_the_head_names_the_new_revision_after_a_conflict(page: PolicyPage):
    await page.save()
    other = await PolicyPage.enter(page.browser)
    await other.save({"twilio.sender_phone": NEXT_TO})
    seen = await page.press("save", {"twilio.sender_phone": SENDER}, headers=HTMX)
    assert seen.status == 409
    head = re.search(r'<p class="sub" id="in-force" hx-swap-oob="true">([^<]*)</p>', seen.html)
    assert head is not None
    assert "Revision 2 is in force: Twilio." in head[1]
    assert said(seen).startswith("Nothing was saved: the policy was saved by somebody else")
    assert seen.html.index('id="in-force"') > seen.html.index("</form>")
    assert "hx-swap-oob" not in (await page.browser.get(PATH)).html


async def test_the_first_test_says_type_it_and_a_later_one_type_it_again(page: PolicyPage):
    await page.press("test", {"to": NEXT_TO, "message": "x", "twilio.auth_token": ""})
    assert page.error("twilio.auth_token") == "Type it before you send a test message."
    await page.save({"twilio.auth_token": "a token of twilio"})
    await page.press("test", {"to": NEXT_TO, "message": "x"})
    assert page.error("twilio.auth_token").startswith("Type it again before you send a test message.")


async def test_nobody_knows_what_the_phone_shows_where_a_messaging_service_picks(page: PolicyPage):
    await page.save({"twilio.use_copilot": "on", "twilio.service_sid": SERVICE})
    told = (await page.browser.post(f"{PATH}/routes", {"numbers": NEXT_TO})).text
    assert "The phone shows the sender that the Messaging Service picks." in told
    assert f"The phone shows {SERVICE}" not in told


@pytest.mark.parametrize("number", ["+49 900 1234567", "+44 906 1234567", "+1 900 234 5678"])
async def test_a_premium_number_is_a_number_that_gets_no_text(page: PolicyPage, number: str):
    await page.save()
    told = (await page.browser.post(f"{PATH}/routes", {"numbers": number})).text
    assert "Not a number" not in told
    assert "Not sent:" in told
