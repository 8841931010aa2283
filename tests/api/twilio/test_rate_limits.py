"""`RateLimits` and their `Buckets` as Twilio's SDKs use them, and the starts that they meter."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import select

from api.twilio.shaped import call, ok, refusal, service
from api.world import neighbour
from installation import Installation
from otpost.domain.limits import RateLimitReached
from otpost.services.verifications.rate_limits import MOST_BUCKETS, MOST_RATE_LIMITS, meter_start
from otpost.store.base import rows_of
from otpost.store.kinds import AUDIT, WINDOWS
from otpost.store.units import Rows, Unit

BASE = "http://otpost.test/v2/Services"
NOWHERE = "RK" + "0" * 32


async def limit(otpost: Installation, va: str, name: str = "end_user_ip", *buckets: tuple[int, int]) -> str:
    """A limit's SID, with buckets of so many starts in so many seconds."""
    made = await ok(otpost, "POST", f"/v2/Services/{va}/RateLimits", {"UniqueName": name})
    for most, interval in buckets:
        form = {"Max": str(most), "Interval": str(interval)}
        await ok(otpost, "POST", f"/v2/Services/{va}/RateLimits/{made['sid']}/Buckets", form)
    return str(made["sid"])


def metered(otpost: Installation, va: str, **given: str) -> Unit[int]:
    """What a start does with `RateLimits`: the count of windows that it keeps."""
    now = otpost.clock()

    def decide(rows: Rows) -> int:
        windows = meter_start(otpost.context, rows, va, given, now)
        if isinstance(windows, RateLimitReached):
            raise windows
        for kind, window in windows:
            rows.put(kind, window)
        return len(windows)

    return Unit(decide)


async def test_a_limit_is_answered_as_it_was_made(otpost: Installation) -> None:
    va = await service(otpost)
    form = {"UniqueName": "end_user.ip-1", "Description": "By address"}
    made = await ok(otpost, "POST", f"/v2/Services/{va}/RateLimits", form)
    url = f"{BASE}/{va}/RateLimits/{made['sid']}"
    assert made == {
        "sid": made["sid"],
        "service_sid": va,
        "account_sid": otpost.tenant.sid,
        "unique_name": "end_user.ip-1",
        "description": "By address",
        "date_created": made["date_created"],
        "date_updated": made["date_created"],
        "url": url,
        "links": {"buckets": f"{url}/Buckets"},
    }
    assert await ok(otpost, "GET", f"/v2/Services/{va}/RateLimits/{made['sid']}") == made
    assert await ok(otpost, "GET", f"/v2/Services/{va}/RateLimits/end_user.ip-1") == made


async def test_a_bucket_is_answered_as_it_was_made(otpost: Installation) -> None:
    va = await service(otpost)
    rk = await limit(otpost, va)
    path = f"/v2/Services/{va}/RateLimits/{rk}/Buckets"
    made = await ok(otpost, "POST", path, {"Max": "5", "Interval": "60"})
    assert made == {
        "sid": made["sid"],
        "rate_limit_sid": rk,
        "service_sid": va,
        "account_sid": otpost.tenant.sid,
        "max": 5,
        "interval": 60,
        "date_created": made["date_created"],
        "date_updated": made["date_created"],
        "url": f"http://otpost.test{path}/{made['sid']}",
    }
    assert await ok(otpost, "GET", f"{path}/{made['sid']}") == made


async def test_limits_and_buckets_are_changed_listed_and_deleted(otpost: Installation) -> None:
    va = await service(otpost)
    one, two = await limit(otpost, va, "one"), await limit(otpost, va, "two", (5, 60), (50, 3600))
    path = f"/v2/Services/{va}/RateLimits"
    otpost.clock.advance(5)
    changed = await ok(otpost, "POST", f"{path}/{one}", {"Description": "First"})
    assert changed["description"] == "First"
    assert changed["date_updated"] > changed["date_created"]
    assert (await ok(otpost, "POST", f"{path}/{one}"))["description"] == "First"
    assert (await ok(otpost, "POST", f"{path}/{one}", {"Description": ""}))["description"] is None
    page = await ok(otpost, "GET", f"{path}?PageSize=1")
    assert [row["sid"] for row in page["rate_limits"]] == [two]
    page = await ok(otpost, "GET", page["meta"]["next_page_url"].removeprefix("http://otpost.test"))
    assert [row["sid"] for row in page["rate_limits"]] == [one]
    buckets = await ok(otpost, "GET", f"{path}/{two}/Buckets")
    assert [(row["max"], row["interval"]) for row in buckets["buckets"]] == [(50, 3600), (5, 60)]
    assert buckets["meta"]["key"] == "buckets"
    hour, minute = (f"{path}/{two}/Buckets/{row['sid']}" for row in buckets["buckets"])
    assert (await ok(otpost, "POST", minute, {"Max": "6"}))["max"] == 6
    assert (await ok(otpost, "POST", minute, {"Interval": "61"}))["interval"] == 61
    await ok(otpost, "DELETE", hour)
    assert await refusal(otpost, "GET", hour) == (404, 20404)
    assert [row["max"] for row in (await ok(otpost, "GET", f"{path}/{two}/Buckets"))["buckets"]] == [6]
    await ok(otpost, "DELETE", f"{path}/{two}")
    assert await refusal(otpost, "GET", f"{path}/{two}") == (404, 20404)
    assert await refusal(otpost, "GET", minute) == (404, 20404)
    lines = await rows_of(otpost.store, AUDIT, select(AUDIT.table).order_by("sid"))
    told = [(line.what, line.detail.removeprefix(f"{va}: ")) for line in lines if "rate limit" in line.what]
    assert told[-4:] == [
        ("rate limit changed", "two, 6 in 60 s"),
        ("rate limit changed", "two, 6 in 61 s"),
        ("rate limit changed", "two, no longer 50 in 3600 s"),
        ("rate limit deleted", "two"),
    ]


