"""A message and its attempts: forward only, and never a second text while the first may have gone out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from otpost.domain import message as rules
from otpost.domain.message import Attempt, Message, MessageStatus, ReportStatus
from otpost.domain.outcome import Accepted, Outcome, Refused, Unavailable, Unknown, Vendor
from otpost.domain.routing import Route

T = 1_800_000_000_000
LIFE_MS = 300_000
ROUTE = Route("twilio", "AC9", "+15005550006", "The main account sends.")
SAID = Vendor(201, None, None, "SM9", "queued", "RQ1")


def queued(**more: Any) -> Message:
    return msgspec.structs.replace(
        Message(
            sid="SM1",
            tenant="AC1",
            application="VA1",
            to="+15005550009",
            status="queued",
            segments=1,
            created_at=T,
            valid_until=T + LIFE_MS,
            service="twilio",
            account_sid="AC0",
            origin="old",
            route_reason="old",
            lane="twilio:AC0",
            due_at=T,
            body="sealed",
        ),
        **more,
    )


def sending(**more: Any) -> tuple[Message, Attempt]:
    return rules.intend(queued(**more), "AT1", ROUTE, T, "node")


def settled(
    outcome: Outcome, now: int = T + 500, *, look: bool = True, report: bool = True, **more: Any
) -> tuple[Message, Attempt]:
    message, attempt = sending(**more)
    return rules.settle(message, attempt, outcome, now, jitter=0.5, can_look=look, can_report=report)


def test_an_intent_belongs_to_its_node_and_takes_the_route_of_now() -> None:
    message, attempt = sending()
    assert (message.status, message.due_at, message.attempt, message.lane) == ("sending", None, "AT1", "twilio:AC9")
    assert (attempt.node, attempt.started_at, attempt.outcome, attempt.to) == ("node", T, None, "+15005550009")
    assert (attempt.service, attempt.account_sid, attempt.origin) == ("twilio", "AC9", "+15005550006")


def test_what_was_accepted_is_kept_with_the_vendors_words() -> None:
    message, attempt = settled(Accepted(SAID))
    assert (message.status, message.reason, message.body) == ("accepted", None, "sealed")
    assert (attempt.outcome, attempt.status, attempt.duration_ms) == ("accepted", "accepted", 500)
    assert (attempt.vendor_sid, attempt.vendor_status, attempt.vendor_request_id) == ("SM9", "queued", "RQ1")


def test_what_was_refused_has_failed_and_its_text_is_erased() -> None:
    message, attempt = settled(Refused("number", "No such number.", Vendor(400, "21211"), "https://x.example"))
    assert (message.status, message.reason, message.due_at, message.body) == ("failed", "No such number.", None, None)
    assert (attempt.outcome, attempt.vendor_code, attempt.link) == ("refused", "21211", "https://x.example")


@pytest.mark.parametrize(
    ("tries", "retry_after_s", "jitter", "wait_ms"),
    [
        (0, None, 0.5, 1_000),
        (1, None, 0.5, 2_000),
        (2, None, 0.5, 4_000),
        (3, None, 0.0, 6_000),
        (3, None, 1.0, 10_000),
        (10, None, 0.5, 60_000),
        (0, 17.0, 0.5, 17_000),
        (5, 0.0, 0.5, 0),
    ],
)
def test_what_was_unavailable_is_tried_again_later_and_later(
    tries: int, retry_after_s: float | None, jitter: float, wait_ms: int
) -> None:
    message, attempt = sending(tries=tries)
    outcome = Unavailable("Busy.", Vendor(429), retry_after_s)
    message, attempt = rules.settle(message, attempt, outcome, T, jitter=jitter, can_look=True, can_report=True)
    assert (message.status, message.due_at, message.tries) == ("queued", T + wait_ms, tries + 1)
    assert (attempt.outcome, attempt.reason) == ("unavailable", "Busy.")


def test_no_try_is_planned_that_would_come_with_less_than_ten_seconds_of_life_left() -> None:
    at_last, _ = settled(Unavailable("Busy.", retry_after_s=290), now=T)
    assert (at_last.status, at_last.due_at) == ("queued", T + 290_000)
    too_late, _ = settled(Unavailable("Busy.", retry_after_s=290.001), now=T)
    assert (too_late.status, too_late.due_at, too_late.body) == ("expired", None, None)
    assert too_late.reason == "Busy. Its life would end before the next try."


def test_an_unknown_waits_for_a_listing_or_a_report_and_is_unconfirmed_without_both() -> None:
    message, attempt = settled(Unknown("Lost."), now=T + 500)
    assert (message.status, attempt.outcome, attempt.look_at) == ("sending", "unknown", T + 2_000)
    message, attempt = settled(Unknown("Lost."), look=False)
    assert (message.status, attempt.look_at) == ("sending", T + LIFE_MS)
    message, attempt = settled(Unknown("Lost."), look=False, report=False)
    assert (message.status, message.reason, attempt.look_at) == ("unconfirmed", "Lost.", None)


@pytest.mark.parametrize(
    ("answered", "unknown_after", "looks"),
    [
        (True, 500, [2_500, 6_500]),
        (False, 500, [2_000, 10_000, 25_000]),
        (False, 10_000, [25_000]),
        (False, 60_000, [60_000]),
    ],
)
def test_listings_come_at_their_times_and_then_no_more(answered: bool, unknown_after: int, looks: list[int]) -> None:
    message, attempt = settled(Unknown("Lost.", answered=answered), now=T + unknown_after)
    seen = []
    while attempt.look_at is not None:
        seen.append(attempt.look_at - T)
        assert message.status == "sending"
        message, attempt = rules.absent(message, attempt, attempt.look_at)
    assert seen == looks
    assert (message.status, message.due_at) == ("queued", T + looks[-1])


def test_absent_with_less_than_ten_seconds_left_is_expired_and_not_sent_anew() -> None:
    message, attempt = settled(Unknown("Lost."), valid_until=T + 34_999)
    for _ in range(3):
        assert attempt.look_at is not None
        message, attempt = rules.absent(message, attempt, attempt.look_at)
    assert (message.status, message.due_at, message.body) == ("expired", None, None)


def test_a_listing_that_failed_proves_nothing_and_is_repeated_until_the_life_is_over() -> None:
    message, attempt = settled(Unknown("Lost."))
    again, later = rules.not_listed(message, attempt, T + 2_000, "No listing.")
    assert (again.status, later.look_at, later.looked_at) == ("sending", T + 12_000, None)
    _, soon = rules.not_listed(message, attempt, T + LIFE_MS - 1, "No listing.")
    assert soon.look_at == T + LIFE_MS + 1_999
    over, never = rules.not_listed(message, attempt, T + LIFE_MS, "No listing.")
    assert (over.status, over.reason, never.look_at) == ("unconfirmed", "No listing.", None)


def test_a_lost_intent_is_unknown() -> None:
    _, attempt = sending()
    gone = rules.lost(attempt, T + 15_000, "The node died.")
    assert (gone.outcome, gone.reason, gone.look_at) == ("unknown", "The node died.", T + 25_000)


@dataclass(frozen=True)
class Listed:
    sid: str
    created_at: int | None
    body: str


def test_a_listed_message_matches_by_its_moment_and_its_text() -> None:
    _, attempt = sending()
    listed = [
        Listed("d", T + 3_000, "123456 is your code."),
        Listed("c", T - 5_000, ""),
        Listed("b", T - 5_001, "123456 is your code."),
        Listed("a", T + 1_000, "654321 is your code."),
        Listed("e", None, "123456"),
    ]
    assert [row.sid for row in rules.matching(attempt, listed, "123456", at_end=False)] == ["c", "d"]
    own = [Listed("x", T, "trial account - hello"), Listed("y", T, "hello, trial account")]
    assert [row.sid for row in rules.matching(attempt, own, "hello", at_end=True)] == ["x"]
    assert rules.matching(attempt, own, "", at_end=True) == []


REPORTS: list[ReportStatus] = ["accepted", "sent", "delivered", "undelivered", "failed"]


@pytest.mark.parametrize("first", REPORTS)
@pytest.mark.parametrize("second", REPORTS)
def test_reports_move_forward_only(first: ReportStatus, second: ReportStatus) -> None:
    rank = {"accepted": 1, "sent": 2, "delivered": 3, "undelivered": 3, "failed": 3}
    message, attempt = settled(Unknown("Lost."))
    message, attempt = rules.reported(message, attempt, first, Vendor(sid="SM9", status=first), None)
    assert (message.status, attempt.outcome, attempt.look_at, attempt.vendor_sid) == (first, "accepted", None, "SM9")
    message, attempt = rules.reported(message, attempt, second, Vendor(status=second), None)
    last = second if rank[second] > rank[first] else first
    assert (message.status, attempt.status) == (last, last)


def test_a_report_before_the_answer_settles_and_the_answer_takes_nothing_back() -> None:
    message, attempt = sending()
    message, attempt = rules.reported(message, attempt, "delivered", Vendor(sid="SM9", status="delivered"), None)
    for outcome in (Accepted(SAID), Unknown("Lost."), Unavailable("Busy."), Refused("account", "No.")):
        after, later = rules.settle(message, attempt, outcome, T + 900, jitter=0, can_look=True, can_report=True)
        assert after == message
        assert (later.outcome, later.status, later.vendor_status, later.duration_ms) == (
            "accepted",
            "delivered",
            "delivered",
            900,
        )


@pytest.mark.parametrize("ended", ["unconfirmed", "expired"])
def test_what_was_given_up_gives_way_to_a_late_report(ended: MessageStatus) -> None:
    message, attempt = settled(Unknown("Lost."))
    message = message.ended(ended, "Given up.")
    message, _ = rules.reported(message, attempt, "delivered", Vendor(status="delivered"), None)
    assert (message.status, message.reason) == ("delivered", None)


def test_a_failed_older_attempt_does_not_end_the_message_of_a_newer_one() -> None:
    message, first = settled(Unknown("Lost."))
    for _ in range(3):
        assert first.look_at is not None
        message, first = rules.absent(message, first, first.look_at)
    message, second = rules.intend(message, "AT2", ROUTE, T + 26_000, "node")
    unchanged, first = rules.reported(message, first, "failed", Vendor(status="failed"), "No.")
    assert (unchanged.status, unchanged.attempt, first.status) == ("sending", "AT2", "failed")
    message, second = rules.settle(
        unchanged, second, Accepted(SAID), T + 26_100, jitter=0, can_look=True, can_report=True
    )
    assert (message.status, second.outcome) == ("accepted", "accepted")


def test_a_report_is_fetched_after_doubling_gaps_and_at_last_after_four_hours() -> None:
    _, attempt = settled(Accepted(SAID), now=T + 500)
    at, moments_s = T + 500, []
    while (due_at := rules.next_fetch(attempt, at)) is not None:
        moments_s.append((due_at - T - 500) // 1000)
        at = due_at
    assert moments_s == [60, 180, 420, 900, 1_860, 3_780, 7_620, 14_400]
    assert rules.next_fetch(attempt, T + 500 + 200_000) == T + 500 + 420_000
    assert rules.next_fetch(attempt, T + 500 + 14_400_000) is None


def test_an_attempt_waits_for_its_report_from_acceptance_to_the_last_word() -> None:
    _, attempt = settled(Accepted(SAID), now=T + 500)
    assert rules.awaited(attempt, T + 500, can_fetch=False).fetch_at is None
    attempt = rules.awaited(attempt, T + 500, can_fetch=True)
    assert attempt.fetch_at == T + 60_500
    message, _ = sending()
    _, sent = rules.reported(message, attempt, "sent", Vendor(status="sent"), None)
    assert rules.awaited(sent, T + 9_000, can_fetch=True).fetch_at == T + 60_500
    _, delivered = rules.reported(message, sent, "delivered", Vendor(status="delivered"), None)
    assert rules.awaited(delivered, T + 9_000, can_fetch=True).fetch_at is None
    for outcome in (Refused("number", "No."), Unavailable("Busy."), Unknown("Lost."), Accepted(Vendor(201))):
        _, other = settled(outcome)
        assert rules.awaited(other, T + 500, can_fetch=True).fetch_at is None


@pytest.mark.parametrize(
    ("about", "without_callback", "left_ms", "status", "due_at"),
    [
        ("callback", True, 10_000, "queued", T + LIFE_MS - 10_000),
        ("callback", True, 9_999, "expired", None),
        ("callback", False, 10_000, "failed", None),
        ("account", True, 10_000, "failed", None),
    ],
)
def test_a_refused_callback_address_lets_the_text_go_out_once_more(
    about: Any, without_callback: bool, left_ms: int, status: str, due_at: int | None
) -> None:
    message, attempt = sending()
    now = T + LIFE_MS - left_ms
    message, attempt = rules.settle(
        message,
        attempt,
        Refused(about, "No."),
        now,
        jitter=0,
        can_look=True,
        can_report=True,
        without_callback=without_callback,
    )
    assert (message.status, message.due_at, attempt.outcome) == (status, due_at, "refused")
    assert (message.body is None) == (status != "queued")


def test_a_text_is_of_use_while_ten_seconds_of_its_life_are_left() -> None:
    message = queued()
    assert (message.usable(T + LIFE_MS - 10_000), message.usable(T + LIFE_MS - 9_999)) == (True, False)
