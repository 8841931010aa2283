"""Revisions of the sender policy in the console: what each Save changed, and Restore with the secrets it asks for."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from standins.twilio import TwilioStandIn
from web.browsing import Console
from web.policy.world import (
    AMERICA_ROW,
    INDIA_ROW,
    INDIA_TOKEN,
    MAIN_FIELDS,
    MARK,
    PATH,
    TO_INDIA,
    PolicyPage,
    accounts,
    at,
    through,
)

INDIAS = "twilio.subaccounts[0].auth_token"


@pytest.fixture
async def twilio() -> AsyncIterator[TwilioStandIn]:
    async with TwilioStandIn(accounts()) as standin:
        yield standin


@pytest.fixture
async def page(console: Console, twilio: TwilioStandIn) -> PolicyPage:
    """Revision 1 with a row for India, revision 2 with one for America in its place."""
    made = await PolicyPage.enter(await console.signed_in())
    await made.choose(changed={**MAIN_FIELDS, **at(twilio)})
    await made.add(INDIA_ROW)
    await made.save()
    await made.press("remove:twilio.subaccounts[0]")
    await made.add(AMERICA_ROW)
    await made.save({"twilio.sender_phone": "+14155550177"})
    return made


async def test_the_list_says_who_saved_when_and_what_changed(page: PolicyPage):
    seen = await page.browser.get(f"{PATH}/revisions")
    assert "Twilio: Sender phone: +14155550100 → +14155550177" in seen.text
    assert "Twilio: Subaccount +91: removed" in seen.text
    assert "Twilio: Subaccount +1: added" in seen.text
    assert "Twilio: Authentication token: changed" in seen.text
    assert "Sender service: none → Twilio" in seen.text
    assert "ada" in seen.text
    assert "In force" in seen.text
    assert "Restore revision 1" in seen.text
    assert "Restore revision 2" not in seen.text
    assert MARK not in seen.html


async def test_a_new_installation_has_no_revisions_and_says_what_makes_one(console: Console):
    seen = await (await console.signed_in()).get(f"{PATH}/revisions")
    assert "Nothing was saved yet" in seen.text
    assert "Open the sender policy" in seen.text


async def test_restore_says_what_it_would_change_and_asks_for_the_secrets_that_it_lacks(
    console: Console, page: PolicyPage, twilio: TwilioStandIn
):
    restore = PolicyPage(page.browser, await page.browser.get(f"{PATH}/revisions/1"))
    restore._take(restore.seen)
    assert "What Restore would change now" in restore.text
    assert "Twilio: Sender phone: +14155550177 → +14155550100" in restore.text
    assert "Twilio: Subaccount +91: added" in restore.text
    assert [name for name in restore.fields if name.endswith("auth_token")] == [INDIAS]
    assert restore.controls.labels[restore.controls.ids[INDIAS]] == "Twilio: Subaccount +91: Subaccount Auth Token"
    restore._take(await page.browser.post(f"{PATH}/revisions/1", restore.fields))
    assert restore.seen.status == 422
    assert restore.error(INDIAS) != ""
    seen = await page.browser.post(f"{PATH}/revisions/1", {**restore.fields, INDIAS: INDIA_TOKEN}, follow=True)
    assert "Revision 1 is restored, as revision 3." in seen.text
    await through(console, twilio, to=TO_INDIA)
    assert (await twilio.requests())[-1].password == INDIA_TOKEN
    assert "Revision 1 restored" in (await page.browser.get(f"{PATH}/revisions")).text


async def test_what_was_typed_for_a_restore_stays_sealed_through_a_conflict(console: Console, page: PolicyPage):
    restore = PolicyPage(page.browser, await page.browser.get(f"{PATH}/revisions/1"))
    restore._take(restore.seen)
    await page.save({"twilio.sender_phone": "+14155550188"})
    restore._take(await page.browser.post(f"{PATH}/revisions/1", {**restore.fields, INDIAS: INDIA_TOKEN}))
    assert restore.seen.status == 409
    assert "the policy was saved again meanwhile" in restore.text
    assert restore.state(INDIAS) == "typed, not saved yet"
    assert restore.fields[INDIAS] == ""
    assert restore.gave_nothing_away()
    late = dict(restore.fields)
    seen = await page.browser.post(f"{PATH}/revisions/1", restore.fields, follow=True)
    assert "as revision 4." in seen.text
    console.here.clock.advance(16 * 60)
    restore._take(await page.browser.post(f"{PATH}/revisions/1", late))
    assert restore.seen.status == 422
    assert "more than 15 minutes ago" in restore.error(INDIAS)


async def test_a_revision_that_is_not_there_is_a_page_that_says_so(page: PolicyPage):
    for number in ("9", "0", "x", "99999999999999999999", "2147483648"):
        seen = await page.browser.get(f"{PATH}/revisions/{number}")
        assert seen.status == 404
        assert "There is no such revision." in seen.text
