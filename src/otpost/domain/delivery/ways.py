"""Which way a message takes: the policy's own route, and those that stand in for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from otpost.domain.message import Attempt
from otpost.domain.outcome import REASONS, ReasonName
from otpost.domain.policy import Route

MOST_TEXTS: Final = 2
"""To how many texts a message may lead without the recipient's asking, whatever anybody fails to tell."""
TIRED_AFTER: Final = 3
"""After how many tries on one way the next one is taken, if there is one; a lost answer is enough by itself."""
SHORT_REST_MS: Final = 5_000
"""A way whose account asked for no longer a pause than this is waited for, even if there is another."""


class Rest(NamedTuple):
    """How long an account takes nothing, and why: it asked for a pause, or its circuit breaker is open."""

    ms: int
    reason: ReasonName


class Way(NamedTuple):
    """One of the routes that a message may take, in their order.

    `for_account_reasons`: it stands in for the first way alone, and only where that one's account is at fault.
    """

    route: Route
    for_account_reasons: bool = False


def may_follow(attempts: Sequence[Attempt]) -> bool:
    """Whether a message may have another attempt: no more than two of its texts can come to be on the phone."""
    return sum(attempt.may_be_out for attempt in attempts) < MOST_TEXTS


Resting = Callable[[Route], Rest | None]


def never_resting(route: Route) -> Rest | None:
    """Nothing is known of any account."""
    return None


def choose(
    ways: Sequence[Way], attempts: Sequence[Attempt], resting: Resting = never_resting
) -> tuple[Way, Rest | None] | None:
    """The way that a message takes after its `attempts`, and how long that one still rests; None if none is left.

    The first one that was neither refused nor tried too often and does not rest for long; else the one that rests
    the shortest.
    """
    open_ways = [way for way in ways if not _spent(way.route, attempts) and _allowed(way, ways, attempts, resting)]
    if not open_ways:
        return None
    rests = [resting(way.route) for way in open_ways]
    waits_ms = [rest.ms if rest else 0 for rest in rests]
    for way, rest in zip(open_ways, rests, strict=True):
        if not _tired(way.route, attempts) and (rest is None or _is_short(rest)):
            return way, rest
    shortest = waits_ms.index(min(waits_ms))
    return open_ways[shortest], rests[shortest]


def because(title: str, attempt: Attempt | None) -> str:
    """What is known of why a message does not go by a service, in a sentence: from its last attempt there, if any."""
    if attempt is None:
        return f"{title} is left alone at the moment."
    match attempt.outcome:
        case "refused":
            return f"{title} refused it."
        case "unavailable":
            return f"{title} could not take it."
        case "accepted" if attempt.status in ("failed", "undelivered"):
            return f"{title} could not deliver it."
        case "accepted":
            return f"No report has said in time that {title} delivered it."
        case _:
            return f"The answer of {title} was lost, so that nobody knows whether it took it."


def _is_short(rest: Rest) -> bool:
    """Whether a rest is waited for. One behind a circuit breaker never is: nobody knows that it will be over then."""
    return rest.reason == "throttled" and rest.ms <= SHORT_REST_MS


def takes(attempt: Attempt, route: Route) -> bool:
    """Whether the attempt took this route."""
    return (attempt.service, attempt.account_sid, attempt.origin) == (route.service, route.account_sid, route.origin)


def _spent(route: Route, attempts: Sequence[Attempt]) -> bool:
    """Whether the way was refused, or has a text of this message that may still arrive or did not.

    Only its callback address is refused once: the text goes out without it, and what is refused then is refused.
    """
    own = [attempt for attempt in attempts if takes(attempt, route)]
    refusals = [attempt.reason for attempt in own if attempt.outcome == "refused"]
    return (
        any(reason != "callback_refused" for reason in refusals)
        or len(refusals) > 1
        or any(attempt.outcome == "accepted" or attempt.may_arrive for attempt in own)
    )


def _tired(route: Route, attempts: Sequence[Attempt]) -> bool:
    weights = {"unavailable": 1, "unknown": TIRED_AFTER}
    return sum(weights.get(attempt.outcome or "", 0) for attempt in attempts if takes(attempt, route)) >= TIRED_AFTER


def _allowed(way: Way, ways: Sequence[Way], attempts: Sequence[Attempt], resting: Resting) -> bool:
    if not way.for_account_reasons:
        return True
    first = ways[0].route
    reasons = [attempt.reason for attempt in attempts if takes(attempt, first)]
    if rest := resting(first):
        reasons.append(rest.reason)
    return any(REASONS[reason].account for reason in reasons if reason is not None)
