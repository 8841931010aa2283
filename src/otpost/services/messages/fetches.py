"""Reports that do not come by themselves: which are due, and what is kept of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from otpost.domain.delivery import is_news, next_fetch
from otpost.domain.message import Attempt
from otpost.senders.registry import capabilities, find_services
from otpost.senders.service import Reported
from otpost.services.context import Context
from otpost.services.messages.attempts import DUE_AT_ONCE
from otpost.services.messages.lookups import IN_RESTING_LANE
from otpost.services.messages.reports import apply_report
from otpost.services.policy.plan import Plans
from otpost.store.kinds import ATTEMPTS
from otpost.store.units import Query, Rows, Unit, lock


class Fetched(NamedTuple):
    """What a fetched report came to: whether it told something new, and whether the last word has come."""

    new: bool
    final: bool


def due_fetches(context: Context, resting: Sequence[str] = ()) -> Unit[list[Attempt]]:
    """Accepted attempts to be asked about now, and none of the lanes that are `resting`.

    Each is put off to its next time at once, so that nobody else asks meanwhile and a fetch that fails is repeated
    then; one without a `fetch_at` is asked about for the last time.
    """
    now = context.clock()
    query = Query(
        ATTEMPTS,
        f"fetch_at <= :now AND NOT {IN_RESTING_LANE} ORDER BY fetch_at LIMIT :many",
        now=now,
        resting=list(resting),
        many=DUE_AT_ONCE,
    )

    def decide(rows: Rows) -> list[Attempt]:
        asked = []
        for attempt in rows.found(query):
            service = find_services().get(attempt.service)
            known = service is not None and capabilities(service).fetches_reports
            later = msgspec.structs.replace(attempt, fetch_at=next_fetch(attempt, now) if known else None)
            rows.put(ATTEMPTS, later)
            if known:
                asked.append(later)
        return asked

    return Unit(decide, query=query)


def keep_fetched(context: Context, plans: Plans, attempt_sid: str, told: Reported) -> Unit[Fetched]:
    """Keep a fetched report as if it had come by a callback; one that tells nothing new leaves no trace."""
    now = context.clock()

    def decide(rows: Rows) -> Fetched:
        attempt = rows.get(ATTEMPTS, attempt_sid)
        if attempt is None or not is_news(attempt, told.status):
            return Fetched(False, attempt is not None and attempt.final)
        _, after = apply_report(plans, rows, attempt, told, now)
        return Fetched(after.status != attempt.status, after.final)

    return Unit(decide, [lock(ATTEMPTS, attempt_sid)])
