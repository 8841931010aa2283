"""Delivery by hand: a test claims, settles, reports and lists itself, and nothing is sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from installation import TO, Installation
from messaging.through_twilio import MAIN, TEXT, message, send
from otpost.domain.delivery import Rest
from otpost.domain.message import Attempt, Message
from otpost.domain.outcome import ReasonName, Unknown
from otpost.domain.policy import Route
from otpost.senders.service import Listed, Reported
from otpost.services.messages.attempts import Handover, Pacing, advance_lanes, claim_messages, settle_attempt
from otpost.services.messages.lookups import keep_listing
from otpost.services.messages.reports import keep_report
from otpost.store.kinds import ATTEMPTS

NODE, NOWHERE = "ND" + "1" * 32, "http://127.0.0.1:9"
LOST = Unknown("The connection broke.")


@dataclass
class Idle:
    """The pace of a node that has nothing to do: every lane has `slots`, and only the accounts of `rests` rest."""

    slots: int = 64
    full_lanes: Sequence[str] = ()
    dry_origins: Sequence[str] = ()
    drops: int = 64
    rests: Mapping[str, Rest] = field(default_factory=dict)

    def full(self) -> list[str]:
        return list(self.full_lanes)

    def dry(self) -> list[str]:
        return list(self.dry_origins)

    def free(self, name: str, revision: int) -> int:
        return self.slots

    def allowed(self, name: str, origin: str, per_s: float) -> int:
        return self.drops

    def resting(self, tenant: str, route: Route, revision: int) -> Rest | None:
        return self.rests.get(route.account_sid)


PUBLIC_URL = "https://otp.example"


async def claim(still: Installation, node: str = NODE, pacing: Pacing | None = None) -> list[Handover]:
    """What a node takes, its intents committed."""
    unit = claim_messages(still.context, still.plans, still.wording, node, pacing or Idle(), PUBLIC_URL)
    handovers = (await still.store.run(unit)).handovers
    advance_lanes(still.context, handovers)
    return handovers


async def sent(still: Installation, outcome: Any, to: str = TO) -> tuple[str, str]:
    """A text whose first attempt came to this; the SIDs of its message and its attempt."""
    sid = (await send(still, to))["sid"]
    (handover,) = await claim(still)
    await still.store.run(settle_attempt(still.context, still.plans, handover, outcome))
    return sid, handover.attempt.sid


async def report(
    still: Installation,
    attempt: str,
    status: Any,
    vendor_sid: str = "SM1",
    code: str | None = None,
    reason: ReasonName | None = None,
    detail: str = "",
) -> Message:
    """The message after a report on an attempt of the main account."""
    told = Reported(status, status, code, vendor_sid, MAIN, reason, detail)
    assert await still.store.run(keep_report(still.context, still.plans, "twilio", attempt, lambda *_: [told])) == [
        told
    ]
    row = await still.store.get(ATTEMPTS, attempt)
    assert row is not None
    return await message(still, row.message)


def listed(sid: str, created_at: int | None, body: str = TEXT, status: Any = "delivered") -> Listed:
    return Listed(sid, created_at, body, Reported(status, status, None, sid, MAIN))


async def answer(still: Installation, attempt_sid: str, *rows: Listed) -> tuple[Message, Attempt]:
    """Both after a listing showed these rows."""
    attempt = await still.store.get(ATTEMPTS, attempt_sid)
    assert attempt is not None
    await still.store.run(keep_listing(still.context, still.plans, still.wording, attempt, list(rows), still.clock()))
    after = await still.store.get(ATTEMPTS, attempt_sid)
    assert after is not None
    return await message(still, attempt.message), after
