"""Idempotency-Key: the first answer to a POST is given again, for a day."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable
from typing import Any

import pytest

from api.world import everything, neighbour, picture, quiet, told
from asgi import Answered
from installation import TO, Installation
from otpost import telemetry
from otpost.api.native.routes import ENDPOINTS
from otpost.domain.outcome import Unavailable, Vendor
from otpost.services.tenants.keys import NewKey

OTHER = "+15005550009"
DAY_S = 24 * 3600


@pytest.fixture(autouse=True)
async def sandbox(otpost: Installation) -> None:
    await otpost.choose_sandbox()


async def post(
    otpost: Installation, path: str, body: Any, once: str = "once", *, key: NewKey | None = None, **more: Any
) -> Answered:
    return await otpost.call("POST", path, body, key=key or otpost.verify, headers={"idempotency-key": once}, **more)


def replays(first: Answered, again: Answered) -> bool:
    """Whether `again` is the first answer again: the same status, headers and body, and the header that says so."""
    assert "idempotent-replayed" not in first.headers
    return (again.status, again.body, again.headers) == (
        first.status,
        first.body,
        {**first.headers, "idempotent-replayed": "true"},
    )


async def test_the_same_key_and_body_get_the_first_answer_again_and_have_one_effect(otpost: Installation) -> None:
    first = await post(otpost, "/v1/verifications", {"to": TO})
    assert first.status == 201
    await quiet(otpost)
    before = await picture(otpost, without=frozenset({"nodes"}))
    for _ in range(3):
        otpost.clock.advance(600)
        assert replays(first, await post(otpost, "/v1/verifications", {"to": TO}))
    assert await picture(otpost, without=frozenset({"nodes", "verifications"})) == {
        name: rows for name, rows in before.items() if name != "verifications"
    }


async def test_another_body_under_the_same_key_is_refused_whatever_it_is(otpost: Installation) -> None:
    await post(otpost, "/v1/verifications", {"to": TO})
    before = await picture(otpost, without=frozenset({"nodes", "messages", "attempts", "sandbox_texts"}))
    for raw in (b'{"to":"+15005550009"}', b"", b"{", b"\xff", b'{"to": 7}', b'{"to":"+15005550006"}'):
        answer = await post(otpost, "/v1/verifications", None, raw=raw)
        assert told(answer) == (422, "idempotency_key_reused", []), raw
        assert "idempotent-replayed" not in answer.headers
    assert await picture(otpost, without=frozenset({"nodes", "messages", "attempts", "sandbox_texts"})) == before


async def test_a_key_stands_for_one_application_or_tenant_one_method_and_one_path(otpost: Installation) -> None:
    first = await post(otpost, "/v1/verifications", {"to": TO})
    same_application = await otpost.key("verify", otpost.tenant.default_application)
    assert replays(first, await post(otpost, "/v1/verifications", {"to": TO}, key=same_application))
    second = await otpost.key("verify", (await otpost.ok("POST", "/v1/applications", {"name": "Second"}))["sid"])
    assert (await post(otpost, "/v1/verifications", {"to": TO}, key=second)).status == 201
    by_tenant = await post(otpost, "/v1/verifications", {"to": OTHER}, key=otpost.admin)
    assert by_tenant.status == 201
    assert replays(by_tenant, await post(otpost, "/v1/verifications", {"to": OTHER}, key=await otpost.key("admin")))
    other = await neighbour(otpost)
    assert (await post(otpost, "/v1/verifications", {"to": OTHER}, key=other.admin)).status == 201
    sid = first.json()["sid"]
    checked = await post(otpost, f"/v1/verifications/{sid}/check", {"code": otpost.wrong_code(first.json())})
    assert (checked.status, checked.json()["checks"]) == (200, 1)
    canceled = await post(otpost, f"/v1/verifications/{sid}/cancel", None)
    assert (canceled.status, canceled.json()["status"]) == (200, "canceled")
    read = await otpost.call("GET", f"/v1/verifications/{sid}", headers={"idempotency-key": "once"})
    assert "idempotent-replayed" not in read.headers
    assert read.json()["status"] == "canceled"


async def test_a_repeated_check_uses_up_one_check(otpost: Installation) -> None:
    verification = (await post(otpost, "/v1/verifications", {"to": TO})).json()
    path = f"/v1/verifications/{verification['sid']}/check"
    wrong = await post(otpost, path, {"code": otpost.wrong_code(verification)}, "a")
    assert replays(wrong, await post(otpost, path, {"code": otpost.wrong_code(verification)}, "a"))
    right = await post(otpost, path, {"code": otpost.code(verification)}, "b")
    assert right.json()["status"] == "approved"
    assert replays(right, await post(otpost, path, {"code": otpost.code(verification)}, "b"))
    assert told(await post(otpost, path, {"code": otpost.code(verification)}, "c"))[:2] == (
        404,
        "verification_not_found",
    )
    assert (await otpost.ok("GET", f"/v1/verifications/{verification['sid']}"))["checks"] == 2


async def test_parallel_calls_with_one_key_have_one_effect(otpost: Installation) -> None:
    await otpost.ok("PATCH", f"/v1/applications/{otpost.tenant.default_application}", {"resend_after_s": 0})
    answers = await asyncio.gather(*(post(otpost, "/v1/verifications", {"to": TO}) for _ in range(32)))
    assert {(answer.status, answer.body) for answer in answers} == {(201, answers[0].body)}
    assert sum("idempotent-replayed" not in answer.headers for answer in answers) == 1
    assert answers[0].json()["sends"] == 1
    verification = answers[0].json()
    path = f"/v1/verifications/{verification['sid']}/check"
    checks = await asyncio.gather(
        *(post(otpost, path, {"code": otpost.wrong_code(verification)}, "guess") for _ in range(32))
    )
    assert {(answer.status, answer.json()["checks"]) for answer in checks} == {(200, 1)}
    bodies = [{"to": TO}, {"to": OTHER}] * 8
    mixed = await asyncio.gather(*(post(otpost, "/v1/verifications", body, "mixed") for body in bodies))
    statuses = sorted(answer.status for answer in mixed)
    assert statuses[0] in (200, 201)
    assert statuses == [statuses[0]] * 8 + [422] * 8
    test = {"policy": {"sender_service": "sandbox"}, "to": TO, "message": "hello"}
    tried = await asyncio.gather(*(post(otpost, "/v1/sender-policy/test", test, key=otpost.admin) for _ in range(8)))
    assert [answer.status for answer in tried].count(200) >= 1
    assert {answer.status for answer in tried} <= {200, 503}
    await quiet(otpost)
    inbox = (await otpost.ok("GET", "/v1/sandbox/messages"))["items"]
    assert [text["body"] for text in inbox].count("hello") == 1


async def test_after_24_hours_a_key_is_free_again(otpost: Installation) -> None:
    first = await post(otpost, "/v1/verifications", {"to": TO})
    otpost.clock.now += DAY_S * 1000 - 1
    assert replays(first, await post(otpost, "/v1/verifications", {"to": TO}))
    otpost.clock.now += 1
    anew = await post(otpost, "/v1/verifications", {"to": TO})
    assert (anew.status, anew.json()["sid"] != first.json()["sid"]) == (201, True)
    assert replays(anew, await post(otpost, "/v1/verifications", {"to": TO}))


async def test_refusals_that_would_come_again_are_kept(otpost: Installation) -> None:
    verification = await otpost.ok("POST", "/v1/verifications", {"to": TO})
    await otpost.ok("POST", f"/v1/verifications/{verification['sid']}/check", {"code": otpost.code(verification)})
    own = otpost.tenant.default_application
    kept: list[tuple[str, bytes, dict[str, str], NewKey, int]] = [
        ("/v1/verifications", b"{", {}, otpost.verify, 400),
        ("/v1/messages", b'{"to":"+15005550006","body":"x"}', {}, otpost.verify, 403),
        (f"/v1/verifications/VE{'0' * 32}/check", b'{"code":"123456"}', {}, otpost.verify, 404),
        ("/v1/verifications/%00/check", b'{"code":"123456"}', {}, otpost.verify, 404),
        (f"/v1/verifications/{'x' * 6000}/cancel", b"", {}, otpost.verify, 404),
        (f"/v1/applications/VA{'0' * 32}/keys", b"{}", {}, otpost.admin, 404),
        (f"/v1/verifications/{verification['sid']}/cancel", b"", {}, otpost.verify, 409),
        ("/v1/verifications", b"x", {"content-type": "text/plain"}, otpost.verify, 415),
        ("/v1/verifications", b"{}", {}, otpost.verify, 422),
        (f"/v1/applications/{own}/keys", b'{"name":7}', {}, otpost.admin, 422),
        ("/v1/sender-policy/test", b"{}", {}, otpost.admin, 422),
        ("/v1/sender-policy/revisions/99/restore", b"{}", {}, otpost.admin, 404),
    ]
    for number, (path, raw, headers, key, status) in enumerate(kept):
        given = {**headers, "idempotency-key": f"kept-{number}"}
        first = await otpost.call("POST", path, raw=raw, headers=given, key=key)
        assert first.status == status, (path, first.text)
        assert first.headers["content-type"] == "application/problem+json"
        assert replays(first, await otpost.call("POST", path, raw=raw, headers=given, key=key)), path
        another = await otpost.call("POST", path, raw=b'{"other":1}', headers=given, key=key)
        assert told(another)[:2] == (422, "idempotency_key_reused"), path


async def test_a_refusal_that_was_kept_outlives_its_cause(otpost: Installation) -> None:
    body = {"to": TO, "application": "VA" + "0" * 32}
    assert (await post(otpost, "/v1/verifications", body, key=otpost.admin)).status == 404
    await otpost.ok("PUT", "/v1/sender-policy", {"sender_service": None})
    incomplete = await post(otpost, "/v1/verifications", {"to": TO}, "early")
    assert told(incomplete) == (409, "sender_policy_incomplete", [])
    await otpost.choose_sandbox()
    assert replays(incomplete, await post(otpost, "/v1/verifications", {"to": TO}, "early"))
    assert (await post(otpost, "/v1/verifications", {"to": TO}, "late")).status == 201


async def test_refusals_by_limits_401_413_and_5xx_are_not_kept(otpost: Installation) -> None:
    await otpost.ok("POST", "/v1/verifications", {"to": TO})
    before = await picture(otpost, without=frozenset({"nodes", "messages", "attempts", "sandbox_texts"}))
    limited = await post(otpost, "/v1/verifications", {"to": TO})
    assert told(limited)[:2] == (429, "resend_too_soon")
    large = await post(otpost, "/v1/verifications", None, raw=b"x" * 70_000)
    assert large.status == 413
    unknown = {"idempotency-key": "once", "authorization": "Bearer x.y"}
    stranger = await otpost.call("POST", "/v1/verifications", {"to": TO}, headers=unknown)
    assert stranger.status == 401
    assert await picture(otpost, without=frozenset({"nodes", "messages", "attempts", "sandbox_texts"})) == before
    otpost.clock.advance(30)
    taken = await post(otpost, "/v1/verifications", {"to": TO})
    assert taken.status == 200
    assert replays(taken, await post(otpost, "/v1/verifications", {"to": TO}))


async def test_a_503_is_not_kept(otpost: Installation) -> None:
    pace, lane = otpost.messaging.pace, f"{otpost.tenant.sid}:sandbox:"
    pace.taken(lane, "Sandbox")
    pace.done(lane, 10, Unavailable("throttled", "Too many.", Vendor(429), retry_after_s=400))
    refused = await post(otpost, "/v1/verifications", {"to": TO})
    assert told(refused)[:2] == (503, "unavailable")
    assert int(refused.headers["retry-after"]) > 0
    otpost.clock.advance(400)
    assert (await post(otpost, "/v1/verifications", {"to": TO})).status == 201


async def test_a_new_keys_secret_is_shown_again_but_lies_nowhere_in_the_clear(otpost: Installation) -> None:
    path = f"/v1/applications/{otpost.tenant.default_application}/keys"
    first = await post(otpost, path, {"name": "shop"}, key=otpost.admin)
    assert first.status == 201
    assert replays(first, await post(otpost, path, {"name": "shop"}, key=otpost.admin))
    made = first.json()
    bearer = {"authorization": f"Bearer {made['sid']}.{made['secret']}"}
    assert (await otpost.call("GET", "/v1/verifications", headers=bearer)).status == 200
    assert made["secret"] not in await everything(otpost)
    listed = json.dumps(await otpost.ok("GET", path))
    assert (made["sid"] in listed, made["secret"] in listed) == (True, False)


async def test_bodies_are_kept_as_keyed_hashes(otpost: Installation) -> None:
    marker = "marker-4711"
    await post(otpost, "/v1/messages", {"to": TO, "body": marker}, key=otpost.admin)
    wrong = {"to": TO, "body": "x", "colour": marker}
    assert (await post(otpost, "/v1/messages", wrong, "wrong", key=otpost.admin)).status == 422
    await quiet(otpost)
    kept = await everything(otpost)
    assert marker not in kept
    assert "4711" not in kept


URL = "http://127.0.0.1:9/hooks"
"""Where nobody listens."""


async def test_every_post_takes_an_idempotency_key(otpost: Installation) -> None:
    verification = await otpost.ok("POST", "/v1/verifications", {"to": TO})
    bodies: dict[str, Any] = {
        "/v1/verifications": {"to": OTHER},
        "/v1/verifications/{sid}/check": {"code": otpost.wrong_code(verification)},
        "/v1/verifications/{sid}/cancel": None,
        "/v1/messages": {"to": TO, "body": "hello"},
        "/v1/applications": {"name": "New"},
        "/v1/applications/{sid}/keys": {"name": "new"},
        "/v1/applications/{sid}/webhooks": {"url": f"{URL}/2", "events": ["message.failed"]},
        "/v1/applications/{sid}/webhooks/{webhook}/secret": None,
        "/v1/applications/{sid}/webhooks/{webhook}/test": None,
        "/v1/applications/{sid}/webhooks/{webhook}/replay": {"since": "2026-11-23T02:06:27Z"},
        "/v1/applications/{sid}/webhooks/{webhook}/deliveries/{delivery}/replay": None,
        "/v1/tenant/auth-token": None,
        "/v1/templates": {"friendly_name": "Mine", "translations": {"en": "{{code}} is yours."}},
        "/v1/sender-policy/test": {"policy": {"sender_service": "sandbox"}, "to": TO, "message": "hello"},
        "/v1/sender-policy/revisions/{revision}/restore": {},
    }
    assert {endpoint.path for endpoint in ENDPOINTS if endpoint.method == "POST"} == set(bodies)
    own = f"/v1/applications/{otpost.tenant.default_application}/webhooks"
    webhook = (await otpost.ok("POST", own, {"url": URL, "events": ["message.failed"]}))["sid"]
    delivery = (await otpost.ok("POST", f"{own}/{webhook}/test"))["sid"]
    for path, body in bodies.items():
        sid = verification["sid"] if "verifications" in path else otpost.tenant.default_application
        full = path.replace("{sid}", sid).replace("{revision}", "1")
        full = full.replace("{webhook}", webhook).replace("{delivery}", delivery)
        first = await post(otpost, full, body, key=otpost.admin)
        assert first.status < 300, (path, first.text)
        assert replays(first, await post(otpost, full, body, key=otpost.admin)), path


def counted(name: str) -> dict[str, float]:
    """A counter's values by the label `result`."""
    return {
        sample.labels["result"]: sample.value
        for family in telemetry.REGISTRY.collect()
        if family.name == name
        for sample in family.samples
        if sample.name.endswith("_total")
    }


