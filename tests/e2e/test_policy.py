"""The sender policy in Chromium: by keyboard alone, without JavaScript, counted, and judged by axe-core."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import Locator, Page, expect

from e2e.conftest import NARROW, WIDE, Live, axe
from otpost.domain.access import User
from otpost.store.kinds import USERS
from otpost.store.units import Rows, Unit, lock
from standins.twilio import RequestRecord, TwilioStandIn
from web.browsing import NAME, PASSWORD
from web.policy.world import (
    AMERICA,
    AMERICA_ROW,
    AMERICA_SENDER,
    AMERICA_TOKEN,
    INDIA,
    INDIA_ROW,
    INDIA_SENDER,
    INDIA_TOKEN,
    MAIN,
    MARK,
    PATH,
    SENDER,
    TEXT,
    TO,
    TO_INDIA,
    TOKEN,
    accounts,
)

pytestmark = pytest.mark.browser

Visit = Callable[..., Page]

MOST_FIELDS, MOST_CLICKS = 12, 10
OTHER_SENDER, BRITON = "+14155550177", "+447400123456"


@dataclass
class Twilio:
    """The pretended Twilio in the console's event loop."""

    live: Live
    standin: TwilioStandIn

    @property
    def url(self) -> str:
        return self.standin.url

    def requests(self) -> list[RequestRecord]:
        return self.live.do(self.standin.requests())

    def production(self, to: str) -> tuple[str | None, str | None, str]:
        """Send a text as an application does: user name, password and sender that Twilio saw, once it has left."""

        async def work() -> None:
            sent = await self.live.here.ok("POST", "/v1/messages", {"to": to, "body": TEXT})
            assert (await self.live.here.message(sent["sid"]))["status"] == "accepted"

        self.live.do(work())
        last = self.requests()[-1]
        return last.username, last.password, dict(last.form)["From"]


@pytest.fixture
def twilio(live: Live) -> Iterator[Twilio]:
    known = accounts()
    known[0].numbers.append(OTHER_SENDER)
    standin = TwilioStandIn(known)
    live.do(standin.start())
    yield Twilio(live, standin)
    live.do(standin.stop())


