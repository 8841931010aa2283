"""`/v2/Attempts` and their summary as Twilio's SDKs use them."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest

from api.twilio.shaped import ok, refusal, service
from api.world import neighbour, quiet
from installation import TO, Installation
from messaging.through_twilio import accounts, choose_twilio, send
from otpost.domain.moments import format_second
from standins.twilio import TwilioStandIn

ATTEMPTS = "/v2/Attempts"
CANADA, USA, GERMANY = "+14165550123", "+12125550123", "+4915112345678"


@pytest.fixture
async def sandbox(otpost: Installation) -> Installation:
    await otpost.choose_sandbox()
    return otpost


async def start(otpost: Installation, va: str, to: str = TO) -> Any:
    return await otpost.ok("POST", "/v1/verifications", {"to": to, "application": va})


async def approve(otpost: Installation, started: Any) -> None:
    answer = await otpost.ok("POST", f"/v1/verifications/{started['sid']}/check", {"code": otpost.code(started)})
    assert answer["valid"] is True


async def listed(otpost: Installation, /, **query: str) -> list[str]:
    """The attempts' SIDs that a query finds, as those of the messages."""
    names = {"to": "ChannelData.To"}
    target = f"{ATTEMPTS}?{urlencode({names.get(name, name): value for name, value in query.items()})}"
    return ["SM" + row["sid"][2:] for row in (await ok(otpost, "GET", target))["attempts"]]


async def counted(otpost: Installation, /, **query: str) -> tuple[int, int, int, str]:
    told = await ok(otpost, "GET", f"{ATTEMPTS}/Summary?{urlencode(query)}")
    assert told.pop("url") == f"http://otpost.test{ATTEMPTS}/Summary"
    return tuple(told.values())


async def test_each_text_is_an_attempt_and_the_last_one_before_the_approval_is_converted(sandbox: Installation) -> None:
    va = await service(sandbox, CodeLength="7")
    first = await start(sandbox, va)
    second = await start(sandbox, va)
    await quiet(sandbox)
    sandbox.clock.advance(5)
    sent = [second["message"]["sid"], first["message"]["sid"]]
    assert first["sid"] == second["sid"]
    assert await listed(sandbox) == sent
    code = sandbox.context.keyring.code(first["sid"], sandbox.context.keyring.current, 7)
    await sandbox.ok("POST", f"/v1/verifications/{first['sid']}/check", {"code": code})
    page = await ok(sandbox, "GET", ATTEMPTS)
    assert page["meta"]["key"] == "attempts"
    last, before = page["attempts"]
    sid = "VL" + sent[0][2:]
    assert last == {
        "sid": sid,
        "account_sid": sandbox.tenant.sid,
        "service_sid": va,
        "verification_sid": first["sid"],
        "date_created": last["date_created"],
        "date_updated": format_second(sandbox.clock()),
        "conversion_status": "converted",
        "channel": "sms",
        "price": {"value": None, "currency": "usd"},
        "channel_data": {
            "verification_sid": first["sid"],
            "to": TO,
            "status": "confirmed",
            "message_status": "sent",
            "error_code": None,
            "country": "US",
            "code_length": 7,
            "locale": last["channel_data"]["locale"],
            "mcc": None,
            "mnc": None,
            "carrier": None,
        },
        "url": f"http://otpost.test{ATTEMPTS}/{sid}",
    }
    assert (before["conversion_status"], before["channel_data"]["status"]) == ("unconverted", "unconfirmed")
    assert await ok(sandbox, "GET", f"{ATTEMPTS}/{sid}") == last
    assert await listed(sandbox, Status="converted") == sent[:1]
    assert await listed(sandbox, Status="UNCONVERTED") == sent[1:]


async def test_a_verification_whose_life_is_over_has_expired_attempts(sandbox: Installation) -> None:
    va = await service(sandbox)
    started = await start(sandbox, va)
    sandbox.clock.advance(601)
    told = await ok(sandbox, "GET", f"{ATTEMPTS}/VL{started['message']['sid'][2:]}")
    assert told["channel_data"]["status"] == "expired"


async def test_attempts_are_filtered(sandbox: Installation) -> None:
    one, two = await service(sandbox, "One"), await service(sandbox, "Two")
    began = sandbox.clock()
    canada = await start(sandbox, one, CANADA)
    sandbox.clock.advance(60)
    usa = await start(sandbox, one, USA)
    sandbox.clock.advance(60)
    germany = await start(sandbox, two, GERMANY)
    sids = [row["message"]["sid"] for row in (germany, usa, canada)]
    await approve(sandbox, usa)
    await send(sandbox, CANADA)
    assert await listed(sandbox) == sids
    assert await listed(sandbox, VerifyServiceSid=one) == sids[1:]
    assert await listed(sandbox, VerificationSid=canada["sid"]) == sids[2:]
    assert await listed(sandbox, to=CANADA) == sids[2:]
    assert await listed(sandbox, to=CANADA.replace("+", " ")) == sids[2:]
    assert await listed(sandbox, Country="CA") == sids[2:]
    assert await listed(sandbox, Country="us") == sids[1:2]
    assert await listed(sandbox, Country="DE", VerifyServiceSid=one) == []
    assert await listed(sandbox, Channel="sms") == sids
    assert await listed(sandbox, Channel="call") == []
    assert await listed(sandbox, DateCreatedAfter=format_second(began + 30_000)) == sids[:2]
    assert await listed(sandbox, DateCreatedBefore=format_second(began + 30_000)) == sids[2:]
    assert (
        await listed(
            sandbox,
            DateCreatedAfter=format_second(began + 30_000),
            DateCreatedBefore=format_second(began + 90_000).replace("Z", "+00:00"),
        )
        == sids[1:2]
    )
    assert await listed(sandbox, DateCreatedAfter="2020-01-01") == sids
    assert await listed(sandbox, DateCreatedAfter="2999-01-01 12:00") == []
    assert await counted(sandbox) == (3, 1, 2, "33.333333333")
    assert await counted(sandbox, Country="US") == (1, 1, 0, "100")
    assert await counted(sandbox, Country="CA") == (1, 0, 1, "0")
    assert await counted(sandbox, Country="FR") == (0, 0, 0, "0")
    assert await counted(sandbox, VerifyServiceSid=one) == (2, 1, 1, "50")
    assert await counted(sandbox, DestinationPrefix="+1") == (2, 1, 1, "50")
    assert await counted(sandbox, DestinationPrefix="1416") == (1, 0, 1, "0")
    assert await counted(sandbox, DateCreatedAfter=format_second(began + 90_000)) == (1, 0, 1, "0")
    assert await counted(sandbox, Channel="whatsapp") == (0, 0, 0, "0")


