"""The pages: what each one shows, and what its forms do."""

from __future__ import annotations

import re
from typing import Any

import pytest

from installation import TO
from otpost.api.native.routes import ENDPOINTS
from otpost.domain.message import Attempt, Message, Report
from otpost.domain.policy import callbacks_refused
from otpost.services.paging import EXAMINED
from otpost.services.tenants.tenants import make_tenant
from otpost.store.kinds import ATTEMPTS, MESSAGES, NOTICES, REPORTS
from otpost.store.units import Rows, Unit
from store.examples import message
from web.browsing import NAME, Console, Seen

OTHER = "+919191919191"


async def verified(console: Console, to: str = TO) -> Any:
    """A verification with a wrong check and then the right one."""
    here = console.here
    started = await here.ok("POST", "/v1/verifications", {"to": to})
    await here.message(started["message"]["sid"])
    await here.ok("POST", f"/v1/verifications/{started['sid']}/check", {"code": here.wrong_code(started)})
    await here.ok("POST", f"/v1/verifications/{started['sid']}/check", {"code": here.code(started)})
    return started


async def started(console: Console, to: str = OTHER) -> Any:
    begun = await console.here.ok("POST", "/v1/verifications", {"to": to})
    await console.here.message(begun["message"]["sid"])
    return begun


def rows(seen: Seen) -> int:
    return seen.html.count("<tr>") - seen.html.count("<thead>")


async def test_a_new_installation_says_what_is_missing_what_happens_meanwhile_and_the_one_next_step(console: Console):
    browser = await console.signed_in()
    seen = await browser.get("/overview")
    assert "Until then starts and messages are refused." in seen.text
    assert re.findall(r'class="btn btn-primary" href="([^"]+)"', seen.html) == ["/sender-policy"]
    await console.here.choose_sandbox()
    seen = await browser.get("/overview")
    assert re.findall(r'class="btn btn-primary" href="([^"]+)"', seen.html) == ["/docs"]
    await verified(console)
    assert "Set-up" not in (await browser.get("/overview")).text


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/verifications", "No verification yet"),
        ("/messages", "No message yet"),
        ("/sandbox", "The sandbox is not the chosen sender service"),
    ],
)
async def test_an_empty_page_says_so_with_one_next_step(small_console: Console, path: str, words: str):
    seen = await (await small_console.signed_in()).get(path)
    assert words in seen.text
    assert seen.html.count('class="empty-action"') == 1


async def test_the_overview_says_that_callbacks_are_refused_and_what_to_do(small_console: Console):
    here = small_console.here
    notice = callbacks_refused(None, here.tenant.sid, "twilio", "https://my_host.example", "No.", here.clock())
    browser = await small_console.signed_in()
    assert "Callbacks to" not in (await browser.get("/overview")).text
    await here.store.run(Unit(lambda rows: rows.put(NOTICES, notice)))
    text = (await browser.get("/overview")).text
    assert "Callbacks to https://my_host.example are refused. No." in text
    assert "OTPOST_PUBLIC_URL must be a public https address" in text


async def test_the_overview_counts_the_last_24_hours(console: Console):
    browser = await console.signed_in()
    await console.here.choose_sandbox()
    await verified(console)
    await started(console)
    text = (await browser.get("/overview")).text
    assert re.search(r"Verifications started\s*2\s*1 still pending\s*Approved\s*1\s*the right code", text)
    assert re.search(r"Conversion\s*—\s*of those whose lifetime is over", text)
    assert re.search(r"Accepted\s*2", text)
    console.here.clock.advance(600)
    assert "50.0 %" in (await browser.get("/overview")).text
    console.here.clock.advance(24 * 3600)
    browser = await console.signed_in()
    assert "No message in the last 24 hours." in (await browser.get("/overview")).text


