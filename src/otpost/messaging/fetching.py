"""Reports that do not come by themselves: asks the accounts for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from otpost.domain.message import Attempt
from otpost.messaging.asking import Asking
from otpost.messaging.pace import Pace
from otpost.outbound import Outbound
from otpost.senders.registry import find_services
from otpost.senders.service import Account, FetchesReports, LookUpFailed
from otpost.services.context import Context
from otpost.services.messages.fetches import Fetched, due_fetches, keep_fetched
from otpost.services.policy.plan import Plans
from otpost.telemetry import REPORTS_FETCHED, REPORTS_MISSING


class Due(NamedTuple):
    """An accepted attempt that is to be asked about."""

    attempt: Attempt


class Fetching:
    """Asks each account what became of its messages, one account beside the other and after the texts to be sent."""

    def __init__(self, context: Context, plans: Plans, http: Outbound, pace: Pace) -> None:
        self._context = context
        self._plans = plans
        self._http = http
        self._pace = pace
        self.asking = Asking(context, "fetching reports", self._fetch)

    async def fetch(self) -> None:
        """Begin to fetch what is due, of accounts that have a free slot and are not being asked already."""
        resting = [*self.asking.tasks, *self._pace.full()]
        self.asking.begin(
            Due(attempt) for attempt in await self._context.store.run(due_fetches(self._context, resting))
        )

    async def _fetch(self, question: Due, opened: Sequence[Account]) -> None:
        attempt = question.attempt
        service = find_services()[attempt.service]
        assert isinstance(service, FetchesReports)
        assert attempt.vendor_sid is not None
        fetched = Fetched(False, False)
        for account in opened:
            told = await service.fetch_report(self._http, account, attempt.vendor_sid)
            if not isinstance(told, LookUpFailed):
                fetched = await self._context.store.run(keep_fetched(self._context, self._plans, attempt.sid, told))
                break
            if not told.about_credentials:
                break
        if fetched.new:
            REPORTS_FETCHED.labels(attempt.service).inc()
        if fetched.new if fetched.final else attempt.fetch_at is None:
            REPORTS_MISSING.labels(attempt.service).inc()
