"""How much an account takes at once: lowered by what it answers, raised again by what it takes, shared by the nodes."""

from __future__ import annotations

import pytest

from installation import Clock
from otpost.domain.delivery import Rest
from otpost.domain.outcome import Accepted, Outcome, Refused, Unavailable, Unknown, Vendor
from otpost.domain.policy import Route
from otpost.messaging.pace import FIRST_GUESS_MS, IN_FLIGHT, Pace

ROUTE = Route("twilio", "AC9", "+15005550006", "")
LANE = "AC1:twilio:AC9"
ACCEPTED = Accepted(Vendor(201, sid="SM1"))
TOO_MANY = Unavailable("throttled", "Too many.", Vendor(429))
SILENT = Unknown("Lost.")
SAID_500 = Unknown("It said 500.", Vendor(500), answered=True)


def sent(pace: Pace, outcome: Outcome, times: int = 1, duration_ms: int = 200) -> None:
    """So many messages of the lane, one after another."""
    for _ in range(times):
        pace.taken(LANE, ROUTE.origin)
        pace.done(LANE, duration_ms, outcome)


def test_a_lane_takes_so_many_at_once_and_is_full_then() -> None:
    pace = Pace(Clock(), in_flight=3)
    assert (pace.free(LANE, 1), pace.full(), pace.in_flight) == (3, [], 0)
    for left in (2, 1, 0):
        pace.taken(LANE, ROUTE.origin)
        assert pace.free(LANE, 1) == left
    assert (pace.full(), pace.in_flight, pace.free("AC1:twilio:AC8", 1)) == ([LANE], 3, 3)
    pace.done(LANE, 200, ACCEPTED)
    assert (pace.free(LANE, 1), pace.full()) == (1, [])


def test_too_many_requests_halve_what_an_account_takes_and_pause_it() -> None:
    clock = Clock()
    pace = Pace(clock)
    limits = []
    for _ in range(8):
        sent(pace, TOO_MANY)
        limits.append(pace.lane(LANE).limit)
        assert (pace.free(LANE, 1), pace.full(), pace.paused()) == (0, [LANE], [LANE])
        clock.advance(1)
        assert (pace.free(LANE, 1), pace.full(), pace.paused()) == (limits[-1], [], [])
    assert limits == [32, 16, 8, 4, 2, 1, 1, 1]


def test_a_burst_of_refusals_for_the_same_reason_counts_once() -> None:
    clock = Clock()
    pace = Pace(clock)
    for _ in range(40):
        pace.taken(LANE, ROUTE.origin)
    for _ in range(40):
        pace.done(LANE, 200, TOO_MANY)
    assert pace.lane(LANE).limit == 32
    clock.advance(0.999)
    sent(pace, TOO_MANY)
    assert pace.lane(LANE).limit == 32
    clock.advance(0.001)
    sent(pace, TOO_MANY)
    assert pace.lane(LANE).limit == 16


def test_an_account_takes_one_more_after_as_many_accepted_ones_as_it_takes() -> None:
    clock = Clock()
    pace = Pace(clock, in_flight=4)
    for _ in range(2):
        sent(pace, TOO_MANY)
        clock.advance(1)
    assert pace.lane(LANE).limit == 1
    grown = []
    for _ in range(10):
        sent(pace, ACCEPTED)
        grown.append(pace.lane(LANE).limit)
    assert grown == [2, 2, 3, 3, 3, 4, 4, 4, 4, 4]
    sent(pace, TOO_MANY)
    assert pace.lane(LANE).limit == 2
    sent(pace, Refused("invalid_number", "No such number."), 2)
    assert pace.lane(LANE).limit == 3