async def test_every_page_says_that_nothing_is_sent_while_the_sandbox_is_chosen(small_console: Console):
    browser = await small_console.signed_in()
    words = "Nothing is sent: texts go to the sandbox phone"
    pages = ("/overview", "/verifications", "/messages", "/applications", "/settings", "/sandbox", "/docs", "/nowhere")
    for path in pages:
        assert words not in (await browser.get(path)).text
    await small_console.here.choose_sandbox()
    for path in pages:
        assert words in (await browser.get(path)).text, path
    await small_console.here.ok("PUT", "/v1/sender-policy", {"sender_service": None})
    assert words not in (await browser.get("/overview")).text


async def test_lists_show_masked_numbers_and_are_searched(console: Console):
    browser = await console.signed_in()
    await console.here.choose_sandbox()
    await verified(console)
    begun = await started(console)
    for path in ("/verifications", "/messages"):
        seen = await browser.get(path)
        assert rows(seen) == 2
        assert TO not in seen.html
        assert "+1•••••••006" in seen.text
        seen = await browser.post(path, {"q": "+91 91919 19191"}, follow=True)
        assert rows(seen) == 1
        assert "+91•••••••191" in seen.text
        assert rows(await browser.post(path, {"q": "91\\9191919191"}, follow=True)) == 1
        assert "Nothing found" in (await browser.post(path, {"q": "+4915123456789"}, follow=True)).text
    assert rows(await browser.get("/verifications?status=approved")) == 1
    assert rows(await browser.get("/verifications?status=made-up")) == 2
    assert rows(await browser.get("/messages?status=accepted")) == 2
    assert (await browser.get(f"/verifications?q={begun['sid']}")).location == f"/verifications/{begun['sid']}"


async def test_a_search_that_cannot_be_read_says_so_at_the_field_and_keeps_what_was_typed(small_console: Console):
    seen = await (await small_console.signed_in()).get("/verifications?q=12")
    assert seen.status == 422
    assert "1 field needs your attention" in seen.text
    assert seen.form("/verifications")["q"] == "12"
    assert seen.title.startswith("Error: ")


async def test_long_lists_have_pages(console: Console):
    browser = await console.signed_in()
    await console.here.choose_sandbox()
    for number in range(53):
        await console.here.ok("POST", "/v1/messages", {"to": TO, "body": f"text {number}"})
    first = await browser.get("/messages")
    assert rows(first) == 50
    (older,) = re.findall(r'href="(/messages\?cursor=[^"]+)"', first.html)
    second = await browser.get(older)
    assert rows(second) == 3
    assert "Newest" in second.text
    assert "Older" not in second.text


async def test_one_verification_is_one_timeline(console: Console):
    browser = await console.signed_in()
    await console.here.choose_sandbox()
    begun = await verified(console)
    seen = await browser.get(f"/verifications/{begun['sid']}")
    lines = re.findall(r'class="story-title">(.*?)</p>', seen.html)
    assert [line.partition(" in ")[0] for line in lines] == [
        "Started",
        "Message queued: Sandbox",
        "Accepted by Sandbox",
        "Wrong code",
        "Approved",
    ]
    assert console.here.code(begun) not in seen.html
    assert f"/messages/{begun['message']['sid']}" in seen.html


async def test_a_callers_own_text_is_on_no_page(console: Console):
    browser = await console.signed_in()
    await console.here.choose_sandbox()
    sent = await console.here.ok("POST", "/v1/messages", {"to": TO, "body": "meet me at nine"})
    await console.here.message(sent["sid"])
    for path in ("/messages", f"/messages/{sent['sid']}"):
        assert "meet me" not in (await browser.get(path)).html
    assert "meet me at nine" in (await browser.get("/sandbox")).text


