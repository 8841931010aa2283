"""Reports that say no, come twice, in disorder, forged, or about nothing, from every service that reports."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from asgi import Answered, ask
from installation import Installation
from matrix.driving import PUBLIC, at_rest, outcomes, start, state, the_message, through, to_the_end
from matrix.vendors import Fault, Vendor, example_of, path_of
from otpost.senders.registry import capabilities, find_services
from otpost.senders.service import ReportRequest
from otpost.services.policy.callbacks import make_proof
from otpost.store.base import Store

pytestmark = pytest.mark.prove

NOBODY = "AT" + "0" * 32
EXAMPLES = b"AT0190" + b"0" * 28
"""The attempt that an example names where its service's reports name one."""


def address(otpost: Installation, name: str, subject: str) -> str:
    """Where the service reports on an attempt, or (`subject` is the tenant's SID) on all."""
    bare = f"{PUBLIC}/callbacks/{name}/{subject}"
    by_address = capabilities(find_services()[name]).proven_by_address
    return f"{bare}?proof={make_proof(otpost.context, name, subject)}" if by_address else bare


def told(vendor: Vendor, at: str, sid: str | None, status: str, asked: str | None = None) -> ReportRequest:
    """The report on the text that the service calls `sid`: AWS hands the attempt back that `asked` for it."""
    assert vendor.example.report is not None
    report = vendor.example.report(at, sid, status)
    attempts = [asked] if asked else [made.attempts[0] for made in vendor.made if made.sid == sid and made.attempts]
    return replace(report, body=report.body.replace(EXAMPLES, attempts[0].encode())) if attempts else report


async def call(otpost: Installation, request: ReportRequest) -> Answered:
    method = "POST" if request.body else "GET"
    target = path_of(request.url.removeprefix(PUBLIC))
    return await ask(otpost.app, method, target, headers=dict(request.headers), body=request.body)


async def accepted(otpost: Installation) -> tuple[Any, str, str, str | None]:
    """A verification whose text was taken, with its message's, its attempt's and the service's SID."""
    verification = await start(otpost)
    message = await the_message(otpost, verification)
    _, attempts = await to_the_end(otpost, message["sid"])
    assert [attempt.outcome for attempt in attempts] == ["accepted"]
    return verification, message["sid"], attempts[0].sid, attempts[0].vendor_sid


async def shown(otpost: Installation, verification: Any) -> tuple[str, str | None, list[str]]:
    """The message's status, reason and reports, as the API tells of them."""
    message = await the_message(otpost, verification)
    return message["status"], message["reason"], [report["status"] for report in message["reports"]]


def test_every_service_that_reports_brings_its_report(name: str) -> None:
    assert (example_of(name).report is not None) == capabilities(find_services()[name]).reads_reports


async def test_a_text_that_was_taken_and_failed_later_says_so(store: Store, name: str) -> None:
    async with through(store, name) as (otpost, vendor):
        verification, sid, attempt, vendor_sid = await accepted(otpost)
        answer = await call(otpost, told(vendor, address(otpost, name, attempt), vendor_sid, "failed"))
        assert answer.status == 204, answer.text
        status, reason, reported = await shown(otpost, verification)
        assert status in ("failed", "undelivered")
        assert reason is not None
        assert reported == [status]
        seen = await to_the_end(otpost, sid)
        assert [(one.outcome, one.status, one.reason) for one in seen[1]] == [("accepted", status, reason)]
        assert (len(vendor.asked), len(vendor.made)) == (1, 1)


async def test_reports_in_disorder_move_nothing_back_and_twice_is_once(store: Store, name: str) -> None:
    async with through(store, name) as (otpost, vendor):
        verification, sid, attempt, vendor_sid = await accepted(otpost)
        at = address(otpost, name, attempt)
        for status in ("delivered", "sent", "delivered", "failed", "sent"):
            answer = await call(otpost, told(vendor, at, vendor_sid, status))
            assert answer.status == 204, answer.text
            assert (await shown(otpost, verification))[:2] == ("delivered", None)
        reported = (await shown(otpost, verification))[2]
        assert len(reported) == 3
        assert reported.count("delivered") == 1
        assert (len((await state(otpost, sid))[1]), len(vendor.made)) == (1, 1)


