"""Subaccounts on the sender policy's page: added, edited, removed; mistakes at their fields; nothing lost."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from standins.twilio import TwilioStandIn
from web.browsing import Console
from web.policy_world import (
    AMERICA,
    AMERICA_ROW,
    INDIA,
    INDIA_ROW,
    MAIN_FIELDS,
    SERVICE,
    TEXT,
    TO_INDIA,
    TOKEN,
    Room,
    accounts,
    at,
)

ROW = "twilio.subaccounts"


@pytest.fixture
async def twilio() -> AsyncIterator[TwilioStandIn]:
    async with TwilioStandIn(accounts()) as standin:
        yield standin


@pytest.fixture
async def room(console: Console, twilio: TwilioStandIn) -> Room:
    """Twilio chosen, its main account filled in, two rows in the form; nothing saved."""
    made = await Room.enter(await console.signed_in())
    await made.choose(changed={**MAIN_FIELDS, **at(twilio)})
    await made.add(INDIA_ROW)
    await made.add(AMERICA_ROW)
    return made


async def stored(console: Console) -> list[tuple[str, str]]:
    policy = await console.here.ok("GET", "/v1/sender-policy")
    return [(row["dialing_code"], row["account_sid"]) for row in policy["twilio"]["subaccounts"]]


async def test_a_row_is_edited_and_its_token_stays_typed(console: Console, room: Room):
    await room.press(f"edit:{ROW}[1]")
    assert room.fields[f"{ROW}[1].dialing_code"] == "+1"
    assert room.fields[f"{ROW}[1].auth_token"] == ""
    await room.press("keep", {f"{ROW}[1].dialing_code": "1876"})
    assert [row[:3] for row in room.rows()] == [
        ["+91", INDIA, "typed, not saved yet"],
        ["+1876", AMERICA, "typed, not saved yet"],
    ]
    await room.save()
    assert await stored(console) == [("+91", INDIA), ("+1876", AMERICA)]


async def test_cancel_leaves_a_row_as_it_was_and_drops_a_new_one(room: Room):
    await room.press(f"edit:{ROW}[0]")
    await room.press("cancel", {f"{ROW}[0].dialing_code": "44"})
    assert room.rows()[0][0] == "+91"
    await room.add({"dialing_code": "49"}, keep=False)
    await room.press("cancel")
    assert [row[0] for row in room.rows()] == ["+91", "+1"]


async def test_a_row_is_removed_from_the_form_and_by_save_from_the_database(console: Console, room: Room):
    await room.save()
    await room.press(f"remove:{ROW}[0]")
    assert [row[0] for row in room.rows()] == ["+1"]
    assert len(await stored(console)) == 2
    await room.save()
    assert await stored(console) == [("+1", AMERICA)]


async def test_removing_a_row_above_an_open_one_keeps_what_is_typed_in_it(room: Room):
    await room.press(f"edit:{ROW}[1]", {})
    await room.press(f"remove:{ROW}[0]", {f"{ROW}[1].sender_phone": "+14155550111"})
    assert room.fields["open"] == f"{ROW}[0]"
    await room.press("keep")
    assert [row[0] for row in room.rows()] == ["+1"]
    assert room.rows()[0][3] == "+14155550111"


async def test_what_is_typed_in_a_row_that_was_not_saved_to_the_form_is_neither_saved_nor_tested_nor_lost(
    console: Console, room: Room, twilio: TwilioStandIn
):
    path = await room.add({"dialing_code": "44", "auth_token": "t"}, keep=False)
    for button in ("save", "test", f"add:{ROW}", f"edit:{ROW}[0]"):
        assert (await room.press(button, {"to": TO_INDIA})).status == 422
        assert "what you typed in this row is not in the form yet. Save the row, or cancel it." in room.text
        assert room.fields[f"{path}.dialing_code"] == "44"
        assert room.state(f"{path}.auth_token") == "typed, not saved yet"
    assert await twilio.requests() == []
    assert await stored(console) == []


async def test_an_empty_new_row_is_no_row(console: Console, room: Room):
    await room.press(f"add:{ROW}")
    await room.save()
    assert await stored(console) == [("+91", INDIA), ("+1", AMERICA)]


async def test_a_row_without_what_it_needs_says_so_at_each_field(room: Room):
    await room.add({})
    assert room.seen.status == 422
    assert "The row was not saved to the form: 4 fields need your attention." in room.text
    path = room.fields["open"]
    assert room.error(f"{path}.dialing_code").startswith("Country Dialing Code Filter is needed.")
    assert room.error(f"{path}.account_sid").startswith("Subaccount SID is needed.")
    assert room.error(f"{path}.auth_token") == "Subaccount Auth Token is not stored. Type it."
    assert room.error(f"{path}.sender_phone").startswith("A subaccount needs a Sender Phone")


async def test_a_second_row_with_the_same_filter_is_refused(room: Room):
    path = await room.add({**INDIA_ROW, "dialing_code": "0091"})
    assert room.error(f"{path}.dialing_code") == "There is such a subaccount already. Edit that one, or change this."
    await room.press("cancel")
    await room.press(f"edit:{ROW}[0]")
    await room.press("keep", {f"{ROW}[0].dialing_code": "1"})
    assert room.seen.status == 422
    assert room.error(f"{ROW}[0].dialing_code") != ""


async def test_a_filter_that_belongs_to_no_country_is_refused(room: Room):
    path = await room.add({**INDIA_ROW, "dialing_code": "999"})
    assert room.seen.status == 422
    assert room.error(f"{path}.dialing_code") != ""


async def test_a_row_has_a_sender_phone_or_a_messaging_service_of_its_own(room: Room):
    path = await room.add({**INDIA_ROW, "dialing_code": "92", "service_sid": SERVICE})
    assert "Leave one of the two empty." in room.error(f"{path}.service_sid")
    await room.press("keep", {f"{path}.sender_phone": ""})
    assert room.rows()[2] == ["+92", INDIA, "typed, not saved yet", "—", SERVICE]


async def test_the_token_of_the_row_that_sends_is_needed_for_a_test_and_its_row_opens(
    console: Console, room: Room, twilio: TwilioStandIn
):
    await room.save()
    assert (await room.press("test", {"to": TO_INDIA, "message": TEXT, "twilio.auth_token": TOKEN})).status == 422
    assert room.fields["open"] == f"{ROW}[0]"
    assert "Type it again before you send a test message." in room.error(f"{ROW}[0].auth_token")
    assert f'href="#{room.page.ids[f"{ROW}[0].auth_token"]}"' in room.seen.html
    await room.press("keep", {f"{ROW}[0].auth_token": INDIA_ROW["auth_token"]})
    await room.press("test")
    assert [message.account for message in await twilio.messages()] == [INDIA]


async def test_mistakes_in_rows_that_were_saved_meanwhile_are_shown_at_the_row_and_its_field(room: Room):
    fields = dict(room.fields)
    fields[f"{ROW}[1]"] = fields[f"{ROW}[1]"].replace(AMERICA, "AC12")
    fields[f"{ROW}[0]"] = fields[f"{ROW}[0]"].replace(INDIA, "AC34")
    room._take(await room.browser.post("/sender-policy", {**fields, "do": "save"}))
    assert room.seen.status == 422
    assert "2 fields need your attention." in room.text
    assert room.fields["open"] == f"{ROW}[0]"
    assert room.error(f"{ROW}[0].account_sid").startswith("An account SID has 34 characters")
    assert "An account SID has 34 characters" in room.rows()[1][0]


async def test_enter_saves_the_row_while_one_is_open_and_never_sends(
    console: Console, room: Room, twilio: TwilioStandIn
):
    await room.add({**INDIA_ROW, "dialing_code": "92"}, keep=False)
    await room.press("enter")
    assert [row[0] for row in room.rows()] == ["+91", "+1", "+92"]
    await room.press("enter", {"to": TO_INDIA})
    assert "Nothing was sent or saved yet. Choose a button." in room.text
    assert await twilio.requests() == []
    assert await stored(console) == []
    room.fields["to"] = ""
    await room.press("enter")
    assert room.seen.status == 303


async def test_a_row_that_is_open_while_another_service_is_selected_is_not_lost(room: Room):
    path = await room.add({"dialing_code": "44"}, keep=False)
    assert (await room.press("show", {"sender_service": "sandbox"})).status == 422
    assert room.fields["sender_service"] == "twilio"
    assert room.fields[f"{path}.dialing_code"] == "44"


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
async def test_forms_that_no_page_of_ours_makes_break_nothing(room: Room, nonsense: dict[str, str]):
    seen = await room.browser.post("/sender-policy", {**room.fields, **nonsense})
    assert seen.status in (200, 422)
    assert "Something broke" not in seen.text


async def test_a_thousand_saved_rows_come_back_in_one_form(room: Room):
    row = '{{"dialing_code":"+1{0:03d}","account_sid":"{1}","sender_phone":"+14155550101","service_sid":""}}'
    many = {f"{ROW}[{index}]": row.format(index, AMERICA) for index in range(2, 1000)}
    room._take(await room.browser.post("/sender-policy", {**room.fields, **many, "do": "show"}))
    assert room.seen.status == 200
    assert len(room.rows()) == 1000
    await room.press(f"remove:{ROW}[500]")
    assert len(room.rows()) == 999