async def test_a_refusal_shows_our_sentence_and_the_vendors_words_code_and_link(small_console: Console):
    browser = await small_console.signed_in()
    here = small_console.here
    now, sid, account = here.clock(), "SM" + "1" * 32, "AC" + "2" * 32
    words = "The 'To' number is not a valid phone number"
    message = Message(
        sid, here.tenant.sid, here.tenant.default_application, TO, "failed", 1, now, now + 60_000,
        "twilio", account, "+15005550009", "The main account sends with its sender phone.", "twilio",
        reason="invalid_number", attempt="AT" + "3" * 32,
    )  # fmt: skip
    attempt = Attempt(
        "AT" + "3" * 32, here.tenant.sid, sid, "node", now, "twilio", account, "+15005550009", TO, "refused",
        duration_ms=120, reason="invalid_number", detail="Twilio refuses this number.", link="https://www.twilio.com/docs/api/errors/21211",
        vendor_http_status=400, vendor_code="21211", vendor_message=words,
    )  # fmt: skip

    def decide(rows: Rows) -> None:
        rows.put(MESSAGES, message)
        rows.put(ATTEMPTS, attempt)

    await here.store.run(Unit(decide))
    seen = await browser.get(f"/messages/{sid}")
    assert f"Message queued: Twilio from +15005550009 of {account}" in seen.text
    assert "The main account sends with its sender phone." in seen.text
    assert "Refused by Twilio in 120 ms" in seen.text
    assert "Twilio refuses this number." in seen.text
    assert seen.text.count("The number does not exist or is malformed. Nothing is wrong with the sender.") == 2
    assert f"“{words}” 21211" in seen.text
    assert 'href="https://www.twilio.com/docs/api/errors/21211"' in seen.html
    assert seen.html.count('<li>\n    <div class="story-at">') == 2


async def test_a_text_that_went_another_way_tells_both_ways_and_each_report(small_console: Console):
    browser = await small_console.signed_in()
    here = small_console.here
    now, sid, account = here.clock(), "SM" + "1" * 32, "AC" + "2" * 32
    first, second = "AT" + "3" * 32, "AT" + "4" * 32
    message = Message(
        sid, here.tenant.sid, here.tenant.default_application, TO, "delivered", 1, now, now + 60_000,
        "generic", "sms.example.com", "Acme", "Twilio could not deliver it. The gateway stands in.", "lane",
        attempt=second,
    )  # fmt: skip
    lost = Attempt(
        first, here.tenant.sid, sid, "node", now, "twilio", account, "+15005550009", TO, "accepted", "undelivered",
        duration_ms=10_000, reason="not_delivered", detail="The carrier reported an error.", unknown_at=now + 10_000,
        looked_at=now + 12_000, vendor_sid="SM" + "5" * 32,
    )  # fmt: skip
    taken = Attempt(
        second, here.tenant.sid, sid, "node", now + 20_000, "generic", "sms.example.com", "Acme", TO, "accepted",
        "delivered", duration_ms=40,
    )  # fmt: skip
    page = "https://www.twilio.com/docs/api/errors/30008"
    reports = [
        Report(first, "undelivered", "30008", sid, now + 19_000, "undelivered", "not_delivered", page),
        Report(second, "DELIVRD", "", sid, now + 25_000, "delivered"),
    ]

    def decide(rows: Rows) -> None:
        rows.put(MESSAGES, message)
        for attempt in (lost, taken):
            rows.put(ATTEMPTS, attempt)
        for report in reports:
            rows.put(REPORTS, report)

    await here.store.run(Unit(decide))
    seen = await browser.get(f"/messages/{sid}")
    assert re.findall(r'class="story-title">(.*?)</p>', seen.html) == [
        f"Message queued: Twilio from +15005550009 of {account}",
        "Answer of Twilio lost in 10000 ms",
        "Found again at Twilio",
        "Undelivered",
        "Accepted by Generic HTTP gateway in 40 ms",
        "Delivered",
    ]
    for words in (
        "Otpost asks the service where it can, and sends once more at most.",
        "The carrier reported an error.",
        "The carrier gave no better reason.",
        "Twilio could not deliver it. The gateway stands in.",
        "Reported as: DELIVRD",
    ):
        assert words in seen.text
    assert f'href="{page}"' in seen.html