def test_a_service_that_does_not_answer_keeps_four_in_flight_and_one_that_says_500_keeps_all() -> None:
    clock = Clock()
    pace = Pace(clock)
    limits = []
    for _ in range(6):
        sent(pace, SILENT)
        limits.append(pace.lane(LANE).limit)
        clock.advance(1)
    assert limits == [32, 16, 8, 4, 4, 4]
    assert pace.full() == []
    other = Pace(clock)
    sent(other, SAID_500, 9)
    sent(other, Unavailable("network_trouble", "No connection."), 9)
    assert (other.lane(LANE).limit, other.free(LANE, 1)) == (IN_FLIGHT, IN_FLIGHT)


@pytest.mark.parametrize(
    ("outcome", "pause_ms"),
    [
        (TOO_MANY, 1_000),
        (Unavailable("throttled", "Too many.", Vendor(429), retry_after_s=7.5), 7_500),
        (Unavailable("throttled", "Too many.", Vendor(429), retry_after_s=86_400), 600_000),
        (Unavailable("vendor_trouble", "In trouble.", Vendor(503), retry_after_s=30), 30_000),
        (Unavailable("vendor_trouble", "In trouble.", Vendor(503)), 0),
        (Unavailable("throttled", "The node was too busy.", retry_after_s=0), 0),
    ],
)
def test_an_account_is_left_alone_as_long_as_it_asks_for(outcome: Unavailable, pause_ms: int) -> None:
    clock = Clock()
    pace = Pace(clock)
    sent(pace, outcome)
    if pause_ms:
        assert pace.resting("AC1", ROUTE, 1) == Rest(pause_ms, "throttled")
        assert pace.resting("AC1", ROUTE, 2) == Rest(pause_ms, "throttled")
        clock.now += pause_ms - 1
        assert (pace.free(LANE, 1), pace.paused()) == (0, [LANE])
        clock.now += 1
    assert pace.resting("AC1", ROUTE, 1) is None
    assert pace.free(LANE, 1) > 0
    assert pace.paused() == []


def test_a_lane_that_rests_for_long_is_not_full_since_its_messages_may_have_another_way() -> None:
    clock = Clock()
    pace = Pace(clock)
    sent(pace, Unavailable("throttled", "Too many.", Vendor(429), retry_after_s=5.001))
    assert (pace.full(), pace.paused(), pace.free(LANE, 1)) == ([], [LANE], 0)
    clock.advance(0.001)
    assert pace.full() == [LANE]


def test_an_origin_sends_no_faster_than_its_rate() -> None:
    clock = Clock()
    pace = Pace(clock)
    sent_at = []
    for _ in range(3_000):
        if pace.allowed(LANE, ROUTE.origin, 2.0) >= 1:
            pace.taken(LANE, ROUTE.origin)
            pace.done(LANE, 10, ACCEPTED)
            sent_at.append(clock.now)
        clock.now += 10
    begun = sent_at[0]
    assert [at - begun for at in sent_at[:6]] == [0, 10, 500, 1_000, 1_500, 2_000]
    assert len(sent_at) == 61


@pytest.mark.parametrize(("per_s", "first"), [(0.1, 1), (1.0, 1), (2.5, 2), (30.0, 30)])
def test_a_burst_is_at_most_that_of_one_second(per_s: float, first: int) -> None:
    pace = Pace(Clock())
    assert pace.allowed(LANE, ROUTE.origin, per_s) == first


def test_a_dry_origin_says_so_and_when_it_may_send_again() -> None:
    clock = Clock()
    pace = Pace(clock)
    assert (pace.dry(), pace.next_drop_ms()) == ([], None)
    assert pace.allowed(LANE, "Acme", 0.5) == 1
    pace.taken(LANE, "Acme")
    assert (pace.dry(), pace.next_drop_ms()) == ([f"{LANE} Acme"], 2_001)
    assert pace.full() == []
    clock.advance(1.5)
    assert (pace.dry(), pace.next_drop_ms()) == ([f"{LANE} Acme"], 501)
    clock.advance(0.5)
    assert (pace.dry(), pace.allowed(LANE, "Acme", 0.5)) == ([], 1)