async def gained(name: str, work: Awaitable[object]) -> dict[str, float]:
    """What a counter gains while the work is done."""
    before = counted(name)
    await work
    return {
        result: value - before.get(result, 0)
        for result, value in counted(name).items()
        if value != before.get(result, 0)
    }


async def test_what_a_call_came_to_is_counted_once_however_often_it_is_repeated(otpost: Installation) -> None:
    async def thrice(path: str, body: Any, once: str) -> None:
        for _ in range(3):
            assert (await post(otpost, path, body, once)).status < 500

    assert await gained("otpost_starts", thrice("/v1/verifications", {"to": TO}, "start")) == {"created": 1}
    (verification,) = (await otpost.ok("GET", "/v1/verifications"))["items"]
    path = f"/v1/verifications/{verification['sid']}/check"
    wrong = {"code": otpost.wrong_code(verification)}
    assert await gained("otpost_checks", thrice(path, wrong, "wrong")) == {"wrong": 1}
    assert await gained("otpost_checks", thrice(path, {"code": otpost.code(verification)}, "right")) == {"right": 1}
    assert await gained("otpost_checks", thrice(path, wrong, "late")) == {"verification_not_found": 1}
    # A refusal that passes by itself is no first answer: each call was refused anew.
    await post(otpost, "/v1/verifications", {"to": OTHER}, "first")
    assert await gained("otpost_starts", thrice("/v1/verifications", {"to": OTHER}, "again")) == {"resend_too_soon": 3}


