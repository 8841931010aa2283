"""Subaccounts on the sender policy's page: added, edited, removed; mistakes at their fields; nothing lost."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from standins.twilio import TwilioStandIn
from web.browsing import Console
from web.policy.world import (
    AMERICA,
    AMERICA_ROW,
    INDIA,
    INDIA_ROW,
    MAIN_FIELDS,
    SERVICE,
    TEXT,
    TO_INDIA,
    TOKEN,
    PolicyPage,
    accounts,
    at,
)

ROW = "twilio.subaccounts"


@pytest.fixture
async def twilio() -> AsyncIterator[TwilioStandIn]:
    async with TwilioStandIn(accounts()) as standin:
        yield standin


@pytest.fixture
async def page(console: Console, twilio: TwilioStandIn) -> PolicyPage:
    """Twilio chosen, its main account filled in, two rows in the form; nothing saved."""
    made = await PolicyPage.enter(await console.signed_in())
    await made.choose(changed={**MAIN_FIELDS, **at(twilio)})
    await made.add(INDIA_ROW)
    await made.add(AMERICA_ROW)
    return made


async def stored(console: Console) -> list[tuple[str, str]]:
    policy = await console.here.ok("GET", "/v1/sender-policy")
    return [(row["dialing_code"], row["account_sid"]) for row in policy["twilio"]["subaccounts"]]


async def test_a_row_is_edited_and_its_token_stays_typed(console: Console, page: PolicyPage):
    await page.press(f"edit:{ROW}[1]")
    assert page.fields[f"{ROW}[1].dialing_code"] == "+1"
    assert page.fields[f"{ROW}[1].auth_token"] == ""
    await page.press("keep", {f"{ROW}[1].dialing_code": "1876"})
    assert [row[:3] for row in page.rows()] == [
        ["+91", INDIA, "typed, not saved yet"],
        ["+1876", AMERICA, "typed, not saved yet"],
    ]
    await page.save()
    assert await stored(console) == [("+91", INDIA), ("+1876", AMERICA)]


async def test_cancel_leaves_a_row_as_it_was_and_drops_a_new_one(page: PolicyPage):
    await page.press(f"edit:{ROW}[0]")
    await page.press("cancel", {f"{ROW}[0].dialing_code": "44"})
    assert page.rows()[0][0] == "+91"
    await page.add({"dialing_code": "49"}, keep=False)
    await page.press("cancel")
    assert [row[0] for row in page.rows()] == ["+91", "+1"]


async def test_a_row_is_removed_from_the_form_and_by_save_from_the_database(console: Console, page: PolicyPage):
    await page.save()
    await page.press(f"remove:{ROW}[0]")
    assert [row[0] for row in page.rows()] == ["+1"]
    assert len(await stored(console)) == 2
    await page.save()
    assert await stored(console) == [("+1", AMERICA)]


async def test_removing_a_row_above_an_open_one_keeps_what_is_typed_in_it(page: PolicyPage):
    await page.press(f"edit:{ROW}[1]", {})
    await page.press(f"remove:{ROW}[0]", {f"{ROW}[1].sender_phone": "+14155550111"})
    assert page.fields["open"] == f"{ROW}[0]"
    await page.press("keep")
    assert [row[0] for row in page.rows()] == ["+1"]
    assert page.rows()[0][3] == "+14155550111"


async def test_what_is_typed_in_a_row_that_was_not_saved_to_the_form_is_neither_saved_nor_tested_nor_lost(
    console: Console, page: PolicyPage, twilio: TwilioStandIn
):
    path = await page.add({"dialing_code": "44", "auth_token": "t"}, keep=False)
    for button in ("save", "test", f"add:{ROW}", f"edit:{ROW}[0]"):
        assert (await page.press(button, {"to": TO_INDIA})).status == 422
        assert "what you typed in this row is not in the form yet. Save the row, or cancel it." in page.text
        assert page.fields[f"{path}.dialing_code"] == "44"
        assert page.state(f"{path}.auth_token") == "typed, not saved yet"
    assert await twilio.requests() == []
    assert await stored(console) == []


async def test_an_empty_new_row_is_no_row(console: Console, page: PolicyPage):
    await page.press(f"add:{ROW}")
    await page.save()
    assert await stored(console) == [("+91", INDIA), ("+1", AMERICA)]


async def test_a_row_without_what_it_needs_says_so_at_each_field(page: PolicyPage):
    await page.add({})
    assert page.seen.status == 422
    assert "The row was not saved to the form: 4 fields need your attention." in page.text
    path = page.fields["open"]
    assert page.error(f"{path}.dialing_code").startswith("Country Dialing Code Filter is needed.")
    assert page.error(f"{path}.account_sid").startswith("Subaccount SID is needed.")
    assert page.error(f"{path}.auth_token") == "Subaccount Auth Token is not stored. Type it."
    assert page.error(f"{path}.sender_phone").startswith("A subaccount needs a Sender Phone")


async def test_a_second_row_with_the_same_filter_is_refused(page: PolicyPage):
    path = await page.add({**INDIA_ROW, "dialing_code": "0091"})
    assert page.error(f"{path}.dialing_code") == "There is such a subaccount already. Edit that one, or change this."
    await page.press("cancel")
    await page.press(f"edit:{ROW}[0]")
    await page.press("keep", {f"{ROW}[0].dialing_code": "1"})
    assert page.seen.status == 422
    assert page.error(f"{ROW}[0].dialing_code") != ""


async def test_a_filter_that_belongs_to_no_country_is_refused(page: PolicyPage):
    path = await page.add({**INDIA_ROW, "dialing_code": "999"})
    assert page.seen.status == 422
    assert page.error(f"{path}.dialing_code") != ""


async def test_a_row_has_a_sender_phone_or_a_messaging_service_of_its_own(page: PolicyPage):
    path = await page.add({**INDIA_ROW, "dialing_code": "92", "service_sid": SERVICE})
    assert "Leave one of the two empty." in page.error(f"{path}.service_sid")
    await page.press("keep", {f"{path}.sender_phone": ""})
    assert page.rows()[2] == ["+92", INDIA, "typed, not saved yet", "—", SERVICE]


async def test_the_token_of_the_row_that_sends_is_needed_for_a_test_and_its_row_opens(
    console: Console, page: PolicyPage, twilio: TwilioStandIn
):
    await page.save()
    assert (await page.press("test", {"to": TO_INDIA, "message": TEXT, "twilio.auth_token": TOKEN})).status == 422
    assert page.fields["open"] == f"{ROW}[0]"
    assert "Type it again before you send a test message." in page.error(f"{ROW}[0].auth_token")
    assert f'href="#{page.controls.ids[f"{ROW}[0].auth_token"]}"' in page.seen.html
    await page.press("keep", {f"{ROW}[0].auth_token": INDIA_ROW["auth_token"]})
    await page.press("test")
    assert [message.account for message in await twilio.messages()] == [INDIA]


async def test_mistakes_in_rows_that_were_saved_meanwhile_are_shown_at_the_row_and_its_field(page: PolicyPage):
    fields = dict(page.fields)
    fields[f"{ROW}[1]"] = fields[f"{ROW}[1]"].replace(AMERICA, "AC12")
    fields[f"{ROW}[0]"] = fields[f"{ROW}[0]"].replace(INDIA, "AC34")
    page._take(await page.browser.post("/sender-policy", {**fields, "do": "save"}))
    assert page.seen.status == 422
    assert "2 fields need your attention." in page.text
    assert page.fields["open"] == f"{ROW}[0]"
    assert page.error(f"{ROW}[0].account_sid").startswith("An account SID has 34 characters")
    assert "An account SID has 34 characters" in page.rows()[1][0]


async def test_enter_saves_the_row_while_one_is_open_and_never_sends(
    console: Console, page: PolicyPage, twilio: TwilioStandIn
):
    await page.add({**INDIA_ROW, "dialing_code": "92"}, keep=False)
    await page.press("enter")
    assert [row[0] for row in page.rows()] == ["+91", "+1", "+92"]
    await page.press("enter", {"to": TO_INDIA})
    assert "Nothing was sent or saved yet. Choose a button." in page.text
    assert await twilio.requests() == []
    assert await stored(console) == []
    page.fields["to"] = ""
    await page.press("enter")
    assert page.seen.status == 303


async def test_a_row_that_is_open_while_another_service_is_selected_is_not_lost(page: PolicyPage):
    path = await page.add({"dialing_code": "44"}, keep=False)
    assert (await page.press("show", {"sender_service": "sandbox"})).status == 422
    assert page.fields["sender_service"] == "twilio"
    assert page.fields[f"{path}.dialing_code"] == "44"


@pytest.mark.parametrize(
    "nonsense",
    [
        {"do": "edit:twilio.subaccounts[77]"},
        {"do": "edit:generic.rows[0]"},
        {"do": "remove:twilio.subaccounts[99]"},
        {"do": "add:twilio.account_sid"},
        {"do": "keep", "open": "twilio.subaccounts[9]"},
        {"do": "nothing of ours"},
        {"do": "show", "sender_service": "acme", "shown": "acme"},
        {"do": "show", "form": "../..", "revision": "-1", "sent": "SM1", "tried": "k1:AA", "open": "x"},
        {"do": "show", "section:sandbox": "[1", "twilio.subaccounts[0]": '{"auth_token": 7, "dialing_code": [1]}'},
        {"do": "show", "section:twilio": '{"subaccounts": {"a": 1}, "use_copilot": "yes"}', "shown": "sandbox"},
    ],
    ids=str,
)
async def test_forms_that_no_page_of_ours_makes_break_nothing(page: PolicyPage, nonsense: dict[str, str]):
    seen = await page.browser.post("/sender-policy", {**page.fields, **nonsense})
    assert seen.status in (200, 422)
    assert "Something broke" not in seen.text


async def test_a_thousand_saved_rows_come_back_in_one_form(page: PolicyPage):
    row = '{{"dialing_code":"+1{0:03d}","account_sid":"{1}","sender_phone":"+14155550101","service_sid":""}}'
    many = {f"{ROW}[{index}]": row.format(index, AMERICA) for index in range(2, 1000)}
    page._take(await page.browser.post("/sender-policy", {**page.fields, **many, "do": "show"}))
    assert page.seen.status == 200
    assert len(page.rows()) == 1000
    await page.press(f"remove:{ROW}[500]")
    assert len(page.rows()) == 999