async def test_a_timeline_looks_again_only_while_something_may_come(console: Console):
    browser = await console.signed_in()
    await console.here.choose_sandbox()
    begun = await started(console)
    path = f"/verifications/{begun['sid']}"
    assert f'hx-get="{path}/timeline" hx-trigger="every 2s"' in (await browser.get(path)).html
    fragment = await browser.get(f"{path}/timeline", {"hx-request": "true"})
    assert fragment.html.lstrip().startswith('<div id="timeline"')
    console.here.clock.advance(700)
    assert "hx-trigger" not in (await browser.get(path)).html
    assert "Expired" in (await browser.get(path)).text


async def test_revealing_a_number_is_a_post_and_an_audit_line(console: Console):
    browser = await console.signed_in()
    await console.here.choose_sandbox()
    begun = await started(console)
    for path in (f"/verifications/{begun['sid']}", f"/messages/{begun['message']['sid']}"):
        assert OTHER not in (await browser.get(path)).html
        assert (await browser.get(f"{path}/reveal")).status == 405
        assert OTHER in (await browser.post(f"{path}/reveal", follow=True)).text
        assert OTHER not in (await browser.get(path)).html
        assert f"number revealed +91•••••••191 of {path.rpartition('/')[2]}" in re.sub(
            r"revealed\s*", "revealed ", (await browser.get("/settings")).text
        )


async def test_another_tenants_rows_are_nowhere(console: Console):
    browser = await console.signed_in()
    context, store = console.here.context, console.here.store
    other = await store.run(make_tenant(context, "other"))
    key = await console.here.key("admin", tenant=other.sid)
    await console.here.ok("PUT", "/v1/sender-policy", {"sender_service": "sandbox"}, key=key)
    begun = await console.here.ok("POST", "/v1/verifications", {"to": OTHER}, key=key)
    await console.here.choose_sandbox()
    for path in (
        f"/verifications/{begun['sid']}",
        f"/verifications/{begun['sid']}/timeline",
        f"/messages/{begun['message']['sid']}",
        f"/applications/{other.default_application}",
    ):
        assert (await browser.get(path)).status == 404, path
    assert (await browser.post(f"/verifications/{begun['sid']}/reveal")).status == 404
    assert (await browser.post(f"/applications/{other.default_application}/keys", {"key_name": "x"})).status == 404
    assert "No verification yet" in (await browser.get("/verifications")).text
    assert "No text has arrived yet" in (await browser.get("/sandbox")).text


async def test_the_sandbox_phone_has_a_thread_for_each_number_newest_first(console: Console):
    browser = await console.signed_in()
    await console.here.choose_sandbox()
    first = await started(console, TO)
    second = await started(console, OTHER)
    seen = await browser.get("/sandbox")
    assert re.findall(r'<span class="number">(.*?)</span>', seen.html) == ["+91•••••••191", "+1•••••••006"]
    codes = [console.here.code(second), console.here.code(first)]
    assert re.findall(r"<strong>(\d+)</strong>", seen.html) == codes
    assert re.findall(r'data-copy="(\d+)"', seen.html) == codes


async def test_the_phone_is_replaced_only_when_a_text_has_come(console: Console):
    browser = await console.signed_in()
    await console.here.choose_sandbox()
    (look,) = re.findall(r'hx-get="([^"]+)"', (await browser.get("/sandbox")).html)
    assert look == "/sandbox/threads?seen=none"
    assert (await browser.get(look)).status == 204
    begun = await started(console)
    seen = await browser.get(look)
    assert console.here.code(begun) in seen.html
    assert (await browser.get(re.findall(r'hx-get="([^"]+)"', seen.html)[0])).status == 204


async def test_the_phone_can_be_emptied(console: Console):
    browser = await console.signed_in()
    await console.here.choose_sandbox()
    await started(console)
    seen = await browser.post("/sandbox/empty", follow=True)
    assert "The sandbox phone is empty now." in seen.text
    assert "No text has arrived yet" in seen.text
    assert "is empty now" not in (await browser.get("/sandbox")).text


