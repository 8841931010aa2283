"""Chores: work that comes round again as long as a part of the service lives, whatever happens to it meanwhile."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple

from otpost.domain import errors

_log = logging.getLogger(__name__)


class Chore(NamedTuple):
    """Work, what the log calls it, and the seconds from its end to its next beginning."""

    name: str
    work: Callable[[], Awaitable[None]]
    every_s: float

    async def repeat(self) -> None:
        while True:
            try:
                await self.work()
            except errors.Unavailable as refusal:
                _log.warning("%s waits: %s", self.name, refusal)
            except Exception:
                _log.exception("%s failed", self.name)
            await asyncio.sleep(self.every_s)


async def run_chores(chores: Iterable[Chore]) -> None:
    """Repeat all of them until this task is cancelled."""
    async with asyncio.TaskGroup() as group:
        for chore in chores:
            group.create_task(chore.repeat())
