"""The console in Chromium: by keyboard alone, without JavaScript, and judged by axe-core in every room."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from e2e.conftest import NARROW, WIDE, Live, axe
from web.browsing import NAME, PASSWORD

pytestmark = pytest.mark.browser

Visit = Callable[..., Page]


def rooms(live: Live) -> dict[str, str]:
    """Every room with something in it, by a name for its picture."""
    live.do(live.here.choose_sandbox())
    started = live.verification()
    live.do(live.here.ok("POST", f"/v1/verifications/{started['sid']}/check", {"code": live.here.wrong_code(started)}))
    live.do(live.here.ok("POST", f"/v1/verifications/{started['sid']}/check", {"code": live.here.code(started)}))
    live.verification("+919191919191")
    return {
        "overview": "/overview",
        "verifications": "/verifications",
        "verification": f"/verifications/{started['sid']}",
        "messages": "/messages",
        "message": f"/messages/{started['message']['sid']}",
        "applications": "/applications",
        "application": f"/applications/{live.here.tenant.default_application}",
        "new-application": "/applications/new",
        **webhook_rooms(live),
        "settings": "/settings",
        "keys": "/settings/keys",
        "sandbox": "/sandbox",
        "docs": "/docs",
        "not-found": "/nowhere",
        "search-error": "/verifications?q=12",
    }


def webhook_rooms(live: Live) -> dict[str, str]:
    own = live.here.tenant.default_application
    body = {"url": "http://127.0.0.1:9/hooks", "description": "orders", "events": ["message.failed"]}
    made = live.do(live.here.ok("POST", f"/v1/applications/{own}/webhooks", body))
    tested = live.do(live.here.ok("POST", f"/v1/applications/{own}/webhooks/{made['sid']}/test"))
    where = f"/applications/{own}/webhooks"
    return {
        "webhooks": where,
        "webhook": f"{where}/{made['sid']}",
        "webhook-delivery": f"{where}/{made['sid']}/deliveries/{tested['sid']}",
    }


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_axe_finds_nothing_in_any_room(live: Live, visit: Visit, size: tuple[int, int], dark: bool):
    found: dict[str, list[str]] = {}
    stranger = visit("/sign-in", size=size, dark=dark, signed_in=False)
    found["sign-in"] = axe(stranger)
    page = visit("/overview", size=size, dark=dark)
    found["empty overview"] = axe(page)
    for name in ("verifications", "messages", "sandbox"):
        page.goto(f"/{name}")
        found[f"empty {name}"] = axe(page)
    for name, path in rooms(live).items():
        page.goto(path)
        if name == "docs":
            page.locator("details.operation summary").first.click()
        found[name] = axe(page)
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= size[0], f"{name} is {width} wide"
    assert {name: lines for name, lines in found.items() if lines} == {}


def test_one_signs_in_and_walks_through_the_menu_by_keyboard_alone(live: Live, visit: Visit):
    page = visit("/sign-in", signed_in=False)
    expect(page.get_by_label("Name")).to_be_focused()
    page.keyboard.type(NAME)
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url("**/overview")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.goto("/overview")
    entries = ("Overview", "Verifications", "Messages", "Sender policy", "Applications", "Settings")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    for entry in entries:
        page.keyboard.press("Tab")
        expect(page.locator(".side-wide").get_by_role("link", name=entry, exact=True)).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url("**/settings")
    page.get_by_role("button", name="Sign out").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/sign-in")


def test_in_a_narrow_window_the_menu_folds_and_opens_by_keyboard(live: Live, visit: Visit):
    page = visit("/overview", size=NARROW)
    folded = page.locator(".side-narrow").get_by_role("link", name="Messages")
    expect(folded).to_be_hidden()
    page.locator(".side-narrow summary").focus()
    page.keyboard.press("Enter")
    expect(folded).to_be_visible()
    page.keyboard.press("Escape")
    expect(folded).to_be_hidden()
    expect(page.locator(".side-narrow summary")).to_be_focused()


def test_a_text_arrives_on_the_sandbox_phone_by_itself_and_its_code_can_be_copied(live: Live, visit: Visit):
    live.do(live.here.choose_sandbox())
    page = visit("/sandbox")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    expect(page.get_by_text("No text has arrived yet")).to_be_visible()
    started = live.verification()
    code = live.here.code(started)
    expect(page.locator(".bubble-text strong")).to_have_text(code)
    page.get_by_role("button", name="Copy code").click()
    expect(page.locator("#said")).to_have_text("Copied.")
    assert page.evaluate("navigator.clipboard.readText()") == code


def test_without_javascript_the_phone_shows_the_code_after_loading_again(live: Live, visit: Visit):
    live.do(live.here.choose_sandbox())
    started = live.verification()
    page = visit("/sandbox", scripts=False)
    assert live.here.code(started) in page.content()
    assert page.get_by_role("button", name="Copy code").count() == 0
    page.get_by_role("button", name="Empty the phone").click()
    assert "The sandbox phone is empty now." in page.content()


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
def test_a_number_is_masked_until_it_is_revealed_and_the_audit_lines_say_so(live: Live, visit: Visit, scripts: bool):
    live.do(live.here.choose_sandbox())
    started = live.verification()
    page = visit(f"/verifications/{started['sid']}", scripts=scripts)
    assert "+15005550006" not in page.content()
    page.get_by_role("button", name="Reveal").click()
    expect(page.locator("#number")).to_have_text("+15005550006")
    page.goto(f"/verifications/{started['sid']}")
    assert "+15005550006" not in page.content()
    page.goto("/settings")
    expect(page.locator("#audit")).to_contain_text("number revealed")


def test_a_timeline_goes_on_while_one_looks_at_it(live: Live, visit: Visit):
    live.do(live.here.choose_sandbox())
    started = live.verification()
    page = visit(f"/verifications/{started['sid']}")
    expect(page.get_by_text("Approved by")).to_have_count(0)
    live.do(live.here.ok("POST", f"/v1/verifications/{started['sid']}/check", {"code": live.here.code(started)}))
    expect(page.locator(".story-title").last).to_have_text("Approved")


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
def test_an_application_with_mistakes_comes_back_with_them_and_with_what_was_typed(
    live: Live, visit: Visit, scripts: bool
):
    page = visit("/applications/new", scripts=scripts)
    page.get_by_label("Name", exact=True).fill("Web shop")
    page.get_by_label("Text", exact=True).fill("Your code is {code}")
    page.get_by_role("button", name="Make application").click()
    expect(page.get_by_text("1 field needs your attention")).to_be_visible()
    if scripts:
        expect(page.locator("#errors")).to_be_focused()
    assert page.title() == "Error: New application · Otpost"
    expect(page.get_by_label("Name", exact=True)).to_have_value("Web shop")
    expect(page.get_by_label("Text", exact=True)).to_have_value("Your code is {code}")
    assert axe(page) == [] if scripts else True
    page.locator("#errors a").click()
    expect(page.get_by_label("Text", exact=True)).to_be_focused()
    page.get_by_label("Text", exact=True).fill("{otp} is your code")
    page.get_by_role("button", name="Make application").click()
    expect(page.get_by_role("heading", name="Web shop")).to_be_visible()
    page.get_by_label("Name of a new key").fill("production")
    page.get_by_role("button", name="Make key").click()
    secret = page.get_by_label("Key and secret").input_value()
    assert secret.startswith("SK")
    page.reload()
    assert secret.partition(":")[2] not in page.content()


def test_the_look_can_be_chosen_for_this_browser(live: Live, visit: Visit):
    page = visit("/settings")
    light: Any = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.get_by_label("Colours").select_option("dark")
    page.get_by_role("button", name="Use", exact=True).click()
    page.wait_for_url("**/settings")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != light


def test_a_session_that_ended_is_begun_again_in_place_and_the_save_goes_on(live: Live, visit: Visit):
    page = visit("/sender-policy")
    page.get_by_label("Sender service").select_option("twilio")
    page.get_by_label("Account SID").fill("AC1")
    live.end_sessions()
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("Your session has ended.")).to_be_visible()
    assert page.url.endswith("/sender-policy")
    page.get_by_label("Name").fill(NAME)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator("#errors")).to_contain_text("need")
    expect(page.get_by_label("Account SID")).to_have_value("AC1")


def test_a_secret_is_gone_with_a_reload_and_nothing_is_made_anew(live: Live, visit: Visit):
    page = visit("/settings")
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="auth token").click()
    secret = page.get_by_label("Auth token")
    expect(secret).to_have_value(re.compile("[0-9a-f]{32}"))
    expect(page.locator("#made")).to_be_focused()
    made = live.do(live.here.ok("GET", "/v1/tenant"))["auth_token_at"]
    page.reload()
    expect(secret).to_have_count(0)
    assert live.do(live.here.ok("GET", "/v1/tenant"))["auth_token_at"] == made


def test_the_live_region_says_what_happened_last(live: Live, visit: Visit):
    page = visit("/sender-policy")
    said = page.locator("#said")
    page.get_by_label("Sender service").select_option("sandbox")
    expect(said).to_have_text("The settings of Sandbox are shown.")
    page.get_by_label("Phone").fill("12")
    page.get_by_role("button", name="Send test message!").click()
    expect(said).to_contain_text("Nothing was sent: 1 field needs your attention.")
    page.get_by_label("Phone").fill("+15005550006")
    page.get_by_role("button", name="Send test message!").click()
    expect(said).to_contain_text("The sandbox took the test.")


@pytest.mark.parametrize("room", ["verifications", "messages", "settings", "keys"])
def test_the_time_in_a_cell_stands_on_one_line(live: Live, visit: Visit, room: str):
    page = visit(rooms(live)[room])
    lines = page.locator("td time").evaluate_all("times => times.map(time => time.getClientRects().length)")
    assert set(lines) == {1}
