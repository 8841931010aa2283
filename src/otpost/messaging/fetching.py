"""Reports that do not come by themselves: which are due, whom to ask, and what is kept of the answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from otpost.domain.delivery import is_news, next_fetch
from otpost.domain.message import Attempt
from otpost.messaging.asking import Asking
from otpost.messaging.pace import Pace
from otpost.outbound import Outbound
from otpost.senders.registry import capabilities, find_services
from otpost.senders.service import Account, FetchesReports, LookUpFailed, Reported
from otpost.services.context import Context
from otpost.services.messages.lookups import IN_RESTING_LANE
from otpost.services.messages.reports import apply_report
from otpost.store.kinds import ATTEMPTS
from otpost.store.units import Query, Rows, Unit, lock
from otpost.telemetry import REPORTS_FETCHED, REPORTS_MISSING

DUE_AT_ONCE = 64


class Due(NamedTuple):
    """An accepted attempt that is to be asked about."""

    attempt: Attempt


class Fetched(NamedTuple):
    """What a fetched report came to: whether it told something new, and whether the last word has come."""

    new: bool
    final: bool


def due(context: Context, resting: Sequence[str] = ()) -> Unit[list[Attempt]]:
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


def keep(context: Context, attempt_sid: str, told: Reported) -> Unit[Fetched]:
    """Keep a fetched report as if it had come by a callback; one that tells nothing new leaves no trace."""
    now = context.clock()

    def decide(rows: Rows) -> Fetched:
        attempt = rows.get(ATTEMPTS, attempt_sid)
        if attempt is None or not is_news(attempt, told.status):
            return Fetched(False, attempt is not None and attempt.final)
        _, after = apply_report(context, rows, attempt, told, now)
        return Fetched(after.status != attempt.status, after.final)

    return Unit(decide, [lock(ATTEMPTS, attempt_sid)])


class Fetching:
    """Asks each account what became of its messages, one account beside the other and after the texts to be sent."""

    def __init__(self, context: Context, http: Outbound, pace: Pace) -> None:
        self._context = context
        self._http = http
        self._pace = pace
        self.asking = Asking(context, "fetching reports", self._fetch)

    async def fetch(self) -> None:
        """Begin to fetch what is due, of accounts that have a free slot and are not being asked already."""
        resting = [*self.asking.tasks, *self._pace.full()]
        self.asking.begin(Due(attempt) for attempt in await self._context.store.run(due(self._context, resting)))

    async def _fetch(self, question: Due, opened: Sequence[Account]) -> None:
        attempt = question.attempt
        service = find_services()[attempt.service]
        assert isinstance(service, FetchesReports)
        assert attempt.vendor_sid is not None
        fetched = Fetched(False, False)
        for account in opened:
            told = await service.fetch_report(self._http, account, attempt.vendor_sid)
            if not isinstance(told, LookUpFailed):
                fetched = await self._context.store.run(keep(self._context, attempt.sid, told))
                break
            if not told.about_credentials:
                break
        if fetched.new:
            REPORTS_FETCHED.labels(attempt.service).inc()
        if fetched.new if fetched.final else attempt.fetch_at is None:
            REPORTS_MISSING.labels(attempt.service).inc()
