"""Unknown outcomes: which accounts are to be asked about them, and what is kept of the answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from otpost.domain import delivery as rules
from otpost.domain.message import Attempt, Message
from otpost.domain.outcome import Vendor
from otpost.domain.policy import Route
from otpost.senders.base import Listed, found, looks_up
from otpost.services import reports, webhooks, wording
from otpost.services.delivery import DUE_AT_ONCE
from otpost.services.house import House
from otpost.services.messages import SEAL as BODY_SEAL
from otpost.services.vault import KeyRingError
from otpost.store.base import MESSAGES_DUE
from otpost.store.kinds import ATTEMPTS, MESSAGES, VERIFICATIONS
from otpost.store.units import Query, Rows, Unit, lock

LEASE_MS = 15_000

LANE_POSTGRESQL = "tenant || ':' || service || ':' || account_sid = ANY(:resting::text[])"
LANE_SQLITE = "tenant || ':' || service || ':' || account_sid IN (SELECT value FROM json_each(:resting))"
"""Conditions on attempts whose lane is one of the list `resting`."""

_TO_LOOK_UP = "look_at <= :now AND NOT {resting} ORDER BY look_at LIMIT :many"


@dataclass(frozen=True, slots=True)
class Question:
    """An unknown attempt whose account is to be asked; `since` is the earliest that it may have been created."""

    attempt: Attempt
    since: int

    @property
    def route(self) -> Route:
        """The route that the attempt took."""
        return self.attempt.route


def questions(house: House, resting: Sequence[str] = ()) -> Unit[list[Question]]:
    """Unknown attempts whose next look is due, leased to the caller for 15 s; none of the lanes that are `resting`."""
    now = house.clock()
    query = Query(
        ATTEMPTS,
        _TO_LOOK_UP.format(resting=LANE_POSTGRESQL),
        sqlite=_TO_LOOK_UP.format(resting=LANE_SQLITE),
        now=now,
        resting=list(resting),
        many=DUE_AT_ONCE,
    )

    def decide(rows: Rows) -> list[Question]:
        asked = []
        attempts = rows.found(query)
        rows.require(*(lock(MESSAGES, attempt.message) for attempt in attempts))
        for attempt in attempts:
            service = found().get(attempt.service)
            if service is not None and looks_up(service):
                rows.put(ATTEMPTS, msgspec.structs.replace(attempt, look_at=now + LEASE_MS))
                asked.append(Question(attempt, attempt.started_at))
                continue
            message = rows.get(MESSAGES, attempt.message)
            if message is not None:
                changed, closed = rules.unconfirmed(message, attempt, reports.others_of(rows, attempt))
                rows.put(MESSAGES, changed)
                rows.put(ATTEMPTS, closed)
                webhooks.told(rows, message, changed, now)
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
            attempt = msgspec.structs.replace(attempt, detail=trouble)
            changed, looked = rules.not_listed(message, attempt, now, reports.others_of(rows, attempt))
        else:
            changed, looked = _compared(house, rows, message, attempt, listed, now)
        rows.put(MESSAGES, changed.filed(now))
        rows.put(ATTEMPTS, reports.awaited(looked, now))
        webhooks.told(rows, message, changed, now)
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
    needle = _needle(house, rows, message)
    for row in rules.matching(attempt, listed, needle, at_end=message.verification is None):
        owners = rows.find(ATTEMPTS, "vendor_sid", attempt.service, attempt.account_sid, row.sid, locked=False)
        if any(owner.sid != attempt.sid for owner in owners):
            continue
        vendor = Vendor(sid=row.sid, status=row.told.vendor_status, code=row.told.vendor_code)
        return reports.moved(house, rows, message, attempt, row.told, vendor, now)
    return rules.absent(message, attempt, now, reports.others_of(rows, attempt))


def _needle(house: House, rows: Rows, message: Message) -> str:
    """What a listed text must hold to be this message's; empty where nobody can tell any more."""
    try:
        if message.verification is None:
            return house.ring.open(BODY_SEAL, message.body, message.sid).reveal() if message.body else ""
        verification = rows.look(VERIFICATIONS, message.verification)
        assert verification is not None
        return wording.code_of(house, verification)
    except KeyRingError:
        return ""