def tab_to(page: Page, target: Locator) -> None:
    """Press Tab until the target has the focus, as far as once round the page."""
    for _ in range(90):
        if target.evaluate("element => element === document.activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"the keyboard does not reach {target}")


def type_into(page: Page, label: str, text: str, within: Locator | None = None) -> None:
    field = (within or page).get_by_label(label, exact=True)
    tab_to(page, field)
    page.keyboard.press("Control+A")
    page.keyboard.type(text)


def press(page: Page, name: str) -> None:
    button = page.get_by_role("button", name=name, exact=True)
    tab_to(page, button)
    page.keyboard.press("Enter")


def test_by_keyboard_alone_from_an_empty_form_to_production_and_back_to_change_one_field(
    live: Live, visit: Visit, twilio: Twilio
):
    page = visit(PATH)
    tab_to(page, page.get_by_label("Sender service"))
    page.keyboard.press("t")
    expect(page.get_by_role("heading", name="Twilio", exact=True)).to_be_visible()
    expect(page.get_by_label("Sender service")).to_be_focused()
    type_into(page, "Account sid", MAIN)
    type_into(page, "Authentication token", TOKEN)
    type_into(page, "Sender phone", SENDER)
    tab_to(page, page.get_by_text("Advanced", exact=True))
    page.keyboard.press("Enter")
    type_into(page, "API URL", twilio.url)
    for number, row in enumerate((INDIA_ROW, AMERICA_ROW), 1):
        press(page, "Add subaccount")
        editor = page.locator(".row-editor")
        expect(editor.get_by_label("Country Dialing Code Filter")).to_be_focused()
        page.keyboard.type(row["dialing_code"])
        type_into(page, "Subaccount SID", row["account_sid"], editor)
        type_into(page, "Subaccount Auth Token", row["auth_token"], editor)
        type_into(page, "Sender Phone", row["sender_phone"], editor)
        if number == 1:
            press(page, "Save subaccount")
        else:
            page.keyboard.press("Enter")
        expect(page.locator(".rows-table tbody tr")).to_have_count(number)
        expect(page.get_by_role("button", name="Add subaccount")).to_be_focused()
    type_into(page, "Phone", BRITON)
    type_into(page, "Message", TEXT)
    press(page, "Send test message!")
    expect(page.locator("#tried")).to_be_focused()
    expect(page.locator("#tried")).to_contain_text("Twilio accepted the test.")
    press(page, "Save")
    expect(page.get_by_text("Saved as revision 1.")).to_be_visible()
    page.reload()
    expect(page.get_by_label("Authentication token", exact=True)).to_have_value("")
    expect(page.locator("#f-twilio-auth_token-state")).to_contain_text(" by ada")
    assert twilio.production(BRITON) == (MAIN, TOKEN, SENDER)
    type_into(page, "Sender phone", OTHER_SENDER)
    press(page, "Save")
    expect(page.get_by_text("Saved as revision 2.")).to_be_visible()
    assert twilio.production(BRITON) == (MAIN, TOKEN, OTHER_SENDER)
    assert twilio.production(TO_INDIA) == (INDIA, INDIA_TOKEN, INDIA_SENDER)
    assert twilio.production(TO) == (AMERICA, AMERICA_TOKEN, AMERICA_SENDER)
    assert MARK not in page.content()


def fill(page: Page, fields: dict[str, str]) -> None:
    for label, text in fields.items():
        page.get_by_label(label, exact=True).fill(text)


def test_without_javascript_a_token_typed_before_add_and_test_is_in_force_after_save(
    live: Live, visit: Visit, twilio: Twilio
):
    page = visit(PATH, scripts=False)
    page.get_by_label("Sender service").select_option(label="Twilio")
    page.get_by_role("button", name="Show").click()
    page.get_by_text("Advanced", exact=True).click()
    fill(page, {"Account sid": MAIN, "Authentication token": TOKEN, "Sender phone": SENDER, "API URL": twilio.url})
    page.get_by_role("button", name="Add subaccount").click()
    expect(page.locator("#f-twilio-auth_token-state")).to_have_text("typed, not saved yet")
    expect(page.get_by_label("Authentication token", exact=True)).to_have_value("")
    editor = page.locator(".row-editor")
    editor.get_by_label("Country Dialing Code Filter").fill("91")
    editor.get_by_label("Subaccount SID").fill(INDIA)
    editor.get_by_label("Subaccount Auth Token").fill(INDIA_TOKEN)
    editor.get_by_label("Sender Phone").fill(r"91\9191919191")
    page.get_by_role("button", name="Save subaccount").click()
    fill(page, {"Phone": TO_INDIA, "Message": TEXT})
    page.get_by_role("button", name="Send test message!").click()
    expect(page.locator("#tried")).to_contain_text("Twilio accepted the test.")
    fill(page, {"Phone": TO})
    page.get_by_role("button", name="Send test message!").click()
    expect(page.locator("#tried")).to_contain_text(MAIN)
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("Saved as revision 1.")).to_be_visible()
    assert [request.password for request in twilio.requests()] == [INDIA_TOKEN, TOKEN]
    assert twilio.production(TO_INDIA) == (INDIA, INDIA_TOKEN, INDIA_SENDER)
    assert twilio.production(BRITON) == (MAIN, TOKEN, SENDER)
    page.get_by_label("Phone", exact=True).fill(BRITON)
    page.get_by_role("button", name="Send through the messaging service").click()
    page.get_by_role("link", name="Its own page").click()
    expect(page.get_by_role("heading", name="Message", exact=True)).to_be_visible()
    assert MARK not in page.content()


@dataclass
class Counted:
    """A person's work on a page: every field filled in and every click."""

    page: Page
    fields: int = 0
    clicks: int = 0

    def fill(self, label: str, text: str) -> None:
        self.fields += 1
        self.page.get_by_label(label, exact=True).fill(text)

    def select(self, label: str, choice: str) -> None:
        self.fields += 1
        self.page.get_by_label(label, exact=True).select_option(label=choice)

    def click(self, target: Locator) -> None:
        self.clicks += 1
        target.click()


def test_a_first_text_through_twilio_takes_at_most_12_fields_and_10_clicks_from_an_empty_installation(
    live: Live, visit: Visit, twilio: Twilio
):
    async def nobody() -> str:
        (user,) = await live.here.store.find(USERS, "name", NAME)

        def decide(rows: Rows) -> User | None:
            known = rows.get(USERS, user.sid)
            rows.delete(USERS, user.sid)
            return known

        await live.here.store.run(Unit(decide, [lock(USERS, user.sid)]))
        return await live.console.link()

    person = Counted(visit(live.do(nobody()), signed_in=False))
    page = person.page
    person.fill("Name", NAME)
    person.fill("Password", PASSWORD)
    person.click(page.get_by_role("button", name="Make user and sign in"))
    person.click(page.get_by_role("link", name="Open the sender policy"))
    person.select("Sender service", "Twilio")
    person.fill("Account sid", MAIN)
    person.fill("Authentication token", TOKEN)
    person.fill("Sender phone", SENDER)
    person.click(page.get_by_text("Advanced", exact=True))
    person.fill("API URL", twilio.url)
    person.click(page.get_by_role("button", name="Save", exact=True))
    expect(page.get_by_text("Saved as revision 1.")).to_be_visible()
    person.fill("Phone", TO)
    person.click(page.get_by_role("button", name="Send through the messaging service"))
    expect(page.locator("#sent")).to_contain_text("Accepted by Twilio")
    assert [request.password for request in twilio.requests()] == [TOKEN]
    assert person.fields <= MOST_FIELDS
    assert person.clicks <= MOST_CLICKS
    assert (person.fields, person.clicks) == (8, 5)


