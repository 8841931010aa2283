"""Plain messages: a caller's own text through the same policy, queue and reports."""

from __future__ import annotations

from otpost.domain import sid, text
from otpost.domain.errors import NotFound, Unavailable, invalid
from otpost.domain.message import NO_STALE_TEXT_S, Message, queued
from otpost.domain.phone import PhoneNumber
from otpost.domain.routing import NoRoute
from otpost.services.house import House
from otpost.services.plan import plan_of
from otpost.store.base import MESSAGES_DUE
from otpost.store.kinds import APPLICATIONS, MESSAGES, POLICIES
from otpost.store.units import Rows, Unit, look

SEAL = "bodies"
SHORTEST_S, DEFAULT_S, LONGEST_S = 60, 14_400, 36_000


def send(house: House, tenant: str, application: str, to: PhoneNumber, body: str, valid_for_s: int) -> Unit[Message]:
    """Put a text into the outbox; it is kept encrypted until the message is final.

    Raises Invalid, SenderPolicyIncomplete, NotFound, or Unavailable where the text could not leave in time.
    """
    now = house.clock()
    message_sid = house.sid(sid.MESSAGE)
    sealed = house.ring.seal(SEAL, body, message_sid)
    segments = text.segments(body).count

    def decide(rows: Rows) -> Message:
        app = rows.look(APPLICATIONS, application)
        if app is None or app.tenant != tenant:
            raise NotFound("There is no such application.")
        route = plan_of(house, rows, tenant).route(to)
        if isinstance(route, NoRoute):
            raise invalid("to", "dialing_code_refused", route.reason)
        valid_until = now + valid_for_s * 1000
        wait_ms = house.lane_wait_ms(route.lane)
        if now + wait_ms > valid_until - NO_STALE_TEXT_S * 1000:
            raise Unavailable("The sender service cannot take the text in time.", retry_at=now + wait_ms)
        message = queued(
            message_sid,
            tenant,
            application,
            to.e164,
            route,
            now=now,
            valid_until=valid_until,
            segments=segments,
            body=sealed,
        )
        rows.put(MESSAGES, message)
        rows.signal(MESSAGES_DUE)
        return message

    return Unit(decide, [look(APPLICATIONS, application), look(POLICIES, tenant)])
