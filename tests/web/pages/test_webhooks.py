"""The webhooks of an application in the console: made, tested, changed, and what was posted to each."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest

from installation import TO, until
from otpost.domain.webhook import EVENTS, Answer
from otpost.services.audit import command_line_actor
from otpost.services.tenants.tenants import make_tenant
from otpost.services.webhooks import endpoints
from otpost.services.webhooks.events import announce_change, subscriptions_of
from otpost.store.kinds import MESSAGES, WEBHOOKS
from otpost.store.units import Rows, Unit, lock
from standins.receiver import Receiver, posting, receiving
from store import examples
from web.browsing import Browser, Console, Seen


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as running:
        yield running


def hooks_path(console: Console) -> str:
    return f"/applications/{console.here.tenant.default_application}/webhooks"


async def make(console: Console, browser: Browser, url: str) -> tuple[Seen, str]:
    """The page that shows the new secret, and the webhook's address in the console."""
    fields = (await browser.get(hooks_path(console))).form(hooks_path(console))
    seen = await browser.post(hooks_path(console), {**fields, "url": url}, follow=True)
    (own,) = await console.here.store.find(WEBHOOKS, "application", console.here.tenant.default_application)
    return seen, f"{hooks_path(console)}/{own.sid}"


async def happen(console: Console, status: str = "delivered") -> str:
    here = console.here
    now, sid, own = here.clock(), here.context.ids("SM"), here.tenant.default_application
    message = examples.message(sid, tenant=here.tenant.sid, application=own, to=TO, status=status)

    def decide(rows: Rows) -> None:
        rows.put(MESSAGES, message)
        announce_change(rows, None, message, now)

    await here.store.run(Unit(decide, [subscriptions_of(message.tenant)]))
    return sid


async def test_an_empty_page_says_what_happens_meanwhile_and_the_one_next_step(small_console: Console):
    browser = await small_console.signed_in()
    application = await browser.get(f"/applications/{small_console.here.tenant.default_application}")
    assert f'href="{hooks_path(small_console)}"' in application.html
    seen = await browser.get(hooks_path(small_console))
    assert "No webhook yet" in seen.text
    assert "has to ask what became of a verification" in seen.text
    assert seen.html.count('class="empty-action"') == 1
    assert set(EVENTS) <= set(seen.form(hooks_path(small_console)))


async def test_a_webhook_is_made_and_its_secret_shown_once(console: Console, receiver: Receiver):
    browser = await console.signed_in()
    seen, where = await make(console, browser, receiver.url)
    (secret,) = re.findall(r'value="(whsec_[^"]+)"', seen.html)
    assert "this once" in seen.text
    assert "whsec_" not in (await browser.get(where)).html
    assert receiver.url in (await browser.get(hooks_path(console))).text
    tested = await browser.post(f"{where}/test", follow=True)
    assert "The receiver took the test: 204" in tested.text
    assert receiver.got[0].proven(secret)["type"] == "webhook.test"
    replaced = await browser.post(f"{where}/secret", follow=True)
    (new,) = re.findall(r'value="(whsec_[^"]+)"', replaced.html)
    assert new != secret
    assert "The old secret signs until" in replaced.text
    await browser.post(f"{where}/test")
    for each in (secret, new):
        assert receiver.got[1].proven(each)["type"] == "webhook.test"


async def test_a_mistake_is_said_at_its_field_and_what_was_typed_stays(small_console: Console):
    browser = await small_console.signed_in()
    action = hooks_path(small_console)
    seen = await browser.post(action, {"url": "https://10.0.0.1/hooks", "description": "orders", "message.sent": "on"})
    assert seen.status == 422
    assert "1 field needs your attention" in seen.text
    assert "10.0.0.1 is not a public address" in seen.text
    assert seen.form(action) == {"url": "https://10.0.0.1/hooks", "description": "orders", "message.sent": "on"}
    seen = await browser.post(action, {"url": "", "description": "x" * 201})
    assert "3 fields need your attention" in seen.text
    for field in ("url", "description", "events"):
        assert f'href="#f-{field}"' in seen.html
        assert f'id="f-{field}"' in seen.html
    assert "No webhook yet" in (await browser.get(action)).text


async def test_a_webhook_is_changed_disabled_and_removed(small_console: Console, receiver: Receiver):
    browser = await small_console.signed_in()
    _, where = await make(small_console, browser, receiver.url)
    seen = await browser.post(where, {"url": f"{receiver.url}/2", "message.failed": "on"}, follow=True)
    assert "Saved." in seen.text
    assert {name for name in seen.form(where) if "." in name} == {"message.failed"}
    wrong = await browser.post(where, {"url": "frog", "message.failed": "on"})
    assert (wrong.status, wrong.form(where)["url"]) == (422, "frog")
    fields = seen.form(f"{where}/switch")
    off = await browser.post(f"{where}/switch", fields, follow=True)
    assert "Disabled. No further event is posted." in off.text
    on = await browser.post(f"{where}/switch", off.form(f"{where}/switch"), follow=True)
    assert "Enabled. New events are posted again." in on.text
    assert "The webhook is removed" in (await browser.post(f"{where}/remove", follow=True)).text
    assert (await browser.get(where)).status == 404


