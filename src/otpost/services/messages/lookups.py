"""Unknown outcomes: which accounts are to be asked about them, and what is kept of the answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from otpost.domain import delivery as rules
from otpost.domain import sid
from otpost.domain.message import Attempt, Message
from otpost.domain.outcome import Vendor
from otpost.domain.policy import Route
from otpost.senders.service import Listed, LookUpFailed
from otpost.services.context import Context
from otpost.services.messages import reports
from otpost.services.messages.attempts import DUE_AT_ONCE, can_look
from otpost.services.messages.bodies import Wording, needle_of
from otpost.services.messages.reports import failover_at_of, others_of
from otpost.services.policy.plan import Plans
from otpost.services.webhooks.events import announce_change
from otpost.store.base import MESSAGES_DUE
from otpost.store.kinds import ATTEMPTS, MESSAGES
from otpost.store.units import Query, Rows, Unit, lock, lock_by, look_by

LEASE_MS = 15_000

IN_RESTING_LANE = "tenant || ':' || service || ':' || account_sid IN :resting"
"""The condition on attempts whose lane is one of the list `resting`."""


@dataclass(frozen=True, slots=True)
class Question:
    """An unknown attempt whose account is to be asked; `since` is when its message's first attempt was intended."""

    attempt: Attempt
    since: int

    @property
    def route(self) -> Route:
        """The route that the attempt took."""
        return self.attempt.route


def due_questions(context: Context, resting: Sequence[str] = ()) -> Unit[list[Question]]:
    """Unknown attempts whose next look is due, leased to the caller for 15 s; none of the lanes that are `resting`."""
    now = context.clock()
    query = Query(
        ATTEMPTS,
        f"look_at <= :now AND NOT {IN_RESTING_LANE} ORDER BY look_at LIMIT :many",
        now=now,
        resting=list(resting),
        many=DUE_AT_ONCE,
    )

    def decide(rows: Rows) -> list[Question]:
        asked = []
        attempts = rows.found(query)
        rows.require(
            *(lock(MESSAGES, attempt.message) for attempt in attempts),
            *(look_by(ATTEMPTS, "message", attempt.message) for attempt in attempts),
        )
        for attempt in attempts:
            of_message = rows.find(ATTEMPTS, "message", attempt.message, locked=False)
            if can_look(attempt):
                rows.put(ATTEMPTS, msgspec.structs.replace(attempt, look_at=now + LEASE_MS))
                asked.append(Question(attempt, min(other.started_at for other in of_message)))
                continue
            message = rows.get(MESSAGES, attempt.message)
            if message is not None:
                others = [other for other in of_message if other.sid != attempt.sid]
                changed, closed = rules.unconfirmed(message, attempt, others)
                rows.put(MESSAGES, changed)
                rows.put(ATTEMPTS, closed)
                announce_change(rows, message, changed, now)
        return asked

    return Unit(decide, query=query)


def look_again(context: Context, message_sid: str) -> Unit[None]:
    """A message that is due goes again only after its lost texts were looked for once more, at once."""
    now = context.clock()

    def decide(rows: Rows) -> None:
        message, attempts = rows.get(MESSAGES, message_sid), rows.find(ATTEMPTS, "message", message_sid)
        attempt = rules.to_look_for(attempts, now, can_look)
        if message is None or message.due_at is None or message.due_at > now or attempt is None:
            return
        waits, looked_for = rules.look_again(message, attempt, now)
        rows.put(MESSAGES, waits)
        rows.put(ATTEMPTS, looked_for)

    return Unit(decide, [lock(MESSAGES, message_sid), lock_by(ATTEMPTS, "message", message_sid)])


