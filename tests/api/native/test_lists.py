"""Lists: newest first, every row once, narrowed by what the query names."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from sqlalchemy import update

from api.world import quiet, told
from installation import TO, Installation
from otpost.domain.moments import format_moment
from otpost.store import tables

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

    assert await found(otpost, "") == sids[::-1]
    assert await found(otpost, f"to={NUMBERS[1]}") == [sids[1]]
    assert await found(otpost, "status=accepted") == sids[::-1]
    assert await found(otpost, "status=failed") == []
    moments = {sid: (await otpost.ok("GET", f"/v1/messages/{sid}"))["created_at"] for sid in sids}
    assert await found(otpost, f"after={moments[sids[0]]}") == [sids[2], sids[1]]
    assert await found(otpost, f"after={moments[sids[2]]}") == []
    in_another_zone = moments[sids[0]].replace("Z", "%2B00:00")
    assert await found(otpost, f"after={in_another_zone}&limit=1") == [sids[2]]
    assert await found(otpost, "after=1970-01-01T00:00:00Z") == sids[::-1]


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


async def found(otpost: Installation, query: str, path: str = "/v1/messages", key: Any = None) -> list[str]:
    answer = await otpost.call("GET", f"{path}?{query}", key=key)
    assert answer.status == 200, answer.text
    return [item["sid"] for item in answer.json()["items"]]


async def test_lists_are_narrowed_by_application_country_and_time(otpost: Installation) -> None:
    await otpost.choose_sandbox()
    own = otpost.tenant.default_application
    other = (await otpost.ok("POST", "/v1/applications", {"name": "Other"}))["sid"]
    began, made = otpost.clock(), []
    for application, to in ((own, "+14165550100"), (other, "+12125550100"), (own, "+4915123456789")):
        body = {"to": to, "application": application}
        made.append(await otpost.ok("POST", "/v1/verifications", body))
        otpost.clock.advance(60)
    await quiet(otpost)
    one, two, three = (row["sid"] for row in made)
    texts = [row["message"]["sid"] for row in made]
    for path, (first, second, third) in (("/v1/verifications", (one, two, three)), ("/v1/messages", texts)):
        assert await found(otpost, f"application={own}", path) == [third, first]
        assert await found(otpost, f"application={other}", path) == [second]
        assert await found(otpost, "country=ca", path) == [first]
        assert await found(otpost, "country=US", path) == [second]
        assert await found(otpost, "country=DE", path) == [third]
        assert await found(otpost, f"country=DE&application={other}", path) == []
        minute, later = format_moment(began + 60_000), format_moment(began + 60_001)
        assert await found(otpost, f"from={minute}", path) == [third, second]
        assert await found(otpost, f"to={minute}", path) == [first]
        assert await found(otpost, f"from={minute}&to={later}", path) == [second]
        assert await found(otpost, f"to=%2B12125550100&from={minute}&before={later}", path) == [second]
        assert await found(otpost, f"to=%2B12125550100&before={minute}", path) == []
        today, yesterday = format_moment(began)[:10], format_moment(began - 86_400_000)[:10]
        assert await found(otpost, f"from={yesterday}&to={format_moment(began + 86_400_000)[:10]}", path) == [
            third,
            second,
            first,
        ]
        assert await found(otpost, f"to={yesterday}", path) == []
        assert first in await found(otpost, f"from={today}&to={today}", path)


async def test_messages_are_narrowed_by_account_service_and_reason(otpost: Installation) -> None:
    await otpost.choose_sandbox()
    taken = (await otpost.ok("POST", "/v1/messages", {"to": TO, "body": "hello"}))["sid"]
    await quiet(otpost)
    account, reason = "AC" + "8" * 32, "not_reachable"
    with_reason = update(tables.messages).where(tables.messages.c.sid == taken).values(reason=reason)
    await otpost.store.sweep(with_reason)
    late = (await otpost.ok("POST", "/v1/messages", {"to": TO, "body": "hello"}))["sid"]
    await quiet(otpost)
    of_account = update(tables.messages).where(tables.messages.c.sid == late)
    await otpost.store.sweep(of_account.values(service="twilio", account_sid=account))
    assert await found(otpost, f"reason={reason}") == [taken]
    assert await found(otpost, "service=sandbox") == [taken]
    assert await found(otpost, "service=twilio") == [late]
    assert await found(otpost, f"account={account}") == [late]
    assert await found(otpost, f"account={account}&service=sandbox") == []


async def test_a_filter_that_makes_no_sense_is_refused_at_its_name(otpost: Installation) -> None:
    for query, field, code in (
        ("account_sid=AC1", "account_sid", "unknown_field"),
        ("Status=failed", "Status", "unknown_field"),
        ("status=lost", "status", "invalid"),
        ("service=nobodys", "service", "invalid"),
        ("reason=because", "reason", "invalid"),
        ("application=SK1", "application", "invalid"),
        ("country=Germany", "country", "invalid"),
        ("country=ZZ", "country", "invalid"),
        ("from=yesterday", "from", "invalid"),
        ("to=2026-13-01", "to", "invalid"),
        ("before=soon", "before", "invalid"),
        ("after=1", "after", "invalid"),
        ("from=2026-11-02&to=2026-11-01", "from", "out_of_range"),
        ("to=2026-11-02&before=2026-11-03", "before", "duplicate"),
        ("limit=0", "limit", "out_of_range"),
    ):
        refused = await otpost.call("GET", f"/v1/messages?{query}")
        assert told(refused) == (422, "invalid", [(field, code)]), query


async def test_parameters_that_mean_nothing_are_refused_wherever_they_stand(otpost: Installation) -> None:
    await otpost.choose_sandbox()
    own = otpost.tenant.default_application
    for method, path, body in (
        ("GET", "/v1/verifications", None),
        ("GET", "/v1/applications", None),
        ("GET", f"/v1/applications/{own}", None),
        ("GET", f"/v1/applications/{own}/webhooks", None),
        ("GET", "/v1/sandbox/messages", None),
        ("GET", "/v1/sender-policy", None),
        ("GET", "/v1/sender-policy/revisions", None),
        ("POST", "/v1/verifications", {"to": TO}),
        ("DELETE", "/v1/sandbox/messages", None),
    ):
        refused = await otpost.call(method, f"{path}?colour=red", body)
        assert told(refused) == (422, "invalid", [("colour", "unknown_field")]), path
    assert await found(otpost, "", "/v1/verifications") == []


async def test_a_key_of_one_application_asks_for_no_other(otpost: Installation) -> None:
    other = (await otpost.ok("POST", "/v1/applications", {"name": "Other"}))["sid"]
    own = otpost.tenant.default_application
    for path in ("/v1/verifications", "/v1/messages"):
        assert await found(otpost, f"application={own}", path, otpost.verify) == []
        refused = await otpost.call("GET", f"{path}?application={other}", key=otpost.verify)
        assert told(refused) == (404, "not_found", [])
