"""The card "When it fails" in Chromium: by keyboard alone, without JavaScript, and judged by axe-core."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from e2e.conftest import NARROW, WIDE, Live, axe
from e2e.test_policy import fill, press, tab_to, type_into
from otpost.domain.policy import Breaker
from otpost.store.kinds import BREAKERS
from otpost.store.units import Rows, Unit, lock
from web.policy.world import MAIN, MARK, PATH, SENDER, TOKEN

pytestmark = pytest.mark.browser

Visit = Callable[..., Page]
MAIN_FORM = {"Account sid": MAIN, "Authentication token": TOKEN, "Sender phone": SENDER}


def stored(live: Live) -> tuple[list[str], int | None, list[dict[str, object]]]:
    saved = live.do(live.here.ok("GET", "/v1/sender-policy"))
    return saved["fallback"], saved["failover_after_s"], saved["rates"]


def test_by_keyboard_services_are_added_filled_in_moved_and_saved_with_failover_and_a_rate(live: Live, visit: Visit):
    page = visit(PATH)
    page.get_by_label("Sender service").select_option(label="Twilio")
    expect(page.get_by_role("heading", name="When it fails")).to_be_visible()
    fill(page, MAIN_FORM)
    for title, fields in (
        ("MessageBird", {"Access key": f"{MARK}-bird", "Originator": "MyBrand"}),
        ("Infobip", {"Base URL": "https://1.1.1.1", "API key": f"{MARK}-infobip", "Sender": "MyBrand"}),
    ):
        tab_to(page, page.get_by_label("Fallback", exact=True))
        page.keyboard.type(title[:4])
        press(page, "Add the fallback")
        expect(page.get_by_text(f"Settings of {title}")).to_be_focused()
        section = page.get_by_role("group", name=f"Settings of {title}")
        for label, text in fields.items():
            type_into(page, label, text, section)
    press(page, "Move up Infobip")
    expect(page.get_by_role("button", name="Move down Infobip")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Move up Infobip")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Move down Infobip")).to_be_focused()
    type_into(page, "Failover after, in seconds optional", "60")
    press(page, "Add rate")
    expect(page.get_by_label("Origin", exact=True)).to_be_focused()
    page.keyboard.type("1 500 555 0006")
    type_into(page, "Messages a second", "1")
    press(page, "Save")
    expect(page.get_by_text("Saved as revision 1.")).to_be_visible()
    assert stored(live) == (["infobip", "messagebird"], 60, [{"origin": "+15005550006", "messages_per_second": 1}])
    press(page, "Remove MessageBird")
    expect(page.get_by_role("button", name="Add the fallback")).to_be_focused()
    press(page, "Remove rate 1")
    expect(page.get_by_role("button", name="Add rate")).to_be_focused()
    press(page, "Save")
    expect(page.get_by_text("Saved as revision 2.")).to_be_visible()
    assert stored(live) == (["infobip"], 60, [])
    assert MARK not in page.content()


def test_without_javascript_a_preset_is_filled_in_and_its_gateway_stands_in(live: Live, visit: Visit):
    page = visit(PATH, scripts=False)
    page.get_by_label("Sender service").select_option(label="Twilio")
    page.get_by_role("button", name="Show").click()
    fill(page, MAIN_FORM)
    page.get_by_label("Fallback", exact=True).select_option(label="Generic HTTP gateway")
    page.get_by_role("button", name="Add the fallback").click()
    page.get_by_label("Start from a preset").select_option(label="BulkSMS")
    page.get_by_role("button", name="Fill in").click()
    expect(page.get_by_text("Filled in for BulkSMS.")).to_be_visible()
    expect(page.locator("#f-twilio-auth_token-state")).to_have_text("typed, not saved yet")
    section = page.get_by_role("group", name="Settings of Generic HTTP gateway")
    section.get_by_label("HTTP Basic Authentication Username").fill("ada")
    section.get_by_label("HTTP Basic Authentication Password", exact=True).fill(f"{MARK}-bulk")
    section.get_by_label("Service URL").fill("https://1.1.1.1/v1/messages")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("Saved as revision 1.")).to_be_visible()
    assert stored(live) == (["generic"], None, [])
    assert MARK not in page.content()


def states(live: Live, page: Page) -> Iterator[str]:
    """The page with several services, in its states."""
    page.goto(PATH)
    page.get_by_label("Sender service").select_option(label="Twilio")
    expect(page.get_by_role("heading", name="When it fails")).to_be_visible()
    for title in ("MessageBird", "Generic HTTP gateway"):
        page.get_by_label("Fallback", exact=True).select_option(label=title)
        page.get_by_role("button", name="Add the fallback").click()
        expect(page.get_by_text(f"Settings of {title}")).to_be_focused()
    page.get_by_label("Start from a preset").select_option(label="Clickatell")
    page.get_by_role("button", name="Fill in").click()
    expect(page.get_by_text("Filled in for Clickatell.")).to_be_visible()
    yield "preset"
    page.get_by_role("button", name="Add rate").click()
    expect(page.get_by_label("Origin", exact=True)).to_be_focused()
    fill(page, {**MAIN_FORM, "Failover after, in seconds optional": "60"})
    page.get_by_label("Messages a second").fill("1")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator("#errors")).to_be_focused()
    yield "errors"
    page.get_by_role("button", name="Remove rate 1").click()
    expect(page.get_by_label("Origin", exact=True)).to_have_count(0)
    page.get_by_role("button", name="Remove Generic HTTP gateway").click()
    expect(page.get_by_text("Settings of Generic HTTP gateway")).to_have_count(0)
    page.get_by_role("button", name="Remove MessageBird").click()
    expect(page.get_by_text("Settings of MessageBird")).to_have_count(0)
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("Saved as revision 1.")).to_be_visible()
    live.do(opens(live))
    page.goto(PATH)
    expect(page.get_by_text("is left alone since")).to_be_visible()
    yield "left alone"
    page.goto("/overview")
    expect(page.get_by_text("is left alone since")).to_be_visible()
    yield "overview"


async def opens(live: Live) -> None:
    """The main account's breaker opens."""
    tenant, now = live.here.tenant.sid, live.here.clock()
    lane = f"{tenant}:twilio:{MAIN}"
    detail = "The Twilio account is not active; it may be suspended or out of funds."
    breaker = Breaker(lane, tenant, "twilio", MAIN, 1, "account_trouble", detail, 5, now, now + 60_000)

    def decide(rows: Rows) -> None:
        rows.put(BREAKERS, breaker)

    await live.here.store.run(Unit(decide, [lock(BREAKERS, lane)]))


@pytest.mark.parametrize(("size", "dark"), [(WIDE, False), (NARROW, True)], ids=["wide-light", "narrow-dark"])
def test_axe_finds_nothing_in_any_state_of_the_card(live: Live, visit: Visit, size: tuple[int, int], dark: bool):
    page = visit(PATH, size=size, dark=dark)
    page.on("dialog", lambda dialog: dialog.accept())
    found: dict[str, list[str]] = {}
    for name in states(live, page):
        found[name] = axe(page)
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= size[0], f"{name} is {width} wide"
    assert {name: lines for name, lines in found.items() if lines} == {}
