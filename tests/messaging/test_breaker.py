"""The circuit breaker of an account: opened by failures in a row, probed, closed again, and known to every node."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from installation import Clock, Installation, until
from messaging.through_twilio import policy
from otpost.domain.delivery import Rest
from otpost.domain.outcome import REASONS, Accepted, Outcome, ReasonName, Refused, Unavailable, Unknown, Vendor
from otpost.domain.policy import Breaker, Route
from otpost.messaging.breaker import OPENS_AFTER, Breakers
from otpost.messaging.pace import Pace
from otpost.services.messages.breakers import keep_breaker
from otpost.store.kinds import BREAKERS
from otpost.store.units import Rows, Unit, lock
from otpost.telemetry import REGISTRY

ROUTE = Route("twilio", "AC9", "+15005550006", "")
LANE = "AC1:twilio:AC9"
ACCEPTED = Accepted(Vendor(201, sid="SM1"))
GONE = Unavailable("network_trouble", "No connection.")
SUSPENDED = Refused("account_trouble", "It is suspended.", Vendor(403, "20005"))
TOO_MANY = Unavailable("throttled", "Too many.", Vendor(429))
NO_NUMBER = Refused("invalid_number", "No such number.", Vendor(400, "21211"))


class Account:
    """One account's breaker and the clock beside it."""

    def __init__(self) -> None:
        self.clock = Clock(0)
        self.breakers = Breakers()

    def ended(self, *outcomes: Outcome, revision: int = 1) -> list[bool]:
        return [self.breakers.ended("AC1", ROUTE, revision, outcome, self.clock()) for outcome in outcomes]

    def probed(self, outcome: Outcome) -> bool:
        """One message that was let through."""
        assert self.allows(64) == 1
        self.breakers.began(LANE, self.clock())
        assert self.allows(64) == 0
        (turned,) = self.ended(outcome)
        return turned

    def rest(self, revision: int = 1) -> Rest | None:
        return self.breakers.resting(LANE, revision, self.clock())

    def allows(self, free: int, revision: int = 1) -> int:
        return self.breakers.allows(LANE, revision, self.clock(), free)


@pytest.fixture
def account() -> Account:
    return Account()


@pytest.fixture
def opened(account: Account) -> Account:
    """An account whose breaker has just opened."""
    assert account.ended(*[GONE] * 5) == [False] * 4 + [True]
    return account


def test_five_failures_in_a_row_open_it_for_five_seconds(account: Account) -> None:
    assert account.ended(GONE, SUSPENDED, Unknown("Lost."), GONE) == [False] * 4
    assert (account.rest(), account.allows(64)) == (None, 64)
    assert account.ended(SUSPENDED) == [True]
    assert (account.rest(), account.allows(64)) == (Rest(5_000, "account_trouble"), 0)
    assert account.breakers.open == {
        LANE: Breaker(LANE, "AC1", "twilio", "AC9", 1, "account_trouble", "It is suspended.", 5, 0, 5_000)
    }


@pytest.mark.parametrize("between", [ACCEPTED, NO_NUMBER, TOO_MANY, Refused("filtered", "No.")])
def test_anything_between_them_begins_the_count_anew(account: Account, between: Outcome) -> None:
    assert account.ended(*[GONE] * 4, between, *[GONE] * 4) == [False] * 9
    assert account.ended(GONE) == [True]


@pytest.mark.parametrize("reason", list(REASONS))
def test_failures_of_the_account_or_the_network_open_it_and_no_others(account: Account, reason: ReasonName) -> None:
    opens = {"account_trouble", "credentials_refused", "network_trouble", "vendor_trouble", "answer_lost"}
    again = REASONS[reason].help == "again"
    outcome: Outcome = Unavailable(reason, "No.") if again else Refused(reason, "No.")
    assert account.ended(*[outcome] * OPENS_AFTER)[-1] is (reason in opens)


