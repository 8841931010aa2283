"""A node that was paused, and a clock that was set back: nothing is sent twice, and nothing waits for an hour."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from installation import LOOPBACK, TO, Clock, Installation, installed, until
from messaging.through_gateway import section, texts
from messaging.through_twilio import attempts, attempts_when, choose_twilio, message, send
from otpost.domain.limits import NumberLimits, Window
from otpost.messaging.lease import Lease
from otpost.outbound import Outbound
from otpost.services.messages.nodes import HOLDS_MS
from otpost.store.base import Store
from otpost.store.kinds import NODES, NUMBER_LIMITS, VERIFICATIONS
from senders.contract import StandIn
from standins.twilio import TwilioStandIn

HOUR_S = 3_600
WORDS = "This node was held up before it could send it; nothing was sent."


class Pausing(AbstractResolver):
    """Finds every name on loopback; once something `happens` to the machine meanwhile."""

    happens: Callable[[], None] | None = None

    async def resolve(self, host: str, port: int = 0, family: int = socket.AF_INET) -> list[ResolveResult]:
        happens, self.happens = self.happens, None
        if happens is not None:
            happens()
        return [ResolveResult(hostname=host, host="127.0.0.1", port=port, family=socket.AF_INET, proto=0, flags=0)]

    async def close(self) -> None:
        pass


def forty_seconds(clock: Clock) -> None:
    clock.advance(40)


def forty_seconds_by_the_wall(clock: Clock) -> None:
    clock.step(40)


def forty_seconds_while_the_wall_is_set_right(clock: Clock) -> None:
    clock.advance(40)
    clock.step(-40)


def an_hour_back(clock: Clock) -> None:
    clock.step(-HOUR_S)


@pytest.mark.parametrize(
    "happens",
    [forty_seconds, forty_seconds_by_the_wall, forty_seconds_while_the_wall_is_set_right, an_hour_back],
)
async def test_a_node_that_was_paused_after_it_began_to_connect_writes_nothing(
    store: Store, gateway: StandIn, happens: Callable[[Clock], None]
) -> None:
    clock = Clock()
    resolver = Pausing()
    http = Outbound(allow=LOOPBACK, resolver=resolver)
    async with installed(store, now=clock, http=http) as otpost:
        named = gateway.url.replace("127.0.0.1", "gateway.example")
        await otpost.ok("PUT", "/v1/sender-policy", {"sender_service": "generic", "generic": section(named)})
        resolver.happens = lambda: happens(clock)
        sid = (await send(otpost))["sid"]
        first, second = await attempts_when(otpost, sid, lambda rows: len(rows) == 2 and rows[1].outcome)
        assert (first.outcome, first.reason, first.detail) == ("unavailable", "throttled", WORDS)
        assert second.outcome == "accepted"
        assert len(texts(gateway)) == 1


def test_an_intent_is_the_nodes_own_for_ten_seconds_by_both_clocks() -> None:
    clock = Clock()

    def judged(happens: Callable[[], None]) -> tuple[bool, bool]:
        lease: Any = Lease(clock)
        claimed = lease.now()
        happens()
        return lease.fresh, lease.holds(claimed)

    limit = HOLDS_MS / 1_000
    assert judged(lambda: clock.advance(limit)) == (True, True)
    assert judged(lambda: clock.advance(limit + 0.001)) == (False, False)
    assert judged(lambda: clock.step(limit + 0.001)) == (False, False)
    assert judged(lambda: clock.step(-1)) == (True, True)
    assert judged(lambda: clock.step(-1.5)) == (False, False)


def test_a_heartbeat_renews_the_node_and_not_what_it_claimed_before() -> None:
    clock = Clock()

    lease: Any = Lease(clock)
    claimed = lease.now()
    clock.advance(11)
    lease.renewed(lease.now())
    assert (lease.fresh, lease.holds(claimed), lease.holds(lease.now())) == (True, False, True)


async def has_seen_it(otpost: Installation) -> None:
    """The node has beaten by the clock as it is now."""

    async def beat() -> int:
        row = await otpost.store.get(NODES, otpost.messaging.node)
        assert row is not None
        return row.beat_at

    await until(beat, lambda at: at == otpost.clock())


async def test_texts_go_out_after_the_clock_was_set_back_an_hour(otpost: Installation, twilio: TwilioStandIn) -> None:
    await choose_twilio(otpost, twilio)
    await otpost.message((await send(otpost))["sid"])
    otpost.clock.step(-HOUR_S)
    made = await otpost.ok("POST", "/v1/verifications", {"to": "+14155550610"}, key=otpost.verify)
    assert (await otpost.message(made["message"]["sid"]))["status"] == "accepted"


async def test_what_was_put_off_is_sent_at_its_time_though_the_clock_was_set_back(
    otpost: Installation, twilio: TwilioStandIn
) -> None:
    await choose_twilio(otpost, twilio)
    await twilio.fault("answer", status=429, retry_after=20, times=1)
    sid = (await send(otpost, valid_for_s=600))["sid"]
    await until(lambda: message(otpost, sid), lambda row: row.tries == 1)
    otpost.clock.step(-HOUR_S)
    await has_seen_it(otpost)
    otpost.clock.advance(20)
    assert (await otpost.message(sid))["status"] == "accepted"
    row = await message(otpost, sid)
    assert row.valid_until <= otpost.clock() + 600_000


async def test_an_account_rests_as_long_as_it_asked_for_though_the_clock_was_set_back(
    otpost: Installation, twilio: TwilioStandIn
) -> None:
    await choose_twilio(otpost, twilio)
    await twilio.fault("answer", status=429, retry_after=20, times=1)
    first = (await send(otpost))["sid"]
    await until(lambda: message(otpost, first), lambda row: row.tries == 1)
    otpost.clock.step(-HOUR_S)
    await has_seen_it(otpost)
    made = await otpost.call("POST", "/v1/verifications", {"to": "+14155550611"}, key=otpost.verify)
    assert made.status == 201
    otpost.clock.advance(20)
    assert (await otpost.message(made.json()["message"]["sid"]))["status"] == "accepted"


async def test_a_breaker_is_tried_again_at_its_time_though_the_clock_was_set_back(
    otpost: Installation, twilio: TwilioStandIn
) -> None:
    await choose_twilio(otpost, twilio)
    await twilio.fault("answer", status=503, code=20503)
    sids = [(await send(otpost, f"+1415555{place:04d}"))["sid"] for place in range(600, 605)]
    for sid in sids:
        await attempts_when(otpost, sid, lambda rows: rows and rows[0].outcome)
    if not otpost.messaging.pace.breakers.open:
        pytest.fail(str([await attempts(otpost, sid) for sid in sids]))
    await twilio.clear_faults()
    otpost.clock.step(-HOUR_S)
    await has_seen_it(otpost)
    otpost.clock.advance(5)
    last = (await send(otpost, "+14155550699"))["sid"]
    assert (await otpost.message(last))["status"] == "accepted"


async def test_a_cooldown_of_thirty_seconds_stays_one_when_the_clock_is_set_back(
    otpost: Installation, twilio: TwilioStandIn
) -> None:
    await choose_twilio(otpost, twilio)
    made = await otpost.ok("POST", "/v1/verifications", {"to": TO}, key=otpost.verify)
    otpost.clock.step(-HOUR_S)
    await has_seen_it(otpost)
    refused = await otpost.call("POST", "/v1/verifications", {"to": TO}, key=otpost.verify)
    assert refused.json()["code"] == "resend_too_soon"
    otpost.clock.advance(30)
    again = await otpost.call("POST", "/v1/verifications", {"to": TO}, key=otpost.verify)
    assert (again.status, again.json().get("sid")) == (200, made["sid"]), again.text


async def test_a_code_lives_no_longer_because_the_clock_was_set_back(
    otpost: Installation, twilio: TwilioStandIn
) -> None:
    await choose_twilio(otpost, twilio)
    made = await otpost.ok("POST", "/v1/verifications", {"to": TO}, key=otpost.verify)
    otpost.clock.step(-HOUR_S)
    await has_seen_it(otpost)
    row = await until(
        lambda: otpost.store.get(VERIFICATIONS, made["sid"]), lambda row: row.created_at <= otpost.clock()
    )
    assert row.expires_at == otpost.clock() + 300_000


async def test_limits_that_were_met_in_a_future_that_is_gone_count_as_of_now(otpost: Installation) -> None:
    now = otpost.clock()
    later = now + HOUR_S * 1_000
    number = NumberLimits("VA1", TO, "AC1", until=later + 1, cooldown_until=later + 30_000, sends=(now - 5, later))
    assert number.as_of(now) == NumberLimits(
        "VA1", TO, "AC1", until=later + 1, cooldown_until=now + 30_000, sends=(now - 5, now)
    )
    assert number.as_of(later) is number
    window = Window("client", "x", until=later + 60_000, hits=((now - 5, 2), (later, 1)))
    assert window.as_of(now) == Window("client", "x", until=now + 60_000, hits=((now - 5, 2), (now, 1)))
    assert window.as_of(later) is window
    assert window.free_at(now, 60_000, 3) == now - 5 + 60_000


async def test_what_lay_in_the_future_when_a_node_starts_is_put_right(store: Store, twilio: TwilioStandIn) -> None:
    clock = Clock()
    async with installed(store, now=clock) as before:
        await choose_twilio(before, twilio)
        await before.messaging.stop()
        sid = (await send(before, valid_for_s=600))["sid"]
        made = await before.ok("POST", "/v1/verifications", {"to": "+14155550612"}, key=before.verify)
        application = made["application"]
    clock.step(-24 * HOUR_S)
    async with installed(store, now=clock) as otpost:
        assert (await otpost.message(sid))["status"] == "accepted"
        assert (await otpost.message(made["message"]["sid"]))["status"] == "accepted"
        limits = await store.get(NUMBER_LIMITS, application, "+14155550612")
        assert limits is not None
        assert limits.cooldown_until == clock() + 30_000
