"""Every way in which a sender service can fail a text, one by one, through every service there is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from installation import LOOPBACK
from matrix.driving import (
    Impatient,
    Names,
    at_rest,
    check,
    choose,
    nothing_went_out_twice,
    outcomes,
    self_signed,
    start,
    the_message,
    through,
    to_the_end,
)
from matrix.vendors import CALLING, LISTING, Fault
from otpost.outbound import Outbound
from otpost.senders.registry import capabilities, find_services
from otpost.store.base import Store
from senders.contract import Answer

PAGE = b"<html><body>Said by a proxy on the way.</body></html>"
pytestmark = pytest.mark.prove

LOST, CUT_OFF = ("unknown", "answer_lost"), ("unavailable", "network_trouble")


@dataclass(frozen=True)
class Case:
    """A fault of the first request, and the outcome and reason of its attempt."""

    fault: Fault
    first: tuple[str, str]


def answers(status: int, body: bytes = PAGE, *, makes: bool = False, retry_after: str | None = None) -> Fault:
    return Fault("answer", makes, Answer(status, body, {"Retry-After": retry_after} if retry_after else {}))


REFUSED = {
    "400": Case(answers(400), ("refused", "wrong_settings")),
    "401": Case(answers(401), ("refused", "credentials_refused")),
    "403": Case(answers(403), ("refused", "credentials_refused")),
    "404": Case(answers(404), ("refused", "wrong_settings")),
}
LOSING = {
    "hangs_before_the_request_was_read": Case(Fault("unread"), LOST),
    "hangs_after_the_request_was_read": Case(Fault("silent"), LOST),
    "hangs_after_the_text_went_out": Case(Fault("silent", makes=True), LOST),
    "reset_in_mid_answer": Case(Fault("reset"), LOST),
    "reset_in_mid_answer_after_the_text_went_out": Case(Fault("reset", makes=True), LOST),
    "500": Case(answers(500), LOST),
    "503_after_the_text_went_out": Case(answers(503, makes=True), LOST),
    "500_with_an_empty_body": Case(answers(500, b""), LOST),
    "503_with_retry_after": Case(answers(503, retry_after="2"), LOST),
    "empty_body": Case(answers(200, b"", makes=True), LOST),
    "unreadable_body": Case(answers(200, b"\xff\xfe<{[", makes=True), LOST),
}
OTHERWISE = {("generic", "400"): ("refused", "unknown")}
"""What a service reads otherwise, by its settings or by what its answers always hold."""


def test_every_service_that_lists_its_messages_is_asked_for_them_here() -> None:
    assert {name for name in CALLING if capabilities(find_services()[name]).looks_up} == LISTING.keys()


@pytest.mark.parametrize("case", LOSING)
async def test_a_lost_answer_is_settled_and_no_attempt_sends_twice(store: Store, name: str, case: str) -> None:
    fault, first = LOSING[case].fault, OTHERWISE.get((name, case), LOSING[case].first)
    async with through(store, name, http=Impatient(allow=LOOPBACK)) as (otpost, vendor):
        vendor.faults = [fault]
        verification = await start(otpost)
        sid = (await the_message(otpost, verification))["sid"]
        seen = await at_rest(otpost, sid)
        assert outcomes(seen) == [first]
        assert seen[0].status == "sending"
        assert len(vendor.made) == fault.makes
        seen = await to_the_end(otpost, sid)
        nothing_went_out_twice(vendor, seen[1])
        shown = await the_message(otpost, verification)
        if not capabilities(find_services()[name]).looks_up:
            assert outcomes(seen) == [first]
            assert (shown["status"], shown["reason"], len(vendor.made)) == ("unconfirmed", "answer_lost", fault.makes)
            return
        assert vendor.looked != []
        assert len(vendor.made) == 1
        assert outcomes(seen) == ([("accepted", None)] if fault.makes else [first, ("accepted", None)])
        assert (shown["status"] in ("accepted", "sent"), shown["reason"]) == (True, None)
        assert (await check(otpost, verification, otpost.code(verification)))["valid"]


@pytest.mark.parametrize("case", REFUSED)
async def test_a_refusal_ends_the_message_at_once_with_its_reason(store: Store, name: str, case: str) -> None:
    first = OTHERWISE.get((name, case), REFUSED[case].first)
    async with through(store, name) as (otpost, vendor):
        vendor.faults = [REFUSED[case].fault]
        verification = await start(otpost)
        seen = await to_the_end(otpost, (await the_message(otpost, verification))["sid"])
        shown = await the_message(otpost, verification)
        assert outcomes(seen) == [first]
        assert (shown["status"], shown["reason"]) == ("failed", first[1])
        assert shown["explanation"]["for_application"] != ""
        assert shown["attempts"][0]["vendor"]["http_status"] == int(case)
        assert (len(vendor.asked), vendor.made) == (1, [])


@pytest.mark.parametrize(("retry_after", "waits_ms"), [(None, (1_000, 1_250)), ("7", (7_000, 7_000))])
async def test_a_429_waits_as_long_as_it_says_and_sends_then(
    store: Store, name: str, retry_after: str | None, waits_ms: tuple[int, int]
) -> None:
    async with through(store, name) as (otpost, vendor):
        vendor.faults = [answers(429, retry_after=retry_after)]
        begun = otpost.clock()
        verification = await start(otpost)
        sid = (await the_message(otpost, verification))["sid"]
        assert outcomes(await at_rest(otpost, sid)) == [("unavailable", "throttled")]
        seen = await to_the_end(otpost, sid)
        assert outcomes(seen) == [("unavailable", "throttled"), ("accepted", None)]
        assert waits_ms[0] <= seen[1][1].started_at - begun <= waits_ms[1]
        assert (seen[0].status, seen[0].reason, len(vendor.asked), len(vendor.made)) == ("accepted", None, 2, 1)
        nothing_went_out_twice(vendor, seen[1])


async def test_a_refused_connection_is_tried_again_until_somebody_listens(store: Store, name: str) -> None:
    async with through(store, name, listens=False) as (otpost, vendor):
        verification = await start(otpost)
        sid = (await the_message(otpost, verification))["sid"]
        assert outcomes(await at_rest(otpost, sid)) == [CUT_OFF]
        await vendor.listen()
        seen = await to_the_end(otpost, sid)
        assert outcomes(seen) == [CUT_OFF, ("accepted", None)]
        assert (seen[0].status, seen[0].reason, len(vendor.made)) == ("accepted", None, 1)
        nothing_went_out_twice(vendor, seen[1])


async def test_where_nobody_ever_listens_the_message_ends_with_its_life_and_says_why(store: Store, name: str) -> None:
    async with through(store, name, listens=False) as (otpost, vendor):
        verification = await start(otpost)
        seen = await to_the_end(otpost, (await the_message(otpost, verification))["sid"])
        shown = await the_message(otpost, verification)
        assert (shown["status"], shown["reason"], vendor.asked) == ("expired", "network_trouble", [])
        assert set(outcomes(seen)) == {CUT_OFF}
        assert 5 <= len(seen[1]) <= 15


async def test_a_name_that_cannot_be_looked_up_is_tried_again(store: Store, name: str) -> None:
    names = Names()
    async with through(store, name, http=Outbound(allow=LOOPBACK, resolver=names)) as (otpost, vendor):
        await choose(otpost, name, vendor.section(f"http://vendor.test:{vendor.port}"))
        names.lost = True
        verification = await start(otpost)
        sid = (await the_message(otpost, verification))["sid"]
        assert outcomes(await at_rest(otpost, sid)) == [CUT_OFF]
        names.lost = False
        seen = await to_the_end(otpost, sid)
        assert outcomes(seen) == [CUT_OFF, ("accepted", None)]
        assert (seen[0].status, len(vendor.made)) == ("accepted", 1)
        nothing_went_out_twice(vendor, seen[1])


async def test_a_certificate_that_nobody_vouches_for_gets_no_text_until_the_settings_are_right(
    store: Store, name: str, tmp_path: Path
) -> None:
    async with through(store, name) as (otpost, vendor):
        await choose(otpost, name, vendor.section(await vendor.listen_with(self_signed(tmp_path))))
        verification = await start(otpost)
        sid = (await the_message(otpost, verification))["sid"]
        seen = await at_rest(otpost, sid)
        assert outcomes(seen) == [CUT_OFF]
        assert "certificate" in (seen[1][0].detail or "")
        await choose(otpost, name, vendor.section())
        seen = await to_the_end(otpost, sid)
        assert outcomes(seen) == [CUT_OFF, ("accepted", None)]
        assert (seen[0].status, len(vendor.asked), len(vendor.made)) == ("accepted", 1, 1)
        nothing_went_out_twice(vendor, seen[1])
