"""The sandbox phone, and what every page says while the sandbox is chosen."""

from __future__ import annotations

import re

from installation import TO
from web.browsing import Console
from web.pages.world import OTHER, started


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
