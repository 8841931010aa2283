"""Settings: users, the audit lines, and the look."""

from __future__ import annotations

import re

from web.browsing import NAME, Console


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