async def test_a_report_that_was_made_for_another_attempt_is_not_believed(store: Store, name: str) -> None:
    async with through(store, name) as (otpost, vendor):
        verification, sid, attempt, vendor_sid = await accepted(otpost)
        theirs, ours = address(otpost, name, NOBODY), address(otpost, name, attempt)
        real = told(vendor, theirs, vendor_sid, "failed")
        moved = ReportRequest(real.url.replace(NOBODY, attempt), real.body, real.headers)
        bare = ReportRequest(re.sub("proof=[^&]*", "proof=", ours), real.body, {})
        for forged in (moved, bare, ReportRequest(bare.url.partition("?")[0], b"{}", {})):
            assert (await call(otpost, forged)).status == 403
        assert (await shown(otpost, verification))[::2] == ("accepted", [])
        assert (await state(otpost, sid))[1][0].status in ("accepted", "sent", None)


async def test_a_report_on_nothing_that_is_known_is_refused(store: Store, name: str) -> None:
    async with through(store, name) as (otpost, vendor):
        verification, _, attempt, vendor_sid = await accepted(otpost)
        nobodys = told(vendor, address(otpost, name, NOBODY), vendor_sid, "failed")
        assert (await call(otpost, nobodys)).status == 404
        at = address(otpost, name, attempt)
        elsewhere = told(vendor, at.replace(f"/callbacks/{name}/", "/callbacks/nobody/"), vendor_sid, "failed")
        assert (await call(otpost, elsewhere)).status == 404
        if capabilities(find_services()[name]).proven_by_address:
            fixed = address(otpost, name, otpost.tenant.sid)
            assert (await call(otpost, told(vendor, fixed, "no-text-of-ours", "failed"))).status == 404
        assert (await shown(otpost, verification))[::2] == ("accepted", [])


async def test_one_address_for_all_texts_finds_the_one_that_it_is_about(store: Store, name: str) -> None:
    async with through(store, name) as (otpost, vendor):
        verification, _, _, vendor_sid = await accepted(otpost)
        about_one = told(vendor, address(otpost, name, otpost.tenant.sid), vendor_sid, "delivered")
        answer = await call(otpost, about_one)
        by_address = capabilities(find_services()[name]).proven_by_address
        assert answer.status == (204 if by_address else 404)
        assert (await shown(otpost, verification))[0] == ("delivered" if by_address else "accepted")


@pytest.mark.parametrize("status", ["sent", "delivered", "failed"])
async def test_a_report_settles_a_lost_answer_and_nothing_is_sent_again(store: Store, name: str, status: str) -> None:
    async with through(store, name) as (otpost, vendor):
        vendor.faults = [Fault("reset", makes=True)]
        verification = await start(otpost)
        sid = (await the_message(otpost, verification))["sid"]
        seen = await at_rest(otpost, sid)
        assert outcomes(seen) == [("unknown", "answer_lost")]
        at = address(otpost, name, seen[1][0].sid)
        assert (await call(otpost, told(vendor, at, vendor.made[0].sid, status))).status == 204
        _, attempts = await to_the_end(otpost, sid)
        ended = (await shown(otpost, verification))[0]
        assert ended in {"sent": ("sent",), "delivered": ("delivered",), "failed": ("failed", "undelivered")}[status]
        assert [attempt.outcome for attempt in attempts] == ["accepted"]
        assert (len(vendor.asked), len(vendor.made), vendor.looked) == (1, 1, [])


async def test_a_report_before_the_answer_is_kept_and_the_answer_changes_nothing(store: Store, name: str) -> None:
    async with through(store, name) as (otpost, vendor):
        vendor.open.clear()
        verification = await start(otpost)
        sid = (await the_message(otpost, verification))["sid"]
        while not vendor.asked:
            await otpost.call("GET", "/v1/messages")
        attempt = (await state(otpost, sid))[1][0].sid
        early = told(vendor, address(otpost, name, attempt), attempt, "delivered", asked=attempt)
        assert (await call(otpost, early)).status == 204
        assert (await shown(otpost, verification))[0] == "delivered"
        vendor.open.set()
        await otpost.message(sid, lambda message: message["attempts"][0]["duration_ms"] is not None)
        assert (await shown(otpost, verification))[0] == "delivered"
        assert (len(vendor.asked), len(vendor.made)) == (1, 1)


async def test_a_late_report_mends_what_nobody_could_tell(store: Store, name: str) -> None:
    async with through(store, name) as (otpost, vendor):
        vendor.faults, vendor.lists = [Fault("reset", makes=True)], False
        verification = await start(otpost)
        sid = (await the_message(otpost, verification))["sid"]
        seen = await to_the_end(otpost, sid)
        assert outcomes(seen) == [("unknown", "answer_lost")]
        assert seen[0].status == "unconfirmed"
        at = address(otpost, name, seen[1][0].sid)
        assert (await call(otpost, told(vendor, at, vendor.made[0].sid, "delivered"))).status == 204
        assert (await shown(otpost, verification))[:2] == ("delivered", None)
        assert (len(vendor.asked), len(vendor.made)) == (1, 1)
