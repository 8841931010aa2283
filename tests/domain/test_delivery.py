"""Outcomes, look-ups and reports: forward only, never a second text while the first may arrive, and every way tried."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from otpost.domain import delivery as rules
from otpost.domain.delivery import Rest, Resting, Way
from otpost.domain.message import Attempt, Message, MessageStatus, ReportStatus
from otpost.domain.outcome import REASONS, Accepted, Outcome, ReasonName, Refused, Unavailable, Unknown, Vendor
from otpost.domain.policy import Route

T = 1_800_000_000_000
LIFE_MS = 300_000
ROUTE = Route("twilio", "AC9", "+15005550006", "The main account sends.")
SAID = Vendor(201, None, None, "SM9", "queued", "RQ1")

SUB = Way(Route("twilio", "AC1", "+919191919191", "The subaccount sends."))
MAIN = Way(ROUTE, for_account_reasons=True)
ACME = Way(Route("acme", "key", "Acme", "Acme stands in."))
LAST = Way(Route("last", "", "Last", "Last stands in."))


def queued(**more: Any) -> Message:
    return msgspec.structs.replace(
        Message(
            sid="SM1",
            tenant="AC0",
            application="VA1",
            to="+15005550009",
            status="queued",
            segments=1,
            created_at=T,
            valid_until=T + LIFE_MS,
            service="twilio",
            account_sid="AC8",
            origin="old",
            route_reason="old",
            lane="AC0:twilio:AC8",
            due_at=T,
            body="sealed",
        ),
        **more,
    )


def sending(route: Route = ROUTE, sid: str = "AT1", **more: Any) -> tuple[Message, Attempt]:
    return rules.intend(queued(**more), sid, route, T, "node")


def settle(message: Message, attempt: Attempt, outcome: Outcome, now: int, **more: Any) -> tuple[Message, Attempt]:
    given: dict[str, Any] = {"jitter": 0.5, "can_look": True, "can_report": True} | more
    return rules.settle(message, attempt, outcome, now, **given)


def settled(
    outcome: Outcome, now: int = T + 500, *, look: bool = True, report: bool = True, **more: Any
) -> tuple[Message, Attempt]:
    message, attempt = sending(**more)
    return settle(message, attempt, outcome, now, can_look=look, can_report=report)


def tried(way: Way, outcome: Any, reason: ReasonName | None = None, **more: Any) -> Attempt:
    """An attempt on a way, as it is kept."""
    route = way.route
    made = Attempt(
        more.pop("sid", "AT0"), "AC0", "SM1", "node", T, route.service, route.account_sid, route.origin, "+1"
    )
    return msgspec.structs.replace(made, outcome=outcome, reason=reason, **more)


def resting(rests: dict[str, Rest]) -> Resting:
    """These accounts rest."""
    return lambda route: rests.get(route.account_sid)


def chosen(ways: Sequence[Way], attempts: Sequence[Attempt] = (), rests: dict[str, Rest] | None = None) -> Any:
    """The service and account that are chosen and how long they rest still, or None."""
    choice = rules.choose(ways, attempts, resting(rests or {}))
    if choice is None:
        return None
    way, rest = choice
    return f"{way.route.service} {way.route.account_sid}".strip(), rest.ms if rest else 0


def test_the_first_way_is_taken_while_it_is_open() -> None:
    assert chosen([SUB, MAIN, ACME, LAST]) == ("twilio AC1", 0)
    assert chosen([]) is None


@pytest.mark.parametrize(
    ("attempts", "expected"),
    [
        ([tried(SUB, "refused", "country_not_permitted")], ("acme key", 0)),
        ([tried(SUB, "accepted", status="undelivered")], ("acme key", 0)),
        ([tried(SUB, "accepted", status="sent")], ("acme key", 0)),
        ([tried(SUB, "unknown", "answer_lost", look_at=T)], ("acme key", 0)),
        ([tried(SUB, "unknown", "answer_lost"), tried(ACME, "refused"), tried(LAST, "refused")], ("twilio AC1", 0)),
        ([tried(SUB, None)], ("acme key", 0)),
        ([tried(SUB, "refused", "callback_refused")], ("twilio AC1", 0)),
        ([tried(SUB, "refused", "callback_refused")] * 2, ("acme key", 0)),
        ([tried(SUB, "refused", "filtered"), tried(ACME, "refused", "filtered")], ("last", 0)),
        ([tried(way, "refused", "filtered") for way in (SUB, ACME, LAST)], None),
    ],
)
def test_a_way_that_was_refused_or_has_a_text_that_may_arrive_is_not_taken_again(
    attempts: list[Attempt], expected: Any
) -> None:
    assert chosen([SUB, MAIN, ACME, LAST], attempts) == expected


@pytest.mark.parametrize(
    ("attempts", "expected"),
    [
        ([tried(SUB, "unavailable")] * 2, ("twilio AC1", 0)),
        ([tried(SUB, "unavailable")] * 3, ("acme key", 0)),
        ([tried(SUB, "unknown")], ("acme key", 0)),
        ([tried(SUB, "unavailable")] * 3 + [tried(ACME, "unavailable")] * 3, ("last", 0)),
        ([tried(way, "unavailable") for way in (SUB, ACME, LAST) for _ in range(3)], ("twilio AC1", 0)),
    ],
)
def test_after_three_tries_on_one_way_or_a_lost_answer_the_next_is_taken(
    attempts: list[Attempt], expected: Any
) -> None:
    assert chosen([SUB, ACME, LAST], attempts) == expected


def test_a_way_that_is_tired_is_taken_again_where_there_is_no_other() -> None:
    assert chosen([SUB], [tried(SUB, "unavailable")] * 9) == ("twilio AC1", 0)


def test_a_short_rest_is_waited_for_and_a_long_one_is_not() -> None:
    short, long = Rest(5_000, "throttled"), Rest(5_001, "throttled")
    assert chosen([SUB, ACME], rests={"AC1": short}) == ("twilio AC1", 5_000)
    assert chosen([SUB, ACME], rests={"AC1": long}) == ("acme key", 0)
    assert chosen([SUB], rests={"AC1": long}) == ("twilio AC1", 5_001)


def test_where_all_rest_for_long_the_shortest_rest_is_waited_for() -> None:
    rests = {"AC1": Rest(60_000, "throttled"), "key": Rest(20_000, "throttled"), "": Rest(40_000, "throttled")}
    assert chosen([SUB, ACME, LAST], rests=rests) == ("acme key", 20_000)


def test_a_way_that_is_tired_is_better_than_one_that_rests_for_long() -> None:
    assert chosen([SUB, ACME], [tried(SUB, "unavailable")] * 3, {"key": Rest(30_000, "network_trouble")}) == (
        "twilio AC1",
        0,
    )


@pytest.mark.parametrize("reason", list(REASONS))
def test_the_main_account_stands_in_for_its_subaccount_for_account_reasons_alone(reason: ReasonName) -> None:
    after = chosen([SUB, MAIN], [tried(SUB, "refused", reason)])
    of_the_account = {"account_trouble", "credentials_refused", "wrong_settings", "sender_not_allowed"}
    if reason == "callback_refused":
        assert after == ("twilio AC1", 0)
    else:
        assert after == (("twilio AC9", 0) if reason in of_the_account else None)


def test_the_main_account_stands_in_while_its_subaccount_rests_for_an_account_reason() -> None:
    assert chosen([SUB, MAIN], rests={"AC1": Rest(60_000, "account_trouble")}) == ("twilio AC9", 0)
    assert chosen([SUB, MAIN], rests={"AC1": Rest(60_000, "network_trouble")}) == ("twilio AC1", 60_000)
    assert chosen([SUB, MAIN, ACME], rests={"AC1": Rest(60_000, "throttled")}) == ("acme key", 0)


@pytest.mark.parametrize(
    ("attempt", "expected"),
    [
        (None, "Acme is left alone at the moment."),
        (tried(ACME, "refused", "filtered"), "Acme refused it."),
        (tried(ACME, "unavailable", "network_trouble"), "Acme could not take it."),
        (tried(ACME, "accepted", status="undelivered"), "Acme could not deliver it."),
        (tried(ACME, "accepted", status="failed"), "Acme could not deliver it."),
        (tried(ACME, "accepted", status="sent"), "No report has said in time that Acme delivered it."),
        (
            tried(ACME, "unknown", "answer_lost"),
            "The answer of Acme was lost, so that nobody knows whether it took it.",
        ),
    ],
)
def test_why_another_way_is_taken_says_what_is_known(attempt: Attempt | None, expected: str) -> None:
    assert rules.because("Acme", attempt) == expected


def test_an_intent_belongs_to_its_node_and_takes_the_route_of_now() -> None:
    message, attempt = sending()
    assert (message.status, message.due_at, message.attempt, message.lane) == ("sending", None, "AT1", "AC0:twilio:AC9")
    assert (message.account_sid, message.origin, message.route_reason) == (
        "AC9",
        "+15005550006",
        "The main account sends.",
    )
    assert (attempt.node, attempt.started_at, attempt.outcome, attempt.to) == ("node", T, None, "+15005550009")
    assert (attempt.service, attempt.account_sid, attempt.origin) == ("twilio", "AC9", "+15005550006")


def test_what_was_accepted_is_kept_with_the_vendors_words() -> None:
    message, attempt = settled(Accepted(SAID))
    assert (message.status, message.reason, message.body, message.due_at) == ("accepted", None, "sealed", None)
    assert (attempt.outcome, attempt.status, attempt.duration_ms) == ("accepted", "accepted", 500)
    assert (attempt.vendor_sid, attempt.vendor_status, attempt.vendor_request_id) == ("SM9", "queued", "RQ1")


def test_what_was_refused_has_failed_and_its_text_is_erased() -> None:
    refusal = Refused("invalid_number", "No such number.", Vendor(400, "21211"), "https://x.example")
    message, attempt = settled(refusal)
    assert (message.status, message.reason, message.due_at, message.body) == ("failed", "invalid_number", None, None)
    assert (attempt.outcome, attempt.reason, attempt.detail) == ("refused", "invalid_number", "No such number.")
    assert (attempt.vendor_code, attempt.link) == ("21211", "https://x.example")


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
    outcome = Unavailable("throttled", "Busy.", Vendor(429), retry_after_s, "https://x.example")
    message, attempt = settle(message, attempt, outcome, T, jitter=jitter)
    assert (message.status, message.due_at, message.tries) == ("queued", T + wait_ms, tries + 1)
    assert (message.reason, attempt.outcome) == ("throttled", "unavailable")
    assert (attempt.reason, attempt.detail, attempt.link) == ("throttled", "Busy.", "https://x.example")


def test_no_try_is_planned_that_would_come_with_less_than_ten_seconds_of_life_left() -> None:
    at_last, _ = settled(Unavailable("throttled", "Busy.", retry_after_s=290), now=T)
    assert (at_last.status, at_last.due_at) == ("queued", T + 290_000)
    too_late, attempt = settled(Unavailable("throttled", "Busy.", retry_after_s=290.001), now=T)
    assert (too_late.status, too_late.due_at, too_late.body) == ("expired", None, None)
    assert (too_late.reason, attempt.detail) == ("throttled", "Busy.")


def test_an_unknown_waits_for_a_listing_or_a_report_and_is_unconfirmed_without_both() -> None:
    message, attempt = settled(Unknown("Lost."), now=T + 500)
    assert (message.status, attempt.outcome, attempt.look_at) == ("sending", "unknown", T + 2_000)
    message, attempt = settled(Unknown("Lost."), look=False)
    assert (message.status, attempt.look_at) == ("sending", T + LIFE_MS)
    message, attempt = settled(Unknown("Lost."), look=False, report=False)
    assert (message.status, message.reason, attempt.look_at) == ("unconfirmed", "answer_lost", None)
    assert (attempt.reason, attempt.detail) == ("answer_lost", "Lost.")


def test_a_lost_answer_is_asked_once_more_where_the_administrator_wants_that() -> None:
    message, attempt = sending()
    message, attempt = settle(message, attempt, Unknown("Lost."), T, can_look=False, can_report=False, sends_again=True)
    assert (message.status, message.due_at, attempt.outcome) == ("queued", T + 1_000, "unknown")


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
        message, attempt = rules.absent(message, attempt, attempt.look_at, attempt.look_at)
    assert seen == looks
    assert (message.status, message.due_at, message.reason) == ("queued", T + looks[-1], "answer_lost")


def test_absent_with_less_than_ten_seconds_left_is_expired_and_not_sent_anew() -> None:
    message, attempt = settled(Unknown("Lost."), valid_until=T + 34_999)
    for _ in range(3):
        assert attempt.look_at is not None
        message, attempt = rules.absent(message, attempt, attempt.look_at, attempt.look_at)
    assert (message.status, message.due_at, message.body) == ("expired", None, None)


def test_a_listing_that_failed_proves_nothing_and_is_repeated_until_the_life_is_over() -> None:
    message, attempt = settled(Unknown("Lost."))
    again, later = rules.not_listed(message, attempt, T + 2_000, T + 2_000)
    assert (again.status, later.look_at, later.looked_at) == ("sending", T + 12_000, T + 2_000)
    _, soon = rules.not_listed(message, attempt, T + LIFE_MS - 1, T + LIFE_MS - 1)
    assert soon.look_at == T + LIFE_MS + 1_999
    over, never = rules.not_listed(message, attempt, T + LIFE_MS, T + LIFE_MS)
    assert (over.status, over.reason, never.look_at) == ("unconfirmed", "answer_lost", None)


def test_a_lost_intent_is_unknown() -> None:
    _, attempt = sending()
    gone = rules.lost(attempt, T + 15_000, "The node died.")
    assert (gone.outcome, gone.reason, gone.detail) == ("unknown", "answer_lost", "The node died.")
    assert gone.look_at == T + 25_000


REPORTS: list[ReportStatus] = ["accepted", "sent", "delivered", "undelivered", "failed"]


def reported(message: Message, attempt: Attempt, status: ReportStatus, **more: Any) -> tuple[Message, Attempt]:
    return rules.reported(message, attempt, status, Vendor(sid="SM9", status=status), more.pop("now", T + 900), **more)


@pytest.mark.parametrize("first", REPORTS)
@pytest.mark.parametrize("second", REPORTS)
def test_reports_move_forward_only(first: ReportStatus, second: ReportStatus) -> None:
    rank = {"accepted": 1, "sent": 2, "undelivered": 3, "failed": 3, "delivered": 4}
    message, attempt = settled(Unknown("Lost."))
    message, attempt = reported(message, attempt, first)
    assert (message.status, attempt.outcome, attempt.look_at, attempt.vendor_sid) == (first, "accepted", None, "SM9")
    message, attempt = reported(message, attempt, second)
    last = second if rank[second] > rank[first] else first
    assert (message.status, attempt.status) == (last, last)


def test_a_report_before_the_answer_settles_and_the_answer_takes_nothing_back() -> None:
    message, attempt = sending()
    message, attempt = reported(message, attempt, "delivered")
    for outcome in (
        Accepted(SAID),
        Unknown("Lost."),
        Unavailable("throttled", "Busy."),
        Refused("account_trouble", "No."),
    ):
        after, later = settle(message, attempt, outcome, T + 900, ways=[MAIN, ACME])
        assert after == message
        assert (later.outcome, later.status, later.vendor_status, later.duration_ms) == (
            "accepted",
            "delivered",
            "delivered",
            900,
        )
        assert (later.reason, later.detail) == (None, None)


@pytest.mark.parametrize("ended", ["unconfirmed", "expired"])
def test_what_was_given_up_gives_way_to_a_late_report(ended: MessageStatus) -> None:
    message, attempt = settled(Unknown("Lost."))
    message = message.ended(ended, "answer_lost")
    message, _ = reported(message, attempt, "delivered")
    assert (message.status, message.reason) == ("delivered", None)


def test_a_report_that_a_text_did_not_arrive_keeps_why() -> None:
    message, attempt = settled(Accepted(SAID))
    told: dict[str, Any] = {"reason": "not_reachable", "detail": "The phone is off.", "link": "https://x.example/30003"}
    message, attempt = reported(message, attempt, "undelivered", **told)
    assert (message.status, message.reason, message.body) == ("undelivered", "not_reachable", None)
    assert (attempt.status, attempt.reason) == ("undelivered", "not_reachable")
    assert (attempt.detail, attempt.link) == ("The phone is off.", "https://x.example/30003")
    message, attempt = settled(Accepted(SAID))
    message, attempt = reported(message, attempt, "failed")
    assert (message.status, message.reason, attempt.reason) == ("failed", "not_delivered", None)


def test_a_failed_older_attempt_does_not_end_the_message_of_a_newer_one() -> None:
    message, first = settled(Unknown("Lost."))
    for _ in range(3):
        assert first.look_at is not None
        message, first = rules.absent(message, first, first.look_at, first.look_at)
    message, second = rules.intend(message, "AT2", ROUTE, T + 26_000, "node")
    unchanged, first = reported(message, first, "failed", others=[second])
    assert (unchanged.status, unchanged.attempt, first.status) == ("sending", "AT2", "failed")
    message, second = settle(unchanged, second, Accepted(SAID), T + 26_100, others=[first])
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
    _, sent = reported(message, attempt, "sent")
    assert rules.awaited(sent, T + 9_000, can_fetch=True).fetch_at == T + 60_500
    _, delivered = reported(message, sent, "delivered")
    assert rules.awaited(delivered, T + 9_000, can_fetch=True).fetch_at is None
    for outcome in (
        Refused("invalid_number", "No."),
        Unavailable("throttled", "Busy."),
        Unknown("Lost."),
        Accepted(Vendor(201)),
    ):
        _, other = settled(outcome)
        assert rules.awaited(other, T + 500, can_fetch=True).fetch_at is None


@pytest.mark.parametrize(
    ("reason", "without_callback", "left_ms", "status", "due_at"),
    [
        ("callback_refused", True, 10_000, "queued", T + LIFE_MS - 10_000),
        ("callback_refused", True, 9_999, "expired", None),
        ("callback_refused", False, 10_000, "failed", None),
        ("account_trouble", True, 10_000, "failed", None),
    ],
)
def test_a_refused_callback_address_lets_the_text_go_out_once_more(
    reason: Any, without_callback: bool, left_ms: int, status: str, due_at: int | None
) -> None:
    message, attempt = sending()
    now = T + LIFE_MS - left_ms
    message, attempt = settle(
        message, attempt, Refused(reason, "No."), now, jitter=0, without_callback=without_callback
    )
    assert (message.status, message.due_at, message.reason) == (status, due_at, reason)
    assert (attempt.outcome, attempt.reason, attempt.detail) == ("refused", reason, "No.")
    assert (message.body is None) == (status != "queued")


# With more than one way.


@pytest.mark.parametrize("reason", list(REASONS))
def test_what_another_sender_can_help_goes_there_at_once_and_what_nobody_can_help_has_failed(
    reason: ReasonName,
) -> None:
    message, attempt = sending(SUB.route)
    message, attempt = settle(message, attempt, Refused(reason, "No."), T + 90, ways=[SUB, ACME])
    if REASONS[reason].help == "nobody":
        assert (message.status, message.due_at, message.body) == ("failed", None, None)
    else:
        assert (message.status, message.due_at, message.body) == ("queued", T + 90, "sealed")
    assert (message.reason, message.tries, attempt.outcome) == (reason, 0, "refused")


def test_nobody_else_is_asked_about_an_invalid_number() -> None:
    for reason in ("invalid_number", "cannot_receive", "opted_out", "blocked_as_fraud", "text_refused"):
        assert REASONS[reason].help == "nobody"


def test_the_last_way_that_was_refused_has_failed_the_message() -> None:
    message, attempt = sending(ACME.route, "AT2")
    first = tried(SUB, "refused", "filtered", sid="AT1")
    message, _ = settle(message, attempt, Refused("filtered", "No."), T + 90, ways=[SUB, ACME], others=[first])
    assert (message.status, message.reason) == ("failed", "filtered")


def test_too_late_for_another_way_is_expired() -> None:
    message, attempt = sending(SUB.route)
    now = T + LIFE_MS - 9_999
    message, _ = settle(message, attempt, Refused("filtered", "No."), now, ways=[SUB, ACME])
    assert (message.status, message.reason) == ("expired", "filtered")


@pytest.mark.parametrize(
    ("before", "outcome", "wait_ms"),
    [
        (0, Unavailable("vendor_trouble", "Busy."), 1_000),
        (1, Unavailable("vendor_trouble", "Busy."), 2_000),
        (2, Unavailable("vendor_trouble", "Busy."), 0),
        (0, Unavailable("throttled", "Busy.", retry_after_s=5), 5_000),
        (0, Unavailable("throttled", "Busy.", retry_after_s=5.001), 0),
        (0, Unavailable("throttled", "Busy.", retry_after_s=3_600), 0),
    ],
)
def test_what_is_unavailable_is_tried_again_there_and_then_goes_another_way(
    before: int, outcome: Unavailable, wait_ms: int
) -> None:
    message, attempt = sending(SUB.route, f"AT{before + 1}", tries=before)
    others = [tried(SUB, "unavailable", "vendor_trouble", sid=f"AT{place + 1}") for place in range(before)]
    message, _ = settle(message, attempt, outcome, T, ways=[SUB, ACME], others=others)
    assert (message.status, message.due_at, message.reason) == ("queued", T + wait_ms, outcome.reason)


def test_a_pause_is_kept_where_every_other_way_rests_for_longer() -> None:
    message, attempt = sending(SUB.route)
    outcome = Unavailable("throttled", "Busy.", retry_after_s=30)
    rests = {"key": Rest(40_000, "network_trouble"), "AC1": Rest(30_000, "throttled")}
    message, _ = settle(message, attempt, outcome, T, ways=[SUB, ACME], resting=resting(rests))
    assert message.due_at == T + 30_000
    message, attempt = sending(SUB.route)
    rests = {"key": Rest(20_000, "network_trouble"), "AC1": Rest(30_000, "throttled")}
    message, _ = settle(message, attempt, outcome, T, ways=[SUB, ACME], resting=resting(rests))
    assert message.due_at == T + 20_000


def test_the_main_account_is_no_way_round_a_pause_of_its_subaccount() -> None:
    message, attempt = sending(SUB.route)
    outcome = Unavailable("throttled", "Busy.", retry_after_s=30)
    message, _ = settle(message, attempt, outcome, T, ways=[SUB, MAIN])
    assert message.due_at == T + 30_000


def test_a_lost_answer_goes_nowhere_else_until_listings_have_shown_that_nothing_went_out() -> None:
    message, attempt = sending(SUB.route)
    message, attempt = settle(message, attempt, Unknown("Lost."), T + 500, ways=[SUB, ACME])
    assert (message.status, message.due_at) == ("sending", None)
    for look_at in (T + 2_000, T + 10_000, T + 25_000):
        message, attempt = rules.absent(message, attempt, look_at, look_at)
    assert (message.status, message.due_at) == ("queued", T + 25_000)
    assert chosen([SUB, ACME], [attempt]) == ("acme key", 0)


@pytest.mark.parametrize("status", ["failed", "undelivered"])
@pytest.mark.parametrize("reason", [None, *REASONS])
def test_a_text_that_did_not_arrive_goes_another_way_where_that_helps(
    status: ReportStatus, reason: ReasonName | None
) -> None:
    message, attempt = sending(SUB.route)
    message, attempt = settle(message, attempt, Accepted(SAID), T + 50)
    message, attempt = reported(message, attempt, status, reason=reason, ways=[SUB, ACME])
    assert (attempt.outcome, attempt.status) == ("accepted", status)
    if reason is None or REASONS[reason].help != "nobody":
        assert (message.status, message.due_at, message.reason, message.body) == ("queued", T + 900, reason, "sealed")
    else:
        assert (message.status, message.due_at, message.reason, message.body) == (status, None, reason, None)


def test_a_text_that_did_not_arrive_is_over_where_no_other_way_or_no_time_is_left() -> None:
    message, attempt = sending(SUB.route)
    message, attempt = settle(message, attempt, Accepted(SAID), T + 50)
    for more in ({"ways": [SUB]}, {"ways": [SUB, ACME], "now": T + LIFE_MS - 9_999}):
        over, _ = reported(message, attempt, "undelivered", reason="not_delivered", **more)
        assert (over.status, over.reason, over.due_at) == ("undelivered", "not_delivered", None)


# Failover: no report said `delivered` in time.


def failed_over() -> tuple[Message, Attempt, Attempt]:
    """A message that was accepted by its first way and is on its second by now, with both attempts."""
    message, first = sending(SUB.route)
    message, first = settle(message, first, Accepted(SAID), T + 50, failover_at=T + 30_000)
    assert (message.status, message.due_at) == ("accepted", T + 30_000)
    message, second = rules.intend(message, "AT2", ACME.route, T + 30_000, "node")
    assert (message.status, message.due_at, message.attempt) == ("accepted", None, "AT2")
    return message, first, second


def test_what_is_handed_over_waits_for_its_failover_and_a_report_on_the_way_leaves_that_as_it_is() -> None:
    message, first = sending(SUB.route)
    message, first = settle(message, first, Accepted(SAID), T + 50, failover_at=T + 30_000)
    message, first = reported(message, first, "sent", failover_at=T + 99_000)
    assert (message.status, message.due_at) == ("sent", T + 30_000)
    message, first = reported(message, first, "delivered")
    assert (message.status, message.due_at, message.body) == ("delivered", None, None)


def test_a_lost_answer_may_go_another_way_when_its_failover_comes() -> None:
    message, first = sending(SUB.route)
    message, first = settle(message, first, Unknown("Lost."), T + 50, failover_at=T + 30_000)
    assert (message.status, message.due_at, first.look_at) == ("sending", T + 30_000, T + 2_000)
    assert chosen([SUB, ACME], [first]) == ("acme key", 0)
    found, first = reported(message, first, "sent", failover_at=T + 30_000)
    assert (found.status, found.due_at) == ("sent", T + 30_000)
    found, first = reported(found, first, "delivered")
    assert (found.status, found.due_at) == ("delivered", None)


@pytest.mark.parametrize(
    "outcome",
    [
        Refused("filtered", "No."),
        Refused("invalid_number", "No."),
        Unavailable("throttled", "Busy.", retry_after_s=400),
        Unknown("Lost."),
    ],
)
def test_a_message_that_is_handed_over_does_not_fail_because_its_second_way_did(outcome: Outcome) -> None:
    message, first, second = failed_over()
    message, second = settle(
        message, second, outcome, T + 30_100, ways=[SUB, ACME], others=[first], can_look=False, can_report=False
    )
    assert (message.status, message.due_at, message.attempt) == ("accepted", None, "AT1")
    message, first = reported(message, first, "delivered", others=[second])
    assert (message.status, message.due_at) == ("delivered", None)


def test_a_message_whose_second_way_failed_too_has_failed_with_the_first() -> None:
    message, first, second = failed_over()
    message, second = settle(message, second, Refused("filtered", "No."), T + 30_100, ways=[SUB, ACME], others=[first])
    message, first = reported(
        message, first, "undelivered", reason="not_reachable", ways=[SUB, ACME], others=[second], now=T + 40_000
    )
    assert (message.status, message.reason, message.body) == ("undelivered", "not_reachable", None)


def test_a_message_whose_first_way_failed_while_its_second_was_under_way_fails_with_the_second() -> None:
    message, first, second = failed_over()
    message, first = reported(
        message, first, "undelivered", reason="not_delivered", ways=[SUB, ACME], others=[second], now=T + 30_050
    )
    assert message.status == "accepted"
    message, second = settle(message, second, Refused("filtered", "No."), T + 30_100, ways=[SUB, ACME], others=[first])
    assert (message.status, message.reason, message.body) == ("failed", "filtered", None)


def test_a_late_report_that_the_first_was_delivered_ends_what_waits_on_another_way() -> None:
    message, first, second = failed_over()
    message, second = settle(
        message, second, Unavailable("throttled", "Busy."), T + 30_100, ways=[SUB, ACME], others=[first]
    )
    assert (message.status, message.due_at) == ("accepted", T + 31_100)
    message, first = reported(message, first, "delivered", others=[second])
    assert (message.status, message.due_at, message.body) == ("delivered", None, None)


def test_a_second_text_that_does_not_arrive_takes_nothing_from_the_first() -> None:
    message, first, second = failed_over()
    message, second = settle(message, second, Accepted(SAID), T + 30_100, ways=[SUB, ACME], others=[first])
    message, second = reported(message, second, "undelivered", reason="filtered", ways=[SUB, ACME], others=[first])
    assert (message.status, message.due_at, second.status) == ("accepted", None, "undelivered")
    message, first = reported(message, first, "delivered", others=[second])
    assert message.status == "delivered"


def test_once_both_texts_did_not_arrive_the_message_has_failed() -> None:
    message, first, second = failed_over()
    message, second = settle(message, second, Accepted(SAID), T + 30_100, others=[first])
    message, second = reported(message, second, "undelivered", reason="filtered", ways=[SUB, ACME], others=[first])
    message, first = reported(message, first, "failed", reason="not_delivered", ways=[SUB, ACME], others=[second])
    assert (message.status, message.reason) == ("failed", "not_delivered")


def test_a_message_that_waits_for_a_lost_answer_does_not_fail_because_its_second_way_did() -> None:
    message, first = sending(SUB.route)
    message, first = settle(message, first, Unknown("Lost."), T + 50, failover_at=T + 1_000)
    message, second = rules.intend(message, "AT2", ACME.route, T + 1_000, "node")
    message, second = settle(message, second, Refused("filtered", "No."), T + 1_100, ways=[SUB, ACME], others=[first])
    assert (message.status, message.attempt, message.due_at) == ("sending", "AT1", None)
    for look_at in (T + 2_000, T + 10_000, T + 25_000):
        message, first = rules.absent(message, first, look_at, look_at, [second])
    assert (message.status, message.due_at) == ("queued", T + 25_000)


def test_what_has_no_attempt_left_that_may_arrive_is_given_up() -> None:
    awaited, over = tried(SUB, "accepted", sid="AT1", status="sent"), tried(ACME, "refused", "filtered", sid="AT2")
    message = queued(status="sent", attempt="AT2")
    kept = rules.given_up(message, "failed", "filtered", [awaited, over])
    assert (kept.status, kept.attempt, kept.due_at) == ("sent", "AT1", None)
    gone = rules.given_up(message, "failed", "filtered", [over])
    assert (gone.status, gone.reason) == ("failed", "filtered")
