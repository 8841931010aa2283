"""The sender policy's page, sentence by sentence as its reference tells it (docs/reference/twilio-settings.md)."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from installation import until
from otpost.store.kinds import POLICIES
from otpost.web.policy.test import READS_THE_FORM
from standins.twilio import TwilioStandIn
from web.browsing import Console
from web.policy.world import (
    AMERICA,
    AMERICA_ROW,
    INDIA,
    INDIA_ROW,
    INDIA_SENDER,
    INDIA_TOKEN,
    MAIN,
    MAIN_FIELDS,
    SENDER,
    SERVICE,
    TEXT,
    TO,
    TO_INDIA,
    TOKEN,
    PolicyPage,
    accounts,
    at,
    through,
)


@pytest.fixture
async def twilio() -> AsyncIterator[TwilioStandIn]:
    async with TwilioStandIn(accounts()) as standin:
        yield standin


@pytest.fixture
async def page(console: Console) -> PolicyPage:
    """The page of a new installation."""
    return await PolicyPage.enter(await console.signed_in())


@pytest.fixture
async def saved(page: PolicyPage, twilio: TwilioStandIn) -> PolicyPage:
    """The page with Twilio chosen and saved, one subaccount for India among it."""
    await page.choose(changed={**MAIN_FIELDS, **at(twilio)})
    await page.add(INDIA_ROW)
    await page.save()
    assert "Saved as revision 1." in page.text
    return page


async def test_nothing_configured_says_what_is_missing_what_happens_meanwhile_and_the_next_step(
    page: PolicyPage,
):
    assert "No sender service is chosen" in page.text
    assert "starts of verifications and messages are refused" in page.text
    assert "Choose Twilio to send texts, or the Sandbox" in page.text
    seen = await page.press("save")
    assert seen.status == 422
    assert page.error("sender_service") == "Choose the sender service that sends your texts."


async def test_twilio_is_selected_in_sender_service_and_its_settings_show(page: PolicyPage):
    assert "twilio.account_sid" not in page.fields
    await page.choose("twilio")
    controls = page.controls
    labels = {
        name: controls.labels[controls.ids[name]]
        for name in controls.fields
        if controls.ids.get(name) in controls.labels
    }
    assert labels == {
        "sender_service": "Sender service",
        "twilio.account_sid": "Account sid",
        "twilio.auth_token": "Authentication token",
        "twilio.service_sid": "Messaging Service SID",
        "twilio.sender_phone": "Sender phone",
        "twilio.api_url": "API URL",
        "fallback_to_add": "Fallback",
        "failover_after_s": "Failover after, in seconds optional",
        "to": "Phone",
        "message": "Message",
        "numbers": "Numbers",
    }
    assert controls.labels[controls.ids["twilio.use_copilot"]] == "Use Copilot"
    names = list(controls.ids)
    assert names.index("twilio.service_sid") == names.index("twilio.use_copilot") + 1
    assert "add:twilio.subaccounts" in controls.buttons


async def test_other_services_keep_what_was_typed_while_another_is_selected(page: PolicyPage):
    await page.choose("twilio", MAIN_FIELDS)
    await page.add(INDIA_ROW)
    await page.choose("sandbox")
    assert "twilio.account_sid" not in page.fields
    await page.choose("twilio")
    assert page.fields["twilio.account_sid"] == MAIN
    assert page.state("twilio.auth_token") == "typed, not saved yet"
    assert [row[:2] for row in page.rows()] == [["+91", INDIA]]


async def test_other_services_keep_what_is_saved_while_another_is_chosen(saved: PolicyPage, console: Console):
    await saved.choose("sandbox")
    await saved.save()
    assert "Nothing is sent: texts go to the sandbox phone" in saved.text
    await saved.choose("twilio")
    assert saved.state("twilio.auth_token").startswith("set on ")
    await saved.save()
    policy = await console.here.store.get(POLICIES, console.here.tenant.sid)
    assert policy is not None
    assert (policy.sender_service, policy.incomplete) == ("twilio", False)


async def test_account_sid_and_token_are_user_name_and_password_at_twilio(
    saved: PolicyPage, console: Console, twilio: TwilioStandIn
):
    assert "It acts as the user name." in saved.text
    assert "It acts as the password" in saved.text
    assert (await through(console, twilio))["status"] == "accepted"
    request = (await twilio.requests())[-1]
    assert (request.account, request.username, request.password) == (MAIN, MAIN, TOKEN)


async def test_after_a_save_the_token_is_not_displayed_not_even_masked(saved: PolicyPage):
    assert "After you save, the Authentication token is not displayed, not even masked" in saved.text
    saved._take(await saved.browser.get("/sender-policy"))
    assert saved.controls.passwords == [""]
    assert "•" not in saved.text
    assert "***" not in saved.text
    assert saved.gave_nothing_away()


async def test_a_token_that_is_not_visible_is_saved_and_the_page_says_since_when_and_by_whom(
    console: Console, saved: PolicyPage
):
    assert saved.state("twilio.auth_token").startswith("set on ")
    assert saved.state("twilio.auth_token").endswith(" by ada")
    await saved.save({"twilio.sender_phone": "+14155550100"})
    assert saved.state("twilio.auth_token").endswith(" by ada")


async def test_the_page_says_set_on_3_may_by_ada(console: Console, saved: PolicyPage):
    console.here.clock.now = 1_809_302_400_000
    browser = await console.signed_in()
    again = await PolicyPage.enter(browser)
    await again.save({"twilio.auth_token": TOKEN})
    assert again.state("twilio.auth_token") == "set on 3 May by ada"
    console.here.clock.advance(300 * 86_400)
    later = await PolicyPage.enter(await console.signed_in())
    assert later.state("twilio.auth_token") == "set on 3 May 2027 by ada"


async def test_the_token_has_to_be_typed_again_before_a_test_because_test_reads_the_form(
    saved: PolicyPage, twilio: TwilioStandIn
):
    before = await twilio.requests()
    seen = await saved.press("test", {"to": TO, "message": TEXT})
    assert seen.status == 422
    assert saved.error("twilio.auth_token").endswith(f"Type it again before you send a test message. {READS_THE_FORM}")
    assert await twilio.requests() == before
    await saved.press("test", {"twilio.auth_token": TOKEN})
    assert "Twilio accepted the test. The text is on its way." in saved.text
    assert [message.body for message in await twilio.messages()] == [TEXT]


async def test_test_reads_the_form_and_the_messaging_service_reads_the_database(
    console: Console, saved: PolicyPage, twilio: TwilioStandIn
):
    assert "Test uses what is in this form" in saved.text
    assert "The messaging service reads the database" in saved.text
    await saved.press("test", {"to": TO, "message": TEXT, "twilio.auth_token": "a wrong token"})
    assert "Twilio refused the test: Authenticate (20003, docs ↗" in saved.text
    assert "Nothing was sent." in saved.text
    await saved.press("send")
    sid = saved.fields["sent"]
    assert (await console.here.message(sid))["status"] == "accepted"
    assert [request.password for request in await twilio.requests()] == ["a wrong token", TOKEN]
    await saved.press("show")
    assert "Twilio refused the test" in saved.text
    assert "Messaging service: what is saved" in saved.text
    assert f'href="/messages/{sid}"' in saved.seen.html
    assert "Accepted by Twilio" in saved.text


async def test_what_is_saved_is_in_force_for_the_messaging_service_and_what_is_not_is_not(
    console: Console, saved: PolicyPage, twilio: TwilioStandIn
):
    await saved.press("show", {"twilio.sender_phone": "+14155550177"})
    await through(console, twilio)
    await saved.save()
    assert "Saved as revision 2. The messaging service uses it from the next text on." in saved.text
    await through(console, twilio)
    sent = [dict(request.form)["From"] for request in await twilio.requests()]
    assert sent == [SENDER, "+14155550177"]


async def test_with_copilot_people_in_india_get_their_text_from_the_indian_number_and_without_from_the_us_one(
    console: Console, page: PolicyPage, twilio: TwilioStandIn
):
    await page.choose(changed={**MAIN_FIELDS, **at(twilio)})
    await page.save()
    await through(console, twilio, to=TO_INDIA)
    await page.save({"twilio.use_copilot": "on", "twilio.service_sid": SERVICE})
    await through(console, twilio, to=TO_INDIA)
    await through(console, twilio, to=TO)
    assert [message.sender for message in await twilio.messages()] == [SENDER, "+917700900160", "+14155550160"]
    with_copilot = dict((await twilio.requests())[-1].form)
    assert with_copilot["MessagingServiceSid"] == SERVICE
    assert "From" not in with_copilot
    assert "texts to people in India come from your Indian number" in page.text
    assert "Without it, they come from the Sender phone, a US number for instance." in page.text
    assert "helps where texts cross borders" in page.text


async def test_copilot_and_subaccounts_link_to_twilios_own_pages(page: PolicyPage):
    await page.choose()
    assert 'href="https://www.twilio.com/docs/messaging/services"' in page.seen.html
    assert 'href="https://www.twilio.com/docs/iam/api/subaccounts"' in page.seen.html


async def test_copilot_needs_its_messaging_service_sid(page: PolicyPage):
    await page.choose(changed={**MAIN_FIELDS, "twilio.use_copilot": "on"})
    assert (await page.press("save")).status == 422
    assert page.error("twilio.service_sid") == "Use Copilot needs a Messaging Service SID."
    assert "twilio.use_copilot" in page.fields


async def test_the_sender_phone_is_the_from_number_and_takes_the_code_and_a_backslash(
    console: Console, page: PolicyPage, twilio: TwilioStandIn
):
    await page.choose(changed={**MAIN_FIELDS, **at(twilio), "twilio.sender_phone": r"91\9191919191"})
    assert r"as in +919191919191 or 91\9191919191" in page.text
    await page.save()
    assert page.fields["twilio.sender_phone"] == "+919191919191"
    await twilio.set_account(MAIN, numbers=["+919191919191"])
    await through(console, twilio)
    assert [message.sender for message in await twilio.messages()] == ["+919191919191"]


async def test_subaccounts_are_optional_and_said_to_share_the_main_accounts_balance(
    page: PolicyPage, twilio: TwilioStandIn
):
    await page.choose(changed={**MAIN_FIELDS, **at(twilio)})
    assert "Subaccounts optional" in page.text
    assert "keep usage apart by country, phone number, customer or anything else" in page.text
    assert "belong to the main account and share its balance" in page.text
    assert "each has its own SID and Auth Token" in page.text
    await page.save()
    assert "Saved as revision 1." in page.text
    assert page.rows() == []


async def test_add_opens_a_row_with_its_four_fields(page: PolicyPage):
    await page.choose()
    await page.press("add:twilio.subaccounts")
    controls = page.controls
    path = page.fields["open"]
    assert path == "twilio.subaccounts[0]"
    labels = [controls.labels[controls.ids[name]] for name in controls.ids if name.startswith(f"{path}.")]
    assert labels == [
        "Country Dialing Code Filter",
        "Subaccount SID",
        "Subaccount Auth Token",
        "Sender Phone",
        "Messaging Service SID",
    ]
    assert "keep" in controls.buttons


async def test_the_filter_decides_which_subaccount_sends_by_itself(
    console: Console, saved: PolicyPage, twilio: TwilioStandIn
):
    assert (
        "With the filter +91, for example, one subaccount sends all texts to people in India, by itself." in saved.text
    )
    await saved.add(AMERICA_ROW)
    await saved.save()
    for to in (TO_INDIA, "+14155552671", "+447400123456"):
        await through(console, twilio, to=to)
    assert [(message.account, message.to) for message in await twilio.messages()] == [
        (INDIA, TO_INDIA),
        (AMERICA, "+14155552671"),
        (MAIN, "+447400123456"),
    ]


async def test_a_subaccount_sends_with_its_own_sid_and_its_own_token(
    console: Console, saved: PolicyPage, twilio: TwilioStandIn
):
    await through(console, twilio, to=TO_INDIA)
    request = (await twilio.requests())[-1]
    assert (request.account, request.username, request.password) == (INDIA, INDIA, INDIA_TOKEN)


async def test_a_subaccount_sid_has_34_characters(page: PolicyPage):
    await page.choose(changed=MAIN_FIELDS)
    await page.add({**INDIA_ROW, "account_sid": INDIA[:-1]})
    assert page.seen.status == 422
    rule = "An account SID has 34 characters: AC, then 32 digits or letters a–f."
    assert page.error("twilio.subaccounts[0].account_sid") == rule
    assert page.fields["twilio.subaccounts[0].account_sid"] == INDIA[:-1]
    assert "34 characters, beginning with AC." in page.text


async def test_the_subaccounts_sender_phone_is_what_the_recipients_phone_shows(
    console: Console, saved: PolicyPage, twilio: TwilioStandIn
):
    assert saved.rows()[0][3] == INDIA_SENDER
    await through(console, twilio, to=TO_INDIA)
    assert [message.sender for message in await twilio.messages()] == [INDIA_SENDER]


async def test_a_rows_save_commits_it_to_the_form_and_the_policys_save_to_the_database(
    console: Console, saved: PolicyPage, twilio: TwilioStandIn
):
    await saved.add(AMERICA_ROW)
    assert [row[0] for row in saved.rows()] == ["+91", "+1"]
    assert saved.rows()[1][2] == "typed, not saved yet"
    assert "Not saved yet." in saved.text
    stored = await console.here.ok("GET", "/v1/sender-policy")
    assert [row["dialing_code"] for row in stored["twilio"]["subaccounts"]] == ["+91"]
    await saved.save()
    stored = await console.here.ok("GET", "/v1/sender-policy")
    assert [row["dialing_code"] for row in stored["twilio"]["subaccounts"]] == ["+91", "+1"]
    assert saved.rows()[1][2].endswith(" by ada")


async def test_a_change_of_one_field_is_saved_without_the_token_and_production_still_sends(
    console: Console, saved: PolicyPage, twilio: TwilioStandIn
):
    saved._take(await saved.browser.get("/sender-policy"))
    assert saved.fields["twilio.auth_token"] == ""
    await saved.save({"twilio.sender_phone": "+14155550177"})
    await twilio.set_account(MAIN, numbers=["+14155550177"])
    assert (await through(console, twilio))["status"] == "accepted"
    assert (await twilio.requests())[-1].password == TOKEN


async def test_a_refusal_shows_the_vendors_words_its_code_the_link_and_what_follows(
    saved: PolicyPage, twilio: TwilioStandIn
):
    await saved.press("test", {"to": "+15005550001", "message": TEXT, "twilio.auth_token": TOKEN})
    assert "Twilio accepted the test." in saved.text
    await twilio.fault("answer", status=400, body='{"code":21211,"message":"The number is <not> valid."}')
    await saved.press("test")
    assert "Twilio refused the test: The number is <not> valid. (21211, docs ↗" in saved.text
    assert 'href="https://www.twilio.com/docs/api/errors/21211"' in saved.seen.html
    assert "<em>The number is &lt;not&gt; valid.</em>" in saved.seen.html
    assert "Nothing was sent." in saved.text
    assert f"Account {MAIN}" in saved.text
    assert f"Origin {SENDER}" in saved.text
    assert " ms" in saved.text


async def test_the_timeline_of_the_messaging_service_goes_on_by_itself(console: Console, saved: PolicyPage):
    await saved.press("send", {"to": TO, "message": TEXT})
    sid = saved.fields["sent"]
    await console.here.message(sid)
    assert f'hx-get="/messages/{sid}/timeline"' in saved.seen.html

    async def look() -> str:
        return (await saved.browser.get(f"/messages/{sid}/timeline", {"hx-request": "true"})).text

    assert "Accepted by Twilio" in await until(look, lambda text: "Accepted by Twilio" in text)


async def test_nothing_goes_through_the_messaging_service_before_there_is_a_saved_policy(page: PolicyPage):
    await page.choose(changed={**MAIN_FIELDS, "to": TO})
    assert (await page.press("send")).status == 422
    assert page.error("sender_service").startswith("No sender service is saved that is ready to send.")


async def test_ten_tests_a_minute_and_then_words_that_say_how_long_to_wait(console: Console, saved: PolicyPage):
    for _ in range(10):
        await saved.press("test", {"to": TO, "message": TEXT, "twilio.auth_token": TOKEN})
    assert "Twilio accepted the test." in saved.text
    assert (await saved.press("test")).status == 429
    assert "Wait 60 s and test again; nothing was sent." in saved.text


async def test_a_guarded_address_is_refused_at_its_field(saved: PolicyPage):
    assert (await saved.press("save", {"twilio.api_url": "https://10.0.0.1", "twilio.auth_token": TOKEN})).status == 422
    assert saved.error("twilio.api_url") != ""
    assert '<details class="advanced" open>' in saved.seen.html


async def test_a_save_over_anothers_says_who_changed_what_and_loses_nothing(console: Console, saved: PolicyPage):
    await console.user("bob")
    browser = console.browser("192.0.2.2")
    await browser.sign_in("bob")
    other = await PolicyPage.enter(browser)
    await other.save({"twilio.sender_phone": "+14155550188"})
    assert "Saved as revision 2." in other.text
    changed = {"twilio.account_sid": MAIN.upper().replace("AC", "AC", 1), "twilio.auth_token": TOKEN}
    seen = await saved.press("save", {**changed, "twilio.sender_phone": "+14155550199"})
    assert seen.status == 409
    assert "Nothing was saved: the policy was saved by somebody else after you opened this form." in saved.text
    assert "bob saved revision 2 on " in saved.text
    assert "Twilio: Sender phone: +14155550100 → +14155550188" in saved.text
    assert saved.fields["twilio.sender_phone"] == "+14155550199"
    assert saved.state("twilio.auth_token") == "typed, not saved yet"
    assert (await console.here.ok("GET", "/v1/sender-policy"))["twilio"]["sender_phone"] == "+14155550188"
    await saved.save()
    assert "Saved as revision 3." in saved.text
    assert saved.fields["twilio.sender_phone"] == "+14155550199"


async def test_the_messaging_service_takes_and_refuses_the_same_texts_as_the_test(console: Console, saved: PolicyPage):
    for text in ("a\u00a0b\tc", "👨\u200d👩\u200d👧", "\u061cرمز\u200f"):
        await saved.press("send", {"to": TO, "message": text})
        sid = saved.fields["sent"]
        assert (await console.here.message(sid))["status"] == "accepted"
        assert saved.fields["message"] == text
    for text, words in (
        ("a\u202eb", "Remove U+202E (RIGHT-TO-LEFT OVERRIDE): it turns the order of the characters after it round."),
        ("a\x1bb", "Remove U+001B (ESCAPE), a control character."),
        ("\u200b", "Write the text that is to be sent."),
    ):
        for button in ("send", "test"):
            await saved.press(button, {"to": TO, "message": text, "twilio.auth_token": TOKEN})
            assert saved.error("message").endswith(words), button


async def test_what_copying_brought_along_is_no_part_of_a_setting(console: Console, page: PolicyPage):
    await page.choose(
        changed={
            "twilio.account_sid": f"\u200b{MAIN[:10]}\n{MAIN[10:]} \u2060",
            "twilio.auth_token": f"\ufeff {TOKEN}\t\u200b\n",
            "twilio.sender_phone": f"\u202a{SENDER[:5]}\t{SENDER[5:]}\u202c\n",
        }
    )
    await page.press("save")
    kept = (await console.here.ok("GET", "/v1/sender-policy"))["twilio"]
    assert (kept["account_sid"], kept["sender_phone"], kept["auth_token_set"]) == (MAIN, SENDER, True)
    await page.press("send", {"to": f"tel:{TO},", "message": TEXT})
    assert (await console.here.ok("GET", f"/v1/messages/{page.fields['sent']}"))["to"] == TO
