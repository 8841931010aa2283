"""Delivery: intents, outcomes, look-ups and reports, each in a unit of work of its own.

Nothing is sent here: `messaging` sends between the unit that commits the intent and the one that keeps the outcome.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from otpost.domain import message as rules
from otpost.domain import sid
from otpost.domain.errors import SenderPolicyIncomplete
from otpost.domain.message import Attempt, Message, Report, SandboxText
from otpost.domain.notice import CALLBACKS_REFUSED, Notice, callbacks_refused
from otpost.domain.outcome import Accepted, Outcome, Refused, Vendor
from otpost.domain.phone import trusted
from otpost.domain.routing import NoRoute, Route
from otpost.senders.base import (
    Listed,
    LooksUp,
    NotProven,
    Reported,
    SenderService,
    Text,
    fetches_reports,
    found,
    looks_up,
    reads_reports,
)
from otpost.services import verify
from otpost.services.house import House
from otpost.services.messages import SEAL as BODY_SEAL
from otpost.services.plan import plan_of
from otpost.store.base import MESSAGES_DUE
from otpost.store.kinds import (
    APPLICATIONS,
    ATTEMPTS,
    MESSAGES,
    NOTICES,
    POLICIES,
    REPORTS,
    SANDBOX_TEXTS,
    VERIFICATIONS,
)
from otpost.store.units import Query, Rows, Unit, lock, look

SANDBOX_SEAL = "sandbox"
LEASE_MS = 15_000
INCOMPLETE_AGAIN_MS = 5_000
DUE_AT_ONCE = 64

_DUE = "due_at <= :now AND (NOT {full} OR valid_until < :hopeless) ORDER BY due_at LIMIT :many"
_DUE_POSTGRESQL = _DUE.format(full="lane = ANY(:full::text[])")
_DUE_SQLITE = _DUE.format(full="lane IN (SELECT value FROM json_each(:full))")

_TO_LOOK_UP = "look_at <= :now AND NOT {resting} ORDER BY look_at LIMIT :many"
_TO_LOOK_UP_POSTGRESQL = _TO_LOOK_UP.format(resting="service || ':' || account_sid = ANY(:resting::text[])")
_TO_LOOK_UP_SQLITE = _TO_LOOK_UP.format(
    resting="service || ':' || account_sid IN (SELECT value FROM json_each(:resting))"
)


Prove = Callable[[Rows, Attempt], Reported | NotProven]
"""Judges a call that claims to be a report on the attempt; asked once, whatever the unit has to run again for."""


@dataclass(frozen=True, slots=True)
class Handover:
    """What `messaging` has to send, after its intent is on disk.

    `notice`: callbacks were refused until a while ago, and this text tries whether they still are.
    """

    message: Message
    attempt: Attempt
    service: SenderService
    settings: Any
    route: Route
    text: Text
    notice: Notice | None = None


class Claimed(NamedTuple):
    """What a claim took; `more` if there may be further messages due, now that some of these no longer are."""

    handovers: list[Handover]
    more: bool


def claim(
    house: House,
    node: str,
    free: Callable[[str], int],
    full: Sequence[str],
    callback_url: Callable[[str, str], str | None],
) -> Unit[Claimed]:
    """Take messages that are due and whose lane has a free slot, and commit the intent to send them.

    `free` is how many more a lane takes, `full` the lanes that take none; `callback_url` is made from a service's
    name and an attempt's SID. Messages that can no longer be of use end here.
    """
    now = house.clock()
    attempts = [house.sid(sid.ATTEMPT) for _ in range(DUE_AT_ONCE)]
    query = Query(
        MESSAGES,
        _DUE_POSTGRESQL,
        sqlite=_DUE_SQLITE,
        now=now,
        full=list(full),
        hopeless=now + rules.NO_STALE_TEXT_S * 1000,
        many=DUE_AT_ONCE,
    )

    def decide(rows: Rows) -> Claimed:
        due = rows.found(query)
        rows.require(
            *(look(VERIFICATIONS, message.verification) for message in due if message.verification),
            *(look(APPLICATIONS, message.application) for message in due),
            *(look(POLICIES, message.tenant) for message in due),
            *(look(NOTICES, message.tenant, CALLBACKS_REFUSED) for message in due),
        )
        taken: dict[str, int] = {}
        handovers = []
        passed_on = 0
        for place, message in enumerate(due):
            ready = _ready(house, rows, message, now)
            if isinstance(ready, Message):
                rows.put(MESSAGES, ready)
                passed_on += 1
                continue
            service, settings, route, body = ready
            if taken.get(route.lane, 0) >= free(route.lane):
                if route.lane != message.lane:
                    rows.put(MESSAGES, msgspec.structs.replace(message, lane=route.lane))
                    passed_on += 1
                continue
            taken[route.lane] = taken.get(route.lane, 0) + 1
            message, attempt = rules.intend(message, attempts[place], route, now, node)
            rows.put(MESSAGES, message)
            rows.put(ATTEMPTS, attempt)
            notice = rows.look(NOTICES, message.tenant, CALLBACKS_REFUSED)
            reports = reads_reports(service) and (notice is None or notice.until <= now)
            text = Text(
                attempt.sid,
                trusted(message.to),
                body,
                (message.valid_until - now) // 1000,
                callback_url(service.NAME, attempt.sid) if reports else None,
            )
            handovers.append(Handover(message, attempt, service, settings, route, text, notice))
        return Claimed(handovers, len(due) == DUE_AT_ONCE and len(handovers) + passed_on > 0)

    return Unit(decide, query=query)


def _ready(house: House, rows: Rows, message: Message, now: int) -> Message | tuple[SenderService, Any, Route, str]:
    """With what to send a message; or the message as it is to be kept, where it is not sent now."""
    verification = rows.look(VERIFICATIONS, message.verification) if message.verification else None
    if verification is not None and (status := verification.status_at(now)) != "pending":
        return message.ended("expired", f"Not sent: the verification was {status.replace('_', ' ')} before.")
    if not message.usable(now):
        return message.ended("expired", "Not sent: less than 10 s of its life were left.")
    try:
        plan = plan_of(house, rows, message.tenant)
        route = plan.route(trusted(message.to))
    except SenderPolicyIncomplete as refusal:
        return msgspec.structs.replace(message, due_at=now + INCOMPLETE_AGAIN_MS, reason=refusal.detail)
    if isinstance(route, NoRoute):
        return message.ended("failed", route.reason)
    body = text_of(house, rows, message, now)
    if body is None:
        return message.ended("failed", "Its text is gone.")
    service = found()[route.service]
    return service, plan.settings[route.service], route, body


def text_of(house: House, rows: Rows, message: Message, now: int) -> str | None:
    """The text as it is sent now: rendered with its code, or the caller's own, decrypted."""
    if message.verification is None:
        return house.ring.open(BODY_SEAL, message.body, message.sid).reveal() if message.body else None
    verification = rows.look(VERIFICATIONS, message.verification)
    app = rows.look(APPLICATIONS, message.application)
    if verification is None or app is None:
        return None
    return verify.rendered(house, app, verification, message.number, now)