async def test_an_application_is_made_and_changed(console: Console):
    browser = await console.signed_in()
    fields = (await browser.get("/applications/new")).form("/applications")
    fields |= {"name": "Web shop", "code_length": "8", "allowed_dialing_codes": "+91, 44\n1876", "default_region": "in"}
    seen = await browser.post("/applications", fields)
    assert seen.status == 303
    made = await console.here.ok("GET", f"/v1{seen.location}")
    assert (made["name"], made["code_length"], made["default_region"]) == ("Web shop", 8, "IN")
    assert made["allowed_dialing_codes"] == ["+91", "+44", "+1876"]
    page = await browser.get(seen.location)
    assert "Web shop is made. Make a key for it next." in page.text
    fields = page.form(seen.location)
    assert fields["allowed_dialing_codes"] == "+91 +44 +1876"
    fields |= {"max_sends_per_client_ip": "", "allowed_dialing_codes": ""}
    assert (await browser.post(seen.location, fields)).status == 303
    changed = await console.here.ok("GET", f"/v1{seen.location}")
    assert changed["max_sends_per_client_ip"] is None
    assert changed["allowed_dialing_codes"] == []


@pytest.mark.parametrize(
    ("field", "typed", "message"),
    [
        ("name", "", "The name is what recipients read in the text."),
        ("name", "x" * 65, "The name has at most 64 characters."),
        ("body", "no code", "Put {otp} where the code shall stand, best at the beginning."),
        ("code_length", "", "Code length: type a number."),
        ("code_length", "six", "Code length: type a whole number."),
        ("code_length", "11", "Code length: from 4 to 10."),
        ("code_length", "4", "A code of 4 digits is safe with at most 3 checks"),
        ("lifetime_s", "601", "Lifetime in seconds: from 60 to 600."),
        ("max_sends_per_hour", "0", "Texts of the whole application in an hour: from 1 to 10000000."),
        ("default_region", "XX", "A region is two ISO 3166 letters, as in IN."),
        ("allowed_dialing_codes", "+91 +91", "+91 stands in the list already."),
        ("allowed_dialing_codes", "+91 frog", "Check"),
    ],
)
@pytest.mark.parametrize("known", [False, True], ids=["new", "known"])
async def test_a_mistake_is_said_at_its_field_and_nothing_is_saved(
    small_console: Console, field: str, typed: str, message: str, known: bool
):
    browser = await small_console.signed_in()
    action = f"/applications/{small_console.here.tenant.default_application}" if known else "/applications"
    before = await small_console.here.ok("GET", "/v1/applications")
    page = await browser.get(action if known else "/applications/new")
    fields = {**page.form(action), "name": "Web shop", field: typed}
    seen = await browser.post(action, fields)
    assert seen.status == 422
    assert "1 field needs your attention" in seen.text
    assert f'href="#f-{field}"' in seen.html
    assert f'id="f-{field}"' in seen.html
    if message != "Check":
        assert message in seen.text
    assert seen.form(action) == {**fields, field: typed}
    assert await small_console.here.ok("GET", "/v1/applications") == before


async def test_a_key_shows_its_secret_once_and_counts_at_once(console: Console):
    browser = await console.signed_in()
    path = f"/applications/{console.here.tenant.default_application}"
    seen = await browser.post(f"{path}/keys", {"key_name": "web shop"}, follow=True)
    (told,) = re.findall(r'value="(SK[0-9a-f]{32}:[^"]+)"', seen.html)
    sid, _, secret = told.partition(":")
    assert secret not in (await browser.get(path)).html
    given = {"authorization": f"Bearer {sid}.{secret}"}
    assert (await browser.get("/v1/verifications", given)).status == 200
    seen = await browser.post(f"{path}/keys/{sid}/revoke", follow=True)
    assert "The key is revoked. It counts at once." in seen.text
    assert (await browser.get("/v1/verifications", given)).status == 401
    assert (await browser.post(f"{path}/keys/{sid}/revoke")).status == 404