async def test_without_a_key_each_call_is_counted(otpost: Installation) -> None:
    async def twice() -> None:
        for seconds in (0, 60):
            otpost.clock.advance(seconds)
            await otpost.ok("POST", "/v1/verifications", {"to": TO})

    assert await gained("otpost_starts", twice()) == {"created": 1, "resent": 1}
    (verification,) = (await otpost.ok("GET", "/v1/verifications"))["items"]
    path = f"/v1/verifications/{verification['sid']}/check"
    right = {"code": otpost.code(verification)}
    assert await gained("otpost_checks", otpost.call("POST", path, right)) == {"right": 1}
    assert await gained("otpost_checks", otpost.call("POST", path, right)) == {"verification_not_found": 1}


async def test_the_log_has_one_line_for_each_save_of_the_sender_policy(
    otpost: Installation, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "otpost.services.policy")
    saved = await otpost.ok("PUT", "/v1/sender-policy", {"sender_service": None})
    again = f"/v1/sender-policy/revisions/{saved['revision'] - 1}/restore"
    restored = await otpost.ok("POST", again, {}, headers={"idempotency-key": "once"})
    assert await otpost.ok("POST", again, {}, headers={"idempotency-key": "once"}) == restored
    refused = await otpost.call("PUT", "/v1/sender-policy", {"sender_service": "twilio"})
    assert refused.status == 422
    said = [record.getMessage() for record in caplog.records if record.name.startswith("otpost.services.policy")]
    whose = f"the sender policy of {otpost.tenant.sid} is revision"
    old = saved["revision"]
    assert said == [
        f"{whose} {old}, by key test: Sender service: Sandbox → none",
        f"{whose} {restored['revision']}, by key test: Revision {old - 1} restored; Sender service: none → Sandbox",
    ]
