"""Attempts: the intent to send a message, and what it came to, each in a unit of work of its own.

Nothing is sent here: `messaging` sends between the unit that commits the intent and the one that keeps the outcome.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import msgspec

from otpost.domain import delivery as rules
from otpost.domain import sid
from otpost.domain.delivery import Rest, Resting
from otpost.domain.errors import SenderPolicyIncomplete
from otpost.domain.message import NO_STALE_TEXT_S, Attempt, Message, SandboxText
from otpost.domain.outcome import Accepted, Outcome, Refused
from otpost.domain.phone import trusted
from otpost.domain.policy import CALLBACKS_REFUSED, CountrySender, Notice, Route, callbacks_refused, lane_of
from otpost.senders.registry import capabilities, find_services
from otpost.senders.service import SenderService, SendsAgain, Text
from otpost.services.context import Context
from otpost.services.messages.bodies import Wording, text_of
from otpost.services.messages.reports import failover_at, others_of, take_early
from otpost.services.policy.callbacks import address_of
from otpost.services.policy.plan import Plan, Plans, sender_of
from otpost.services.policy.sandbox import SANDBOX_SEAL
from otpost.services.webhooks.events import announce_change
from otpost.store.kinds import (
    APPLICATIONS,
    ATTEMPTS,
    EARLY_REPORTS,
    MESSAGES,
    NOTICES,
    POLICIES,
    SANDBOX_TEXTS,
    VERIFICATIONS,
)
from otpost.store.units import Query, Rows, Unit, lock, lock_by, look, look_by

INCOMPLETE_AGAIN_MS = 5_000
_REPEATS_SID = "{} gave the text an ID that another text has, so that a report that names it is taken for the other's."
DUE_AT_ONCE = 64

_DUE = "due_at <= :now AND put_off = 0 AND (NOT ({full}) OR valid_until < :hopeless) ORDER BY turn LIMIT :many"
_DUE_IN_FREE_LANES = _DUE.format(full="lane IN :full")
_DUE_BY_FREE_ORIGINS = _DUE.format(full="lane IN :full OR lane || ' ' || origin IN :dry")


class Pacing(Protocol):
    """What a claim asks of the node's pace; none of it changes anything."""

    def full(self) -> list[str]:
        """Lanes whose messages have to wait a moment."""
        ...

    def dry(self) -> list[str]:
        """Origins that may send nothing now, each after its lane and a blank."""
        ...

    def free(self, name: str, revision: int) -> int:
        """How many more messages the lane takes now, under this revision of the policy."""
        ...

    def allowed(self, name: str, origin: str, per_s: float) -> int:
        """How many messages the origin of the lane may send now at this rate."""
        ...

    def resting(self, tenant: str, route: Route, revision: int) -> Rest | None:
        """How long the account of a route takes nothing, by what it answered under this revision of the policy."""
        ...


@dataclass(frozen=True, slots=True)
class Handover:
    """What `messaging` has to send, after its intent is on disk.

    `notice`: callbacks were refused until a while ago, and this text tries whether they still are.
    """

    message: Message
    attempt: Attempt
    service: SenderService
    plan: Plan
    route: Route
    text: Text
    notice: Notice | None = None

    @property
    def settings(self) -> Any:
        return self.plan.settings[self.service.NAME]

    @property
    def lane(self) -> str:
        return lane_of(self.message.tenant, self.route)


class Claimed(NamedTuple):
    """What a claim took; `more` if there may be further messages due, now that some of these no longer are.

    `unsettled` are messages left as they are, to be handed to `lookups.look_again`: a text of theirs whose answer was
    lost may have come to light since it was last looked for.
    """

    handovers: list[Handover]
    more: bool
    unsettled: Sequence[str] = ()


