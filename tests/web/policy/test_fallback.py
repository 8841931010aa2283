"""The sender policy's page for several services: who stands in, failover, rates, presets, and accounts left alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from otpost.domain.policy import Breaker
from otpost.senders.registry import capabilities, find_services
from otpost.senders.settings import form
from otpost.store.kinds import BREAKERS
from otpost.store.units import Rows, Unit, lock
from standins.twilio import TwilioStandIn
from web.browsing import Console
from web.policy.world import MAIN, MAIN_FIELDS, MARK, TEXT, TO, PolicyPage, accounts, at

KEY = f"{MARK}-messagebird"
BIRD = {"messagebird.access_key": KEY, "messagebird.originator": "MyBrand"}
VONAGE = {"vonage.api_key": "abcd1234", "vonage.api_secret": f"{MARK}-vonage", "vonage.sender": "MyBrand"}
STAND_INS = [name for name, service in find_services().items() if service.may_be_fallback]


@pytest.fixture
async def twilio() -> AsyncIterator[TwilioStandIn]:
    async with TwilioStandIn(accounts()) as standin:
        yield standin


@pytest.fixture
async def page(small_console: Console, twilio: TwilioStandIn) -> PolicyPage:
    """Twilio chosen and filled in; nothing saved."""
    made = await PolicyPage.enter(await small_console.signed_in())
    await made.choose(changed={**MAIN_FIELDS, **at(twilio)})
    return made


async def stand_in(page: PolicyPage, service: str, changed: dict[str, str] | None = None) -> None:
    await page.press("fallback-add", {"fallback_to_add": service})
    page.fields.update(changed or {})


def order(page: PolicyPage) -> list[str]:
    """The services that stand in, in the order of the page."""
    return [value for name, value in page.fields.items() if name.startswith("fallback[")]


async def stored(console: Console) -> Any:
    return await console.here.ok("GET", "/v1/sender-policy")


@pytest.mark.parametrize("service", [name for name in find_services() if name != "sandbox"])
async def test_every_service_has_a_form_made_from_its_settings(small_console: Console, service: str):
    page = await PolicyPage.enter(await small_console.signed_in())
    await page.choose(service)
    controls = page.controls
    for field in form(find_services()[service].Settings):
        if field.kind == "rows":
            assert f"add:{service}.{field.name}" in controls.buttons
        else:
            assert controls.labels[controls.ids[f"{service}.{field.name}"]] == field.label
    assert page.fields["shown"] == service


@pytest.mark.parametrize("service", [name for name in STAND_INS if name != "twilio"])
async def test_a_stand_ins_form_is_edited_while_another_service_is_chosen(page: PolicyPage, service: str):
    await stand_in(page, service)
    assert page.fields["shown"] == f"twilio {service}"
    for field in form(find_services()[service].Settings):
        if field.kind == "rows":
            assert f"add:{service}.{field.name}" in page.controls.buttons
        else:
            assert f"{service}.{field.name}" in page.controls.ids
    assert page.fields["twilio.account_sid"] == MAIN


async def test_services_that_stand_in_are_added_moved_and_removed_and_saved_in_their_order(
    page: PolicyPage, small_console: Console
):
    await stand_in(page, "messagebird", BIRD)
    await stand_in(page, "vonage", VONAGE)
    assert order(page) == ["messagebird", "vonage"]
    await page.press("fallback-up:1")
    assert order(page) == ["vonage", "messagebird"]
    await page.press("fallback-down:0")
    await page.press("fallback-up:1")
    await page.save()
    assert "Saved as revision 1." in page.text
    assert (await stored(small_console))["fallback"] == ["vonage", "messagebird"]
    assert page.state("messagebird.access_key").endswith(" by ada")
    await page.press("fallback-remove:0")
    assert order(page) == ["messagebird"]
    await page.save()
    saved = await stored(small_console)
    assert saved["fallback"] == ["messagebird"]
    assert saved["vonage"]["api_key"] == "abcd1234"
    assert page.gave_nothing_away()


async def test_a_service_is_offered_once_and_the_sandbox_and_the_chosen_one_never(page: PolicyPage):
    await stand_in(page, "messagebird")
    offered = page.seen.html.partition('name="fallback_to_add"')[2].partition("</select>")[0]
    names = [name for name in STAND_INS if f'value="{name}"' in offered]
    assert names == [name for name in STAND_INS if name not in ("twilio", "messagebird")]
    assert 'value="sandbox"' not in offered


async def test_only_a_complete_service_stands_in_and_what_it_lacks_is_told_at_its_fields(
    page: PolicyPage, small_console: Console
):
    await stand_in(page, "messagebird")
    assert "MessageBird lacks Originator, Access key" in page.text
    assert (await page.press("save")).status == 422
    assert "2 fields need your attention." in page.text
    assert page.error("messagebird.originator").startswith("Originator is needed.")
    assert page.error("messagebird.access_key") == "Access key is not stored. Type it."
    assert '<details class="stand-in-settings" open>' in page.seen.html
    assert (await stored(small_console))["revision"] == 0
    await page.save(BIRD)
    assert "Saved as revision 1." in page.text
    assert "MessageBird complete" in page.text
    assert '<details class="stand-in-settings">' in page.seen.html


async def test_choosing_a_service_that_stood_in_takes_it_out_of_the_fallbacks(page: PolicyPage, small_console: Console):
    await stand_in(page, "messagebird", BIRD)
    await page.choose("messagebird")
    assert order(page) == []
    assert page.state("messagebird.access_key") == "typed, not saved yet"
    await page.save()
    saved = await stored(small_console)
    assert (saved["sender_service"], saved["fallback"]) == ("messagebird", [])
    assert saved["twilio"]["account_sid"] == MAIN


async def test_the_sandbox_is_asked_nothing_and_what_was_typed_is_kept_meanwhile(page: PolicyPage):
    await stand_in(page, "messagebird", {**BIRD, "failover_after_s": "60"})
    await page.press("rate-add")
    await page.choose("sandbox", {"rates[0].origin": TO, "rates[0].messages_per_second": "1"})
    assert "When it fails" not in page.text
    await page.choose("twilio")
    assert order(page) == ["messagebird"]
    assert page.fields["messagebird.originator"] == "MyBrand"
    assert page.state("messagebird.access_key") == "typed, not saved yet"
    assert page.fields["failover_after_s"] == "60"
    assert page.fields["rates[0].origin"] == TO


async def test_a_mistake_that_is_not_shown_is_told_where_it_can_be_reached(page: PolicyPage):
    await page.choose("sandbox", {"failover_after_s": "5"})
    assert (await page.press("save")).status == 422
    told = "When it fails, which is not shown: Failover can come after 10 to 600 seconds."
    assert page.error("sender_service") == told


async def test_a_row_of_a_stand_in_is_edited_like_any_other(page: PolicyPage, small_console: Console):
    await stand_in(page, "generic", {"generic.service_url": "https://sms.example.com/send?to={phone}&text={message}"})
    await page.press("add:generic.headers")
    await page.press("keep", {"generic.headers[0].name": "X-Account", "generic.headers[0].value": "7"})
    assert ["X-Account", "7"] in page.rows()
    await page.press("add:generic.secure_headers")
    path = page.fields["open"]
    assert (await page.press("fallback-remove:0", {f"{path}.name": "X-Key"})).status == 422
    assert "what you typed in this row is not in the form yet" in page.text
    assert order(page) == ["generic"]
    await page.press("keep", {f"{path}.value": f"{MARK}-header"})
    await page.save()
    saved = await stored(small_console)
    assert saved["generic"]["headers"] == [{"name": "X-Account", "value": "7"}]
    assert saved["generic"]["secure_headers"] == [{"name": "X-Key", "value": None, "value_set": True}]


async def test_failover_and_rates_are_saved_and_their_mistakes_stand_at_their_fields(
    page: PolicyPage, small_console: Console
):
    await page.press("rate-add", {"failover_after_s": "9"})
    await page.press("rate-add", {"rates[0].origin": "1 500 555 0006", "rates[0].messages_per_second": "much"})
    again = {"rates[1].origin": "+15005550006", "rates[1].messages_per_second": "0,5"}
    assert (await page.press("save", again)).status == 422
    assert page.error("failover_after_s") == "Failover can come after 10 to 600 seconds."
    assert page.error("rates[0].messages_per_second") == "A rate is a number of messages a second, as in 1 or 0.5."
    assert page.error("rates[1].origin") == "+15005550006 stands in row 1 already. Keep one of the two."
    assert page.fields["rates[0].messages_per_second"] == "much"
    await page.press("rate-remove:0", {"failover_after_s": "90"})
    await page.press("rate-add")
    await page.save()
    saved = await stored(small_console)
    assert saved["failover_after_s"] == 90
    assert saved["rates"] == [{"origin": "+15005550006", "messages_per_second": 0.5}]
    assert page.fields["rates[0].messages_per_second"] == "0.5"
    assert "rates[1].origin" not in page.fields
    await page.save({"failover_after_s": ""})
    assert (await stored(small_console))["failover_after_s"] is None


async def test_failover_says_what_it_takes_to_have_an_effect(page: PolicyPage):
    assert "It takes a fallback, or Fall back to the main account, to have an effect." in page.text


async def test_a_revision_tells_failover_and_rates_and_restore_brings_them_back(
    page: PolicyPage, small_console: Console
):
    await page.press("rate-add", {"failover_after_s": "60"})
    await page.save({"rates[0].origin": "MyBrand", "rates[0].messages_per_second": "2"})
    await page.press("rate-remove:0", {"failover_after_s": ""})
    await page.save()
    seen = await page.browser.get("/sender-policy/revisions/1")
    assert "Failover: off → after 60 s" in seen.text
    assert "Rate of MyBrand: 2 a second" in seen.text
    await page.browser.post("/sender-policy/revisions/1", seen.form("/sender-policy/revisions/1"))
    saved = await stored(small_console)
    assert (saved["failover_after_s"], saved["rates"]) == (60, [{"origin": "MyBrand", "messages_per_second": 2}])


async def test_a_stand_in_can_be_tested_before_it_is_needed(page: PolicyPage, twilio: TwilioStandIn):
    await page.choose("messagebird", BIRD)
    await stand_in(page, "twilio")
    await page.press("test", {"tester": "twilio", "to": TO, "message": TEXT})
    assert "Twilio accepted the test." in page.text
    assert page.fields["tester"] == "twilio"
    assert [message.body for message in await twilio.messages()] == [TEXT]


@pytest.mark.parametrize(
    ("service", "name"),
    [(name, one.name) for name, service in find_services().items() for one in capabilities(service).presets],
)
async def test_a_preset_fills_the_form_in_and_says_what_is_still_to_be_typed(
    small_console: Console, service: str, name: str
):
    preset = next(one for one in capabilities(find_services()[service]).presets if one.name == name)
    page = await PolicyPage.enter(await small_console.signed_in())
    await page.choose(service, {f"{service}.service_url": "https://elsewhere.example.com"})
    await page.press(f"preset:{service}", {f"preset-{service}": name})
    assert f"Filled in for {preset.title}. Nothing is saved yet." in page.text
    assert f'href="{preset.link}"' in page.seen.html
    assert page.fields[f"{service}.service_url"] == preset.section["service_url"]
    assert " ".join(preset.note.split()) in page.text
    for field in form(find_services()[service].Settings):
        if field.row is not None:
            rows = [path for path in page.fields if path.startswith(f"{service}.{field.name}[")]
            assert len(rows) == len(preset.section.get(field.name, ()))
    await page.press("show")
    assert "Filled in for" not in page.text


async def test_no_preset_changes_nothing(small_console: Console):
    page = await PolicyPage.enter(await small_console.signed_in())
    await page.choose("generic", {"generic.service_url": "https://sms.example.com"})
    await page.press("preset:generic", {"preset-generic": ""})
    assert page.fields["generic.service_url"] == "https://sms.example.com"


async def test_a_long_text_keeps_its_lines_as_blanks(small_console: Console):
    page = await PolicyPage.enter(await small_console.signed_in())
    await page.choose("generic")
    await page.press("show", {"generic.ca_certificate": "-----BEGIN\r\nabc\r\n-----END"})
    assert page.fields["generic.ca_certificate"] == "-----BEGIN abc -----END"


@pytest.mark.parametrize(
    "service", [name for name, one in find_services().items() if capabilities(one).proven_by_address]
)
async def test_a_service_proven_by_its_address_is_shown_the_one_that_it_is_to_call(
    small_console: Console, public_small_console: Console, service: str
):
    page = await PolicyPage.enter(await public_small_console.signed_in())
    await page.choose(service)
    tenant = public_small_console.here.tenant.sid
    assert f"https://otp.example/callbacks/{service}/{tenant}?proof=" in page.text
    lost = await PolicyPage.enter(await small_console.signed_in())
    await lost.choose(service)
    assert "Set OTPOST_PUBLIC_URL and start it again" in lost.text


async def test_an_account_that_is_left_alone_is_told_on_the_overview_and_the_policys_page(
    page: PolicyPage, small_console: Console
):
    await page.save()
    here = small_console.here
    here.clock.now = 1_800_000_000_000
    browser = await small_console.signed_in()
    lane = f"{here.tenant.sid}:twilio:{MAIN}"
    opened, probed = here.clock.now - 60_000, here.clock.now + 30_000
    detail = "Twilio does not accept the account's token."
    breaker = Breaker(lane, here.tenant.sid, "twilio", MAIN, 1, "credentials_refused", detail, 5, opened, probed)

    def decide(rows: Rows) -> None:
        rows.put(BREAKERS, breaker)

    await here.store.run(Unit(decide, [lock(BREAKERS, lane)]))
    for path in ("/overview", "/sender-policy"):
        text = (await browser.get(path)).text
        assert f"Twilio {MAIN} is left alone since 15 Jan 2027, 07:59:00 UTC" in text
        assert "Twilio does not accept the account's token." in text
        assert "Type them again in the sender policy." in text
        assert "One text tries it again at 15 Jan 2027, 08:00:30 UTC." in text
    here.clock.advance(60)
    assert "The next text for it tries it again." in (await browser.get("/overview")).text
    await (await PolicyPage.enter(browser)).save({"twilio.sender_phone": "+14155550177"})
    assert "is left alone" not in (await browser.get("/overview")).text


@pytest.mark.parametrize(
    "nonsense",
    [
        {"do": "fallback-add", "fallback_to_add": "sandbox"},
        {"do": "fallback-add", "fallback_to_add": "twilio"},
        {"do": "fallback-add", "fallback_to_add": "acme"},
        {"do": "fallback-up:0", "fallback[0]": "messagebird", "fallback[1]": "messagebird"},
        {"do": "fallback-down:99999999999"},
        {"do": "fallback-remove:-1"},
        {"do": "rate-remove:7"},
        {"do": "preset:acme"},
        {"do": "preset:twilio", "preset-twilio": "acme"},
        {"do": "preset:generic", "preset-generic": "clickatell"},
        {"do": "save", "fallback[0]": "acme", "fallback[1]": "sandbox"},
        {"do": "show", "shown": "twilio acme messagebird", "tester": "acme"},
        {"do": "edit:messagebird.rows[0]", "open": "generic.headers[0]"},
    ],
    ids=str,
)
async def test_forms_that_no_page_of_ours_makes_break_nothing(page: PolicyPage, nonsense: dict[str, str]):
    seen = await page.browser.post("/sender-policy", {**page.fields, **nonsense})
    assert seen.status in (200, 303, 422)
    assert "Something broke" not in seen.text
