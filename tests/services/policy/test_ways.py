"""The ways of a policy: its own route, the main account for a subaccount's, then the services that stand in."""

from __future__ import annotations

from typing import Any

import pytest

from installation import Installation
from messaging.through_gateway import section
from messaging.through_twilio import INDIA, MAIN, SENDER, policy
from otpost.domain.errors import SenderPolicyIncomplete
from otpost.domain.phone import trusted
from otpost.domain.policy import Policy, Route
from otpost.services.policy.plan import Plan, make
from otpost.store.kinds import POLICIES
from otpost.store.units import Unit, look
from services.by_hand import NOWHERE

AMERICAN, INDIAN = trusted("+14155550100"), trusted("+919191919191")
GATEWAY = "https://sms.example.com"


async def plan(still: Installation, **changed: Any) -> Plan:
    """The plan of a policy with a gateway behind Twilio, unless `changed` says otherwise."""
    own: dict[str, Any] = {key: changed.pop(key) for key in ("fallback", "rates", "sender_service") if key in changed}
    body = {**policy(NOWHERE, [INDIA], **changed), "generic": section(GATEWAY), "fallback": ["generic"], **own}
    await still.ok("PUT", "/v1/sender-policy", body)
    tenant = still.tenant.sid
    unit = Unit(lambda rows: still.plans.plan_of(rows, tenant), [look(POLICIES, tenant)])
    return await still.store.run(unit)


def told(made: Plan, to: Any) -> list[tuple[str, str, bool]]:
    return [(way.route.service, way.route.account_sid, way.for_account_reasons) for way in made.ways(to)]


async def test_the_policys_own_route_comes_first_and_then_what_stands_in(still: Installation) -> None:
    made = await plan(still)
    assert told(made, AMERICAN) == [("twilio", MAIN, False), ("generic", "sms.example.com", False)]
    assert made.ways(AMERICAN)[0].route == made.route(AMERICAN)
    assert made.ways(AMERICAN)[1].route.reason.startswith("The gateway")
    assert made.has_other_ways


async def test_the_main_account_stands_in_for_its_subaccounts_alone_and_for_account_reasons(
    still: Installation,
) -> None:
    made = await plan(still, subaccount_falls_back=True)
    assert told(made, INDIAN) == [
        ("twilio", INDIA.account, False),
        ("twilio", MAIN, True),
        ("generic", "sms.example.com", False),
    ]
    assert len(made.ways(AMERICAN)) == 2
    assert len((await plan(still)).ways(INDIAN)) == 2


async def test_where_nothing_stands_in_there_is_one_way(still: Installation) -> None:
    made = await plan(still, fallback=[])
    assert told(made, AMERICAN) == [("twilio", MAIN, False)]


async def test_a_number_that_the_policy_sends_nothing_to_has_no_way(still: Installation) -> None:
    made = await plan(still, only_listed_dialing_codes=True)
    assert (made.ways(AMERICAN), len(made.ways(INDIAN))) == ([], 2)


async def test_while_no_service_is_ready_there_is_no_plan(still: Installation) -> None:
    made = make(still.context, Policy(still.tenant.sid), [])
    assert not made.ready
    with pytest.raises(SenderPolicyIncomplete):
        made.ways(AMERICAN)


async def test_an_origin_has_the_rate_that_the_policy_names(still: Installation) -> None:
    made = await plan(still, rates=[{"origin": SENDER, "messages_per_second": 0.5}])
    assert (made.rate(SENDER), made.rate(INDIA.origin)) == (0.5, None)


async def test_the_wait_of_a_text_is_that_of_its_quickest_way(still: Installation) -> None:
    tenant = still.tenant.sid
    asked: list[str] = []

    def waits(**by_account: int) -> Any:
        def of_lane(lane: str) -> int:
            asked.append(lane)
            return by_account["main" if MAIN in lane else "india" if INDIA.account in lane else "gateway"]

        return of_lane

    made = await plan(still, subaccount_falls_back=True)
    first = made.route(INDIAN)
    assert isinstance(first, Route)
    assert made.wait_ms(waits(india=0), first, INDIAN) == 0
    assert asked == [f"{tenant}:twilio:{INDIA.account}"]
    assert made.wait_ms(waits(india=400_000, main=0, gateway=20), first, INDIAN) == 20
    assert made.wait_ms(waits(india=400, main=0, gateway=20_000), first, INDIAN) == 400
    alone = await plan(still, fallback=[], subaccount_falls_back=True)
    assert alone.wait_ms(waits(india=400_000, main=0), first, INDIAN) == 400_000
