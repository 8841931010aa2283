"""Who may do what: keys of one application, of the tenant, and of another tenant."""

from __future__ import annotations

from typing import Any

from api.world import neighbour, picture, quiet, told
from asgi import ask
from installation import TO, Installation
from otpost.api.native.routes import ENDPOINTS

OTHER = "+15005550009"


def bodies(to: str) -> dict[tuple[str, str], Any]:
    """A body that is right, for each call that takes one."""
    return {
        ("POST", "/v1/verifications"): {"to": to},
        ("POST", "/v1/verifications/{sid}/check"): {"code": "123456"},
        ("POST", "/v1/verifications/{sid}/cancel"): {},
        ("POST", "/v1/messages"): {"to": to, "body": "hello"},
        ("POST", "/v1/applications"): {"name": "New"},
        ("PATCH", "/v1/applications/{sid}"): {"name": "Changed"},
        ("POST", "/v1/applications/{sid}/keys"): {"name": "new"},
        ("POST", "/v1/applications/{sid}/webhooks"): {"url": "https://shop.example/", "events": ["message.failed"]},
        ("PATCH", "/v1/applications/{sid}/webhooks/{webhook}"): {"enabled": False},
        ("POST", "/v1/applications/{sid}/webhooks/{webhook}/replay"): {"since": "2026-11-23T02:06:27Z"},
        ("PUT", "/v1/sender-policy"): {"sender_service": "sandbox"},
        ("POST", "/v1/sender-policy/test"): {"policy": {"sender_service": "sandbox"}, "to": to, "message": "hello"},
        ("POST", "/v1/sender-policy/revisions/{revision}/restore"): {},
    }


async def test_a_verify_key_is_refused_whatever_is_an_administrators(otpost: Installation) -> None:
    await otpost.choose_sandbox()
    before = await picture(otpost)
    own = otpost.tenant.default_application
    given = bodies(TO)
    refused = set()
    for endpoint in ENDPOINTS:
        if endpoint.scope != "admin":
            continue
        path = endpoint.path.replace("{sid}", own).replace("{key}", otpost.verify.key.sid)
        path = path.replace("{number}", TO).replace("{revision}", "1")
        for raw in (b"", b"{", b'{"colour": 1}'):
            answer = await otpost.call(endpoint.method, path, raw=raw, key=otpost.verify)
            assert told(answer) == (403, "scope_missing", []), (endpoint.method, path)
        body = given.get((endpoint.method, endpoint.path))
        assert told(await otpost.call(endpoint.method, path, body, key=otpost.verify))[:2] == (403, "scope_missing")
        refused.add((endpoint.method, endpoint.path))
    assert len(refused) == len([endpoint for endpoint in ENDPOINTS if endpoint.scope == "admin"]) > 10
    assert await picture(otpost) == before
    page = await otpost.call("GET", "/metrics", key=otpost.verify)
    assert told(page) == (403, "scope_missing", [])


async def test_a_verify_key_sees_and_touches_its_own_application_alone(otpost: Installation) -> None:
    await otpost.choose_sandbox()
    second = (await otpost.ok("POST", "/v1/applications", {"name": "Second"}))["sid"]
    key = await otpost.key("verify", second)
    first = await otpost.ok("POST", "/v1/verifications", {"to": TO}, key=otpost.verify)
    mine = await otpost.ok("POST", "/v1/verifications", {"to": TO}, key=key)
    assert (first["application"], mine["application"]) == (otpost.tenant.default_application, second)
    plain = await otpost.ok("POST", "/v1/messages", {"to": TO, "body": "hello"})
    await quiet(otpost)
    before = await picture(otpost)
    for method, path, body, code in (
        ("GET", f"/v1/verifications/{first['sid']}", None, "verification_not_found"),
        ("POST", f"/v1/verifications/{first['sid']}/check", {"code": otpost.code(first)}, "verification_not_found"),
        ("POST", f"/v1/verifications/{first['sid']}/cancel", None, "verification_not_found"),
        ("GET", f"/v1/messages/{first['message']['sid']}", None, "not_found"),
        ("GET", f"/v1/messages/{plain['sid']}", None, "not_found"),
        ("POST", "/v1/verifications", {"to": OTHER, "application": first["application"]}, "not_found"),
    ):
        assert told(await otpost.call(method, path, body, key=key)) == (404, code, []), path
    assert await picture(otpost) == before
    for path, sid in (("/v1/verifications", mine["sid"]), ("/v1/messages", mine["message"]["sid"])):
        for query in ("", f"?to={TO}", "?limit=200"):
            items = (await otpost.ok("GET", path + query, key=key))["items"]
            assert [item["sid"] for item in items] == [sid]
    assert (await otpost.ok("POST", "/v1/verifications", {"to": OTHER, "application": second}, key=key))["sid"]
    seen = {item["sid"] for item in (await otpost.ok("GET", "/v1/verifications"))["items"]}
    assert {first["sid"], mine["sid"]} <= seen


