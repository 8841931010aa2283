"""The list of verifications, each one's timeline, and the number that is revealed."""

from __future__ import annotations

import re

from installation import TO
from otpost.services.tenants.tenants import make_tenant
from web.browsing import Console
from web.pages.world import OTHER, rows, started, verified


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