async def test_a_user_is_made_with_a_one_time_link_that_is_shown_once(console: Console):
    browser = await console.signed_in()
    seen = await browser.post("/settings/users", {"name": "bob"}, follow=True)
    (link,) = re.findall(r'value="http://otpost.test(/sign-in\?link=[^"]+)"', seen.html)
    assert link not in (await browser.get("/settings")).html
    bob = console.browser()
    assert "For bob" in (await bob.get(link)).text
    assert (await bob.post("/sign-in", {"link": link.partition("=")[2], "password": "bobs password"})).status == 303
    assert "Signed in as bob" in (await bob.get("/overview")).text
    again = await browser.post("/settings/users", {"name": "bob"})
    assert again.status == 422
    assert "There is a user named" in again.text
    assert again.form("/settings/users")["name"] == "bob"


async def test_a_removed_user_is_out_at_once_and_nobody_removes_himself(console: Console):
    browser = await console.signed_in()
    user = await console.user("bob", "bobs password")
    bob = console.browser()
    await bob.sign_in("bob", "bobs password")
    assert (await bob.post(f"/settings/users/{user.sid}/remove")).status == 404
    assert (await browser.post(f"/settings/users/{user.sid}/remove")).status == 303
    assert (await bob.get("/overview")).location.startswith("/sign-in")
    assert (await bob.sign_in("bob", "bobs password")).status == 422


async def test_what_people_do_is_in_the_audit_lines_with_their_names(console: Console):
    browser = await console.signed_in()
    await browser.sign_in(password="not the password")
    await browser.post("/settings/users", {"name": "bob"})
    text = (await browser.get("/settings")).text
    lines = text[text.index("Who did what") :]
    assert re.search(rf"{NAME}\s*192.0.2.1\s*user made\s*bob", lines)
    assert re.search(rf"{NAME}\s*192.0.2.1\s*sign-in refused\s*wrong password", lines)
    assert re.search(rf"{NAME}\s*192.0.2.1\s*signed in", lines)


async def test_the_look_is_kept_in_a_cookie(small_console: Console):
    browser = await small_console.signed_in()
    assert 'data-bs-theme="auto"' in (await browser.get("/settings")).html
    for theme in ("dark", "light"):
        await browser.post("/settings/look", {"theme": theme})
        assert f'data-bs-theme="{theme}"' in (await browser.get("/settings")).html
        assert f'data-bs-theme="{theme}"' in (await browser.get("/nowhere")).html
    await browser.post("/settings/look", {"theme": "made up"})
    assert 'data-bs-theme="auto"' in (await browser.get("/settings")).html


async def test_the_reference_has_every_call_of_the_api(small_console: Console):
    seen = await (await small_console.signed_in()).get("/docs")
    text = seen.text.replace("’", "'")
    for endpoint in ENDPOINTS:
        assert endpoint.summary in text
        assert f'<span class="mono">{endpoint.path}</span>' in seen.html
    assert "number_checks_reached" in seen.text
    assert "verification.sid" not in seen.text


async def test_a_rare_row_among_very_many_is_looked_for_a_part_at_a_time(small_console: Console):
    now, tenant = small_console.here.clock(), small_console.here.tenant

    def decide(rows):
        for number in range(sum(EXAMINED) + 1):
            sid = f"SM{now - 10_000:012x}{number:020x}"
            made = {"tenant": tenant.sid, "application": tenant.default_application, "to": "+4915112345678"}
            rows.put(MESSAGES, message(sid, status="delivered" if number else "failed", **made))

    await small_console.here.store.run(Unit(decide))
    browser = await small_console.signed_in()
    newest = await browser.get("/messages?q=%2B4915112345678&status=failed")
    assert "Nothing found so far" in newest.text
    (further,) = re.findall(r'href="(/messages\?[^"]*cursor=[^"]*)"', newest.html)
    assert rows(await browser.get(further.replace("&amp;", "&"))) == 1
