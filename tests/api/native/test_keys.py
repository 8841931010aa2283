"""All keys of a tenant: their list, when they were used, and their end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.types import Message

from api.world import neighbour, told
from asgi import Answered
from installation import TO, Installation
from otpost.services.audit import command_line_actor, list_lines
from otpost.services.tenants.keys import NewKey, keep_key_uses, revoke_key
from otpost.store.kinds import API_KEYS

NEVER = "SK" + "0" * 32


async def listed(otpost: Installation, query: str = "") -> list[dict[str, Any]]:
    return list((await otpost.ok("GET", f"/v1/keys{query}"))["items"])


async def test_all_keys_are_listed_with_scope_maker_and_last_use(otpost: Installation) -> None:
    await neighbour(otpost)
    rows = await listed(otpost)
    assert [row["sid"] for row in rows] == [otpost.verify.key.sid, otpost.admin.key.sid]
    verify, admin = rows
    created = verify.pop("created_at")
    assert created.endswith("Z")
    assert verify == {
        "sid": otpost.verify.key.sid,
        "name": "test",
        "scope": "verify",
        "application": otpost.tenant.default_application,
        "created_by": "command line",
        "last_used_at": None,
        "expires_at": None,
        "revoked_at": None,
    }
    assert (admin["scope"], admin["application"]) == ("admin", None)
    assert "secret" not in str(rows)


async def test_the_list_is_narrowed_by_scope_and_application_and_comes_in_pages(otpost: Installation) -> None:
    second = (await otpost.ok("POST", "/v1/applications", {"name": "Second"}))["sid"]
    own = await otpost.key("verify", second)
    assert [row["sid"] for row in await listed(otpost, "?scope=admin")] == [otpost.admin.key.sid]
    assert [row["sid"] for row in await listed(otpost, f"?application={second}")] == [own.key.sid]
    first = await otpost.ok("GET", "/v1/keys?limit=2")
    rest = await otpost.ok("GET", f"/v1/keys?limit=2&cursor={first['next']}")
    assert [row["sid"] for row in first["items"] + rest["items"]] == [
        own.key.sid,
        otpost.verify.key.sid,
        otpost.admin.key.sid,
    ]
    assert rest["next"] is None
    assert told(await otpost.call("GET", "/v1/keys?scope=root"))[:2] == (422, "invalid")


async def test_the_last_use_is_told_to_the_minute_and_written_beside_the_calls(otpost: Installation) -> None:
    await otpost.choose_sandbox()
    before = otpost.clock.now
    await otpost.ok("POST", "/v1/verifications", {"to": TO}, key=otpost.verify)
    row = await otpost.store.get(API_KEYS, otpost.verify.key.sid)
    assert row is not None
    assert row.last_used_at is None
    told_now = (await listed(otpost, "?scope=verify"))[0]["last_used_at"]
    await keep_key_uses(otpost.context, otpost.key_uses)
    row = await otpost.store.get(API_KEYS, otpost.verify.key.sid)
    assert row is not None
    assert row.last_used_at == before - before % 60_000
    assert (await listed(otpost, "?scope=verify"))[0]["last_used_at"] == told_now
    assert told_now.endswith((":00Z", ":00.000Z"))
    otpost.clock.advance(60)
    await otpost.ok("GET", "/v1/verifications", key=otpost.verify)
    await keep_key_uses(otpost.context, otpost.key_uses)
    row = await otpost.store.get(API_KEYS, otpost.verify.key.sid)
    assert row is not None
    assert row.last_used_at == before - before % 60_000 + 60_000
    assert otpost.key_uses == {}


async def test_a_use_that_another_node_saw_later_is_not_taken_back(otpost: Installation) -> None:
    otpost.key_uses[otpost.verify.key.sid] = otpost.clock() + 120_000
    await keep_key_uses(otpost.context, otpost.key_uses)
    later = (await listed(otpost, "?scope=verify"))[0]["last_used_at"]
    otpost.key_uses[otpost.verify.key.sid] = otpost.clock()
    await keep_key_uses(otpost.context, otpost.key_uses)
    assert (await listed(otpost, "?scope=verify"))[0]["last_used_at"] == later


@pytest.mark.parametrize("scope", ["admin", "verify"])
async def test_a_key_of_either_scope_is_revoked_at_once(otpost: Installation, scope: str) -> None:
    key = await otpost.key(scope, otpost.tenant.default_application if scope == "verify" else None)  # type: ignore[arg-type]
    assert (await otpost.call("GET", "/v1/verifications", key=key)).status == 200
    assert (await otpost.call("DELETE", f"/v1/keys/{key.key.sid}")).status == 204
    assert told(await otpost.call("GET", "/v1/verifications", key=key)) == (401, "unauthenticated", [])
    assert told(await otpost.call("DELETE", f"/v1/keys/{key.key.sid}")) == (404, "not_found", [])
    assert {row["sid"]: row["revoked_at"] is not None for row in await listed(otpost)}[key.key.sid]


async def test_a_key_may_revoke_itself(otpost: Installation) -> None:
    key = await otpost.key("admin")
    assert (await otpost.call("DELETE", f"/v1/keys/{key.key.sid}", key=key)).status == 204
    assert told(await otpost.call("DELETE", f"/v1/keys/{key.key.sid}", key=key)) == (401, "unauthenticated", [])


async def test_another_tenants_key_is_not_there(otpost: Installation) -> None:
    other = await neighbour(otpost)
    for sid in (other.admin.key.sid, other.key.key.sid, NEVER, "x"):
        assert told(await otpost.call("DELETE", f"/v1/keys/{sid}")) == (404, "not_found", [])
    assert (await otpost.call("GET", "/v1/keys", key=other.admin)).status == 200
    assert await listed(otpost, f"?application={other.application}") == []


async def call_and_revoke(
    otpost: Installation, method: str, path: str, body: bytes, key: NewKey, *, idempotency_key: str = ""
) -> Answered:
    """A call whose key is revoked after it was proven: while its body is on the way."""
    answered: list[Message] = []
    revoke = revoke_key(otpost.context, command_line_actor(otpost.tenant.sid), key.key.sid)

    async def receive() -> Message:
        await otpost.store.run(revoke)
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        answered.append(message)

    headers = [
        (b"authorization", f"Bearer {key.key.sid}.{key.secret}".encode()),
        (b"content-type", b"application/json"),
    ]
    if idempotency_key:
        headers.append((b"idempotency-key", idempotency_key.encode()))
    scope = {"type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": b""}
    more = {
        "root_path": "",
        "headers": headers,
        "client": ("192.0.2.1", 5),
        "server": ("otpost.test", 80),
        "scheme": "http",
    }
    await asyncio.wait_for(otpost.app({**scope, **more, "http_version": "1.1", "state": {}}, receive, send), 10)
    return Answered(answered[0]["status"], {}, answered[1]["body"])


@pytest.mark.parametrize("idempotency_key", ["", "once"])
async def test_a_key_that_is_revoked_between_its_proof_and_its_work_does_nothing(
    otpost: Installation, idempotency_key: str
) -> None:
    await otpost.choose_sandbox()
    own, webhook = otpost.tenant.default_application, b'{"url":"https://shop.example/","events":["message.failed"]}'
    made = await otpost.ok(
        "POST", f"/v1/applications/{own}/webhooks", {"url": "https://shop.example/", "events": ["message.failed"]}
    )
    template = await otpost.ok(
        "POST", "/v1/templates", {"friendly_name": "t", "translations": {"en": "{{code}} is your code."}}
    )
    hooks = f"/v1/applications/{own}/webhooks"
    calls = {
        ("POST", "/v1/verifications"): b'{"to":"+15005550006"}',
        ("POST", "/v1/messages"): b'{"to":"+15005550006","body":"hello"}',
        ("POST", "/v1/applications"): b'{"name":"New"}',
        ("PATCH", f"/v1/applications/{own}"): b'{"name":"Changed"}',
        ("POST", f"/v1/applications/{own}/keys"): b"{}",
        ("DELETE", f"/v1/applications/{own}/keys/{otpost.verify.key.sid}"): b"",
        ("DELETE", f"/v1/keys/{otpost.verify.key.sid}"): b"",
        ("POST", "/v1/tenant/auth-token"): b"",
        ("PUT", "/v1/sender-policy"): b'{"sender_service":"sandbox"}',
        ("POST", "/v1/sender-policy/revisions/1/restore"): b"{}",
        (
            "POST",
            "/v1/sender-policy/test",
        ): b'{"policy":{"sender_service":"sandbox"},"to":"+15005550006","message":"x"}',
        ("POST", hooks): webhook,
        ("PATCH", f"{hooks}/{made['sid']}"): b'{"enabled":false}',
        ("POST", f"{hooks}/{made['sid']}/secret"): b"",
        ("POST", f"{hooks}/{made['sid']}/test"): b"",
        ("POST", f"{hooks}/{made['sid']}/replay"): b'{"since":"2026-11-23T02:06:27Z"}',
        ("DELETE", f"{hooks}/{made['sid']}"): b"",
        ("DELETE", f"/v1/templates/{template['sid']}"): b"",
    }
    for (method, path), body in calls.items():
        key = await otpost.key("admin")
        answer = await call_and_revoke(otpost, method, path, body, key, idempotency_key=idempotency_key)
        assert told(answer) == (401, "unauthenticated", []), (method, path, answer.text)
    assert (await otpost.ok("GET", "/v1/verifications"))["items"] == []
    assert (await otpost.ok("GET", "/v1/messages"))["items"] == []
    assert (await otpost.call("GET", "/v1/verifications", key=otpost.verify)).status == 200


async def test_the_trail_says_from_which_address_a_key_acted(otpost: Installation) -> None:
    await otpost.ok("POST", "/v1/applications", {"name": "Second"})
    lines = (await list_lines(otpost.context, otpost.tenant.sid, limit=1, cursor=None)).rows
    assert [(line.what, line.client) for line in lines] == [("application made", "127.0.0.1")]


async def test_the_log_says_which_key_was_refused_and_why_and_not_its_secret(
    otpost: Installation, caplog: pytest.LogCaptureFixture
) -> None:
    key = await otpost.key("admin")
    await otpost.ok("DELETE", f"/v1/keys/{key.key.sid}")
    other = NewKey(otpost.admin.key, "wrong-secret")
    await otpost.call("GET", "/v1/keys", key=key)
    await otpost.call("GET", "/v1/keys", key=other)
    await otpost.call("GET", "/v1/keys", headers={"authorization": f"Bearer {NEVER}.never-secret"})
    await otpost.call("GET", "/v1/keys", headers={"authorization": "Bearer typed-secret.x"})
    assert [record.getMessage() for record in caplog.records if record.name == "otpost.services.tenants.keys"] == [
        f"a key was refused: the key is revoked ({key.key.sid}, from 127.0.0.1)",
        f"a key was refused: the secret is wrong ({otpost.admin.key.sid}, from 127.0.0.1)",
        f"a key was refused: the key is unknown ({NEVER}, from 127.0.0.1)",
        "a key was refused: the key is unknown (no key, from 127.0.0.1)",
    ]