def settle(house: House, handover: Handover, outcome: Outcome) -> Unit[Message]:
    """Keep what an attempt came to."""
    now, jitter = house.clock(), house.chance()
    attempt_sid, message_sid = handover.attempt.sid, handover.message.sid
    can_report = handover.text.callback_url is not None

    def decide(rows: Rows) -> Message:
        attempt, message = rows.get(ATTEMPTS, attempt_sid), rows.get(MESSAGES, message_sid)
        assert attempt is not None and message is not None
        changed, settled = rules.settle(
            message,
            attempt,
            outcome,
            now,
            jitter=jitter,
            can_look=looks_up(handover.service),
            can_report=can_report,
            without_callback=_without_callback(rows, handover, outcome, now),
        )
        rows.put(ATTEMPTS, rules.awaited(settled, now, can_fetch=fetches_reports(handover.service)))
        if changed is not message:
            rows.put(MESSAGES, changed)
        if isinstance(outcome, Accepted) and outcome.copy is not None:
            sealed = house.ring.seal(SANDBOX_SEAL, outcome.copy, attempt_sid)
            rows.put(SANDBOX_TEXTS, SandboxText(attempt_sid, message.tenant, message.to, sealed, now))
        return changed

    return Unit(decide, [lock(MESSAGES, message_sid), lock(ATTEMPTS, attempt_sid)])