def keep_listing(
    context: Context,
    plans: Plans,
    wording: Wording,
    asked: Attempt,
    listed: Sequence[Listed] | LookUpFailed,
    asked_at: int,
) -> Unit[Message | None]:
    """Keep what a listing, asked for at `asked_at`, showed of an unknown attempt and of its message's others.

    Whatever text of the message it shows is adopted by the oldest of the attempts that were lost on that account, and
    settles it.
    """
    now = context.clock()

    def decide(rows: Rows) -> Message | None:
        before = rows.get(MESSAGES, asked.message)
        if before is None:
            return None
        message, undecided, adopted = before, True, list[Attempt]()
        if not isinstance(listed, LookUpFailed):
            message, undecided, adopted = _adopted(context, plans, wording, rows, message, asked, listed, asked_at, now)
        attempt = rows.get(ATTEMPTS, asked.sid)
        if attempt is not None and attempt.outcome == "unknown" and attempt.look_at is not None:
            others = others_of(rows, attempt)
            failover_at = failover_at_of(plans, rows, message, attempt, now)
            if isinstance(listed, LookUpFailed):
                attempt = msgspec.structs.replace(attempt, detail=listed.reason)
            if undecided:
                message, attempt = rules.not_listed(message, attempt, asked_at, now, others, failover_at)
            else:
                message, attempt = rules.absent(message, attempt, asked_at, now, others, failover_at)
            rows.put(ATTEMPTS, attempt)
        if message is not before:
            rows.put(MESSAGES, message.filed(now))
            announce_change(rows, before, message, now)
        for one in adopted:
            message = reports.take_early(plans, rows, one, now) or message
        if message.due_at is not None:
            rows.signal(MESSAGES_DUE)
        return message

    return Unit(decide, [lock(MESSAGES, asked.message), lock_by(ATTEMPTS, "message", asked.message)])


def _adopted(
    context: Context,
    plans: Plans,
    wording: Wording,
    rows: Rows,
    message: Message,
    asked: Attempt,
    listed: Sequence[Listed],
    asked_at: int,
    now: int,
) -> tuple[Message, bool, list[Attempt]]:
    """The message after its lost attempts on the account that was asked have been given the texts that it shows.

    With whether that leaves something undecided, and the attempts as they are after it.

    Of those that match as many of the newest are left as attempts to that number are in flight there: they may be
    theirs, and where one was left that may be ours as well, nothing is decided.
    """
    attempts = rows.find(ATTEMPTS, "message", message.sid)
    account = (asked.service, asked.account_sid)
    lost = [one for one in attempts if one.outcome == "unknown" and (one.service, one.account_sid) == account]
    if not lost:
        return message, False, []
    first_intent_at = min(attempt.started_at for attempt in attempts)
    at_end = message.verification is None
    matching = rules.matching(first_intent_at, listed, needle_of(context, wording, rows, message), at_end=at_end)
    nameless = [row for row in matching if not sid.is_sid(row.sid, sid.ATTEMPT)]
    rows.require(*(look_by(ATTEMPTS, "vendor_sid", *account, row.sid) for row in nameless))
    free = [row for row in nameless if not rows.find(ATTEMPTS, "vendor_sid", *account, row.sid, locked=False)]
    in_flight = rows.find(ATTEMPTS, "in_flight", asked.tenant, asked.service, locked=False) if free else []
    rivals = sum((one.account_sid, one.to) == (asked.account_sid, asked.to) for one in in_flight)
    ours = free[: max(0, len(free) - rivals)]
    settled: dict[str, Attempt] = {}
    for attempt, row in rules.recognised(lost, listed, ours):
        vendor = Vendor(sid=row.sid, status=row.told.vendor_status, code=row.told.vendor_code)
        known = msgspec.structs.replace(attempt, looked_at=asked_at)
        message, after = reports.moved(plans, rows, message, known, row.told, vendor, now)
        settled[attempt.sid] = reports.awaited(after, now)
        rows.put(ATTEMPTS, settled[attempt.sid])
    for attempt in lost:
        if attempt.look_at is None and attempt.sid not in settled:
            rows.put(ATTEMPTS, msgspec.structs.replace(attempt, looked_at=asked_at))
    return message, len(settled) < len(lost) and len(ours) < len(free), list(settled.values())
