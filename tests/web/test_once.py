"""Nothing is made anew by loading a page again, and what is shown once is shown once."""

from __future__ import annotations

import re

import pytest

from api.world import picture
from installation import TO
from otpost.services.tenants.sign_in import SESSION_LIFE_MS
from otpost.web.request import FLASH_S
from web.browsing import Browser, Console, Seen
from web.policy.world import PATH, PolicyPage

MOVING = frozenset({"first_answers", "nodes", "sessions"})


async def forms(console: Console) -> list[tuple[str, str, dict[str, str], str]]:
    """Each form that shows something once: its page, where it goes, its fields, and how what it shows looks."""
    here = console.here
    own = f"/applications/{here.tenant.default_application}"
    await here.choose_sandbox()
    begun = await here.ok("POST", "/v1/verifications", {"to": TO})
    message = await here.message(begun["message"]["sid"])
    user = await console.user("bob", None)
    made = await here.ok("POST", f"/v1{own}/webhooks", {"url": "https://shop.example/", "events": ["message.failed"]})
    hooks = f"{own}/webhooks"
    return [
        (own, f"{own}/keys", {"key_name": "shop"}, r"SK[0-9a-f]{32}:[\w-]{32}"),
        ("/settings", "/settings/users", {"name": "eve"}, r"/sign-in\?link=[\w-]{43}"),
        ("/settings", f"/settings/users/{user.sid}/link", {}, r"/sign-in\?link=[\w-]{43}"),
        ("/settings", "/settings/auth-token", {}, r'"[0-9a-f]{32}"'),
        (hooks, hooks, {"url": "https://b.example/", "message.failed": "on"}, r"whsec_[\w+/=]+"),
        (f"{hooks}/{made['sid']}", f"{hooks}/{made['sid']}/secret", {}, r"whsec_[\w+/=]+"),
        (f"{hooks}/{made['sid']}", f"{hooks}/{made['sid']}/test", {}, r"The receiver did not take the test"),
        ("/verifications", f"/verifications/{begun['sid']}/reveal", {}, re.escape(TO)),
        ("/messages", f"/messages/{message['sid']}/reveal", {}, re.escape(TO)),
    ]


async def test_what_a_form_makes_is_shown_by_the_page_after_it_and_by_no_reload(console: Console):
    browser = await console.signed_in()
    for page, action, fields, looks in await forms(console):
        assert not re.search(looks, (await browser.get(page)).html), page
        answered = await browser.post(action, fields)
        assert answered.status == 303, action
        assert not re.search(looks, answered.location), action
        after = await picture(console.here, without=MOVING)
        shown = await browser.get(answered.location)
        assert len(set(re.findall(looks, shown.html))) == 1, action
        again = await browser.get(answered.location)
        assert not re.search(looks, again.html), action
        assert await picture(console.here, without=MOVING) == after, action


@pytest.mark.parametrize("button", ["test", "send"])
async def test_a_page_that_answers_a_test_is_loaded_again_without_another_text(small_console: Console, button: str):
    browser, here = await small_console.signed_in(), small_console.here
    await here.choose_sandbox()
    page = await PolicyPage.enter(browser)
    fields = {**page.fields, "to": TO, "message": "Is this on?", "do": button}
    first = await browser.post(PATH, fields)
    again = await browser.post(PATH, fields)
    texts = (await here.ok("GET", "/v1/sandbox/messages"))["items"]
    if button == "test":
        assert "The sandbox took the test." in again.text
        assert len(texts) == 1
    messages = (await here.ok("GET", "/v1/messages"))["items"]
    assert len(messages) == (1 if button == "send" else 0)
    assert again.status == first.status == 200
    page._take(again)
    await page.press(button)
    if button == "send":
        assert len((await here.ok("GET", "/v1/messages"))["items"]) == 2
    else:
        assert len((await here.ok("GET", "/v1/sandbox/messages"))["items"]) == 2


@pytest.fixture
async def shown_later(small_console: Console) -> tuple[Browser, Seen]:
    """A browser that has made an auth token and not looked at it yet."""
    browser = await small_console.signed_in()
    return browser, await browser.post("/settings/auth-token")


async def test_a_page_that_has_no_place_for_a_secret_leaves_it_to_the_one_that_has(shown_later: tuple[Browser, Seen]):
    browser, made = shown_later
    assert (await browser.get("/overview")).status == 200
    assert "The new auth token." in (await browser.get(made.location)).text


async def test_a_secret_that_nobody_looked_at_is_dead_after_a_minute(
    small_console: Console, shown_later: tuple[Browser, Seen]
):
    browser, made = shown_later
    small_console.here.clock.advance(FLASH_S)
    assert "The new auth token." not in (await browser.get(made.location)).text


async def test_a_secret_is_shown_in_the_session_that_made_it_and_in_no_other(
    small_console: Console, shown_later: tuple[Browser, Seen]
):
    browser, made = shown_later
    await small_console.user("bob", "bobs password")
    other = small_console.browser()
    await other.sign_in("bob", "bobs password")
    other.cookies["otpost-flash"] = browser.cookies["otpost-flash"]
    assert "The new auth token." not in (await other.get(made.location)).text
    assert SESSION_LIFE_MS > FLASH_S * 1000


async def test_the_keys_page_shows_who_made_each_key_and_when_it_was_used_and_revokes_it(console: Console):
    browser, here = await console.signed_in(), console.here
    own = here.tenant.default_application
    await browser.post(f"/applications/{own}/keys", {"key_name": "web shop"})
    await here.ok("GET", "/v1/verifications", key=here.verify)
    assert 'href="/settings/keys"' in (await browser.get("/settings")).html
    seen = await browser.get("/settings/keys")
    assert re.search(
        r"web shop *SK[0-9a-f]{32} verify *Default \d+ \w+ \d{4}, \d\d:\d\d:\d\d UTC *by ada Never In force", seen.text
    )
    assert re.search(
        rf"test *{here.verify.key.sid} verify *Default [^:]+:\d\d:\d\d UTC *by command line [^:]+:\d\d UTC In force",
        seen.text,
    )
    assert here.admin.secret not in seen.html
    gone = await browser.post(f"/settings/keys/{here.admin.key.sid}/revoke", follow=True)
    assert "The key test is revoked. It counts at once." in gone.text
    assert re.search(rf"{here.admin.key.sid} admin .* Revoked ", gone.text)
    assert (await here.call("GET", "/v1/keys")).status == 401
    assert (await browser.post(f"/settings/keys/{here.admin.key.sid}/revoke")).status == 404
