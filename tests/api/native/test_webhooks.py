"""`/v1/applications/{sid}/webhooks`: who may have one, what is refused at which field, tests, the log and replays."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from api.world import everything, neighbour, told
from installation import Installation, until
from otpost.domain.webhook import EVENTS
from otpost.services.webhooks.events import announce_change, subscriptions_of
from otpost.store.kinds import MESSAGES
from otpost.store.units import Rows, Unit
from standins.receiver import Receiver, posting, receiving
from store import examples

URL = "https://shop.example/hooks"
FIELDS = {
    "sid",
    "application",
    "url",
    "description",
    "events",
    "enabled",
    "disabled",
    "disabled_at",
    "failing_since",
    "secret_set_at",
    "old_secret_until",
    "created_at",
    "updated_at",
}


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as running:
        yield running


def path(otpost: Installation, *more: str) -> str:
    return "/".join(["/v1/applications", otpost.tenant.default_application, "webhooks", *more])


async def make(otpost: Installation, url: str = URL, **fields: Any) -> dict[str, Any]:
    body = {"url": url, "events": ["message.delivered"], **fields}
    return dict(await otpost.ok("POST", path(otpost), body))


async def happen(otpost: Installation) -> str:
    """A message is delivered; its SID."""
    now, sid, own = otpost.clock(), otpost.context.ids("SM"), otpost.tenant.default_application
    message = examples.message(sid, tenant=otpost.tenant.sid, application=own, status="delivered")

    def decide(rows: Rows) -> None:
        rows.put(MESSAGES, message)
        announce_change(rows, None, message, now)

    await otpost.store.run(Unit(decide, [subscriptions_of(message.tenant)]))
    return sid


async def log_when(otpost: Installation, made: dict[str, Any], *statuses: str) -> list[dict[str, Any]]:
    """The log of a webhook, once its statuses are these, newest first."""

    async def look() -> list[dict[str, Any]]:
        return list((await otpost.ok("GET", path(otpost, made["sid"], "deliveries")))["items"])

    return list(await until(look, lambda items: [item["status"] for item in items] == list(statuses)))


async def test_a_webhooks_secret_is_shown_once(otpost: Installation):
    made = await make(otpost, description=" orders ", events=["verification.approved", "message.failed"])
    assert set(made) == FIELDS | {"secret"}
    assert made["secret"].startswith("whsec_")
    secret = made.pop("secret")
    assert (made["url"], made["description"], made["enabled"], made["disabled"]) == (URL, "orders", True, None)
    assert made["events"] == ["verification.approved", "message.failed"]
    assert await otpost.ok("GET", path(otpost, made["sid"])) == made
    assert await otpost.ok("GET", path(otpost)) == {"items": [made], "next": None}
    assert secret.removeprefix("whsec_") not in await everything(otpost)


async def test_each_mistake_is_said_at_its_field(otpost: Installation):
    good = {"url": URL, "events": ["message.delivered"]}
    for body, field, code in (
        ({"events": ["message.delivered"]}, "url", "required"),
        ({**good, "url": " "}, "url", "required"),
        ({**good, "url": "frog"}, "url", "invalid"),
        ({**good, "url": "https://10.0.0.1/hooks"}, "url", "invalid"),
        ({**good, "url": "https://user:word@shop.example/"}, "url", "invalid"),
        ({**good, "url": f"https://shop.example/{'x' * 2048}"}, "url", "text_too_long"),
        ({"url": URL}, "events", "required"),
        ({**good, "events": []}, "events", "required"),
        ({**good, "events": ["message.delivered", "message.eaten"]}, "events[1]", "invalid"),
        ({**good, "events": ["message.sent", "message.sent"]}, "events[1]", "duplicate"),
        ({**good, "description": "x" * 201}, "description", "text_too_long"),
        ({**good, "description": "two\nlines"}, "description", "invalid"),
        ({**good, "secret": "whsec_mine"}, "secret", "unknown_field"),
    ):
        assert told(await otpost.call("POST", path(otpost), body)) == (422, "invalid", [(field, code)]), body
    both = told(await otpost.call("POST", path(otpost), {"url": "frog", "events": []}))
    assert both == (422, "invalid", [("url", "invalid"), ("events", "required")])
    assert (await otpost.ok("GET", path(otpost)))["items"] == []
    made = await make(otpost)
    assert told(await otpost.call("POST", path(otpost), good)) == (422, "invalid", [("url", "duplicate")])
    patches: tuple[tuple[dict[str, Any], str, str], ...] = (
        ({"url": "https://10.0.0.1/hooks"}, "url", "invalid"),
        ({"events": []}, "events", "required"),
        ({"enabled": None}, "enabled", "invalid"),
        ({"description": "x" * 201}, "description", "text_too_long"),
    )
    for patch, field, code in patches:
        answer = await otpost.call("PATCH", path(otpost, made["sid"]), patch)
        assert told(answer) == (422, "invalid", [(field, code)]), patch


async def test_a_webhook_is_changed_disabled_and_removed(otpost: Installation):
    made = await make(otpost)
    made.pop("secret")
    otpost.clock.advance(1)
    changed = await otpost.ok("PATCH", path(otpost, made["sid"]), {"url": f"{URL}/2", "events": ["message.failed"]})
    assert changed == {**made, "url": f"{URL}/2", "events": ["message.failed"], "updated_at": changed["updated_at"]}
    assert changed["updated_at"] > made["updated_at"]
    off = await otpost.ok("PATCH", path(otpost, made["sid"]), {"enabled": False})
    assert (off["enabled"], off["disabled"], off["url"]) == (False, None, f"{URL}/2")
    assert (await otpost.ok("PATCH", path(otpost, made["sid"]), {"enabled": True}))["enabled"] is True
    assert (await otpost.call("DELETE", path(otpost, made["sid"]))).status == 204
    for method, more in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/secret"), ("POST", "/test")):
        answer = await otpost.call(method, path(otpost, made["sid"]) + more, {} if method == "PATCH" else None)
        assert told(answer) == (404, "not_found", []), (method, more)


async def test_a_verify_key_has_the_webhooks_of_its_own_application_alone(otpost: Installation):
    body = {"url": URL, "events": ["message.delivered"]}
    made = await otpost.ok("POST", path(otpost), body, key=otpost.verify)
    second = (await otpost.ok("POST", "/v1/applications", {"name": "Second"}))["sid"]
    stranger = await otpost.key("verify", second)
    other = await neighbour(otpost)
    for key in (stranger, other.admin, other.key):
        for method, more, sent in (
            ("GET", (), None),
            ("POST", (), body),
            ("GET", (made["sid"],), None),
            ("PATCH", (made["sid"],), {"enabled": False}),
            ("DELETE", (made["sid"],), None),
            ("POST", (made["sid"], "secret"), None),
            ("POST", (made["sid"], "test"), None),
            ("POST", (made["sid"], "replay"), {"since": "2026-11-23T02:06:27Z"}),
            ("GET", (made["sid"], "deliveries"), None),
        ):
            answer = await otpost.call(method, path(otpost, *more), sent, key=key)
            assert told(answer) == (404, "not_found", []), (method, more)
    under_second = f"/v1/applications/{second}/webhooks/{made['sid']}"
    assert told(await otpost.call("GET", under_second, key=otpost.admin)) == (404, "not_found", [])
    assert (await otpost.ok("GET", path(otpost, made["sid"]), key=otpost.verify))["enabled"] is True


async def test_an_idempotency_key_gets_the_same_secret_again(otpost: Installation):
    once = {"idempotency-key": "once"}
    body = {"url": URL, "events": ["message.delivered"]}
    first, again = [await otpost.call("POST", path(otpost), body, headers=once) for _ in range(2)]
    assert (first.status, again.status) == (201, 201)
    assert first.body == again.body
    assert again.headers["idempotent-replayed"] == "true"
    assert len((await otpost.ok("GET", path(otpost)))["items"]) == 1


async def test_a_new_secret_is_shown_once_and_says_until_when_the_old_one_signs(otpost: Installation):
    made = await make(otpost)
    otpost.clock.advance(60)
    new = await otpost.ok("POST", path(otpost, made["sid"], "secret"))
    assert new["secret"].startswith("whsec_")
    assert new["secret"] != made["secret"]
    assert new["secret_set_at"] > made["secret_set_at"]
    assert new["old_secret_until"] is not None
    seen = await otpost.ok("GET", path(otpost, made["sid"]))
    assert seen == {name: value for name, value in new.items() if name != "secret"}
    otpost.clock.advance(24 * 3600)
    assert (await otpost.ok("GET", path(otpost, made["sid"])))["old_secret_until"] is None


async def test_a_test_is_posted_now_and_tells_what_was_answered(otpost: Installation, receiver: Receiver):
    made = await make(otpost, receiver.url)
    receiver.status, receiver.said = 202, "thanks"
    done = await otpost.ok("POST", path(otpost, made["sid"], "test"))
    (got,) = receiver.got
    assert got.proven(made["secret"])["type"] == "webhook.test"
    assert (done["sid"], done["type"], done["status"], done["subject"]) == (
        got.id,
        "webhook.test",
        "delivered",
        made["sid"],
    )
    (line,) = done["tries"]
    assert (line["http_status"], line["answer"], line["error"]) == (202, "thanks", "")
    assert done["body"] == got.body.decode()
    receiver.status, receiver.said = 500, "oh no"
    failed = await otpost.ok("POST", path(otpost, made["sid"], "test"))
    assert (failed["status"], failed["next_at"], failed["tries"][0]["http_status"]) == ("failed", None, 500)
    assert [item["sid"] for item in await log_when(otpost, made, "failed", "delivered")] == [failed["sid"], done["sid"]]
    assert (await otpost.ok("GET", path(otpost, made["sid"])))["failing_since"] is None


async def test_a_test_of_an_address_that_nobody_answers_says_so(otpost: Installation, free_port: int):
    made = await make(otpost, f"http://127.0.0.1:{free_port}/hooks")
    done = await otpost.ok("POST", path(otpost, made["sid"], "test"))
    assert done["status"] == "failed"
    assert done["tries"][0]["http_status"] is None
    assert "could not be connected to" in done["tries"][0]["error"]


async def test_ten_tests_a_minute_are_enough_and_an_idempotency_key_makes_one(otpost: Installation, receiver: Receiver):
    made = await make(otpost, receiver.url)
    target = path(otpost, made["sid"], "test")
    once = {"idempotency-key": "once"}
    first, again = [await otpost.call("POST", target, headers=once) for _ in range(2)]
    assert first.json() == again.json()
    assert len(receiver.got) == 1
    for _ in range(9):
        await otpost.ok("POST", target)
    assert told(await otpost.call("POST", target)) == (429, "tests_reached", [])
    assert len(receiver.got) == 10
    otpost.clock.advance(61)
    await otpost.ok("POST", target)


async def test_the_log_is_searched_and_each_delivery_is_read_with_its_body_and_replayed(
    otpost: Installation, receiver: Receiver
):
    made = await make(otpost, receiver.url)
    receiver.status = 410
    async with posting(otpost):
        sid = await happen(otpost)
        (failed,) = await log_when(otpost, made, "failed")
        own = path(otpost, made["sid"])
        seen = await otpost.ok("GET", own)
        assert (seen["enabled"], seen["disabled"]) == (False, "gone")
        assert seen["disabled_at"] is not None
        one = f"{own}/deliveries/{failed['sid']}"
        read = await otpost.ok("GET", one)
        assert read == {**failed, "body": receiver.got[0].body.decode()}
        assert (read["type"], read["subject"], read["tries"][0]["http_status"]) == ("message.delivered", sid, 410)
        for target, body in ((f"{one}/replay", None), (f"{own}/replay", {"since": failed["created_at"]})):
            assert told(await otpost.call("POST", target, body)) == (422, "invalid", [("enabled", "invalid")])
        await otpost.ok("PATCH", own, {"enabled": True})
        receiver.status = 204
        answer = await otpost.call("POST", f"{one}/replay")
        assert (answer.status, answer.json()["status"]) == (202, "waiting")
        (done,) = await log_when(otpost, made, "delivered")
        assert [line["http_status"] for line in done["tries"]] == [410, 204]
        assert [got.id for got in receiver.got] == [failed["sid"]] * 2
        again = await otpost.call("POST", f"{one}/replay")
        assert again.status == 202
        await receiver.wait_for(3)
    for query, count in (
        ("?status=delivered", 1),
        ("?status=failed", 0),
        ("?type=message.delivered", 1),
        ("?type=webhook.test", 0),
        (f"?after={failed['created_at']}", 0),
        ("?after=2020-01-01T00:00:00Z", 1),
    ):
        assert len((await otpost.ok("GET", f"{own}/deliveries{query}"))["items"]) == count, query
    for query, field in (("?status=eaten", "status"), ("?type=eaten", "type"), ("?after=noon", "after")):
        answer = await otpost.call("GET", f"{own}/deliveries{query}")
        assert told(answer) == (422, "invalid", [(field, "invalid")])
    for unknown in ("frog", "WD" + "0" * 32):
        assert told(await otpost.call("GET", f"{own}/deliveries/{unknown}")) == (404, "not_found", [])
        assert told(await otpost.call("POST", f"{own}/deliveries/{unknown}/replay")) == (404, "not_found", [])


async def test_all_that_has_failed_since_a_moment_is_replayed(otpost: Installation, receiver: Receiver):
    made = await make(otpost, receiver.url)
    own = path(otpost, made["sid"])
    await otpost.ok("PATCH", own, {"enabled": True})
    receiver.status = 410
    async with posting(otpost):
        for count in range(1, 4):
            await happen(otpost)
            await log_when(otpost, made, *["failed"] * count)
            await otpost.ok("PATCH", own, {"enabled": True})
            otpost.clock.advance(1)
        receiver.status = 200
        second = (await log_when(otpost, made, *["failed"] * 3))[1]
        assert await otpost.ok("POST", f"{own}/replay", {"since": second["created_at"]}) == {"replayed": 2}
        await log_when(otpost, made, "delivered", "delivered", "failed")
        assert await otpost.ok("POST", f"{own}/replay", {"since": second["created_at"]}) == {"replayed": 0}
    for body, code in (({}, "required"), ({"since": "noon"}, "invalid")):
        assert told(await otpost.call("POST", f"{own}/replay", body)) == (422, "invalid", [("since", code)])


async def test_lists_have_pages(otpost: Installation):
    sids = [(await make(otpost, f"{URL}/{place}"))["sid"] for place in range(3)]
    first = await otpost.ok("GET", f"{path(otpost)}?limit=2")
    assert [item["sid"] for item in first["items"]] == [sids[2], sids[1]]
    rest = await otpost.ok("GET", f"{path(otpost)}?limit=2&cursor={first['next']}")
    assert ([item["sid"] for item in rest["items"]], rest["next"]) == ([sids[0]], None)
    for _ in range(3):
        await happen(otpost)
        otpost.clock.advance(1)
    log = path(otpost, sids[0], "deliveries")
    page = await otpost.ok("GET", f"{log}?limit=2")
    assert (len(page["items"]), page["next"]) == (2, page["items"][1]["sid"])
    assert len((await otpost.ok("GET", f"{log}?limit=2&cursor={page['next']}"))["items"]) == 1


async def test_what_is_done_with_webhooks_is_in_the_audit_lines(otpost: Installation, receiver: Receiver):
    made = await make(otpost, receiver.url)
    own = path(otpost, made["sid"])
    await otpost.ok("POST", f"{own}/test")
    await otpost.ok("PATCH", own, {"events": list(EVENTS), "enabled": False})
    await otpost.ok("POST", f"{own}/secret")
    await otpost.call("DELETE", own)
    said = await everything(otpost)
    for what in ("made", "tested", "changed", "secret replaced", "removed"):
        assert f"webhook {what}" in said
    assert f"{made['sid']}: events, disabled" in said
