"""What the lists' search finds, and that no number stands in an address."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest

from installation import Installation
from otpost.services.messages.search import find_message_named
from otpost.services.tenants.tenants import make_tenant
from otpost.store.kinds import ATTEMPTS
from otpost.store.units import Rows, Unit, lock
from web.browsing import Browser, Console, Seen

GERMAN, INDIAN, AMERICAN = "+4915123456789", "+919191919191", "+15005550006"
VENDOR_SID, REQUEST = "SM" + "c0ffee01" * 4, "RQ" + "0ddba11a" * 4


async def filled(here: Installation) -> dict[str, Any]:
    """A verification of each number; the German one's text is known to a vendor by a SID and a request."""
    await here.choose_sandbox()
    begun = {to: await here.ok("POST", "/v1/verifications", {"to": to}) for to in (GERMAN, INDIAN, AMERICAN)}
    messages = {to: await here.message(begun[to]["message"]["sid"]) for to in begun}
    attempt = messages[GERMAN]["attempts"][0]["sid"]

    def decide(rows: Rows) -> None:
        row = rows.get(ATTEMPTS, attempt)
        assert row is not None
        rows.put(ATTEMPTS, msgspec.structs.replace(row, vendor_sid=VENDOR_SID, vendor_request_id=REQUEST))

    await here.store.run(Unit(decide, [lock(ATTEMPTS, attempt)]))
    return {"attempt": attempt, "message": messages[GERMAN]["sid"], "verification": begun[GERMAN]["sid"]}


def numbers(seen: Seen) -> list[str]:
    return re.findall(r'<a class="number" href="[^"]+">([^<]+)</a>', seen.html)


async def searched(browser: Browser, path: str, q: str, status: str = "") -> Seen:
    return await browser.post(path, {"q": q, "status": status}, follow=True)


@pytest.mark.parametrize(
    ("q", "found"),
    [
        ("+49", [GERMAN]),
        ("0049", [GERMAN]),
        ("+49 151", [GERMAN]),
        ("6789", [GERMAN]),
        ("0151 23456789", [GERMAN]),
        ("+49••••••••789", [GERMAN]),
        ("+91…191", [INDIAN]),
        ("919191919191", [INDIAN]),
        ("+91 91919 19191", [INDIAN]),
        (" +1 500 555 0006\t", [AMERICAN]),
        ("006", [AMERICAN]),
        ("+44", []),
        ("+49 900 1234567", []),
        ("VA" + "0" * 32, []),
        ("SM" + "ab" * 16 + "x", []),
        ("nonsense", []),
    ],
)
async def test_a_number_is_found_by_all_of_it_by_its_beginning_and_by_its_last_digits(
    small_console: Console, q: str, found: list[str]
):
    browser = await small_console.signed_in()
    await filled(small_console.here)
    for path in ("/verifications", "/messages"):
        seen = await searched(browser, path, q)
        assert [number[-3:] for number in numbers(seen)] == [number[-3:] for number in found], path
        if not found:
            assert "Nothing found" in seen.text
        assert seen.form(path)["q"] == q.strip()


async def test_everything_named_is_found_by_its_name(console: Console):
    browser, here = await console.signed_in(), console.here
    known = await filled(here)
    message, application = f"/messages/{known['message']}", here.tenant.default_application
    for path in ("/verifications", "/messages"):
        for q in (VENDOR_SID, REQUEST, known["attempt"], known["message"]):
            assert (await searched(browser, path, q)).where == message, q
        assert (await searched(browser, path, known["verification"])).where.endswith(known["verification"])
        assert len(numbers(await searched(browser, path, application))) == 3
    other = await here.ok("POST", "/v1/applications", {"name": "Other"})
    assert numbers(await searched(browser, "/messages", other["sid"])) == []
    assert numbers(await searched(browser, "/verifications", "+49", "approved")) == []
    assert len(numbers(await searched(browser, "/verifications", "+49", "pending"))) == 1


async def test_what_is_another_tenants_is_not_found(console: Console):
    browser, here = await console.signed_in(), console.here
    known = await filled(here)
    stranger = await here.store.run(make_tenant(here.context, "other"))
    for q in (VENDOR_SID, REQUEST, known["attempt"], known["message"]):
        assert await find_message_named(here.context, stranger.sid, q) is None
        assert await find_message_named(here.context, here.tenant.sid, q) == known["message"]
    assert (await browser.get("/messages")).status == 200


async def test_no_number_stands_in_an_address(console: Console):
    browser, here = await console.signed_in(), console.here
    await here.choose_sandbox()
    for number in range(53):
        await here.ok("POST", "/v1/messages", {"to": AMERICAN, "body": f"text {number}"})
    led = await browser.post("/messages", {"q": AMERICAN, "status": ""})
    assert led.status == 303
    first = await browser.get(led.location)
    (older,) = re.findall(r'href="(/messages\?[^"]*cursor=[^"]+)"', first.html)
    second = await browser.get(older.replace("&amp;", "&"))
    assert (len(numbers(first)), len(numbers(second))) == (50, 3)
    assert second.form("/messages")["q"] == AMERICAN
    for address in (led.location, *re.findall(r'(?:href|action|hx-get)="([^"]*)"', first.html + second.html)):
        assert "5550006" not in address, address
    assert (await browser.get(led.location.replace("s=", "s=x"))).form("/messages")["q"] == ""
