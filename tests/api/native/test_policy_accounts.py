"""The sender policy over the API: failover, rates, and how the policy's accounts stand."""

from __future__ import annotations

from typing import Any

from api.world import neighbour, told
from installation import Installation
from otpost.domain.policy import Breaker
from otpost.store.kinds import BREAKERS
from otpost.store.units import Rows, Unit, lock

MAIN, INDIA = "AC" + "a" * 32, "AC" + "b" * 32
PHONE = "+15005550006"
POLICY: dict[str, Any] = {
    "sender_service": "twilio",
    "fallback": ["messagebird"],
    "failover_after_s": 60,
    "rates": [{"origin": "1 500 555 0006", "messages_per_second": 1}],
    "twilio": {
        "account_sid": MAIN,
        "auth_token": "t",
        "sender_phone": PHONE,
        "subaccounts": [{"dialing_code": "91", "account_sid": INDIA, "auth_token": "t", "sender_phone": PHONE}],
    },
    "messagebird": {"access_key": "live-key", "originator": "MyBrand"},
}


async def opens(otpost: Installation, account_sid: str) -> Breaker:
    """An account's breaker opens, and is to be probed 20 s later."""
    tenant, now = otpost.tenant.sid, otpost.clock.now
    revision = (await otpost.ok("GET", "/v1/sender-policy"))["revision"]
    lane = f"{tenant}:twilio:{account_sid}"
    detail = "The account is suspended."
    breaker = Breaker(lane, tenant, "twilio", account_sid, revision, "account_trouble", detail, 5, now, now + 20_000)

    def decide(rows: Rows) -> None:
        rows.put(BREAKERS, breaker)

    await otpost.store.run(Unit(decide, [lock(BREAKERS, lane)]))
    return breaker


async def test_failover_and_rates_stand_beside_the_fallback(otpost: Installation):
    saved = await otpost.ok("PUT", "/v1/sender-policy", POLICY)
    assert saved["fallback"] == ["messagebird"]
    assert saved["failover_after_s"] == 60
    assert saved["rates"] == [{"origin": PHONE, "messages_per_second": 1}]
    assert await otpost.ok("GET", "/v1/sender-policy") == saved
    assert (await otpost.ok("PUT", "/v1/sender-policy", saved))["revision"] == 2


async def test_mistakes_in_them_are_told_at_their_fields(otpost: Installation):
    wrong = {
        "failover_after_s": 5,
        "rates": [
            {"origin": PHONE, "messages_per_second": 1},
            {"origin": r"1\5005550006", "messages_per_second": 0},
        ],
    }
    assert told(await otpost.call("PUT", "/v1/sender-policy", wrong)) == (
        422,
        "invalid",
        [
            ("failover_after_s", "out_of_range"),
            ("rates[1].messages_per_second", "out_of_range"),
            ("rates[1].origin", "duplicate"),
        ],
    )
    assert (await otpost.ok("GET", "/v1/sender-policy"))["revision"] == 0


async def test_a_revision_restores_failover_and_rates(otpost: Installation):
    await otpost.ok("PUT", "/v1/sender-policy", POLICY)
    await otpost.ok("PUT", "/v1/sender-policy", {"failover_after_s": None, "rates": []})
    changes = (await otpost.ok("GET", "/v1/sender-policy/revisions"))["items"][0]["changes"]
    assert changes == ["Failover: after 60 s → off", f"Rate of {PHONE}: removed"]
    restored = await otpost.ok("POST", "/v1/sender-policy/revisions/1/restore", {})
    assert restored["failover_after_s"] == 60
    assert restored["rates"] == [{"origin": PHONE, "messages_per_second": 1}]


async def test_every_account_of_the_policy_is_listed_with_its_circuit_breaker(otpost: Installation):
    otpost.clock.now = 1_800_000_000_000
    await otpost.ok("PUT", "/v1/sender-policy", POLICY)
    await opens(otpost, INDIA)
    closed = {"state": "closed", "reason": None, "detail": None, "since": None, "probe_at": None}
    assert await otpost.ok("GET", "/v1/sender-policy/accounts") == {
        "items": [
            {"service": "twilio", "account_sid": MAIN, **closed},
            {
                "service": "twilio",
                "account_sid": INDIA,
                "state": "open",
                "reason": "account_trouble",
                "detail": "The account is suspended.",
                "since": "2027-01-15T08:00:00.000Z",
                "probe_at": "2027-01-15T08:00:20.000Z",
            },
            {"service": "messagebird", "account_sid": "", **closed},
        ]
    }


async def test_accounts_are_an_administrators_and_of_the_own_tenant(otpost: Installation):
    await otpost.ok("PUT", "/v1/sender-policy", POLICY)
    await opens(otpost, MAIN)
    answer = await otpost.call("GET", "/v1/sender-policy/accounts", key=otpost.verify)
    assert (answer.status, answer.json()["code"]) == (403, "scope_missing")
    other = await neighbour(otpost)
    items = (await otpost.ok("GET", "/v1/sender-policy/accounts", key=other.admin))["items"]
    assert [(item["service"], item["state"]) for item in items] == [("sandbox", "closed")]


async def test_while_nothing_is_chosen_there_are_no_accounts(otpost: Installation):
    assert await otpost.ok("GET", "/v1/sender-policy/accounts") == {"items": []}
