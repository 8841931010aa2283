"""Texts whose answer was lost: asks their accounts whether they have them."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from otpost.domain.phone import trusted
from otpost.messaging.asking import Asking
from otpost.messaging.pace import Pace
from otpost.outbound import Outbound
from otpost.senders.registry import find_services
from otpost.senders.service import Account, Listed, LooksUp, LookUpFailed
from otpost.services.context import Context
from otpost.services.messages.bodies import Wording
from otpost.services.messages.lookups import Question, due_questions, keep_listing
from otpost.services.policy.plan import Plans

_log = logging.getLogger(__name__)


class Looking:
    """Asks for the listings of the accounts of unknown attempts; a slow account keeps no other waiting."""

    def __init__(self, context: Context, plans: Plans, wording: Wording, http: Outbound, pace: Pace) -> None:
        self._context = context
        self._plans = plans
        self._wording = wording
        self._http = http
        self._pace = pace
        self.asking = Asking(context, "looking for lost texts", self._look_for)

    async def look(self) -> None:
        """Begin to look for what is due, at accounts that want to be asked and are not being asked already."""
        resting = [*self.asking.tasks, *self._pace.paused()]
        questions = await self._context.store.run(due_questions(self._context, resting))
        self.asking.begin(questions)

    async def _look_for(self, question: Question, opened: Sequence[Account]) -> None:
        attempt = question.attempt
        service = find_services()[attempt.service]
        assert isinstance(service, LooksUp)
        untold = f"{service.TITLE} could not be asked what became of it: no token of the account is kept."
        listed: list[Listed] | LookUpFailed = LookUpFailed(untold)
        asked_at = self._context.clock()
        for account in opened:
            asked_at = self._context.clock()
            try:
                listed = await service.look_up(self._http, account, trusted(attempt.to), question.since)
            except Exception:
                _log.exception("the sender service %s failed", service.NAME)
                listed = LookUpFailed(f"{service.TITLE} could not be asked: the sender failed inside.")
            if not isinstance(listed, LookUpFailed):
                break
        await self._context.store.run(
            keep_listing(self._context, self._plans, self._wording, attempt, listed, asked_at)
        )
