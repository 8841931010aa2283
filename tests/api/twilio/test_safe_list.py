"""`/v2/SafeList/Numbers` as Twilio's SDKs use it, and which limits the numbers on it are free from."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from api.twilio.shaped import call, ok, refusal, service
from api.world import neighbour, told
from installation import TO, Installation

NUMBERS = "/v2/SafeList/Numbers"


async def add(otpost: Installation, number: str = TO, **more: Any) -> Any:
    return await ok(otpost, "POST", NUMBERS, {"PhoneNumber": number}, **more)


async def start(otpost: Installation, va: str, to: str = TO, **more: str) -> tuple[int, str]:
    answer = await otpost.call("POST", "/v1/verifications", {"to": to, "application": va, **more})
    return answer.status, answer.json().get("code", "")


async def begin_anew(otpost: Installation, va: str, to: str = TO) -> None:
    """End what is pending for the number, so that the next start is not one more text of it."""
    page = await otpost.ok("GET", f"/v1/verifications?to={quote(to)}&status=pending")
    for row in page["items"]:
        if row["application"] == va:
            await otpost.ok("POST", f"/v1/verifications/{row['sid']}/cancel")


async def test_a_number_is_put_on_the_list_and_taken_off(otpost: Installation) -> None:
    made = await add(otpost)
    assert made == {"sid": made["sid"], "phone_number": TO, "url": f"http://otpost.test{NUMBERS}/{TO}"}
    for shown in (TO, quote(TO)):
        assert await ok(otpost, "GET", f"{NUMBERS}/{shown}") == made
    assert await refusal(otpost, "POST", NUMBERS, {"PhoneNumber": TO}) == (400, 60411)
    await ok(otpost, "DELETE", f"{NUMBERS}/{TO}")
    assert await refusal(otpost, "GET", f"{NUMBERS}/{TO}") == (404, 20404)
    assert await refusal(otpost, "DELETE", f"{NUMBERS}/{TO}") == (404, 20404)
    assert (await add(otpost))["sid"] != made["sid"]


NO_NUMBERS: list[tuple[dict[str, str], tuple[int, int]]] = [
    ({}, (400, 20001)),
    ({"PhoneNumber": ""}, (400, 20001)),
    ({"PhoneNumber": "nonsense"}, (400, 60200)),
    ({"PhoneNumber": "+1500"}, (400, 60200)),
    ({"PhoneNumber": "+18002345678"}, (400, 60200)),
]


async def test_what_is_no_recipients_number_is_refused(otpost: Installation) -> None:
    for form, refused in NO_NUMBERS:
        assert await refusal(otpost, "POST", NUMBERS, form) == refused, form


async def test_the_list_is_the_tenants(otpost: Installation) -> None:
    await add(otpost)
    nearby = await neighbour(otpost)
    assert await refusal(otpost, "GET", f"{NUMBERS}/{TO}", key=nearby.admin) == (404, 20404)
    assert await refusal(otpost, "DELETE", f"{NUMBERS}/{TO}", key=nearby.admin) == (404, 20404)
    for method, path, form in (
        ("POST", NUMBERS, {"PhoneNumber": TO}),
        ("GET", f"{NUMBERS}/{TO}", None),
        ("DELETE", f"{NUMBERS}/{TO}", None),
    ):
        assert await refusal(otpost, method, path, form, key=otpost.verify) == (403, 20403)
    for other in ("nonsense", "%00", "+1"):
        assert await refusal(otpost, "GET", f"{NUMBERS}/{other}") == (404, 20404)
    await add(otpost, key=nearby.admin)


async def test_limits_against_pumping_do_not_hold_back_a_number_on_the_list(otpost: Installation) -> None:
    await otpost.choose_sandbox()
    va = await service(otpost)
    limits = {"number_sends_per_hour": 2, "max_sends_per_hour": 3, "max_sends_per_client_ip": 3}
    await otpost.ok("PATCH", f"/v1/applications/{va}", limits)
    for _ in range(2):
        assert (await start(otpost, va, client_ip="192.0.2.1"))[0] in (200, 201)
    assert await start(otpost, va) == (429, "number_sends_reached")
    await add(otpost)
    assert (await start(otpost, va))[0] == 200
    other = "+15005550003"
    assert (await start(otpost, va, other, client_ip="192.0.2.1"))[0] == 201
    await begin_anew(otpost, va)
    assert await start(otpost, va, other) == (429, "application_sends_reached")
    assert (await start(otpost, va, client_ip="192.0.2.1"))[0] == 201
    await ok(otpost, "DELETE", f"{NUMBERS}/{TO}")
    assert await start(otpost, va) == (429, "number_sends_reached")


async def test_limits_against_guessing_and_the_services_own_hold_for_every_number(otpost: Installation) -> None:
    await otpost.choose_sandbox()
    await add(otpost)
    va = await service(otpost)
    await otpost.ok("PATCH", f"/v1/applications/{va}", {"number_checks_per_hour": 2, "resend_after_s": 30})
    started = await otpost.ok("POST", "/v1/verifications", {"to": TO, "application": va})
    assert await start(otpost, va) == (429, "resend_too_soon")
    otpost.clock.advance(30)
    path = f"/v1/verifications/{started['sid']}/check"
    for _ in range(2):
        assert (await otpost.ok("POST", path, {"code": otpost.wrong_code(started)}))["valid"] is False
    assert told(await otpost.call("POST", path, {"code": otpost.code(started)}))[:2] == (429, "number_checks_reached")
    assert await start(otpost, va) == (429, "number_checks_reached")
    other = await service(otpost, "Other")
    limit = await ok(otpost, "POST", f"/v2/Services/{other}/RateLimits", {"UniqueName": "ip"})
    buckets = f"/v2/Services/{other}/RateLimits/{limit['sid']}/Buckets"
    await ok(otpost, "POST", buckets, {"Max": "1", "Interval": "60"})
    form = {"To": TO, "Channel": "sms", "RateLimits": '{"ip": "192.0.2.1"}'}
    assert (await call(otpost, "POST", f"/v2/Services/{other}/Verifications", form)).status == 201
    assert await refusal(otpost, "POST", f"/v2/Services/{other}/Verifications", form) == (429, 20429)