def claim_messages(
    context: Context, plans: Plans, wording: Wording, node: str, pacing: Pacing, public_url: str | None
) -> Unit[Claimed]:
    """Take messages that are due and whose account has room, and commit the intent to send them.

    Those whose account rests go another way where they have one, and wait where they have none. `public_url` is where
    services call back, if they can. Messages that can no longer be of use end here.
    """
    now = context.clock()
    attempts = [context.ids(sid.ATTEMPT) for _ in range(DUE_AT_ONCE)]
    dry = pacing.dry()
    lists: dict[str, list[str]] = {"full": pacing.full(), **({"dry": dry} if dry else {})}
    query = Query(
        MESSAGES,
        _DUE_BY_FREE_ORIGINS if dry else _DUE_IN_FREE_LANES,
        now=now,
        hopeless=now + NO_STALE_TEXT_S * 1000,
        many=DUE_AT_ONCE,
        **lists,
    )

    def decide(rows: Rows) -> Claimed:
        due = rows.found(query)
        rows.require(
            *(look(VERIFICATIONS, message.verification) for message in due if message.verification),
            *(look(APPLICATIONS, message.application) for message in due),
            *(look(POLICIES, message.tenant) for message in due),
            *(look(NOTICES, message.tenant, CALLBACKS_REFUSED, message.service) for message in due),
            *(look_by(ATTEMPTS, "message", message.sid) for message in due if message.attempt is not None),
        )
        room: dict[tuple[str, str], int] = {}
        handovers: list[Handover] = []
        unsettled: list[str] = []
        passed_on = 0
        for place, message in enumerate(due):
            ready = _ready(context, plans, wording, rows, message, now, pacing)
            if isinstance(ready, Message):
                rows.put(MESSAGES, ready.filed(now))
                announce_change(rows, message, ready, now)
                passed_on += 1
                continue
            plan, route, body = ready
            lane = lane_of(message.tenant, route)
            if not _takes_place(room, pacing, plan, lane, route.origin):
                if (lane, route.origin) != (message.lane, message.origin):
                    rows.put(MESSAGES, msgspec.structs.replace(message, lane=lane, origin=route.origin))
                    passed_on += 1
                continue
            if _to_look_for(rows, message, now, pacing, plan.policy.revision):
                unsettled.append(message.sid)
                continue
            message, attempt = rules.intend(message, attempts[place], route, now, node)
            rows.put(MESSAGES, message)
            rows.put(ATTEMPTS, attempt)
            service = find_services()[route.service]
            notice = rows.look(NOTICES, message.tenant, CALLBACKS_REFUSED, route.service)
            text = Text(
                attempt.sid,
                trusted(message.to),
                body,
                (message.valid_until - now) // 1000,
                address_of(context, service, attempt.sid, public_url)
                if public_url is not None
                and capabilities(service).reads_reports
                and (notice is None or notice.until <= now)
                else None,
            )
            handovers.append(Handover(message, attempt, service, plan, route, text, notice))
        gone = len(handovers) + len(unsettled) + passed_on
        return Claimed(handovers, len(due) == DUE_AT_ONCE and gone > 0, unsettled)

    return Unit(decide, query=query)


def advance_lanes(context: Context, handovers: Sequence[Handover]) -> None:
    """Each lane has come to the turns of those of its messages that were claimed."""
    for handover in handovers:
        message = handover.message
        context.queue_order.reached(handover.lane, message.turn, plain=message.verification is None)


def _to_look_for(rows: Rows, message: Message, now: int, pacing: Pacing, revision: int) -> bool:
    """Whether lost texts of the message have to be looked for again; an account that asked to be left alone is."""
    if message.attempt is None:
        return False

    def can_be_asked(attempt: Attempt) -> bool:
        rest = pacing.resting(message.tenant, attempt.route, revision)
        return can_look(attempt) and (rest is None or rest.reason != "throttled")

    attempts = rows.find(ATTEMPTS, "message", message.sid, locked=False)
    return rules.to_look_for(attempts, now, can_be_asked) is not None


def can_look(attempt: Attempt) -> bool:
    """Whether the service of the attempt lists what it was asked to send."""
    service = find_services().get(attempt.service)
    return service is not None and capabilities(service).looks_up


