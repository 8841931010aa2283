"""The list of messages, and each one's timeline in the vendor's words."""

from __future__ import annotations

import re

from installation import TO
from otpost.domain.message import Attempt, Message, Report
from otpost.services.paging import EXAMINED
from otpost.store.kinds import ATTEMPTS, MESSAGES, REPORTS
from otpost.store.units import Rows, Unit
from store.examples import message
from web.browsing import Console
from web.pages.world import rows


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