def test_while_it_is_open_one_message_at_a_time_tries_it(opened: Account) -> None:
    opened.clock.now = 4_999
    assert (opened.rest(), opened.allows(64)) == (Rest(1, "network_trouble"), 0)
    opened.clock.now = 5_000
    assert (opened.rest(), opened.allows(64), opened.allows(0)) == (None, 1, 0)
    opened.breakers.began(LANE, opened.clock())
    assert (opened.rest(), opened.allows(64)) == (Rest(5_001, "network_trouble"), 0)
    opened.clock.now = 34_999
    assert opened.allows(64) == 0
    opened.clock.now = 35_000
    assert (opened.rest(), opened.allows(64)) == (None, 1)


@pytest.mark.parametrize("outcome", [ACCEPTED, NO_NUMBER])
def test_a_probe_that_the_account_answers_in_health_closes_it(opened: Account, outcome: Outcome) -> None:
    opened.clock.now = 5_000
    assert opened.probed(outcome)
    assert (opened.breakers.open, opened.rest(), opened.allows(64)) == ({}, None, 64)
    assert opened.ended(*[GONE] * 5) == [False] * 4 + [True]
    assert opened.rest() == Rest(5_000, "network_trouble")


def test_a_probe_that_fails_keeps_it_open_for_twice_as_long_up_to_a_minute(opened: Account) -> None:
    rests_ms, failures = [], []
    for _ in range(7):
        opened.clock.now = opened.breakers.open[LANE].probe_at
        assert opened.probed(SUSPENDED)
        rests_ms.append(opened.breakers.open[LANE].probe_at - opened.clock())
        failures.append(opened.breakers.open[LANE].failures)
        assert opened.rest() == Rest(rests_ms[-1], "account_trouble")
    assert rests_ms == [10_000, 20_000, 40_000, 60_000, 60_000, 60_000, 60_000]
    assert failures == [6, 7, 8, 9, 10, 11, 12]
    assert opened.breakers.open[LANE].opened_at == 0


def test_what_was_on_its_way_when_it_opened_tells_nothing_new(opened: Account) -> None:
    assert opened.ended(*[GONE] * 59) == [False] * 59
    assert opened.rest() == Rest(5_000, "network_trouble")
    opened.clock.now = 5_000
    assert opened.probed(GONE)
    assert opened.rest() == Rest(10_000, "network_trouble")


def test_an_account_that_says_too_many_is_alive_but_does_not_close_it(opened: Account) -> None:
    opened.clock.now = 5_000
    assert not opened.probed(TOO_MANY)
    assert (opened.rest(), opened.allows(64)) == (None, 1)
    assert opened.probed(ACCEPTED)
    assert opened.breakers.open == {}


def test_a_save_closes_it(opened: Account) -> None:
    assert (opened.rest(revision=2), opened.allows(64, revision=2)) == (None, 64)
    assert (opened.rest(), opened.allows(64)) == (Rest(5_000, "network_trouble"), 0)
    assert opened.ended(GONE, revision=2) == [True]
    assert opened.breakers.open == {}
    assert opened.ended(*[GONE] * 4, revision=2) == [False] * 3 + [True]
    assert opened.breakers.open[LANE].revision == 2


def test_a_message_of_the_policy_before_does_not_touch_it(account: Account) -> None:
    account.ended(*[GONE] * 5, revision=2)
    before = dict(account.breakers.open)
    assert account.ended(ACCEPTED, GONE, revision=1) == [False, False]
    assert account.breakers.open == before


def test_another_accounts_failures_are_not_counted(opened: Account) -> None:
    other = msgspec.structs.replace(ROUTE, account_sid="AC8")
    assert opened.breakers.ended("AC1", other, 1, GONE, 0) is False
    assert opened.breakers.resting("AC1:twilio:AC8", 1, 0) is None
    assert opened.breakers.allows("AC1:twilio:AC8", 1, 0, 64) == 64


def breaker(**more: Any) -> Breaker:
    made = Breaker(LANE, "AC1", "twilio", "AC9", 1, "network_trouble", "No connection.", 5, 0, 5_000)
    return msgspec.structs.replace(made, **more)