def test_a_rate_is_shared_by_the_nodes() -> None:
    clock = Clock()
    pace = Pace(clock)
    pace.nodes = 4
    assert pace.allowed(LANE, "Acme", 8.0) == 2
    for _ in range(2):
        pace.taken(LANE, "Acme")
    clock.advance(0.5)
    assert pace.allowed(LANE, "Acme", 8.0) == 1
    pace.nodes = 1
    clock.advance(0.25)
    assert pace.allowed(LANE, "Acme", 8.0) == 3


def test_an_origin_without_a_rate_is_not_held_back() -> None:
    pace = Pace(Clock(), in_flight=100)
    for _ in range(100):
        pace.taken(LANE, "Acme")
    assert (pace.dry(), pace.next_drop_ms()) == ([], None)


def test_the_wait_is_made_of_what_waits_before_it_and_how_fast_the_lane_goes() -> None:
    clock = Clock()
    pace = Pace(clock, in_flight=2)
    assert pace.wait_ms(LANE, "VA1", False) == 0
    sent(pace, ACCEPTED, 200, duration_ms=100)
    assert pace.step_ms(LANE) == 50
    assert pace.wait_ms(LANE, "VA1", False) == 0
    pace.count([(LANE, "VA1", False, 10)])
    assert pace.wait_ms(LANE, "VA1", False) == 500
    sent(pace, Unavailable("throttled", "Too many.", Vendor(429), retry_after_s=60))
    assert pace.wait_ms("AC1:twilio:AC8", "VA1", False) == 0
    assert pace.wait_ms(LANE, "VA2", False) >= 60_000


def test_the_burst_of_another_application_delays_a_code_by_one_place_and_plain_texts_by_none() -> None:
    pace = Pace(Clock(), in_flight=1)
    sent(pace, ACCEPTED, 300, duration_ms=100)
    pace.count([(LANE, "VA1", False, 5_000), (LANE, "VA3", True, 900), ("AC1:twilio:AC8", "VA2", False, 70)])
    assert pace.wait_ms(LANE, "VA2", False) == 100
    assert pace.wait_ms(LANE, "VA1", False) == 500_000
    assert pace.wait_ms(LANE, "VA2", True) == 200
    pace.count([(LANE, "VA1", False, 5_000), (LANE, "VA2", False, 3)])
    assert pace.wait_ms(LANE, "VA2", False) == (3 + 4) * 100


def test_a_lane_of_which_nothing_is_known_is_guessed_at() -> None:
    pace = Pace(Clock(), in_flight=4)
    assert (pace.step_ms(LANE), pace.lane(LANE).typical_ms) == (1, FIRST_GUESS_MS)
    assert pace.step_ms(LANE) == FIRST_GUESS_MS / 4
    pace.allowed(LANE, "Acme", 0.5)
    assert pace.step_ms(LANE) == 2_000


class Plan:
    """A plan that names these rates."""

    def __init__(self, **rates: float) -> None:
        self.rates = rates

    def rate(self, origin: str) -> float | None:
        return self.rates.get(origin)


def test_a_rate_that_the_newest_plan_does_not_name_holds_nobody_back() -> None:
    plans = {"AC1": Plan(Acme=0.1, Bank=0.1)}
    pace = Pace(Clock(), plans=plans)
    for origin in ("Acme", "Bank"):
        assert pace.allowed(LANE, origin, 0.1) == 1
        pace.taken(LANE, origin)
    assert (pace.dry(), pace.step_ms(LANE), pace.rated()) == ([f"{LANE} Acme", f"{LANE} Bank"], 10_000, ["AC1"])
    plans["AC1"] = Plan(Bank=5.0)
    assert pace.step_ms(LANE) == 200
    assert (pace.dry(), pace.next_drop_ms()) == ([f"{LANE} Bank"], 201)
    plans["AC1"] = Plan()
    assert (pace.dry(), pace.next_drop_ms(), pace.rated()) == ([], None, [])
