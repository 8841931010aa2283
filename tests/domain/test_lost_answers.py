"""Lost answers: which listed text is whose, that a message is looked for before it goes again, and when it stops."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from domain.test_delivery import ACME, LAST, LIFE_MS, ROUTE, SAID, SUB, T, reported, sending, settle, settled, tried
from otpost.domain import delivery as rules
from otpost.domain.delivery import LOOK_HOLDS_MS
from otpost.domain.message import Attempt, Message
from otpost.domain.outcome import Accepted, Outcome, Refused, Unavailable, Unknown, Vendor

LOST = Unknown("Lost.")


@dataclass(frozen=True)
class Listed:
    sid: str
    created_at: int | None
    body: str


def lost(sid: str = "AT1", started_at: int = T, **more: Any) -> Attempt:
    return tried(SUB, "unknown", "answer_lost", sid=sid, started_at=started_at, unknown_at=started_at + 50, **more)


def looked_out(message: Message, attempt: Attempt, *others: Attempt) -> tuple[Message, Attempt]:
    """Both after every look at the listing has shown nothing."""
    while attempt.look_at is not None:
        message, attempt = rules.absent(message, attempt, attempt.look_at, attempt.look_at, others)
    return message, attempt


def lost_twice() -> tuple[Message, Attempt, Attempt]:
    """A message whose first answer was lost and whose second one is, too: the second is being looked for."""
    message, first = looked_out(*settled(LOST))
    message, second = rules.intend(message, "AT2", ROUTE, T + 25_000, "node")
    message, second = settle(message, second, LOST, T + 25_050, others=[first])
    return message, first, second


def test_a_listed_message_matches_by_its_moment_and_its_text() -> None:
    listed = [
        Listed("d", T + 3_000, "123456 is your code."),
        Listed("c", T - 5_000, ""),
        Listed("b", T - 5_001, "123456 is your code."),
        Listed("a", T + 1_000, "654321 is your code."),
        Listed("e", None, "123456"),
    ]
    assert [row.sid for row in rules.matching(T, listed, "123456", at_end=False)] == ["c", "d"]
    own = [Listed("x", T, "trial account - hello"), Listed("y", T, "hello, trial account")]
    assert [row.sid for row in rules.matching(T, own, "hello", at_end=True)] == ["x"]
    assert rules.matching(T, own, "", at_end=True) == []


def test_the_oldest_text_is_the_oldest_attempts() -> None:
    first, second = lost("AT1"), lost("AT2", T + 25_000)
    older, newer = Listed("SM1", T + 30_000, ""), Listed("SM2", T + 31_000, "")
    assert rules.recognised([second, first], [newer, older], [older, newer]) == [(first, older), (second, newer)]
    assert rules.recognised([second, first], [newer], [newer]) == [(first, newer)]
    assert rules.recognised([second], [newer, older], [older, newer]) == [(second, older)]
    assert rules.recognised([first, second], [older], []) == []


def test_a_text_that_is_listed_under_an_attempts_name_is_that_attempts() -> None:
    first, second = lost("AT1"), lost("AT2", T + 25_000, vendor_sid="SM7")
    named, known, other = Listed("AT1", T + 9_000, ""), Listed("SM7", T, ""), Listed("SM8", T, "")
    assert rules.recognised([first, second], [named], []) == [(first, named)]
    assert rules.recognised([first, second], [known, other], [known, other]) == [(second, known), (first, other)]


@pytest.mark.parametrize(
    ("attempts", "expected"),
    [
        ([], True),
        ([tried(SUB, "unknown")], True),
        ([tried(SUB, "unknown"), tried(SUB, "unknown")], False),
        ([tried(SUB, "unknown"), tried(ACME, "unknown")], False),
        ([tried(SUB, "unknown"), tried(ACME, "accepted", status="sent")], False),
        ([tried(SUB, "unknown"), tried(ACME, "accepted", status="delivered")], False),
        ([tried(SUB, "accepted", status="accepted"), tried(ACME, None)], False),
        ([tried(SUB, "unknown"), tried(ACME, "accepted", status="undelivered")], True),
        ([tried(SUB, "unknown"), *[tried(ACME, "unavailable")] * 5, tried(ACME, "refused")], True),
        ([tried(SUB, "accepted", status="failed"), tried(ACME, "accepted", status="undelivered")], True),
    ],
)
def test_a_message_goes_again_while_one_of_its_texts_at_most_may_be_out(
    attempts: list[Attempt], expected: bool
) -> None:
    assert rules.may_follow(attempts) is expected


def test_after_two_lost_answers_nothing_more_is_sent() -> None:
    message, first, second = lost_twice()
    message, second = looked_out(message, second, first)
    assert (message.status, message.reason, message.due_at, message.body) == ("unconfirmed", "answer_lost", None, None)
    message, first = reported(message, first, "delivered", others=[second])
    assert (message.status, message.reason) == ("delivered", None)


def test_a_lost_intent_counts_as_a_lost_answer() -> None:
    message, first = looked_out(*settled(LOST))
    message, second = rules.intend(message, "AT2", ROUTE, T + 25_000, "node")
    message, second = looked_out(message, rules.lost(second, T + 41_000, "The node died."), first)
    assert (message.status, message.reason) == ("unconfirmed", "answer_lost")


def test_an_administrator_who_wants_lost_texts_sent_again_gets_one_more() -> None:
    message, first = sending()
    neither: dict[str, Any] = {"can_look": False, "can_report": False, "sends_again": True}
    message, first = settle(message, first, LOST, T, **neither)
    assert (message.status, message.due_at) == ("queued", T + 1_000)
    message, second = rules.intend(message, "AT2", ROUTE, T + 1_000, "node")
    message, second = settle(message, second, LOST, T + 1_050, others=[first], **neither)
    assert (message.status, message.reason, message.due_at) == ("unconfirmed", "answer_lost", None)


def test_a_lost_answer_that_is_told_of_again_is_looked_for_as_before() -> None:
    """A node that was given up as dead wakes, and tells what the others know already."""
    _, attempt = sending()
    gone = rules.lost(attempt, T + 15_000, "The node died.")
    message, gone = looked_out(sending()[0], gone)
    waits, sought = rules.look_again(message, gone, T + 60_000)
    assert settle(waits, sought, LOST, T + 60_050)[1].look_at == T + 60_000
    assert settle(waits, sought, LOST, T + 60_050)[0] == waits


# Found after all.


@pytest.mark.parametrize(
    "outcome", [Refused("filtered", "No."), Unavailable("throttled", "Busy."), LOST, Accepted(SAID)]
)
def test_once_the_first_text_is_found_the_second_attempt_is_not_repeated(outcome: Outcome) -> None:
    message, first = looked_out(*settled(LOST))
    message, second = rules.intend(message, "AT2", SUB.route, T + 25_000, "node")
    message, first = reported(message, first, "accepted", others=[second])
    assert (message.status, message.attempt) == ("accepted", "AT1")
    message, second = settle(message, second, outcome, T + 25_100, ways=[SUB, ACME], others=[first])
    message, second = looked_out(message, second, first)
    assert (message.status, message.due_at, message.attempt) == ("accepted", None, "AT1")


def test_a_found_text_that_did_not_arrive_leaves_the_message_to_the_second() -> None:
    message, first, second = lost_twice()
    message, first = reported(message, first, "accepted", others=[second])
    message, first = reported(message, first, "undelivered", reason="not_delivered", others=[second])
    assert (message.status, message.attempt) == ("accepted", "AT2")
    message, second = looked_out(message, second, first)
    assert (message.status, message.due_at) == ("accepted", T + 50_000)


def test_after_two_lost_answers_a_report_that_one_did_not_arrive_leads_to_no_third_text() -> None:
    message, first, second = lost_twice()
    message, second = settle(message, second, Accepted(SAID), T + 26_000, others=[first])
    third = tried(ACME, "unknown", sid="AT3")
    over, _ = reported(message, second, "failed", ways=[SUB, LAST], others=[first, third])
    assert (over.status, over.due_at) == ("failed", None)
    goes_on, _ = reported(message, second, "failed", ways=[SUB, LAST], others=[first])
    assert (goes_on.status, goes_on.due_at) == ("queued", T + 900)


def test_what_waits_for_another_try_and_is_given_up_waits_for_its_lost_text() -> None:
    message, first = settled(LOST)
    message = msgspec.structs.replace(message, status="queued", due_at=T + 1_000, attempt="AT2")
    message = rules.given_up(message, "failed", "not_routed", [first, tried(ACME, "unavailable", sid="AT2")])
    assert (message.status, message.attempt, message.due_at) == ("sending", "AT1", None)
    message, first = looked_out(message, first)
    assert (message.status, message.due_at) == ("queued", T + 25_000)


# Looking once more.


@pytest.mark.parametrize(
    ("attempt", "wanted"),
    [
        (lost(), True),
        (lost(looked_at=T + 25_000), True),
        (lost(looked_at=T + 60_000 - LOOK_HOLDS_MS), False),
        (lost(looked_at=T + 60_000 - LOOK_HOLDS_MS - 1), True),
        (tried(SUB, "accepted", status="sent"), False),
        (tried(SUB, "unavailable"), False),
    ],
)
def test_a_lost_text_is_looked_for_again_unless_it_was_just_now(attempt: Attempt, wanted: bool) -> None:
    others = [tried(SUB, "refused"), tried(ACME, "unavailable")]
    found = rules.to_look_for([others[0], attempt, others[1]], T + 60_000, lambda one: True)
    assert found == (attempt if wanted else None)
    assert rules.to_look_for([attempt], T + 60_000, lambda one: False) is None


def test_a_message_waits_for_the_look_before_it_goes_again() -> None:
    message, first = looked_out(*settled(LOST))
    message = msgspec.structs.replace(message, attempt="AT2", put_off=1)
    waits, sought = rules.look_again(message, first, T + 60_000)
    assert (waits.status, waits.due_at, waits.put_off, waits.attempt) == ("sending", None, 0, "AT1")
    assert sought.look_at == T + 60_000
    again, absent = rules.absent(waits, sought, T + 60_010, T + 60_200)
    assert (again.status, again.due_at, absent.look_at) == ("queued", T + 60_200, None)
    assert rules.to_look_for([absent], T + 60_200, lambda one: True) is None
    failed, later = rules.not_listed(waits, sought, T + 60_010, T + 60_200)
    assert (failed.status, failed.due_at, later.look_at) == ("sending", None, T + 70_200)


def test_a_listing_that_took_long_is_no_look_at_a_later_moment() -> None:
    message, attempt = settled(LOST)
    message, attempt = rules.absent(message, attempt, T + 2_000, T + 26_000)
    assert (message.status, attempt.look_at) == ("sending", T + 26_000)
    message, attempt = rules.absent(message, attempt, T + 26_000, T + 40_000)
    assert (message.status, message.due_at, attempt.look_at) == ("queued", T + 40_000, None)
    assert rules.to_look_for([attempt], T + 40_100, lambda one: True) is None


@pytest.mark.parametrize(("failover_at", "due_at"), [(T + 30_000, T + 30_100), (T + 31_000, None), (None, None)])
def test_a_message_whose_time_for_another_way_has_come_waits_for_one_look_alone(
    failover_at: int | None, due_at: int | None
) -> None:
    message, attempt = settle(*sending(), LOST, T + 50, failover_at=T + 30_000)
    message, attempt = rules.look_again(message, attempt, T + 30_000)
    for looked in (
        rules.absent(message, attempt, T + 24_000, T + 30_100, (), failover_at),
        rules.not_listed(message, attempt, T + 30_000, T + 30_100, (), failover_at),
    ):
        assert (looked[0].status, looked[0].due_at) == ("sending", due_at)
        assert looked[1].look_at is not None
    assert message.valid_until == T + LIFE_MS


def test_a_found_texts_vendor_sid_and_moment_are_kept() -> None:
    message, attempt = settled(LOST)
    _, found = rules.reported(message, attempt, "sent", Vendor(sid="SM9", status="sent"), T + 2_000)
    assert (found.outcome, found.vendor_sid, found.look_at) == ("accepted", "SM9", None)
