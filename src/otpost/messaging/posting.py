"""The poster: takes deliveries of webhooks from the queue, posts them, and keeps what each try came to."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from functools import partial
from typing import Final

from otpost.domain import errors
from otpost.domain.webhook import Answer, Delivery
from otpost.messaging.chores import Chore, run_chores
from otpost.outbound import Outbound
from otpost.services.context import Context
from otpost.services.webhooks import posts
from otpost.services.webhooks.events import WEBHOOKS_DUE
from otpost.services.webhooks.posts import DUE_AT_ONCE, Post
from otpost.services.webhooks.retention import sweep_webhooks
from otpost.telemetry import WEBHOOK_POSTS

_log = logging.getLogger(__name__)

CONNECTIONS: Final = 256
AT_ONCE: Final = 4
AT_ONCE_IN_TROUBLE: Final = 1
KEEP_AGAIN_S: Final = 0.5
STOPS_IN_S: Final = 5.0
SWEPT_EVERY_S: Final = 60.0


class Posting:
    """One node's poster. `http` is its own, so that a slow receiver takes no connection from a text.

    A receiver gets four posts at a time, and one while the last one failed: whoever hangs fills his own lane alone.
    `every_s` are the seconds between looks at the clock; a new delivery wakes it at once.
    """

    def __init__(self, context: Context, http: Outbound, *, every_s: float = 1.0) -> None:
        self._context = context
        self._http = http
        self._every_s = every_s
        self._wake = asyncio.Event()
        self._stopping = False
        self._in_flight: Counter[str] = Counter()
        self._in_trouble: set[str] = set()
        self._posts: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._claiming = asyncio.create_task(self._claim_forever())
        self._chores = asyncio.create_task(
            run_chores([Chore("sweep", partial(sweep_webhooks, self._context), SWEPT_EVERY_S)])
        )

    async def stop(self, within_s: float = STOPS_IN_S) -> None:
        """Take nothing more; posts that do not end in time are left, and repeated by whoever finds their lease over."""
        self._stopping = True
        self._wake.set()
        claiming, chores = self._claiming, self._chores
        chores.cancel()
        within_s = min(within_s, STOPS_IN_S)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await asyncio.wait([claiming, chores])
                while self._posts:
                    await asyncio.wait(self._posts)
        late = [task for task in (claiming, *self._posts) if not task.done()]
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    def left(self) -> list[str]:
        """Nothing that is worth a word: a post that was not kept is made again once its lease is over."""
        return []

    def wake(self, signal: str = WEBHOOKS_DUE) -> None:
        """A delivery may be due."""
        if signal == WEBHOOKS_DUE:
            self._wake.set()

    def free(self, lane: str) -> int:
        """How many more posts the lane takes now."""
        most = AT_ONCE_IN_TROUBLE if lane in self._in_trouble else AT_ONCE
        return max(0, most - self._in_flight[lane])

    async def _claim_forever(self) -> None:
        while not self._stopping:
            self._wake.clear()
            try:
                more = await self._claim()
            except errors.Unavailable:
                more = False
            except Exception:
                _log.exception("claiming deliveries of webhooks failed")
                more = False
            if not more:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), self._every_s)

    async def _claim(self) -> bool:
        places = CONNECTIONS - len(self._posts)
        if places <= 0:
            return False
        full = [lane for lane in self._in_flight if self.free(lane) == 0]
        claimed = await self._context.store.run(posts.claim(self._context, self.free, full, min(DUE_AT_ONCE, places)))
        for post in claimed.posts:
            self._in_flight[post.delivery.lane] += 1
            task = asyncio.create_task(self._deliver(post))
            self._posts.add(task)
            task.add_done_callback(self._posts.discard)
        return claimed.more

    async def _deliver(self, post: Post) -> None:
        lane = post.delivery.lane
        try:
            answer = await self._ask(post)
            self._in_trouble.discard(lane) if answer.taken else self._in_trouble.add(lane)
        finally:
            self._in_flight[lane] -= 1
            if not self._in_flight[lane]:
                del self._in_flight[lane]
            self._wake.set()
        settled = await self._keep(post.delivery, answer)
        if settled is not None:
            WEBHOOK_POSTS.labels(settled.form, _RESULT[settled.status]).inc()

    async def _ask(self, post: Post) -> Answer:
        try:
            return await posts.ask(self._context, self._http, post.request)
        except Exception:
            _log.exception("the delivery %s could not be posted", post.delivery.sid)
            return Answer(error="It could not be posted: the poster failed inside.")

    async def _keep(self, delivery: Delivery, answer: Answer) -> Delivery | None:
        """Keep what a try came to, however long the database is away; None if it was kept by nobody."""
        while True:
            try:
                return await self._context.store.run(posts.settle(self._context, delivery, answer))
            except errors.Unavailable:
                await asyncio.sleep(KEEP_AGAIN_S)
            except Exception:
                _log.exception("the answer to %s could not be kept; it will be posted again", delivery.sid)
                return None


_RESULT: Final = {"delivered": "delivered", "waiting": "failed", "failed": "given_up", "posting": "failed"}
