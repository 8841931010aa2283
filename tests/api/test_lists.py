"""Lists: newest first, every row once, narrowed by what the query names."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from api.world import quiet, told
from installation import TO, Installation

NUMBERS = [f"+1500555000{digit}" for digit in range(10)]


async def pages(otpost: Installation, path: str, limit: int) -> list[list[str]]:
    """The SIDs (or numbers of revisions) of every page, by following `next` to its end."""
    found: list[list[str]] = []
    cursor = None
    while True:
        mark = "&" if "?" in path else "?"
        page = await otpost.ok("GET", f"{path}{mark}limit={limit}" + (f"&cursor={cursor}" if cursor else ""))
        assert set(page) == {"items", "next"}
        found.append([str(item.get("sid", item.get("revision"))) for item in page["items"]])
        cursor = page["next"]
        if cursor is None:
            return found


async def test_every_list_gives_every_row_once_newest_first_whatever_the_size_of_a_page(otpost: Installation) -> None:
    own = otpost.tenant.default_application
    await otpost.choose_sandbox()
    for _ in range(6):
        await otpost.choose_sandbox()
    for number in NUMBERS[:7]:
        await otpost.ok("POST", "/v1/verifications", {"to": number})
    for digit in range(6):
        await otpost.ok("POST", "/v1/applications", {"name": f"Application {digit}"})
        await otpost.ok("POST", f"/v1/applications/{own}/keys", {"name": f"key {digit}"})
    await quiet(otpost)
    for path in (
        "/v1/verifications",
        "/v1/messages",
        "/v1/applications",
        f"/v1/applications/{own}/keys",
        "/v1/sandbox/messages",
        "/v1/sender-policy/revisions",
    ):
        (whole,) = await pages(otpost, path, 200)
        assert len(whole) == len(set(whole)) == 7, path
        if path != "/v1/sandbox/messages":
            assert whole == sorted(whole, reverse=True), path
        for limit in (1, 3, 7):
            found = await pages(otpost, path, limit)
            assert [sid for page in found for sid in page] == whole, (path, limit)
            assert [len(page) for page in found] == {1: [1] * 7, 3: [3, 3, 1], 7: [7]}[limit]
    assert len((await otpost.ok("GET", "/v1/verifications"))["items"]) == 7


async def test_a_page_is_not_disturbed_by_what_is_added_meanwhile(otpost: Installation) -> None:
    await otpost.choose_sandbox()
    for number in NUMBERS[:4]:
        await otpost.ok("POST", "/v1/verifications", {"to": number})
    first = await otpost.ok("GET", "/v1/verifications?limit=2")
    await otpost.ok("POST", "/v1/verifications", {"to": NUMBERS[4]})
    second = await otpost.ok("GET", f"/v1/verifications?limit=2&cursor={first['next']}")
    assert [item["to"] for item in (*first["items"], *second["items"])] == NUMBERS[3::-1]
    assert second["next"] is None


async def test_verifications_by_number_and_status(otpost: Installation) -> None:
    await otpost.choose_sandbox()
    await otpost.ok("PATCH", f"/v1/applications/{otpost.tenant.default_application}", {"max_checks": 1})
    made: dict[str, Any] = {}
    for status, number in zip(("expired", "approved", "canceled", "max_attempts_reached"), NUMBERS, strict=False):
        made[status] = await otpost.ok("POST", "/v1/verifications", {"to": number})
        if status == "expired":
            otpost.clock.advance(300)
    await otpost.ok(
        "POST", f"/v1/verifications/{made['approved']['sid']}/check", {"code": otpost.code(made["approved"])}
    )
    await otpost.ok("POST", f"/v1/verifications/{made['canceled']['sid']}/cancel")
    used_up = made["max_attempts_reached"]
    await otpost.ok("POST", f"/v1/verifications/{used_up['sid']}/check", {"code": otpost.wrong_code(used_up)})
    made["pending"] = await otpost.ok("POST", "/v1/verifications", {"to": NUMBERS[0]})
    for status, verification in made.items():
        items = (await otpost.ok("GET", f"/v1/verifications?status={status}"))["items"]
        assert [(item["sid"], item["status"]) for item in items] == [(verification["sid"], status)]
    both = (await otpost.ok("GET", f"/v1/verifications?to={quote(NUMBERS[0])}"))["items"]
    assert [item["status"] for item in both] == ["pending", "expired"]
    one = (await otpost.ok("GET", f"/v1/verifications?status=expired&to={quote(NUMBERS[0])}"))["items"]
    assert [item["sid"] for item in one] == [made["expired"]["sid"]]
    assert (await otpost.ok("GET", f"/v1/verifications?to={quote('+15005550009')}"))["items"] == []


async def test_in_to_a_plus_sign_that_nobody_escaped_is_read(otpost: Installation) -> None:
    await otpost.choose_sandbox()
    await otpost.ok("POST", "/v1/verifications", {"to": TO})
    await otpost.ok("POST", "/v1/verifications", {"to": NUMBERS[9]})
    await quiet(otpost)
    for path in ("/v1/verifications", "/v1/messages", "/v1/sandbox/messages"):
        for to in ("+15005550006", "%2B15005550006", "%2015005550006", "0015005550006", "1\\5005550006", "15005550006"):
            items = (await otpost.ok("GET", f"{path}?to={to}"))["items"]
            assert [item["to"] for item in items] == [TO], (path, to)
    route = await otpost.ok("GET", "/v1/sender-policy/route?to=+15005550006")
    assert route["service"] == "sandbox"


async def test_messages_by_number_status_and_moment(otpost: Installation) -> None:
    await otpost.choose_sandbox()
    sids = []
    for number in NUMBERS[:3]:
        sids.append((await otpost.ok("POST", "/v1/messages", {"to": number, "body": "hello"}))["sid"])
        otpost.clock.advance(1)
    await quiet(otpost)

    async def found(query: str) -> list[str]:
        return [item["sid"] for item in (await otpost.ok("GET", f"/v1/messages?{query}"))["items"]]

    assert await found("") == sids[::-1]
    assert await found(f"to={NUMBERS[1]}") == [sids[1]]
    assert await found("status=accepted") == sids[::-1]
    assert await found("status=failed") == []
    moments = {sid: (await otpost.ok("GET", f"/v1/messages/{sid}"))["created_at"] for sid in sids}
    assert await found(f"after={moments[sids[0]]}") == [sids[2], sids[1]]
    assert await found(f"after={moments[sids[2]]}") == []
    in_another_zone = moments[sids[0]].replace("Z", "%2B00:00")
    assert await found(f"after={in_another_zone}&limit=1") == [sids[2]]
    assert await found("colour=red&after=1970-01-01T00:00:00Z") == sids[::-1]


async def test_the_sandbox_phone_is_there_only_while_the_sandbox_is_chosen(otpost: Installation) -> None:
    for method in ("GET", "DELETE"):
        assert told(await otpost.call(method, "/v1/sandbox/messages")) == (404, "not_found", [])
    await otpost.choose_sandbox()
    await otpost.ok("POST", "/v1/messages", {"to": TO, "body": "hello"})
    await quiet(otpost)
    (text,) = (await otpost.ok("GET", "/v1/sandbox/messages"))["items"]
    assert (text["to"], text["body"], set(text)) == (TO, "hello", {"sid", "to", "body", "received_at"})
    assert (await otpost.call("DELETE", "/v1/sandbox/messages")).status == 204
    assert (await otpost.ok("GET", "/v1/sandbox/messages"))["items"] == []
    await otpost.ok("POST", "/v1/messages", {"to": TO, "body": "again"})
    await quiet(otpost)
    await otpost.ok("PUT", "/v1/sender-policy", {"sender_service": None})
    assert told(await otpost.call("GET", "/v1/sandbox/messages")) == (404, "not_found", [])
    await otpost.choose_sandbox()
    assert (await otpost.ok("GET", "/v1/sandbox/messages"))["items"] == []