async def test_the_log_shows_each_try_and_replays(console: Console, receiver: Receiver):
    browser = await console.signed_in()
    _, where = await make(console, browser, receiver.url)
    assert "Nothing was posted yet" in (await browser.get(where)).text
    receiver.status, receiver.said = 500, "<b>oh no</b>"
    sid = await happen(console)

    async def log() -> str:
        return (await browser.get(where)).text

    async with posting(console.here):
        await until(log, lambda text: "next try" in text)
        seen = await browser.get(where)
        (one,) = re.findall(rf'href="({where}/deliveries/WD[0-9a-f]+)"', seen.html)
        page = await browser.get(one)
        assert "Answered 500" in page.text
        assert "&lt;b&gt;oh no&lt;/b&gt;" in page.html
        assert f'href="/messages/{sid}"' in page.html
        assert TO not in page.html
        assert "+1•••••••006" in page.text
        receiver.status = 204
        replayed = await browser.post(f"{one}/replay", follow=True)
        assert "It is posted again." in replayed.text
        await until(log, lambda text: "Delivered" in text.partition("Last answer")[2])
    assert "Nothing found" in (await browser.get(f"{where}?status=failed")).text
    assert "message.delivered" in (await browser.get(f"{where}?status=delivered")).text
    none = await browser.post(f"{where}/replay", {"since": "24"}, follow=True)
    assert "Nothing has failed since then." in none.text


async def test_all_that_failed_is_replayed_once_the_webhook_is_enabled_again(
    small_console: Console, receiver: Receiver
):
    browser = await small_console.signed_in()
    _, where = await make(small_console, browser, receiver.url)
    receiver.status = 410

    async def overview() -> str:
        return (await browser.get("/overview")).text

    async with posting(small_console.here):
        await happen(small_console)
        told = await until(overview, lambda text: "is disabled" in text)
        assert f"The webhook {receiver.url} is disabled: it answered 410" in told
        assert "Disabled by Otpost" in (await browser.get(hooks_path(small_console))).text
        seen = await browser.get(where)
        assert "it answered 410, that it is gone for good" in seen.text
        refused = await browser.post(f"{where}/replay", {"since": "24"}, follow=True)
        assert "The webhook is disabled; enable it first." in refused.text
        receiver.status = 200
        await browser.post(f"{where}/switch", {"enabled": "on"})
        assert "is disabled" not in await overview()
        done = await browser.post(f"{where}/replay", {"since": "720"}, follow=True)
        assert "Failed deliveries that are posted again: 1." in done.text
        await receiver.wait_for(2)


async def test_long_logs_have_pages(small_console: Console, receiver: Receiver):
    browser = await small_console.signed_in()
    _, where = await make(small_console, browser, receiver.url)
    for _ in range(53):
        await happen(small_console)
    first = await browser.get(f"{where}?status=waiting")
    assert first.html.count(">message.delivered</a>") == 50
    (older,) = re.findall(r'class="btn" href="([^"]+cursor=[^"]+)"', first.html)
    second = await browser.get(older.replace("&amp;", "&"))
    assert second.html.count(">message.delivered</a>") == 3
    assert "Newest" in second.text


async def test_another_tenants_webhooks_are_nowhere(small_console: Console, receiver: Receiver):
    here = small_console.here
    other = await here.store.run(make_tenant(here.context, "other"))
    actor = command_line_actor(other.sid)
    made = await here.store.run(
        endpoints.make(here.context, actor, other.default_application, receiver.url, EVENTS, "")
    )
    browser = await small_console.signed_in()
    for own in (other.default_application, here.tenant.default_application):
        where = f"/applications/{own}/webhooks/{made.webhook.sid}"
        assert (await browser.get(where)).status == 404
        for action in ("switch", "secret", "remove", "test", "replay"):
            assert (await browser.post(f"{where}/{action}")).status == 404, action

    def disable(rows: Rows) -> None:
        row = rows.get(WEBHOOKS, made.webhook.sid)
        assert row is not None
        rows.put(WEBHOOKS, row.after(Answer(http_status=410), here.clock()))

    await here.store.run(Unit(disable, [lock(WEBHOOKS, made.webhook.sid)]))
    assert "is disabled" not in (await browser.get("/overview")).text
