"""Reports that do not come by a callback: when they are asked for, of whom, and what is kept of the answer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

import pytest

from installation import TO, Installation, installed, until
from messaging.through_twilio import (
    INDIA,
    MAIN,
    attempts,
    attempts_when,
    choose_twilio,
    is_right_in_twilios_eyes,
    message,
    send,
)
from otpost.domain.message import Attempt
from otpost.senders.service import Reported
from otpost.services.messages.fetches import due_fetches
from otpost.services.messages.reports import keep_report
from otpost.store.base import Store
from otpost.telemetry import REGISTRY
from standins.twilio import TwilioStandIn

MOMENTS_S = (60, 180, 420, 900, 1_860, 3_780, 7_620, 14_400)


@pytest.fixture
async def unheard(store: Store, twilio: TwilioStandIn) -> AsyncIterator[Installation]:
    """An installation whose texts are accepted, and then nothing is told of them."""
    await twilio.plan()
    async with installed(store) as otpost:
        await choose_twilio(otpost, twilio, [INDIA])
        yield otpost


async def accepted(otpost: Installation, to: str = TO) -> Attempt:
    """The attempt of a new text, once it was accepted."""
    sid = (await send(otpost, to))["sid"]
    (attempt,) = await attempts_when(otpost, sid, lambda rows: rows and rows[0].outcome == "accepted")
    assert (attempt.status, attempt.fetch_at) == ("accepted", otpost.clock() + 60_000)
    return attempt


async def fetched(otpost: Installation, attempt: Attempt, at: int, next_at: int | None) -> Attempt:
    """The attempt after the clock has come to `at`, from when on its next fetch is due at `next_at`."""
    otpost.clock.now = at
    (after,) = await attempts_when(otpost, attempt.message, lambda rows: rows[0].fetch_at == next_at)
    return after


def counted(name: str) -> float:
    return REGISTRY.get_sample_value(f"otpost_{name}_total", {"service": "twilio"}) or 0.0


async def test_a_report_that_does_not_come_is_fetched_a_minute_after_acceptance_and_then_after_doubling_gaps(
    unheard: Installation, twilio: TwilioStandIn
) -> None:
    before = counted("reports_fetched"), counted("reports_missing")
    attempt = await accepted(unheard)
    begun = unheard.clock()
    assert attempt.vendor_sid is not None
    unheard.clock.now = begun + 59_999
    assert await unheard.store.run(due_fetches(unheard.context)) == []
    for at, next_at in ((60_000, 180_000), (180_000, 420_000)):
        after = await fetched(unheard, attempt, begun + at, begun + next_at)
        assert after.status == "accepted"
    await twilio.wait_for(lambda records: len(records.requests) == 3)
    assert (await unheard.ok("GET", f"/v1/messages/{attempt.message}"))["reports"] == []

    await twilio.report(attempt.vendor_sid, "undelivered", 30003)
    await fetched(unheard, attempt, begun + 420_000, None)
    told = await unheard.message(attempt.message)
    assert (told["status"], told["reason"]) == ("undelivered", "not_reachable")
    assert [tried["detail"] for tried in told["attempts"]] == ["The phone is switched off or out of reach."]
    (report,) = told["reports"]
    assert (report["status"], report["vendor_status"], report["vendor_code"]) == (
        "undelivered",
        "undelivered",
        "30003",
    )
    await until(nothing, lambda _: counted("reports_missing") == before[1] + 1)
    assert counted("reports_fetched") == before[0] + 1
    requests = await twilio.requests("fetch")
    path = f"/2010-04-01/Accounts/{MAIN}/Messages/{attempt.vendor_sid}.json"
    assert [(request.path, request.status) for request in requests] == [(path, 200)] * 3
    await is_right_in_twilios_eyes(twilio)


async def nothing() -> None:
    """What `until` looks at where it is a counter that changes."""


async def test_where_sent_is_the_last_word_fetching_ends_after_four_hours(
    unheard: Installation, twilio: TwilioStandIn
) -> None:
    missing = counted("reports_missing")
    await twilio.plan("sent")
    attempt = await accepted(unheard)
    begun = unheard.clock()
    for place, at_s in enumerate(MOMENTS_S):
        later = [begun + next_s * 1000 for next_s in MOMENTS_S[place + 1 :]]
        await fetched(unheard, attempt, begun + at_s * 1000, later[0] if later else None)
    await until(nothing, lambda _: counted("reports_missing") == missing + 1)
    unheard.clock.advance(24 * 3600)
    assert await unheard.store.run(due_fetches(unheard.context)) == []
    told = await unheard.ok("GET", f"/v1/messages/{attempt.message}")
    assert (told["status"], [report["status"] for report in told["reports"]]) == ("sent", ["sent"])
    assert len(await twilio.requests("fetch")) == len(MOMENTS_S)


async def test_a_fetch_that_fails_proves_nothing_and_is_repeated_at_the_next_moment(
    unheard: Installation, twilio: TwilioStandIn
) -> None:
    attempt = await accepted(unheard)
    begun = unheard.clock()
    assert attempt.vendor_sid is not None
    await twilio.report(attempt.vendor_sid, "delivered")
    await twilio.fault("answer", operation="fetch", status=500, times=1)
    await fetched(unheard, attempt, begun + 60_000, begun + 180_000)
    await twilio.wait_for(lambda records: records.requests[-1].status == 500)
    assert (await message(unheard, attempt.message)).status == "accepted"
    await fetched(unheard, attempt, begun + 180_000, None)
    assert (await message(unheard, attempt.message)).status == "delivered"
    assert [request.status for request in await twilio.requests("fetch")] == [500, 200]


async def test_a_token_that_was_replaced_still_opens_what_it_sent(unheard: Installation, twilio: TwilioStandIn) -> None:
    attempt = await accepted(unheard)
    assert attempt.vendor_sid is not None
    await twilio.report(attempt.vendor_sid, "delivered")
    await choose_twilio(unheard, twilio, auth_token="not the token")
    await fetched(unheard, attempt, unheard.clock() + 60_000, None)
    assert (await message(unheard, attempt.message)).status == "delivered"
    assert [request.status for request in await twilio.requests("fetch")] == [401, 200]


async def test_a_final_report_ends_the_wait_and_one_on_the_way_does_not(unheard: Installation) -> None:
    attempt = await accepted(unheard)
    for status, fetch_at in (("sent", attempt.fetch_at), ("delivered", None)):
        told = Reported(status, status, None, str(attempt.vendor_sid), MAIN)  # type: ignore[arg-type]  # a status in a variable
        await unheard.store.run(
            keep_report(unheard.context, unheard.plans, "twilio", attempt.sid, lambda *_, told=told: [told])
        )
        assert [row.fetch_at for row in await attempts(unheard, attempt.message)] == [fetch_at]


async def test_an_unknown_attempt_that_a_listing_found_waits_for_its_report_too(
    unheard: Installation, twilio: TwilioStandIn
) -> None:
    await twilio.fault("close", "after", times=1)
    sid = (await send(unheard))["sid"]
    begun = unheard.clock()
    await attempts_when(unheard, sid, lambda rows: rows and rows[0].outcome == "unknown")
    unheard.clock.advance(2)
    (attempt,) = await attempts_when(unheard, sid, lambda rows: rows[0].outcome == "accepted")
    assert (attempt.status, attempt.fetch_at) == ("accepted", begun + 60_000)


async def test_a_service_that_cannot_be_asked_is_not(otpost: Installation) -> None:
    await otpost.choose_sandbox()
    sid = (await send(otpost))["sid"]
    (attempt,) = await attempts_when(otpost, sid, lambda rows: rows and rows[0].outcome == "accepted")
    assert attempt.fetch_at is None


async def test_an_account_whose_fetches_hang_keeps_no_other_waiting_and_is_asked_eight_at_a_time(
    unheard: Installation, twilio: TwilioStandIn
) -> None:
    slow = [await accepted(unheard, f"+9191919191{place:02d}") for place in range(10)]
    quick = await accepted(unheard)
    for attempt in (*slow, quick):
        assert attempt.vendor_sid is not None
        await twilio.report(attempt.vendor_sid, "delivered")
    await twilio.fault("hang", operation="fetch", account=INDIA.account)
    unheard.clock.advance(60)
    await until(lambda: message(unheard, quick.message), lambda row: row.status == "delivered")
    await twilio.wait_for(lambda records: records.held == 8)
    assert {(await message(unheard, attempt.message)).status for attempt in slow} == {"accepted"}
    later = await accepted(unheard, "+14155550661")
    await twilio.report(str(later.vendor_sid), "delivered")
    unheard.clock.advance(120)
    await until(lambda: message(unheard, later.message), lambda row: row.status == "delivered")
    assert (await twilio.counts())["held"] == 8
    await twilio.clear_faults()
    await twilio.release("go_on")
    for attempt in slow:
        await until(partial(message, unheard, attempt.message), lambda row: row.status == "delivered")
    assert len(await twilio.requests("fetch")) == 12


async def test_an_account_that_asked_to_be_left_alone_is_not_asked_for_reports(
    unheard: Installation, twilio: TwilioStandIn
) -> None:
    attempt, other = await accepted(unheard), await accepted(unheard, "+919191919191")
    begun = unheard.clock()
    unheard.clock.advance(50)
    await twilio.fault("answer", status=429, retry_after=30, times=1)
    busy = (await send(unheard, "+14155550660"))["sid"]
    await until(lambda: message(unheard, busy), lambda row: row.tries == 1)
    await fetched(unheard, other, begun + 79_900, begun + 180_000)
    await twilio.wait_for(lambda records: records.requests[-1].operation == "fetch")
    assert await twilio.requests("fetch", MAIN) == []
    assert [row.fetch_at for row in await attempts(unheard, attempt.message)] == [begun + 60_000]
    await fetched(unheard, attempt, begun + 80_000, begun + 180_000)
