"""Messages of the Twilio-shaped API: how tests send them, and move them by hand."""

from __future__ import annotations

from typing import Any

from api.twilio.shaped import ok
from installation import TO, Installation
from messaging.through_twilio import TEXT
from otpost.domain.outcome import Accepted, Outcome, ReasonName, Vendor
from otpost.services.audit import command_line_actor
from otpost.services.messages.attempts import settle_attempt
from otpost.services.tenants.tenants import renew_auth_token
from services.by_hand import claim, report

TAKEN = Accepted(Vendor(http_status=201, sid="SM" + "9" * 32, status="queued"))


def path(otpost: Installation, sid: str = "", account: str = "") -> str:
    return f"/2010-04-01/Accounts/{account or otpost.tenant.sid}/Messages{'/' + sid if sid else ''}.json"


async def create(otpost: Installation, form: dict[str, str] | None = None, **more: Any) -> Any:
    """A new message's JSON."""
    return await ok(otpost, "POST", path(otpost), {"To": TO, "Body": TEXT, **(form or {})}, **more)


async def fetch(otpost: Installation, sid: str, **more: Any) -> Any:
    return await ok(otpost, "GET", path(otpost, sid), **more)


async def send(still: Installation, outcome: Outcome = TAKEN) -> str:
    """What is due is handed over, and comes to this; its attempt's SID."""
    (handover,) = await claim(still)
    await still.store.run(settle_attempt(still.context, still.plans, handover, outcome))
    return handover.attempt.sid


async def told(still: Installation, attempt: str, status: str, code: str | None = None, reason: Any = None) -> None:
    """Twilio reports on the attempt."""
    why: ReasonName | None = reason
    row = await report(still, attempt, status, str(TAKEN.vendor.sid), code, why)
    assert row.status == status


async def auth_token(otpost: Installation) -> str:
    made = await otpost.store.run(renew_auth_token(otpost.context, command_line_actor(otpost.tenant.sid)))
    return made.token