def test_leaving_with_something_unsaved_is_warned_of_and_after_a_save_it_is_not(
    live: Live, visit: Visit, twilio: Twilio
):
    page = visit(PATH)
    asked: list[str] = []

    def answer(dialog: object) -> None:
        asked.append(dialog.type)  # type: ignore[attr-defined]  # a Dialog of playwright
        dialog.accept()  # type: ignore[attr-defined]  # the same

    page.on("dialog", answer)
    page.get_by_label("Sender service").select_option(label="Sandbox")
    expect(page.get_by_text("There is nothing to set.")).to_be_visible()
    page.get_by_label("Phone", exact=True).fill(TO)
    page.goto("/overview")
    assert asked == ["beforeunload"]
    page.goto(PATH)
    page.get_by_label("Sender service").select_option(label="Sandbox")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("Saved as revision 1.")).to_be_visible()
    page.goto("/overview")
    assert asked == ["beforeunload"]


def states(page: Page, twilio: Twilio) -> Iterator[tuple[str, Page]]:
    """The page in its states, each with a name for its picture."""
    page.goto(PATH)
    yield "empty", page
    page.get_by_label("Sender service").select_option(label="Twilio")
    expect(page.get_by_role("heading", name="Twilio", exact=True)).to_be_visible()
    page.get_by_text("Advanced", exact=True).click()
    fill(page, {"Account sid": MAIN, "Authentication token": TOKEN, "Sender phone": SENDER, "API URL": twilio.url})
    for row in (INDIA_ROW, AMERICA_ROW):
        page.get_by_role("button", name="Add subaccount").click()
        editor = page.locator(".row-editor")
        editor.get_by_label("Country Dialing Code Filter").fill(row["dialing_code"])
        editor.get_by_label("Subaccount SID").fill(row["account_sid"])
        editor.get_by_label("Subaccount Auth Token").fill(row["auth_token"])
        editor.get_by_label("Sender Phone").fill(row["sender_phone"])
        if row is AMERICA_ROW:
            yield "row", page
        page.get_by_role("button", name="Save subaccount").click()
        expect(editor).to_have_count(0)
    page.get_by_label("Account sid").fill("AC12")
    page.get_by_label("Sender phone").fill("1")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator("#errors")).to_be_focused()
    yield "errors", page
    page.get_by_label("Account sid").fill(MAIN)
    page.get_by_label("Sender phone").fill(SENDER)
    page.get_by_label("Phone", exact=True).fill(BRITON)
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("Saved as revision 1.")).to_be_visible()
    yield "saved", page
    page.get_by_label("Authentication token", exact=True).fill("a wrong token")
    page.get_by_label("Phone", exact=True).fill(BRITON)
    page.get_by_role("button", name="Send test message!").click()
    expect(page.locator("#tried")).to_be_focused()
    page.get_by_role("button", name="Send through the messaging service").click()
    expect(page.locator("#sent")).to_contain_text("Accepted by Twilio")
    page.get_by_text("Which account would send?").click()
    page.get_by_label("Numbers").fill("+919812345678\n12")
    page.get_by_role("button", name="Explain by this form").click()
    expect(page.locator("#explained")).to_be_visible()
    yield "compared", page
    page.goto(f"{PATH}/revisions")
    yield "revisions", page
    page.get_by_role("link", name="1", exact=True).click()
    expect(page.get_by_role("heading", name="Revision 1", exact=True)).to_be_visible()
    yield "revision", page
    page.goto(f"{PATH}/routes")
    page.get_by_label("Numbers").fill("+919812345678\n+15005550006\n+447400123456\n12")
    page.get_by_role("button", name="Explain").click()
    expect(page.locator("#explained")).to_be_visible()
    yield "routes", page


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_axe_finds_nothing_in_any_state_of_the_page(
    live: Live, visit: Visit, twilio: Twilio, size: tuple[int, int], dark: bool
):
    found: dict[str, list[str]] = {}
    opened = visit(size=size, dark=dark)
    opened.on("dialog", lambda dialog: dialog.accept())
    for name, page in states(opened, twilio):
        found[name] = axe(page)
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= size[0], f"{name} is {width} wide"
    assert {name: lines for name, lines in found.items() if lines} == {}