NO_LIMITS: list[tuple[dict[str, str], tuple[int, int]]] = [
    ({}, (400, 20001)),
    ({"UniqueName": " "}, (400, 20001)),
    ({"UniqueName": "two words"}, (400, 60209)),
    ({"UniqueName": "umlaut-ü"}, (400, 60209)),
    ({"UniqueName": "a" * 256}, (400, 60209)),
    ({"UniqueName": "taken"}, (400, 60208)),
    ({"UniqueName": "free", "Description": "a" * 256}, (400, 60200)),
    ({"UniqueName": "free", "Description": "two\nlines"}, (400, 60200)),
]


async def test_what_cannot_be_a_limit_is_refused(otpost: Installation) -> None:
    va = await service(otpost)
    await limit(otpost, va, "taken")
    for form, told in NO_LIMITS:
        assert await refusal(otpost, "POST", f"/v2/Services/{va}/RateLimits", form) == told, form
    assert len((await ok(otpost, "GET", f"/v2/Services/{va}/RateLimits"))["rate_limits"]) == 1


NO_BUCKETS: list[tuple[dict[str, str], tuple[int, int]]] = [
    ({}, (400, 20001)),
    ({"Max": "5"}, (400, 20001)),
    ({"Interval": "60"}, (400, 20001)),
    ({"Max": "0", "Interval": "30"}, (400, 60200)),
    ({"Max": "1000001", "Interval": "30"}, (400, 60200)),
    ({"Max": "5", "Interval": "0"}, (400, 60200)),
    ({"Max": "5", "Interval": "2592001"}, (400, 60200)),
    ({"Max": "five", "Interval": "30"}, (400, 60200)),
    ({"Max": "5", "Interval": "60"}, (400, 60211)),
]


async def test_what_cannot_be_a_bucket_is_refused(otpost: Installation) -> None:
    va = await service(otpost)
    path = f"/v2/Services/{va}/RateLimits/{await limit(otpost, va, 'ip', (1, 60))}/Buckets"
    for form, told in NO_BUCKETS:
        assert await refusal(otpost, "POST", path, form) == told, form
    assert len((await ok(otpost, "GET", path))["buckets"]) == 1


async def test_a_bucket_does_not_take_anothers_interval(otpost: Installation) -> None:
    va = await service(otpost)
    rk = await limit(otpost, va, "ip", (1, 60), (2, 120))
    path = f"/v2/Services/{va}/RateLimits/{rk}/Buckets"
    sid = (await ok(otpost, "GET", path))["buckets"][0]["sid"]
    assert await refusal(otpost, "POST", f"{path}/{sid}", {"Interval": "60"}) == (400, 60211)
    assert (await ok(otpost, "POST", f"{path}/{sid}", {"Interval": "120", "Max": "3"}))["max"] == 3


async def test_a_service_has_so_many_limits_and_a_limit_so_many_buckets(otpost: Installation) -> None:
    va = await service(otpost)
    rk = await limit(otpost, va, "first", *((1, 60 + place) for place in range(MOST_BUCKETS)))
    told = await refusal(otpost, "POST", f"/v2/Services/{va}/RateLimits/{rk}/Buckets", {"Max": "1", "Interval": "9"})
    assert told == (400, 60210)
    for place in range(MOST_RATE_LIMITS - 1):
        await limit(otpost, va, f"limit-{place}")
    assert await refusal(otpost, "POST", f"/v2/Services/{va}/RateLimits", {"UniqueName": "x"}) == (400, 60207)


async def test_of_two_made_at_once_one_has_the_name(otpost: Installation) -> None:
    va = await service(otpost)
    path, form = f"/v2/Services/{va}/RateLimits", {"UniqueName": "ip"}
    told = await asyncio.gather(*(call(otpost, "POST", path, form) for _ in range(5)))
    assert sorted(answer.status for answer in told) == [201, 400, 400, 400, 400]


