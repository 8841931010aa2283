"""How a page is packed, and how what stands in backticks becomes code."""

from __future__ import annotations

import gzip

from web.browsing import Browser, Console, Seen


async def asked(browser: Browser, encoding: str) -> Seen:
    return await browser.get("/settings", {"accept-encoding": encoding})


async def test_pages_are_compressed_for_browsers_that_can_unpack_them(small_console: Console):
    browser = await small_console.signed_in()
    plain, packed = await asked(browser, "identity"), await asked(browser, "gzip, deflate, br")
    assert "content-encoding" not in plain.answer.headers
    assert packed.answer.headers["content-encoding"] == "gzip"
    assert plain.answer.headers["vary"] == packed.answer.headers["vary"] == "Accept-Encoding"
    assert int(packed.answer.headers["content-length"]) == len(packed.answer.body) < len(plain.answer.body) / 2
    assert gzip.decompress(packed.answer.body) == plain.answer.body


async def test_a_page_that_shows_a_secret_is_not_compressed(small_console: Console):
    browser = await small_console.signed_in()
    await browser.post("/settings/auth-token")
    seen = await asked(browser, "gzip")
    assert "content-encoding" not in seen.answer.headers
    assert "The new auth token." in seen.text
    assert (await asked(browser, "gzip")).answer.headers["content-encoding"] == "gzip"


async def test_backticks_become_code_and_what_they_hold_stays_harmless(small_console: Console):
    seen = await small_console.browser().get("/sign-in?link=dead")
    assert "`" not in seen.text
    assert "<code>otpost user link NAME</code>" in seen.html
