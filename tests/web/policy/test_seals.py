"""Typed and stored secrets on the sender policy's page: sealed for one session and form, 15 minutes, never shown."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest

from otpost.web.routes import CONTENT_SECURITY_POLICY
from standins.twilio import TwilioStandIn
from web.browsing import Console
from web.policy.world import (
    INDIA_ROW,
    INDIA_TOKEN,
    MAIN,
    MAIN_FIELDS,
    MARK,
    OTHER_TOKEN,
    PATH,
    TEXT,
    TO,
    TO_INDIA,
    TOKEN,
    PolicyPage,
    accounts,
    at,
    through,
)

FOREIGN = {"sec-fetch-site": "cross-site", "origin": "https://evil.example"}


@pytest.fixture
async def twilio() -> AsyncIterator[TwilioStandIn]:
    async with TwilioStandIn(accounts()) as standin:
        yield standin


@pytest.fixture
async def typed(console: Console, twilio: TwilioStandIn) -> PolicyPage:
    """A form that has come back with a typed token and a row; nothing is saved."""
    page = await PolicyPage.enter(await console.signed_in())
    await page.choose(changed={**MAIN_FIELDS, **at(twilio)})
    await page.add(INDIA_ROW)
    return page


async def test_a_typed_token_is_carried_sealed_and_saved_and_tested_without_being_typed_again(
    console: Console, typed: PolicyPage, twilio: TwilioStandIn
):
    assert typed.state("twilio.auth_token") == "typed, not saved yet"
    assert typed.rows()[0][2] == "typed, not saved yet"
    for to in (TO, TO_INDIA):
        await typed.press("test", {"to": to, "message": TEXT})
        assert "Twilio accepted the test." in typed.text
    await typed.save()
    await through(console, twilio)
    await through(console, twilio, to=TO_INDIA)
    assert [request.password for request in await twilio.requests()] == [TOKEN, INDIA_TOKEN] * 2
    assert typed.gave_nothing_away()


async def test_no_page_ever_holds_a_secret_in_the_clear_nor_its_length_nor_its_last_digits(
    console: Console, typed: PolicyPage
):
    await typed.press("edit:twilio.subaccounts[0]")
    await typed.press("keep")
    await typed.press("save", {"twilio.account_sid": "wrong"})
    assert typed.seen.status == 422
    await typed.save({"twilio.account_sid": MAIN})
    for path in (PATH, f"{PATH}/revisions", f"{PATH}/revisions/1", f"{PATH}/routes", "/settings"):
        html = (await typed.browser.get(path)).html
        assert MARK not in html
        typed.htmls.append(html)
    assert typed.gave_nothing_away()
    assert all(value == "" for value in typed.controls.passwords)


async def test_a_seal_does_not_tell_how_long_the_secret_is(typed: PolicyPage):
    lengths = set()
    for token in ("t", "t" * 32, "t" * 200):
        await typed.press("show", {"twilio.auth_token": token})
        lengths.add(len(typed.fields["twilio.auth_token~sealed"]))
    assert len(lengths) == 1


async def test_a_sealed_secret_is_of_no_use_after_15_minutes(
    console: Console, typed: PolicyPage, twilio: TwilioStandIn
):
    console.here.clock.advance(15 * 60 - 1)
    await typed.press("show")
    assert typed.state("twilio.auth_token") == "typed, not saved yet"
    console.here.clock.advance(15 * 60)
    for button in ("save", "test"):
        seen = await typed.press(button, {"to": TO})
        assert seen.status == 422
        assert "was typed more than 15 minutes ago" in typed.error("twilio.auth_token")
        assert "Type it again" in typed.error("twilio.auth_token")
    assert await twilio.requests() == []
    assert (await console.here.ok("GET", "/v1/sender-policy"))["revision"] == 0


async def test_a_forgotten_secret_never_turns_into_keeping_the_stored_one_unseen(
    console: Console, typed: PolicyPage, twilio: TwilioStandIn
):
    await typed.save()
    await typed.press("show", {"twilio.auth_token": OTHER_TOKEN})
    console.here.clock.advance(16 * 60)
    assert (await typed.press("save")).status == 422
    assert (await typed.press("save")).status == 422
    await typed.save({"twilio.auth_token": OTHER_TOKEN})
    assert "Saved as revision 2." in typed.text


async def test_a_sealed_secret_is_of_no_use_in_another_session_or_another_form(console: Console, typed: PolicyPage):
    sealed = typed.fields["twilio.auth_token~sealed"]
    same_person = console.browser("192.0.2.3")
    await same_person.sign_in()
    elsewhere = await PolicyPage.enter(same_person)
    elsewhere.fields = dict(typed.fields)
    assert (await elsewhere.press("save")).status == 422
    assert "in another session" in elsewhere.error("twilio.auth_token")
    other_form = await PolicyPage.enter(typed.browser)
    await other_form.choose(changed={**MAIN_FIELDS, "twilio.auth_token": "", "twilio.auth_token~sealed": sealed})
    assert (await other_form.press("save")).status == 422
    assert "forgotten" in other_form.error("twilio.auth_token")
    assert (await console.here.ok("GET", "/v1/sender-policy"))["revision"] == 0


async def test_a_seal_that_was_tampered_with_is_refused_in_words(typed: PolicyPage):
    for forged in ("k1:AAAA", "k9:" + "A" * 60, "nonsense", "k1:%%%", "k1:" + "A" * 80, "\udcff"):
        fields = {**typed.fields, "twilio.auth_token~sealed": forged.encode("utf-8", "replace").decode()}
        seen = await typed.browser.post(PATH, {**fields, "do": "save"})
        assert seen.status == 422, forged
        assert "forgotten" in seen.text


async def test_a_typed_secret_does_not_follow_a_changed_address(typed: PolicyPage, twilio: TwilioStandIn):
    async with TwilioStandIn(accounts()) as other:
        await typed.press("test", {"to": TO, "twilio.api_url": other.url})
        assert typed.seen.status == 422
        assert "was typed for another address" in typed.error("twilio.auth_token")
        assert await other.requests() == []


async def test_a_stored_secret_stays_with_its_account_and_address(console: Console, typed: PolicyPage):
    await typed.save()
    await typed.press("save", {"twilio.account_sid": "AC" + "e" * 32})
    assert typed.seen.status == 422
    assert "belongs to another account or address" in typed.error("twilio.auth_token")
    assert typed.state("twilio.auth_token") == "not set"


async def test_a_stored_secret_can_be_forgotten(console: Console, typed: PolicyPage):
    await typed.save()
    await typed.press("show", {"twilio.auth_token~clear": "on"})
    assert typed.state("twilio.auth_token") == "forgotten as soon as this is saved"
    await typed.save()
    assert typed.state("twilio.auth_token") == "not set"
    shown = await console.here.ok("GET", "/v1/sender-policy")
    assert shown["twilio"]["auth_token_set"] is False
    assert (await console.here.call("POST", "/v1/messages", {"to": TO, "body": TEXT})).status == 409


async def test_a_blank_token_is_no_token(typed: PolicyPage):
    assert (await typed.press("save", {"twilio.auth_token": "   "})).status == 422
    assert "is blank" in typed.error("twilio.auth_token")


async def test_forms_of_other_sites_and_of_strangers_are_refused(console: Console, typed: PolicyPage):
    fields = {**typed.fields, "do": "save"}
    for path in (PATH, f"{PATH}/routes", f"{PATH}/revisions/1"):
        seen = await typed.browser.post(path, fields, FOREIGN)
        assert seen.status == 403
        assert "did not come from a page of this console" in seen.text
        stranger = await console.browser("192.0.2.9").post(path, fields)
        assert (stranger.status, stranger.location.split("?")[0]) == (303, "/sign-in")
        assert (await console.browser("192.0.2.9").get(path)).location.startswith("/sign-in")
    assert (await console.here.ok("GET", "/v1/sender-policy"))["revision"] == 0


async def test_the_pages_keep_the_content_security_policy_and_have_nothing_inline(typed: PolicyPage):
    await typed.save()
    for path in (PATH, f"{PATH}/revisions", f"{PATH}/revisions/1", f"{PATH}/routes"):
        seen = await typed.browser.get(path)
        assert seen.answer.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
        assert seen.answer.headers["cache-control"] == "no-store"
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|hx-on|javascript:", seen.html)
        assert all(" src=" in script for script in re.findall(r"<script[^>]*>", seen.html))