async def test_limits_are_those_of_one_service(otpost: Installation) -> None:
    va, other = await service(otpost, "One"), await service(otpost, "Two")
    rk = await limit(otpost, va, "ip", (1, 60))
    sid = (await ok(otpost, "GET", f"/v2/Services/{va}/RateLimits/{rk}/Buckets"))["buckets"][0]["sid"]
    await limit(otpost, other, "ip")
    nearby = await neighbour(otpost)
    own = await otpost.key("verify", va)
    assert (await ok(otpost, "GET", f"/v2/Services/{va}/RateLimits/{rk}", key=own))["unique_name"] == "ip"
    assert await refusal(otpost, "DELETE", f"/v2/Services/{va}/RateLimits/{rk}", key=own) == (403, 20403)
    for method, path, form in (
        ("GET", "/RateLimits", None),
        ("POST", "/RateLimits", {"UniqueName": "x"}),
        ("GET", f"/RateLimits/{rk}", None),
        ("POST", f"/RateLimits/{rk}", {"Description": "x"}),
        ("DELETE", f"/RateLimits/{rk}", None),
        ("GET", f"/RateLimits/{rk}/Buckets", None),
        ("POST", f"/RateLimits/{rk}/Buckets", {"Max": "1", "Interval": "1"}),
        ("GET", f"/RateLimits/{rk}/Buckets/{sid}", None),
        ("POST", f"/RateLimits/{rk}/Buckets/{sid}", {"Max": "1"}),
        ("DELETE", f"/RateLimits/{rk}/Buckets/{sid}", None),
    ):
        told = await refusal(otpost, method, f"/v2/Services/{va}{path}", form, key=nearby.admin)
        assert told == (404, 20404), path
        if rk in path:
            assert await refusal(otpost, method, f"/v2/Services/{other}{path}", form) == (404, 20404), path
            assert await refusal(otpost, method, f"/v2/Services/{va}{path.replace(rk, NOWHERE)}", form) == (
                404,
                20404,
            ), path


async def test_each_value_is_counted_by_itself_in_every_bucket(otpost: Installation) -> None:
    va = await service(otpost)
    await limit(otpost, va, "ip", (2, 60), (3, 3600))
    await limit(otpost, va, "session", (1, 60))
    run = otpost.store.run
    assert await run(metered(otpost, va)) == 0
    assert await run(metered(otpost, va, unknown="x")) == 0
    assert await run(metered(otpost, va, ip="1.2.3.4")) == 2
    otpost.clock.advance(10)
    assert await run(metered(otpost, va, ip="1.2.3.4")) == 2
    assert await run(metered(otpost, va, ip="1.2.3.5", session="a")) == 3
    with pytest.raises(RateLimitReached) as full:
        await run(metered(otpost, va, ip="1.2.3.4"))
    assert (full.value.limit, full.value.retry_at) == ("ip", otpost.clock() + 50_000)
    with pytest.raises(RateLimitReached) as full:
        await run(metered(otpost, va, ip="1.2.3.6", session="a"))
    assert (full.value.limit, full.value.retry_at) == ("session", otpost.clock() + 60_000)
    otpost.clock.advance(50)
    assert await run(metered(otpost, va, ip="1.2.3.4")) == 2
    with pytest.raises(RateLimitReached) as full:
        await run(metered(otpost, va, ip="1.2.3.4"))
    assert full.value.retry_at == otpost.clock() + 3_540_000
    kept = await rows_of(otpost.store, WINDOWS, select(WINDOWS.table))
    assert [row for row in kept if "1.2.3" in row.key] == []


async def test_a_start_over_its_limit_is_20429_and_tells_when_and_which(otpost: Installation) -> None:
    await otpost.choose_sandbox()
    va = await service(otpost)
    await limit(otpost, va, "end_user_ip", (2, 60))
    path = f"/v2/Services/{va}/Verifications"

    def form(to: str, value: str) -> dict[str, str]:
        return {"To": to, "Channel": "sms", "RateLimits": f'{{"end_user_ip": "{value}"}}'}

    assert (await call(otpost, "POST", path, form("+15005550001", "10.0.0.1"))).status == 201
    assert (await call(otpost, "POST", path, form("+15005550002", "10.0.0.1"))).status == 201
    otpost.clock.advance(18)
    over = await call(otpost, "POST", path, form("+15005550003", "10.0.0.1"))
    body: Any = over.json()
    assert (over.status, body["code"], body["message"]) == (429, 20429, "Too many requests")
    assert body["details"]["retry_after"] == 42
    assert (over.headers["retry-after"], over.headers["twilio-reached-rate-limit"]) == ("42", "end_user_ip")
    assert (await call(otpost, "POST", path, form("+15005550003", "10.0.0.2"))).status == 201
    otpost.clock.advance(42)
    assert (await call(otpost, "POST", path, form("+15005550004", "10.0.0.1"))).status == 201
