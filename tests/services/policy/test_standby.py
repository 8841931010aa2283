"""What a policy says for the case that its service fails: failover, rates, and which accounts are left alone."""

from __future__ import annotations

from typing import Any

import pytest

from installation import Clock, context_of
from otpost.domain.access import Actor
from otpost.domain.errors import Invalid
from otpost.domain.policy import Breaker, Rate
from otpost.services.context import Context
from otpost.services.keyring import KeyRing
from otpost.services.policy import plan
from otpost.services.policy import revisions as policy
from otpost.services.policy.accounts import list_accounts, open_breakers
from otpost.services.policy.draft import read, restored
from otpost.services.policy.revisions import Saved
from otpost.store.base import Store
from otpost.store.kinds import BREAKERS, POLICIES, REVISIONS
from otpost.store.units import Rows, Unit, lock

NOW = 1_800_000_000_000
TENANT = "AC" + "7" * 32
ADA = Actor(TENANT, "user", "US" + "1" * 32, "ada")
MAIN, INDIA, JAMAICA = "AC" + "a" * 32, "AC" + "b" * 32, "AC" + "c" * 32
PHONE = "+15005550006"


@pytest.fixture
def context(store: Store) -> Context:
    return context_of(store, Clock(NOW), KeyRing({"k1": b"1" * 32}))


def row(dialing_code: str, account_sid: str) -> dict[str, Any]:
    return {"dialing_code": dialing_code, "account_sid": account_sid, "auth_token": "t", "sender_phone": PHONE}


def twilio(**changed: object) -> dict[str, Any]:
    return {"account_sid": MAIN, "auth_token": "t", "sender_phone": PHONE, **changed}


MESSAGEBIRD = {"access_key": "live-key", "originator": "MyBrand"}


async def put(context: Context, **sent: object) -> Saved:
    return await context.store.run(policy.save(context, ADA, read(sent)))


async def opens(context: Context, service: str, account_sid: str, *, revision: int) -> Breaker:
    """The breaker of an account opens under a revision of the policy."""
    lane = f"{TENANT}:{service}:{account_sid}"
    breaker = Breaker(
        lane, TENANT, service, account_sid, revision, "account_trouble", "It is suspended.", 5, NOW - 1, NOW + 5_000
    )

    def decide(rows: Rows) -> None:
        rows.put(BREAKERS, breaker)

    await context.store.run(Unit(decide, [lock(BREAKERS, lane)]))
    return breaker


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ({"failover_after_s": 9}, {"failover_after_s": "out_of_range"}),
        ({"failover_after_s": 601}, {"failover_after_s": "out_of_range"}),
        ({"failover_after_s": "60"}, {"failover_after_s": "invalid"}),
        ({"failover_after_s": 60.5}, {"failover_after_s": "invalid"}),
        ({"failover_after_s": True}, {"failover_after_s": "invalid"}),
        ({"rates": None}, {"rates": "invalid"}),
        ({"rates": {"origin": PHONE}}, {"rates": "invalid"}),
        ({"rates": [{}] * 1001}, {"rates": "out_of_range"}),
        ({"rates": ["+15005550006"]}, {"rates[0]": "invalid"}),
        ({"rates": [{}]}, {"rates[0].origin": "required", "rates[0].messages_per_second": "required"}),
        ({"rates": [{"origin": " ", "messages_per_second": 1}]}, {"rates[0].origin": "required"}),
        ({"rates": [{"origin": 1, "messages_per_second": 1}]}, {"rates[0].origin": "invalid"}),
        ({"rates": [{"origin": "+999", "messages_per_second": 1}]}, {"rates[0].origin": "invalid_number"}),
        (
            {"rates": [{"origin": PHONE, "messages_per_second": "1"}]},
            {"rates[0].messages_per_second": "invalid"},
        ),
        (
            {"rates": [{"origin": PHONE, "messages_per_second": True}]},
            {"rates[0].messages_per_second": "invalid"},
        ),
        (
            {"rates": [{"origin": PHONE, "messages_per_second": 0.09}]},
            {"rates[0].messages_per_second": "out_of_range"},
        ),
        (
            {"rates": [{"origin": PHONE, "messages_per_second": 1000.5}]},
            {"rates[0].messages_per_second": "out_of_range"},
        ),
        (
            {"rates": [{"origin": PHONE, "messages_per_second": 1, "burst": 2}]},
            {"rates[0].burst": "unknown_field"},
        ),
        (
            {"rates": [{"origin": one, "messages_per_second": 1} for one in (PHONE, "MyBrand", "1 500 555-0006")]},
            {"rates[2].origin": "duplicate"},
        ),
    ],
)
def test_a_mistake_in_failover_or_rates_is_named_with_its_path(sent, expected):
    with pytest.raises(Invalid) as refusal:
        read(sent)
    assert {error.field: error.code for error in refusal.value.errors} == expected


@pytest.mark.parametrize("failover_after_s", [10, 600, None])
async def test_failover_is_kept_from_10_to_600_seconds_or_as_never(context, failover_after_s):
    saved = await put(context, failover_after_s=failover_after_s)
    assert saved.shown["failover_after_s"] == failover_after_s
    assert await policy.shown(context, TENANT) == saved.shown


async def test_an_origin_with_a_rate_is_kept_in_the_form_of_a_phone_field(context):
    typed = {r"91\9191919191": 0.1, "+1 500 555 0006": 1, "12345": 1000, "My Brand": 2.5}
    saved = await put(context, rates=[{"origin": one, "messages_per_second": rate} for one, rate in typed.items()])
    assert saved.shown["rates"] == [
        {"origin": "+919191919191", "messages_per_second": 0.1},
        {"origin": "+15005550006", "messages_per_second": 1.0},
        {"origin": "12345", "messages_per_second": 1000.0},
        {"origin": "My Brand", "messages_per_second": 2.5},
    ]
    made = await plan.read_plan(context, TENANT)
    assert (made.rate("+15005550006"), made.rate("+15005550007")) == (1.0, None)


