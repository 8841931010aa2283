"""A session that ended keeps the form: the password is asked for in place, and what was sent goes on."""

from __future__ import annotations

from typing import Any

from otpost.services.tenants.users import list_users
from web.browsing import NAME, PASSWORD, Browser, Console, Seen
from web.policy.world import MAIN_FIELDS, PATH, TOKEN, PolicyPage

HOURS_S = 3_600
HTMX = {"hx-request": "true", "origin": "http://otpost.test", "sec-fetch-site": "same-origin"}


async def go_on(browser: Browser, asked: Seen, password: str = PASSWORD, name: str = NAME) -> Seen:
    return await browser.post("/sign-in", {**asked.form("/sign-in"), "name": name, "password": password})


async def application(console: Console) -> Any:
    return await console.here.ok("GET", f"/v1/applications/{console.here.tenant.default_application}")


async def test_a_form_is_kept_while_the_password_is_asked_for_in_place_and_goes_on_then(console: Console):
    browser = await console.signed_in()
    action = f"/applications/{console.here.tenant.default_application}"
    fields = {**(await browser.get(action)).form(action), "name": "Renamed while away"}
    console.here.clock.advance(3 * HOURS_S)
    asked = await browser.post(action, fields)
    assert asked.status == 401
    assert "Your session has ended. What you sent is kept: sign in, and it goes on." in asked.text
    assert "Renamed while away" not in asked.html
    assert (await application(console))["name"] == "Default"
    wrong = await go_on(browser, asked, "not the password")
    assert wrong.status == 422
    done = await go_on(browser, wrong)
    assert (done.status, done.location) == (303, action)
    assert (await application(console))["name"] == "Renamed while away"
    assert "Saved." in (await browser.get(action)).text


async def test_the_policys_form_comes_back_as_it_was_with_what_its_button_did(small_console: Console):
    browser = await small_console.signed_in()
    page = await PolicyPage.enter(browser)
    await page.choose(changed={**MAIN_FIELDS, "twilio.auth_token": TOKEN, "twilio.account_sid": "AC1"})
    small_console.here.clock.advance(3 * HOURS_S)
    asked = await page.press("save", headers=HTMX)
    assert asked.status == 401
    assert asked.answer.headers["hx-retarget"] == "body"
    assert TOKEN not in asked.html
    back = await go_on(browser, asked)
    assert back.status == 422
    assert "Nothing was saved: 1 field needs your attention." in back.text
    page._take(back)
    assert page.fields["twilio.account_sid"] == "AC1"
    assert page.state("twilio.auth_token") == "typed, not saved yet"
    await page.save({"twilio.account_sid": MAIN_FIELDS["twilio.account_sid"]})
    assert "Saved as revision 1." in page.text


async def test_a_timeline_in_a_form_stops_asking_and_leaves_the_form(small_console: Console):
    browser = await small_console.signed_in()
    small_console.here.clock.advance(3 * HOURS_S)
    polled = {"hx-request": "true", "hx-current-url": f"http://otpost.test{PATH}"}
    seen = await browser.get("/messages/SM00000000000000000000000000000000/timeline", polled)
    assert (seen.status, seen.answer.headers["hx-reswap"], seen.html) == (286, "none", "")
    assert "hx-redirect" not in seen.answer.headers


async def test_what_is_kept_is_for_the_same_person_in_the_same_browser_for_an_hour(small_console: Console):
    await small_console.user("bob", "bobs password")
    browser = await small_console.signed_in()
    console = small_console
    action = "/settings/users"
    console.here.clock.advance(3 * HOURS_S)
    asked = await browser.post(action, {"name": "eve"})
    elsewhere = console.browser("192.0.2.2")
    assert (await go_on(elsewhere, asked)).location == "/overview"
    assert (await go_on(browser, asked, "bobs password", "bob")).location == "/overview"
    mine = console.browser("192.0.2.3")
    await mine.sign_in()
    console.here.clock.advance(3 * HOURS_S)
    asked = await mine.post(action, {"name": "eve"})
    console.here.clock.advance(HOURS_S)
    assert (await go_on(mine, asked)).location == "/overview"
    names = [user.name for user in await list_users(console.here.context, console.here.tenant.sid)]
    assert names == ["ada", "bob"]


async def test_a_form_from_elsewhere_or_of_a_browser_that_was_never_in_is_not_kept(small_console: Console):
    browser = await small_console.signed_in()
    small_console.here.clock.advance(3 * HOURS_S)
    assert (await browser.post("/settings/users", {"name": "eve"}, {"origin": "https://evil.example"})).status == 403
    stranger = small_console.browser()
    stranger.cookies["otpost"] = "planted"
    assert (await stranger.post("/settings/users", {"name": "eve"})).status == 303


async def test_a_form_that_is_too_long_to_be_kept_leads_to_the_sign_in(small_console: Console):
    browser = await small_console.signed_in()
    small_console.here.clock.advance(3 * HOURS_S)
    seen = await browser.post("/settings/users", {"name": "x" * 260_000})
    assert (seen.status, seen.location) == (303, "/sign-in")