def test_a_node_takes_over_what_another_has_opened(account: Account) -> None:
    assert account.breakers.take_over([breaker(failures=7, probe_at=20_000)], before=0) == []
    assert (account.rest(), account.allows(64)) == (Rest(20_000, "network_trouble"), 0)
    account.clock.now = 20_000
    assert account.probed(GONE)
    assert account.rest() == Rest(40_000, "network_trouble")


def test_a_node_learns_that_another_has_closed_it(opened: Account) -> None:
    assert opened.breakers.take_over([], before=0) == []
    assert opened.rest() is not None
    assert opened.breakers.take_over([], before=1) == [LANE]
    assert (opened.rest(), opened.allows(64)) == (None, 64)


def test_a_node_learns_how_long_another_leaves_it_alone(opened: Account) -> None:
    opened.breakers.take_over([breaker(probe_at=4_000)], before=0)
    assert opened.rest() == Rest(5_000, "network_trouble")
    opened.breakers.take_over([breaker(probe_at=30_000, failures=8)], before=0)
    assert opened.rest() == Rest(30_000, "network_trouble")


def test_a_lane_that_this_node_has_not_used_yet_lets_one_probe_through(account: Account) -> None:
    pace = Pace(account.clock)
    pace.breakers.take_over([breaker()], before=0)
    assert (pace.free(LANE, 1), pace.resting("AC1", ROUTE, 1)) == (0, Rest(5_000, "network_trouble"))
    account.clock.now = 5_000
    assert (pace.free(LANE, 1), pace.resting("AC1", ROUTE, 1)) == (1, None)
    pace.taken(LANE, ROUTE.origin)
    assert pace.free(LANE, 1) == 0
    pace.done(LANE, 100, ACCEPTED)
    pace.breakers.ended("AC1", ROUTE, 1, ACCEPTED, account.clock())
    assert pace.free(LANE, 1) == 64


async def test_it_is_written_down_with_the_moment_it_opened_first_and_erased_when_it_closes(
    otpost: Installation,
) -> None:
    context, now = otpost.context, otpost.clock()
    await otpost.store.run(keep_breaker(context, LANE, breaker(opened_at=now, probe_at=now + 5_000)))
    await otpost.store.run(keep_breaker(context, LANE, breaker(opened_at=now + 5_000, probe_at=now + 15_000)))
    assert await otpost.store.get(BREAKERS, LANE) == breaker(opened_at=now, probe_at=now + 15_000)
    await otpost.store.run(keep_breaker(context, LANE, None))
    await otpost.store.run(keep_breaker(context, LANE, None))
    assert await otpost.store.get(BREAKERS, LANE) is None


async def open_breakers(service: str) -> float:
    """What the metric says."""
    value = REGISTRY.get_sample_value("otpost_circuit_breakers_open", {"service": service})
    return -1.0 if value is None else value


async def test_the_metric_counts_the_accounts_that_rest_by_service(otpost: Installation) -> None:
    await otpost.ok("PUT", "/v1/sender-policy", policy("http://127.0.0.1:9"))
    await until(lambda: open_breakers("twilio"), lambda value: value == 0)
    now, tenant = otpost.clock(), otpost.tenant.sid
    moments = {"opened_at": now, "probe_at": now + 5_000}
    rows = [
        breaker(lane=f"{tenant}:twilio:{account}", tenant=tenant, account_sid=account, **moments)
        for account in ("AC8", "AC9")
    ]

    def decide(kept: Rows) -> None:
        for row in rows:
            kept.put(BREAKERS, row)

    await otpost.store.run(Unit(decide, [lock(BREAKERS, row.lane) for row in rows]))
    await until(lambda: open_breakers("twilio"), lambda value: value == 2)
    assert await open_breakers("generic") == 0
    await otpost.store.run(keep_breaker(otpost.context, rows[0].lane, None))
    await until(lambda: open_breakers("twilio"), lambda value: value == 1)
    await otpost.ok("PUT", "/v1/sender-policy", policy("http://127.0.0.1:9"))
    await until(lambda: open_breakers("twilio"), lambda value: value == 0)
