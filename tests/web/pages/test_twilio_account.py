"""The account for software that speaks Twilio, in Settings."""

from __future__ import annotations

import re

from api.twilio.shaped import basic, ok
from web.browsing import Console, Seen

ACTION = "/settings/auth-token"


def shown(seen: Seen) -> str:
    return "".join(re.findall(r'aria-label="Auth token" value="([0-9a-f]+)"', seen.html))


async def test_the_settings_name_the_account_and_its_token_is_shown_once(console: Console) -> None:
    browser, here = await console.signed_in(), console.here
    seen = await browser.get("/settings")
    assert here.tenant.sid in seen.text
    assert "http://otpost.test" in seen.text
    assert "None yet: only keys open the API, and status callbacks are refused." in seen.text
    made = await browser.post(ACTION, seen.form(ACTION), follow=True)
    token = shown(made)
    assert "Copy it now: it is shown this once." in made.text
    await ok(here, "GET", "/v2/Services", authorization=basic(here.tenant.sid, token))
    seen = await browser.get("/settings")
    assert shown(seen) == ""
    assert token not in seen.html
    assert "Make a new auth token" in seen.text
    assert "auth token made" in seen.text


async def test_a_renewed_token_says_how_long_the_old_one_works(small_console: Console) -> None:
    browser, here = await small_console.signed_in(), small_console.here
    first = shown(await browser.post(ACTION, follow=True))
    assert "The token before it" not in (await browser.get("/settings")).text
    renewed = await browser.post(ACTION, follow=True)
    assert "The token before it still opens the API until" in renewed.text
    for token in (first, shown(renewed)):
        await ok(here, "GET", "/v2/Services", authorization=basic(here.tenant.sid, token))


async def test_nobody_makes_a_token_who_is_not_signed_in_or_comes_from_elsewhere(small_console: Console) -> None:
    seen = await small_console.browser().post(ACTION)
    assert (seen.status, seen.location) == (303, "/sign-in")
    browser = await small_console.signed_in()
    assert (await browser.post(ACTION, headers={"origin": "https://evil.example"})).status == 403
    assert (await small_console.here.ok("GET", "/v1/tenant"))["auth_token_set"] is False