def _without_callback(rows: Rows, handover: Handover, outcome: Outcome, now: int) -> bool:
    """Whether a message goes out once more, without a callback address; the tenant's notice is kept beside it."""
    attempt, url, standing = handover.attempt, handover.text.callback_url, handover.notice
    if url is None:
        return False
    if isinstance(outcome, Refused) and outcome.about == "callback":
        known = rows.get(NOTICES, attempt.tenant, CALLBACKS_REFUSED)
        public_url = url.removesuffix(f"/callbacks/{attempt.service}/{attempt.sid}")
        rows.put(NOTICES, callbacks_refused(known, attempt.tenant, public_url, now))
        others = rows.find(ATTEMPTS, "message", attempt.message, locked=False)
        return not any(other.outcome == "refused" for other in others if other.sid != attempt.sid)
    proven = isinstance(outcome, Accepted) and standing is not None
    if proven and rows.get(NOTICES, attempt.tenant, CALLBACKS_REFUSED) == standing:
        rows.delete(NOTICES, attempt.tenant, CALLBACKS_REFUSED)
    return False


@dataclass(frozen=True, slots=True)
class Question:
    """An unknown attempt whose account is to be asked; `since` is the earliest that it may have been created."""

    attempt: Attempt
    since: int

    @property
    def route(self) -> Route:
        """The route that the attempt took."""
        return Route(self.attempt.service, self.attempt.account_sid, self.attempt.origin, "")


def questions(house: House, resting: Sequence[str] = ()) -> Unit[list[Question]]:
    """Unknown attempts whose next look is due, leased to the caller for 15 s; none of the lanes that are `resting`."""
    now = house.clock()
    query = Query(
        ATTEMPTS,
        _TO_LOOK_UP_POSTGRESQL,
        sqlite=_TO_LOOK_UP_SQLITE,
        now=now,
        resting=list(resting),
        many=DUE_AT_ONCE,
    )

    def decide(rows: Rows) -> list[Question]:
        asked = []
        attempts = rows.found(query)
        rows.require(*(lock(MESSAGES, attempt.message) for attempt in attempts))
        for attempt in attempts:
            if isinstance(found().get(attempt.service), LooksUp):
                rows.put(ATTEMPTS, msgspec.structs.replace(attempt, look_at=now + LEASE_MS))
                asked.append(Question(attempt, attempt.started_at))
                continue
            message = rows.get(MESSAGES, attempt.message)
            if message is not None:
                changed, closed = rules.unconfirmed(message, attempt, attempt.reason or "No report came.")
                rows.put(MESSAGES, changed)
                rows.put(ATTEMPTS, closed)
        return asked

    return Unit(decide, query=query)


