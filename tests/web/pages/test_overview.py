"""The overview: what is missing at first, what is refused, and the last 24 hours in figures."""

from __future__ import annotations

import re

import pytest

from otpost.domain.policy import callbacks_refused
from otpost.store.kinds import NOTICES
from otpost.store.units import Unit
from web.browsing import Console
from web.pages.world import started, verified


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