async def test_an_admin_key_that_names_no_application_acts_for_the_default_one(otpost: Installation) -> None:
    await otpost.choose_sandbox()
    second = (await otpost.ok("POST", "/v1/applications", {"name": "Second"}))["sid"]
    assert (await otpost.ok("POST", "/v1/verifications", {"to": TO}))[
        "application"
    ] == otpost.tenant.default_application
    named = await otpost.ok("POST", "/v1/verifications", {"to": TO, "application": second})
    assert named["application"] == second
    text = await otpost.ok("POST", "/v1/messages", {"to": TO, "body": "hello"})
    assert text["application"] == otpost.tenant.default_application


async def test_a_revoked_key_is_refused_at_once(otpost: Installation) -> None:
    await otpost.choose_sandbox()
    own = otpost.tenant.default_application
    made = await otpost.ok("POST", f"/v1/applications/{own}/keys", {"name": "shop"})
    assert (made["scope"], made["application"], made["name"]) == ("verify", own, "shop")
    bearer = {"authorization": f"Bearer {made['sid']}.{made['secret']}"}
    once = {**bearer, "idempotency-key": "once"}
    assert (await otpost.call("POST", "/v1/verifications", {"to": TO}, headers=once)).status == 201
    assert (await otpost.call("DELETE", f"/v1/applications/{own}/keys/{made['sid']}")).status == 204
    assert told(await otpost.call("POST", "/v1/verifications", {"to": TO}, headers=once)) == (
        401,
        "unauthenticated",
        [],
    )
    assert told(await otpost.call("GET", "/v1/verifications", headers=bearer)) == (401, "unauthenticated", [])
    assert (await otpost.call("DELETE", f"/v1/applications/{own}/keys/{made['sid']}")).status == 404
    listed = {row["sid"]: row for row in (await otpost.ok("GET", f"/v1/applications/{own}/keys"))["items"]}
    assert listed[made["sid"]]["revoked_at"] is not None
    assert listed[otpost.verify.key.sid]["revoked_at"] is None
    assert not any("secret" in row or "secret_sha256" in row for row in listed.values())


async def test_keys_of_another_tenant_see_and_change_nothing_of_ours(otpost: Installation) -> None:
    await otpost.choose_sandbox()
    other = await neighbour(otpost)
    ours = await otpost.ok("POST", "/v1/verifications", {"to": TO})
    await quiet(otpost)
    own = otpost.tenant.default_application
    named = {
        "verifications": ours["sid"],
        "messages": ours["message"]["sid"],
        "applications": own,
    }
    given = bodies(OTHER)

    async def of_ours() -> list[tuple[Any, ...]]:
        found = await picture(otpost)
        return [row for rows in found.values() for row in rows if otpost.tenant.sid in row or own in row]

    before = await of_ours()
    hidden = (otpost.tenant.sid, own, ours["sid"], ours["message"]["sid"], otpost.verify.key.sid, otpost.admin.key.sid)
    for key in (other.admin, other.key):
        for endpoint in ENDPOINTS:
            if endpoint.scope == "admin" and key is other.key:
                continue
            sid = named.get(endpoint.path.split("/")[2], "")
            path = endpoint.path.replace("{sid}", sid).replace("{key}", otpost.verify.key.sid)
            path = path.replace("{number}", TO).replace("{revision}", "1")
            for target in (
                path,
                f"{path}?to={TO}" if "to" in getattr(endpoint.query, "__struct_fields__", ()) else path,
            ):
                body = given.get((endpoint.method, endpoint.path))
                answer = await otpost.call(endpoint.method, target, body, key=key)
                assert not any(sid in answer.text for sid in hidden), (endpoint.method, target)
                if "{sid}" in endpoint.path or "{number}" in endpoint.path:
                    assert answer.status == 404, (endpoint.method, target)
        wanted = {"to": TO, "application": own}
        assert told(await otpost.call("POST", "/v1/verifications", wanted, key=key)) == (404, "not_found", [])
        for path in ("/v1/verifications", "/v1/messages"):
            for query in (f"?to={TO}", f"?cursor={'VE' if 'ver' in path else 'SM'}{'f' * 32}&to={TO}"):
                answer = await otpost.ok("GET", path + query, key=key)
                assert answer == {"items": [], "next": None}
    await quiet(otpost)
    await quiet(otpost, other.admin)
    assert await of_ours() == before


async def test_open_addresses_need_no_key_and_all_others_do(otpost: Installation) -> None:
    for path in ("/healthz", "/readyz", "/openapi.json"):
        assert (await ask(otpost.app, "GET", path)).status == 200
    for path in ("/metrics", *(endpoint.path for endpoint in ENDPOINTS)):
        methods = [endpoint.method for endpoint in ENDPOINTS if endpoint.path == path] or ["GET"]
        for method in methods:
            answer = await ask(otpost.app, method, path.replace("{", "").replace("}", ""))
            assert told(answer) == (401, "unauthenticated", []), (method, path)
    assert (await otpost.call("GET", "/metrics")).status == 200