async def test_what_a_save_does_not_bring_is_left_alone(context):
    await put(context, failover_after_s=60, rates=[{"origin": PHONE, "messages_per_second": 1}])
    saved = await put(context, sender_service="sandbox")
    assert (saved.policy.failover_after_s, saved.policy.rates) == (60, (Rate(PHONE, 1.0),))
    saved = await put(context, rates=[])
    assert (saved.policy.failover_after_s, saved.policy.rates) == (60, ())
    saved = await put(context, failover_after_s=None)
    assert saved.policy.failover_after_s is None


async def test_an_answer_can_be_sent_back_with_failover_and_rates(context):
    first = await put(context, failover_after_s=60, rates=[{"origin": PHONE, "messages_per_second": 0.5}])
    second = await put(context, **first.shown)
    assert second.changes == ()
    assert second.shown == {**first.shown, "revision": 2}


async def test_the_words_of_a_save_say_what_became_of_failover_and_rates(context):
    saved = await put(context, failover_after_s=60, rates=[{"origin": PHONE, "messages_per_second": 1}])
    assert saved.changes == ("Failover: off → after 60 s", f"Rate of {PHONE}: 1 a second")
    rates = [{"origin": PHONE, "messages_per_second": 2.5}, {"origin": "MyBrand", "messages_per_second": 10}]
    saved = await put(context, failover_after_s=90, rates=rates)
    assert saved.changes == (
        "Failover: after 60 s → after 90 s",
        f"Rate of {PHONE}: 1 → 2.5 a second",
        "Rate of MyBrand: 10 a second",
    )
    saved = await put(context, failover_after_s=None, rates=rates[1:])
    assert saved.changes == ("Failover: after 90 s → off", f"Rate of {PHONE}: removed")


async def test_a_revision_holds_failover_and_rates_and_restore_brings_them_back(context):
    await put(context, failover_after_s=60, rates=[{"origin": PHONE, "messages_per_second": 1}])
    await put(context, failover_after_s=None, rates=[])
    kept = await context.store.get(REVISIONS, TENANT, 1)
    assert kept is not None
    assert (kept.failover_after_s, kept.rates) == (60, (Rate(PHONE, 1.0),))
    saved = await context.store.run(policy.save(context, ADA, await restored(context, TENANT, 1, {})))
    assert (saved.policy.failover_after_s, saved.policy.rates) == (60, (Rate(PHONE, 1.0),))
    assert saved.changes == (
        "Revision 1 restored",
        "Failover: off → after 60 s",
        f"Rate of {PHONE}: 1 a second",
    )
    stored = await context.store.get(POLICIES, TENANT)
    assert stored == saved.policy


async def test_restore_takes_no_failover_and_no_rates_from_its_body(context):
    await put(context, sender_service="sandbox")
    with pytest.raises(Invalid) as refusal:
        await restored(context, TENANT, 1, {"failover_after_s": 60, "rates": []})
    assert [error.field for error in refusal.value.errors] == ["failover_after_s", "rates"]


async def test_a_fallback_has_to_be_complete(context):
    sent = {"sender_service": "twilio", "twilio": twilio(), "fallback": ["messagebird"]}
    with pytest.raises(Invalid) as refusal:
        await put(context, **sent)
    assert {error.field: error.code for error in refusal.value.errors} == {
        "messagebird.originator": "required",
        "messagebird.access_key": "token_required",
    }
    saved = await put(context, **sent, messagebird=MESSAGEBIRD)
    assert saved.policy.fallback == ("messagebird",)


async def test_the_accounts_of_the_policy_are_the_main_account_the_subaccounts_and_the_fallbacks(context):
    rows = [row("+91", INDIA), row("+1", MAIN), row("+1876", JAMAICA)]
    await put(
        context,
        sender_service="twilio",
        twilio=twilio(subaccounts=rows),
        fallback=["messagebird"],
        messagebird=MESSAGEBIRD,
    )
    breaker = await opens(context, "twilio", INDIA, revision=1)
    assert await list_accounts(context, TENANT) == [
        ("twilio", MAIN, None),
        ("twilio", INDIA, breaker),
        ("twilio", JAMAICA, None),
        ("messagebird", "", None),
    ]
    assert await open_breakers(context, TENANT) == [breaker]


async def test_a_main_account_that_nothing_goes_through_is_none_of_the_policys_accounts(context):
    listed = twilio(subaccounts=[row("+91", INDIA)], only_listed_dialing_codes=True)
    await put(context, sender_service="twilio", twilio=listed)
    assert await list_accounts(context, TENANT) == [("twilio", INDIA, None)]
    await put(context, twilio={**listed, "subaccount_falls_back": True})
    assert await list_accounts(context, TENANT) == [("twilio", INDIA, None), ("twilio", MAIN, None)]


async def test_a_breaker_that_opened_before_the_last_save_counts_as_closed(context):
    await put(context, sender_service="twilio", twilio=twilio())
    await opens(context, "twilio", MAIN, revision=1)
    await put(context, failover_after_s=60)
    assert await open_breakers(context, TENANT) == []
    assert await list_accounts(context, TENANT) == [("twilio", MAIN, None)]


async def test_while_no_service_is_ready_there_are_no_accounts(context):
    assert await list_accounts(context, TENANT) == []
    await put(context, twilio=twilio())
    assert await list_accounts(context, TENANT) == []
