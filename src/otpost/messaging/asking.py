"""Questions to accounts about their messages: one account beside the other, and none twice at the same time."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Generic, Protocol, TypeVar

from otpost.domain import errors
from otpost.domain.message import Attempt
from otpost.senders.service import Account
from otpost.services.context import Context
from otpost.services.policy.plan import accounts

_log = logging.getLogger(__name__)

AT_ONCE = 8
"""How many questions an account is asked at one time."""


class OnAttempt(Protocol):
    """A question on an attempt."""

    @property
    def attempt(self) -> Attempt: ...


Q = TypeVar("Q", bound=OnAttempt)


class Asking(Generic[Q]):
    """The accounts that are being asked now, each by a task that lives until the last of its questions has ended.

    `ask` puts one question to the account, which is given once for each token that may open it. A question that fails
    leaves the others alone; where the database is away all of them end, to be put again when they are due again.
    """

    def __init__(self, context: Context, what: str, ask: Callable[[Q, Sequence[Account]], Awaitable[None]]) -> None:
        self._context = context
        self._what = what
        self._ask = ask
        self.tasks: dict[str, asyncio.Task[None]] = {}

    def begin(self, questions: Iterable[Q]) -> None:
        """Ask each account what is to be asked of it; none of them is being asked already."""
        by_lane = defaultdict(list)
        for question in questions:
            by_lane[question.attempt.lane].append(question)
        for lane, of_account in by_lane.items():
            self.tasks[lane] = asyncio.create_task(self._ask_account(lane, of_account))

    async def _ask_account(self, lane: str, questions: Sequence[Q]) -> None:
        places = asyncio.Semaphore(AT_ONCE)
        first = questions[0].attempt
        try:
            async with asyncio.TaskGroup() as group:
                opened = await accounts(self._context, first.tenant, first.route)
                for question in questions:
                    group.create_task(self._put(question, opened, places))
        except* errors.Unavailable as away:
            _log.warning("%s waits: %s", self._what, away.exceptions[0])
        except* Exception:
            _log.exception("%s failed", self._what)
        finally:
            del self.tasks[lane]

    async def _put(self, question: Q, opened: Sequence[Account], places: asyncio.Semaphore) -> None:
        async with places:
            try:
                await self._ask(question, opened)
            except errors.Unavailable:
                raise
            except Exception:
                _log.exception("%s failed for %s", self._what, question.attempt.sid)