def _takes_place(room: dict[tuple[str, str], int], pacing: Pacing, plan: Plan, lane: str, origin: str) -> bool:
    """Whether lane and origin have room for one more than those that this claim has taken already."""
    places = [(lane, "")]
    if (per_s := plan.rate(origin)) is not None:
        places.append((lane, origin))
    for place in places:
        if place not in room:
            if place[1] and per_s is not None:
                room[place] = pacing.allowed(lane, origin, per_s)
            else:
                room[place] = pacing.free(lane, plan.policy.revision)
    if any(room[place] < 1 for place in places):
        return False
    for place in places:
        room[place] -= 1
    return True


def _ready(
    context: Context, plans: Plans, wording: Wording, rows: Rows, message: Message, now: int, pacing: Pacing
) -> Message | tuple[Plan, Route, str]:
    """With what to send a message; or the message as it is to be kept, where it is not sent now."""
    verification = rows.look(VERIFICATIONS, message.verification) if message.verification else None
    over = verification is not None and not verification.is_pending(now)
    attempts = rows.find(ATTEMPTS, "message", message.sid, locked=False) if message.attempt is not None else []
    if over:
        return rules.given_up(message, "expired", "verification_over", attempts)
    if not message.usable(now):
        return rules.given_up(message, "expired", message.reason or "too_late", attempts)
    if not rules.may_follow(attempts):
        return rules.given_up(message, "unconfirmed", "answer_lost", attempts)
    try:
        plan = plans.plan_of(rows, message.tenant)
        way = _way(plan, message, attempts, pacing, sender_of(rows, message))
    except SenderPolicyIncomplete:
        return msgspec.structs.replace(message, due_at=now + INCOMPLETE_AGAIN_MS, reason="policy_incomplete")
    if way is None:
        return rules.given_up(message, "failed", message.reason or "not_routed", attempts)
    route, rest = way
    if rest is not None:
        # The last moment at which a text is of use is not slept through.
        due_at = min(now + rest.ms, max(now + 1, message.valid_until - NO_STALE_TEXT_S * 1000))
        reason = message.reason if message.handed_over else rest.reason
        return msgspec.structs.replace(
            message, due_at=due_at, reason=reason, lane=lane_of(message.tenant, route), origin=route.origin
        )
    body = text_of(context, wording, rows, message, now)
    if body is None:
        return message.ended("failed", "text_gone")
    return plan, route, body


def _way(
    plan: Plan, message: Message, attempts: Sequence[Attempt], pacing: Pacing, chosen: CountrySender | None
) -> tuple[Route, Rest | None] | None:
    """The route that a message takes now, and how long its account rests; None where there is none for it."""
    to = trusted(message.to)
    revision = plan.policy.revision

    def resting(route: Route) -> Rest | None:
        return pacing.resting(message.tenant, route, revision)

    if not attempts:
        first = plan.route(to, chosen)
        if not isinstance(first, Route):
            return None
        rest = resting(first)
        if rest is None or not plan.has_other_ways:
            return first, rest
    ways = plan.ways(to, chosen)
    taken = rules.choose(ways, attempts, resting)
    if taken is None:
        return None
    (route, for_account_reasons), rest = taken
    if route is not ways[0].route and not for_account_reasons:
        before = next((one for one in reversed(attempts) if not rules.takes(one, route)), None)
        title = find_services()[ways[0].route.service if before is None else before.service].TITLE
        route = msgspec.structs.replace(route, reason=f"{rules.because(title, before)} {route.reason}")
    return route, rest


class Settlement(NamedTuple):
    """The message after an attempt's outcome was kept, and whether the service named it as it had named another."""

    message: Message
    repeats_sid: bool


