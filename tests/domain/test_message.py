"""A message, its attempts and its reports: what waits, what is of use, and the story that they tell together."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from otpost.domain.message import Attempt, Line, Message, MessageStatus, Report, queued, timeline
from otpost.domain.outcome import ReasonName
from otpost.domain.policy import Route

T = 1_800_000_000_000
LIFE_MS = 300_000
ROUTE = Route("twilio", "AC9", "+15005550006", "The main account sends.")


def waiting(**more: Any) -> Message:
    message = queued(
        "SM1", "AC1", "VA1", "+15005550009", ROUTE, now=T, valid_until=T + LIFE_MS, segments=1, body="sealed"
    )
    return msgspec.structs.replace(message, **more)


def attempt(sid: str = "AT1", at: int = T, service: str = "twilio", **more: Any) -> Attempt:
    made = Attempt(sid, "AC1", "SM1", "node", at, service, "AC9", "+15005550006", "+15005550009")
    return msgspec.structs.replace(made, **more)


def report(status: Any, at: int, of: str = "AT1", **more: Any) -> Report:
    return Report(of, status, more.pop("code", ""), "SM1", at, status, **more)


def test_a_new_message_is_due_now_on_the_route_of_now_in_the_queue_of_its_tenant_and_account() -> None:
    message = waiting()
    assert (message.status, message.due_at, message.turn, message.attempt) == ("queued", T, T, None)
    assert (message.service, message.account_sid, message.origin) == ("twilio", "AC9", "+15005550006")
    assert (message.lane, message.route_reason) == ("AC1:twilio:AC9", "The main account sends.")
    later = queued("SM2", "AC1", "VA1", "+1", ROUTE, now=T, valid_until=T + LIFE_MS, segments=1, turn=T + 70)
    assert (later.due_at, later.turn) == (T, T + 70)


def test_a_text_is_of_use_while_ten_seconds_of_its_life_are_left() -> None:
    message = waiting()
    assert (message.usable(T + LIFE_MS - 10_000), message.usable(T + LIFE_MS - 9_999)) == (True, False)


@pytest.mark.parametrize(
    ("status", "body"),
    [("failed", None), ("undelivered", None), ("expired", None), ("unconfirmed", None), ("queued", "sealed")],
)
def test_what_has_ended_waits_for_nothing_and_its_text_is_erased(status: MessageStatus, body: str | None) -> None:
    over = waiting(status="sending").ended(status, "unknown")
    assert (over.status, over.reason, over.due_at, over.body) == (status, "unknown", None, body)


def test_a_message_is_handed_over_from_its_acceptance_to_the_last_word() -> None:
    for status in ("queued", "sending", "delivered", "undelivered", "failed", "expired", "unconfirmed"):
        assert not waiting(status=status).handed_over
    assert waiting(status="accepted").handed_over
    assert waiting(status="sent").handed_over


def test_an_attempts_lane_is_that_of_the_account_that_it_took() -> None:
    assert attempt().lane == "AC1:twilio:AC9"
    assert attempt().route == Route("twilio", "AC9", "+15005550006", "")


QUEUED = Line(T, "otpost", "queued", detail="The main account sends.")


def test_the_story_of_a_delivered_text_is_one_line_per_event() -> None:
    accepted = attempt(at=T + 10, outcome="accepted", status="delivered", duration_ms=40, vendor_sid="SM9")
    told = [report("delivered", T + 900), report("sent", T + 300)]
    assert timeline(waiting(status="delivered", attempt="AT1"), [accepted], told) == [
        QUEUED,
        Line(T + 50, "twilio", "accepted", duration_ms=40, attempt="AT1"),
        Line(T + 300, "twilio", "sent", attempt="AT1"),
        Line(T + 900, "twilio", "delivered", attempt="AT1"),
    ]


def test_an_attempt_under_way_is_told_as_sending() -> None:
    assert timeline(waiting(status="sending", attempt="AT1"), [attempt(at=T + 10)], []) == [
        QUEUED,
        Line(T + 10, "twilio", "sending", attempt="AT1"),
    ]


def test_each_try_is_told_with_its_reason_its_sentence_the_vendors_code_and_the_milliseconds() -> None:
    page = "https://www.twilio.com/docs/api/errors/"
    busy = attempt(
        at=T,
        outcome="unavailable",
        duration_ms=30,
        reason="throttled",
        detail="Too many at once.",
        vendor_code="20429",
        link=f"{page}20429",
    )
    closed = attempt(
        "AT2",
        T + 2_000,
        outcome="refused",
        duration_ms=20,
        reason="account_trouble",
        detail="It is suspended.",
        vendor_code="20005",
        link=f"{page}20005",
    )
    other = attempt("AT3", T + 2_100, "acme", outcome="accepted", status="accepted", duration_ms=5)
    message = waiting(status="accepted", attempt="AT3", service="acme", route_reason="Acme stands in.")
    assert timeline(message, [busy, closed, other], []) == [
        Line(T, "otpost", "queued"),
        Line(T + 30, "twilio", "unavailable", "throttled", "Too many at once.", "20429", f"{page}20429", 30, "AT1"),
        Line(T + 2_020, "twilio", "refused", "account_trouble", "It is suspended.", "20005", f"{page}20005", 20, "AT2"),
        Line(T + 2_105, "acme", "accepted", None, "Acme stands in.", None, None, 5, "AT3"),
    ]


@pytest.mark.parametrize(("looked_at", "found_at"), [(T + 10_000, T + 10_000), (None, T + 5_000)])
def test_a_lost_answer_is_told_and_so_is_what_settled_it(looked_at: int | None, found_at: int) -> None:
    found_again = attempt(
        at=T, outcome="accepted", status="sent", duration_ms=5_000, unknown_at=T + 5_000, looked_at=looked_at
    )
    assert timeline(waiting(status="sent", attempt="AT1"), [found_again], []) == [
        QUEUED,
        Line(T + 5_000, "twilio", "unknown", "answer_lost", duration_ms=5_000, attempt="AT1"),
        Line(found_at, "twilio", "found", attempt="AT1"),
    ]


def test_a_failure_that_was_reported_is_told_once_with_its_reason_code_and_page() -> None:
    gone = attempt(
        outcome="accepted", status="undelivered", duration_ms=40, reason="not_reachable", detail="It is off."
    )
    told = [report("undelivered", T + 800, code="30003", reason="not_reachable", link="https://x.example/30003")]
    message = waiting(status="undelivered", reason="not_reachable", attempt="AT1")
    assert timeline(message, [gone], told) == [
        QUEUED,
        Line(T + 40, "twilio", "accepted", duration_ms=40, attempt="AT1"),
        Line(
            *(T + 800, "twilio", "undelivered", "not_reachable", "It is off.", "30003", "https://x.example/30003"),
            attempt="AT1",
        ),
    ]


def test_reports_are_told_under_the_service_that_told_them() -> None:
    first = attempt("AT1", T, outcome="accepted", status="undelivered", duration_ms=10)
    second = attempt("AT2", T + 1_000, "acme", outcome="accepted", status="delivered", duration_ms=10)
    told = [report("delivered", T + 2_000, "AT2"), report("undelivered", T + 900, reason="not_delivered")]
    lines = timeline(waiting(status="delivered", attempt="AT2"), [first, second], told)
    assert [(line.at - T, line.who, line.what) for line in lines] == [
        (0, "otpost", "queued"),
        (10, "twilio", "accepted"),
        (900, "twilio", "undelivered"),
        (1_010, "acme", "accepted"),
        (2_000, "acme", "delivered"),
    ]


@pytest.mark.parametrize(
    ("status", "reason", "outcome", "what"),
    [
        ("expired", "throttled", "unavailable", ["queued", "unavailable", "expired"]),
        ("unconfirmed", "answer_lost", "unknown", ["queued", "unknown", "unconfirmed"]),
        ("failed", "text_gone", "unavailable", ["queued", "unavailable", "failed"]),
        ("failed", "invalid_number", "refused", ["queued", "refused"]),
    ],
)
def test_how_a_message_ended_is_told_unless_its_last_try_has_told_it(
    status: MessageStatus, reason: ReasonName, outcome: Any, what: list[str]
) -> None:
    message = waiting(status=status, reason=reason, attempt="AT1")
    lines = timeline(message, [attempt(outcome=outcome, reason=reason, duration_ms=10)], [])
    assert [line.what for line in lines] == what
    assert (lines[-1].reason, lines[-1].at) == (reason, T + 10)


def test_an_intent_whose_node_died_is_told_as_unknown_from_when_that_was_seen() -> None:
    gone = attempt(outcome="unknown", reason="answer_lost", detail="The node died.", unknown_at=T + 15_000)
    assert timeline(waiting(status="sending", attempt="AT1"), [gone], []) == [
        QUEUED,
        Line(T + 15_000, "twilio", "unknown", "answer_lost", "The node died.", attempt="AT1"),
    ]


def test_a_message_that_ended_before_any_try_says_why() -> None:
    lines = timeline(waiting(status="expired", reason="verification_over"), [], [])
    assert lines == [QUEUED, Line(T, "otpost", "expired", "verification_over")]