NO_FILTERS = [
    {"Country": "ZZ"},
    {"Country": "+1"},
    {"Channel": "pigeon"},
    {"VerifyServiceSid": "VA1"},
    {"VerificationSid": "VA" + "0" * 32},
    {"Status": "maybe"},
    {"ChannelData.To": "nonsense"},
    {"DateCreatedAfter": "yesterday"},
    {"DateCreatedBefore": "2026-13-01T00:00:00Z"},
    {"PageSize": "x"},
]


async def test_a_filter_that_is_none_is_refused(otpost: Installation) -> None:
    for query in NO_FILTERS:
        told = (400, 20422) if "PageSize" in query else (400, 60200)
        assert await refusal(otpost, "GET", f"{ATTEMPTS}?{urlencode(query)}") == told, query
        if not {"PageSize", "Status", "ChannelData.To"} & set(query):
            assert await refusal(otpost, "GET", f"{ATTEMPTS}/Summary?{urlencode(query)}") == told, query


async def test_a_prefix_that_is_none_is_refused(otpost: Installation) -> None:
    for prefix in ("", "%2B", "four", "%25"):
        assert await refusal(otpost, "GET", f"{ATTEMPTS}/Summary?DestinationPrefix={prefix}") == (400, 60200)


async def test_attempts_of_a_country_are_paged_though_others_share_its_dialing_code(sandbox: Installation) -> None:
    va = await service(sandbox)
    numbers = [f"+1{area}555012{place}" for place in range(3) for area in ("416", "212")]
    made = [await start(sandbox, va, to) for to in numbers]
    wanted = ["SM" + row["message"]["sid"][2:] for row in reversed(made[::2])]
    target, seen, pages = f"{ATTEMPTS}?Country=CA&PageSize=1", [], []
    while target:
        page = await ok(sandbox, "GET", target)
        pages.append([row["sid"] for row in page["attempts"]])
        seen += ["SM" + row["sid"][2:] for row in page["attempts"]]
        target = (page["meta"]["next_page_url"] or "").removeprefix("http://otpost.test")
        assert not target or "Country=CA" in target
    assert (seen, [len(rows) for rows in pages]) == (wanted, [1, 1, 1])
    last = await ok(sandbox, "GET", f"{ATTEMPTS}?Country=CA&PageSize=1&Page=2&PageToken=PB{wanted[2]}")
    assert ["SM" + row["sid"][2:] for row in last["attempts"]] == wanted[1:2]


async def test_attempts_are_those_of_the_tenant_and_of_the_keys_own_service(sandbox: Installation) -> None:
    va = await service(sandbox)
    key = await sandbox.key("verify", va)
    other = await start(sandbox, sandbox.tenant.default_application)
    own = await start(sandbox, va, USA)
    plain = await send(sandbox, USA)
    nearby = await neighbour(sandbox)
    page = await ok(sandbox, "GET", ATTEMPTS, key=key)
    assert [row["verification_sid"] for row in page["attempts"]] == [own["sid"]]
    assert (await ok(sandbox, "GET", f"{ATTEMPTS}/Summary", key=key))["total_attempts"] == 1
    assert (await ok(sandbox, "GET", f"{ATTEMPTS}/VL{own['message']['sid'][2:]}", key=key))["service_sid"] == va
    theirs = [row["verification_sid"] for row in (await ok(sandbox, "GET", ATTEMPTS, key=nearby.admin))["attempts"]]
    assert theirs == [nearby.verification["sid"]]
    for sid, who in (
        (other["message"]["sid"], key),
        (own["message"]["sid"], nearby.admin),
        (plain["sid"], sandbox.admin),
        ("SM" + "0" * 32, sandbox.admin),
        ("SMnonsense", sandbox.admin),
    ):
        assert await refusal(sandbox, "GET", f"{ATTEMPTS}/VL{sid[2:]}", key=who) == (404, 20404)
    assert await refusal(sandbox, "GET", f"{ATTEMPTS}/{own['message']['sid']}") == (404, 20404)


async def test_a_text_that_did_not_go_out_tells_twilios_code(otpost: Installation) -> None:
    async with TwilioStandIn(accounts()) as twilio:
        await choose_twilio(otpost, twilio)
        await twilio.fault("answer", status=400, code=21211)
        started = await start(otpost, otpost.tenant.default_application, GERMANY)
        sid = started["message"]["sid"]
        await otpost.message(sid)
        data = (await ok(otpost, "GET", f"{ATTEMPTS}/VL{sid[2:]}"))["channel_data"]
        assert (data["country"], data["message_status"], data["error_code"]) == ("DE", "failed", "21211")