def settle_attempt(
    context: Context, plans: Plans, handover: Handover, outcome: Outcome, resting: Resting = rules.never_resting
) -> Unit[Settlement]:
    """Keep what an attempt came to; `resting` tells which accounts take nothing now."""
    now, jitter = context.clock(), context.random.random()
    attempt_sid, message_sid = handover.attempt.sid, handover.message.sid
    service, plan, can = handover.service, handover.plan, capabilities(handover.service)
    vendor_sid = outcome.vendor.sid
    can_report = handover.text.callback_url is not None
    told_later = can_report or can.fetches_reports
    went_well = isinstance(outcome, Accepted)
    goes_on = plan.has_other_ways and not went_well
    sends_again = (
        not went_well and isinstance(service, SendsAgain) and service.sends_again_when_unknown(handover.settings)
    )

    account = (service.NAME, handover.attempt.account_sid)
    needs = [lock(MESSAGES, message_sid), lock(ATTEMPTS, attempt_sid)]
    if vendor_sid is not None:
        needs.append(look_by(ATTEMPTS, "vendor_sid", *account, vendor_sid))
        if can.proven_by_address:
            needs.append(lock_by(EARLY_REPORTS, "vendor_sid", handover.message.tenant, service.NAME, vendor_sid))

    def decide(rows: Rows) -> Settlement:
        attempt, message = rows.get(ATTEMPTS, attempt_sid), rows.get(MESSAGES, message_sid)
        assert attempt is not None and message is not None
        owners = rows.find(ATTEMPTS, "vendor_sid", *account, vendor_sid, locked=False) if vendor_sid is not None else []
        repeats = any(owner.sid != attempt_sid for owner in owners)
        others = [] if went_well else others_of(rows, attempt)
        ways = plan.ways(handover.text.to, sender_of(rows, message)) if goes_on else []
        changed, settled = rules.settle(
            message,
            attempt,
            without_sid(outcome) if repeats else outcome,
            now,
            jitter=jitter,
            can_look=can.looks_up,
            can_report=can_report,
            without_callback=_without_callback(rows, handover, outcome, others, now),
            sends_again=sends_again,
            failover_at=failover_at(plan, attempt) if told_later else None,
            ways=ways,
            others=others,
            resting=resting,
        )
        settled = rules.awaited(settled, now, can_fetch=can.fetches_reports)
        if repeats:
            settled = msgspec.structs.replace(settled, detail=_REPEATS_SID.format(service.TITLE))
        rows.put(ATTEMPTS, settled)
        if changed is not message:
            rows.put(MESSAGES, changed.filed(now))
            announce_change(rows, message, changed, now)
        if isinstance(outcome, Accepted) and outcome.copy is not None:
            sealed = context.keyring.seal(SANDBOX_SEAL, outcome.copy, attempt_sid)
            rows.put(SANDBOX_TEXTS, SandboxText(attempt_sid, message.tenant, message.to, sealed, now))
        if settled.vendor_sid is not None and can.proven_by_address:
            changed = take_early(plans, rows, settled, now) or changed
        return Settlement(changed, repeats)

    return Unit(decide, needs)


def without_sid(outcome: Outcome) -> Outcome:
    """The outcome without the service's name of the message, which another message has already."""
    return msgspec.structs.replace(outcome, vendor=msgspec.structs.replace(outcome.vendor, sid=None))


def _without_callback(rows: Rows, handover: Handover, outcome: Outcome, others: Sequence[Attempt], now: int) -> bool:
    """Whether a message goes out once more, without a callback address; the tenant's notice is kept beside it."""
    attempt, url, standing = handover.attempt, handover.text.callback_url, handover.notice
    if url is None:
        return False
    if isinstance(outcome, Refused) and outcome.reason == "callback_refused":
        known = rows.get(NOTICES, attempt.tenant, CALLBACKS_REFUSED, attempt.service)
        public_url = url.partition(f"/callbacks/{attempt.service}/")[0]
        rows.put(NOTICES, callbacks_refused(known, attempt.tenant, attempt.service, public_url, outcome.detail, now))
        return not any(other.outcome == "refused" for other in others)
    proven = isinstance(outcome, Accepted) and standing is not None
    if proven and rows.get(NOTICES, attempt.tenant, CALLBACKS_REFUSED, attempt.service) == standing:
        rows.delete(NOTICES, attempt.tenant, CALLBACKS_REFUSED, attempt.service)
    return False