def answered(
    house: House, attempt_sid: str, message_sid: str, listed: Sequence[Listed] | None, trouble: str
) -> Unit[Message | None]:
    """Keep what a listing showed of an unknown attempt; `listed` is None where the listing failed (`trouble`)."""
    now = house.clock()

    def decide(rows: Rows) -> Message | None:
        attempt, message = rows.get(ATTEMPTS, attempt_sid), rows.get(MESSAGES, message_sid)
        if attempt is None or message is None or attempt.outcome != "unknown" or attempt.look_at is None:
            return message
        if listed is None:
            changed, looked = rules.not_listed(message, attempt, now, trouble)
        else:
            changed, looked = _compared(house, rows, message, attempt, listed, now)
        rows.put(MESSAGES, changed)
        rows.put(ATTEMPTS, _awaited(looked, now))
        if changed.due_at is not None:
            rows.signal(MESSAGES_DUE)
        return changed

    return Unit(decide, [lock(MESSAGES, message_sid), lock(ATTEMPTS, attempt_sid)])


def _compared(
    house: House,
    rows: Rows,
    message: Message,
    attempt: Attempt,
    listed: Sequence[Listed],
    now: int,
) -> tuple[Message, Attempt]:
    if message.verification is not None:
        verification = rows.look(VERIFICATIONS, message.verification)
        assert verification is not None
        needle = house.ring.code(verification.sid, verification.key_id, verification.code_length)
    else:
        needle = house.ring.open(BODY_SEAL, message.body, message.sid).reveal() if message.body else ""
    for row in rules.matching(attempt, listed, needle, at_end=message.verification is None):
        owners = rows.find(ATTEMPTS, "vendor_sid", attempt.service, attempt.account_sid, row.sid, locked=False)
        if any(owner.sid != attempt.sid for owner in owners):
            continue
        vendor = Vendor(sid=row.sid, status=row.told.vendor_status, code=row.told.vendor_code)
        return rules.found(message, attempt, row.told.status, vendor, row.told.reason or None)
    return rules.absent(message, attempt, now)


def report(house: House, service: str, attempt_sid: str, prove: Prove) -> Unit[Reported | NotProven | None]:
    """Keep what a service tells of an attempt, if `prove` believes it; None where there is no such attempt of it.

    Duplicates change nothing, disorder moves nothing back. The vendor's SID is left out where a listing has made it
    another attempt's.
    """
    now = house.clock()
    proven: list[Reported | NotProven] = []

    def decide(rows: Rows) -> Reported | NotProven | None:
        attempt = rows.get(ATTEMPTS, attempt_sid)
        if attempt is None or attempt.service != service:
            return None
        if not proven:
            proven.append(prove(rows, attempt))
        told = proven[0]
        if isinstance(told, Reported):
            if told.account_sid != attempt.account_sid:
                return NotProven("it speaks for another account than the one that sent the message")
            take(rows, attempt, told, now)
        return told

    return Unit(decide, [lock(ATTEMPTS, attempt_sid)])


def take(rows: Rows, attempt: Attempt, told: Reported, now: int) -> tuple[Message | None, Attempt]:
    """A report on a locked attempt, in the unit of somebody who believes it; both as they are after it."""
    key = (attempt.sid, told.vendor_status, told.vendor_code or "")
    rows.require(lock(MESSAGES, attempt.message), lock(REPORTS, *key))
    message = rows.get(MESSAGES, attempt.message)
    if message is None or rows.get(REPORTS, *key) is not None:
        return message, attempt
    vendor_sid = attempt.vendor_sid
    if vendor_sid is None:
        account = (attempt.service, attempt.account_sid)
        owners = rows.find(ATTEMPTS, "vendor_sid", *account, told.vendor_sid, locked=False)
        vendor_sid = None if owners else told.vendor_sid
    rows.put(REPORTS, Report(*key, attempt.message, now, told.status))
    vendor = Vendor(sid=vendor_sid, status=told.vendor_status, code=told.vendor_code)
    changed, moved = rules.reported(message, attempt, told.status, vendor, told.reason or None)
    moved = _awaited(moved, now)
    rows.put(ATTEMPTS, moved)
    rows.put(MESSAGES, changed)
    return changed, moved


def _awaited(attempt: Attempt, now: int) -> Attempt:
    service = found().get(attempt.service)
    return rules.awaited(attempt, now, can_fetch=service is not None and fetches_reports(service))
