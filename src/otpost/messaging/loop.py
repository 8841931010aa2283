"""The messaging service: takes messages from the database, sends them, and settles what became of them."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
from collections.abc import Sequence

from otpost.domain import errors
from otpost.domain.delivery import Rest
from otpost.domain.outcome import Outcome, Unavailable, Unknown
from otpost.domain.policy import Route
from otpost.messaging.breaker import of_own_clock
from otpost.messaging.chores import Chore, run_chores
from otpost.messaging.fetching import Fetching
from otpost.messaging.lease import Lease, Moment
from otpost.messaging.looking import Looking
from otpost.messaging.pace import Pace
from otpost.outbound import Outbound, only_while
from otpost.senders.registry import find_services
from otpost.services.context import Context
from otpost.services.messages.attempts import Handover, advance_lanes, claim_messages, settle_attempt, without_sid
from otpost.services.messages.breakers import keep_breaker
from otpost.services.messages.lookups import look_again
from otpost.services.messages.nodes import LOST_MS, record_heartbeat, remove_node, settle_lost, settle_stray
from otpost.services.messages.queue import (
    bring_back,
    bring_back_lanes,
    count_nodes,
    count_waiting,
    forget_outdated_breakers,
    list_breakers,
)
from otpost.services.messages.retention import SET_BACK_MS, clamp_moments, forget_refused_callbacks, sweep_rows
from otpost.services.policy.accounts import list_long_callbacks
from otpost.services.policy.plan import Plans
from otpost.services.verifications.check import expire_verifications
from otpost.services.verifications.text import Wording
from otpost.store.base import MESSAGES_DUE
from otpost.telemetry import ATTEMPTS, BREAKERS_OPEN, QUEUE_SECONDS, SEND_SECONDS, WAITING

_log = logging.getLogger(__name__)

KEEP_AGAIN_S = 0.5
STOPS_IN_S = 13.0
BREAKER_KNOWN_MS = 5_000
"""How long it may take until a breaker that this node opened is in the database."""
HELD_UP = Unavailable("throttled", "This node was held up before it could send it; nothing was sent.", retry_after_s=0)


class Messaging:
    """One node's messaging service.

    `public_url` is the base of callback addresses, or None where reports cannot come home. `alone`: no other node
    can be running. `every_s` are the seconds between looks at the clock; tests shorten them.
    """

    def __init__(
        self,
        context: Context,
        plans: Plans,
        http: Outbound,
        *,
        public_url: str | None,
        alone: bool,
        every_s: float = 0.25,
    ) -> None:
        self.context = context
        self._plans = plans
        self._wording = Wording(context)
        self.node = context.ids("ND")
        self.pace = Pace(context.clock.monotonic, plans=plans)
        self._lease = Lease(context.clock)
        self._beating = asyncio.Lock()
        self._http = http
        self._public_url = public_url
        self._alone = alone
        self._every_s = every_s
        self._wake = asyncio.Event()
        self._stopping = False
        self._sending: dict[str, asyncio.Task[None]] = {}
        self._looking = Looking(context, plans, self._wording, http, self.pace)
        self._fetching = Fetching(context, plans, http, self.pace)
        self._repeating: set[str] = set()
        self._keeping: set[str] = set()
        self._left: list[str] = []
        self.alive_at = 0
        self._clock_ahead = self._ahead()

    async def start(self) -> None:
        """Make the node known, take over what a dead one left, and begin to send."""
        self._started_at = self.context.clock()
        await clamp_moments(self.context, at_start=True)
        await self._beat()
        await forget_refused_callbacks(self.context, self._public_url)
        for notice in await list_long_callbacks(self.context, self._public_url):
            _log.warning("%s %s", notice.sentence, notice.remedy)
        if self._alone:
            await self._find_lost()
        often, seldom = self._every_s, self._every_s * 8
        chores = (
            Chore("bring_back", self._bring_back, often),
            Chore("look", self._looking.look, often),
            Chore("fetch", self._fetching.fetch, often * 4),
            Chore("beat", self._beat, seldom),
            Chore("live", self._live, seldom),
            Chore("tidy", self._tidy, seldom * 5),
        )
        self._claiming = asyncio.create_task(self._claim_forever())
        self._chores = asyncio.create_task(run_chores(chores))

    async def stop(self, within_s: float = STOPS_IN_S) -> None:
        """Take nothing more, let what is in flight come to its end, and leave; what does not end in time is left."""
        self._stopping = True
        self._wake.set()
        claiming, others = self._claiming, [self._chores]
        others += [*self._looking.asking.tasks.values(), *self._fetching.asking.tasks.values()]
        for task in others:
            task.cancel()
        with contextlib.suppress(TimeoutError, errors.Unavailable):
            async with asyncio.timeout(within_s):
                await asyncio.wait([claiming, *others])
                while self._sending:
                    await asyncio.wait(self._sending.values())
                await self.context.store.run(remove_node(self.node))
        late = [task for task in [claiming, *self._sending.values()] if not task.done()]
        self._left = self.left()
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    def left(self) -> list[str]:
        """What this node would leave behind if it ended now; the other nodes, or its next start, settle it."""
        if self._left:
            return self._left
        unanswered = len(self._sending) - len(self._keeping)
        told = []
        if unanswered > 0:
            told.append(f"Left behind: {unanswered} texts whose answers had not come; they are looked up.")
        if self._keeping:
            told.append(
                f"Left behind: {len(self._keeping)} outcomes that the database did not take; they are looked up."
            )
        return told

    def wake(self, signal: str = MESSAGES_DUE) -> None:
        """A message may be due."""
        if signal == MESSAGES_DUE:
            self._wake.set()

    async def _claim_forever(self) -> None:
        while not self._stopping:
            self._wake.clear()
            try:
                more = await self._claim()
            except errors.Unavailable:
                await asyncio.sleep(KEEP_AGAIN_S)
                continue
            except Exception:
                _log.exception("claiming messages failed")
                await asyncio.sleep(KEEP_AGAIN_S)
                continue
            if not more:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), self._every_s * 4)

    async def _claim(self) -> bool:
        if not self._lease.fresh:
            await self._beat()
        began = self._lease.now()
        claimed = await self.context.store.run(
            claim_messages(self.context, self._plans, self._wording, self.node, self.pace, self._public_url)
        )
        advance_lanes(self.context, claimed.handovers)
        for handover in claimed.handovers:
            self.pace.taken(handover.lane, handover.route.origin)
            self._sending[handover.attempt.sid] = asyncio.create_task(self._deliver(handover, began))
        for sid in claimed.unsettled:
            await self.context.store.run(look_again(self.context, sid))
        if (wait_ms := self.pace.next_drop_ms()) is not None:
            asyncio.get_running_loop().call_later(wait_ms / 1000, self._wake.set)
        return claimed.more

    async def _deliver(self, handover: Handover, claimed: Moment) -> None:
        try:
            await self._send_and_keep(handover, claimed)
        finally:
            del self._sending[handover.attempt.sid]
            self._keeping.discard(handover.attempt.sid)

    async def _send_and_keep(self, handover: Handover, claimed: Moment) -> None:
        lane = handover.lane
        outcome = await self._send(handover, claimed)
        self._keeping.add(handover.attempt.sid)
        now = self.context.clock.monotonic()
        revision = handover.plan.policy.revision
        was_full = self.pace.free(lane, revision) == 0
        took_ms = now - claimed.monotonic
        self.pace.done(lane, took_ms, outcome)
        turned = self.pace.breakers.ended(handover.message.tenant, handover.route, revision, outcome, now)
        if was_full:
            self._wake.set()
        name = handover.service.NAME
        ATTEMPTS.labels(name, type(outcome).__name__.lower()).inc()
        SEND_SECONDS.labels(name).observe(took_ms / 1000)
        QUEUE_SECONDS.labels(name).observe((handover.attempt.started_at - handover.message.created_at) / 1000)
        await self._keep(handover, outcome)
        if turned:
            await self._tell_breaker(handover, now)

    async def _tell_breaker(self, handover: Handover, now: int) -> None:
        """The account's circuit breaker opened, stays open or closed: everybody is to know."""
        standing = self.pace.breakers.open.get(handover.lane)
        state = "closed" if standing is None else f"open, and is tried again in {(standing.probe_at - now) / 1000:g} s"
        _log.warning("the circuit breaker of %s is %s", handover.lane, state)
        try:
            await self.context.store.run(keep_breaker(self.context, handover.lane, standing))
            if standing is None:
                await self._no_longer_resting([handover.lane])
        except errors.Unavailable as refusal:
            _log.warning("the circuit breaker is written down later: %s", refusal)

    async def _no_longer_resting(self, lanes: Sequence[str]) -> None:
        """Messages that waited for these lanes need not wait any longer."""
        await bring_back_lanes(self.context, lanes)
        self._wake.set()

    async def _bring_back(self) -> None:
        """Messages that were put off until now are due."""
        if await bring_back(self.context):
            self._wake.set()

    async def _send(self, handover: Handover, claimed: Moment) -> Outcome:
        """Send while the intent is this node's own: another may have taken it for lost after a pause."""
        now, message = self.context.clock(), handover.message
        if not self._lease.holds(claimed) or not message.usable(now):
            return HELD_UP
        text = dataclasses.replace(handover.text, valid_for_s=(message.valid_until - now) // 1000, at=now)
        with only_while(lambda: self._lease.holds(claimed)) as own:
            try:
                outcome = await handover.service.send(self._http, handover.settings, handover.route, text)
            except Exception:
                _log.exception("the sender service %s failed", handover.service.NAME)
                return Unknown(f"{handover.service.TITLE} could not be asked: the sender failed inside.")
        return HELD_UP if own.failed else outcome

    async def _keep(self, handover: Handover, outcome: Outcome) -> None:
        """Keep the outcome, however long the database is away: while this node beats, the intent is its own."""
        tenant, revision = handover.message.tenant, handover.plan.policy.revision

        def resting(route: Route) -> Rest | None:
            return self.pace.resting(tenant, route, revision)

        while True:
            try:
                settled = await self.context.store.run(
                    settle_attempt(self.context, self._plans, handover, outcome, resting)
                )
            except errors.Unavailable:
                await asyncio.sleep(KEEP_AGAIN_S)
            except Exception:
                if outcome.vendor.sid is None:
                    _log.exception("the outcome of %s could not be kept", handover.attempt.sid)
                    return
                _log.exception("the outcome of %s is kept without the vendor's SID", handover.attempt.sid)
                outcome = without_sid(outcome)
            else:
                message = settled.message
                if settled.repeats_sid and handover.lane not in self._repeating:
                    self._repeating.add(handover.lane)
                    _log.warning(
                        "%s gives texts of %s IDs that others had before: reports on them cannot be told apart",
                        *(handover.service.TITLE, handover.attempt.account_sid),
                    )
                if message.due_at is not None and not message.put_off:
                    delay_s = max(0, message.due_at - self.context.clock()) / 1000
                    asyncio.get_running_loop().call_later(delay_s, self._wake.set)
                return

    async def _beat(self) -> None:
        """Tell the others that this node lives, by the database's clock; put moments right if that was set back."""
        async with self._beating:
            await self._beat_once()

    async def _beat_once(self) -> None:
        began = self._lease.now()
        await self.context.clock.learn(self.context.store)
        ahead = self._ahead()
        if self._clock_ahead - ahead > SET_BACK_MS:
            _log.warning("the clock was set back by %d s", (self._clock_ahead - ahead) // 1000)
            await clamp_moments(self.context)
            self._wake.set()
        self._clock_ahead = ahead
        await self.context.store.run(record_heartbeat(self.context, self.node, self._started_at))
        self._lease.renewed(began)
        self.alive_at = self.context.clock.monotonic()

    def _ahead(self) -> int:
        return self.context.clock() - self.context.clock.monotonic()

    async def _live(self) -> None:
        while await self.context.store.run(settle_stray(self.context, self._plans, self.node, list(self._sending))):
            pass
        if not self._alone:
            await self._find_lost()
        await self._see_policies()
        await self._count_waiting()
        await self._share_breakers()

    async def _see_policies(self) -> None:
        """See the policies in force of those whose rates hold messages back: a Save may have lifted them."""
        if tenants := self.pace.rated():
            await self.context.store.run(self._plans.see_policies(tenants))

    async def _count_waiting(self) -> None:
        rows = await count_waiting(self.context)
        self.pace.count(rows)
        for name in find_services():
            WAITING.labels(name).set(sum(count for lane, _, _, count in rows if lane.split(":")[1] == name))

    async def _share_breakers(self) -> None:
        """Learn from the other nodes which accounts rest, and how many nodes share an origin's rate."""
        now = self.context.clock.monotonic()
        if saved := await forget_outdated_breakers(self.context):
            self.pace.breakers.forget(saved)
            await self._no_longer_resting(saved)
        stored = [of_own_clock(breaker, self._ahead(), now) for breaker in await list_breakers(self.context)]
        if closed := self.pace.breakers.take_over(stored, now - BREAKER_KNOWN_MS):
            await self._no_longer_resting(closed)
        for name in find_services():
            open_ones = sum(breaker.service == name for breaker in stored)
            BREAKERS_OPEN.labels(name).set(open_ones)
        self.pace.nodes = max(1, await count_nodes(self.context, LOST_MS))

    async def _find_lost(self) -> None:
        while await self.context.store.run(settle_lost(self.context, self._plans, alone=self._alone)):
            pass

    async def _tidy(self) -> None:
        """Write down what has expired, and erase what is no longer needed."""
        while await self.context.store.run(expire_verifications(self.context)):
            pass
        await sweep_rows(self.context)
