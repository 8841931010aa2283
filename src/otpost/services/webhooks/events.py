"""Which change of a verification or a message is an event, what its post says, and who else is told of it."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from otpost.domain.message import Message
from otpost.domain.moments import format_moment
from otpost.domain.verification import Verification
from otpost.domain.views import MessageChange, VerificationShape, view_message_change, view_verification
from otpost.domain.webhook import EVENTS, Delivery, delivery_sid
from otpost.services.webhooks.status_callbacks import is_told, post_of_status
from otpost.store.kinds import ATTEMPTS, MESSAGE_EXTRAS, MESSAGES, WEBHOOK_DELIVERIES, WEBHOOKS
from otpost.store.units import Key, Rows, look_by

WEBHOOKS_DUE: Final = "webhooks_due"
"""The signal that a delivery waits for its first post."""

_OF_VERIFICATIONS: Final = {event.partition(".")[2]: event for event in EVENTS if event.startswith("verification.")}
_OF_MESSAGES: Final = {event.partition(".")[2]: event for event in EVENTS if event.startswith("message.")}

_encode = msgspec.json.Encoder().encode


def subscriptions_of(tenant: str) -> Key:
    """What `announce_change` reads: the tenant's webhooks.

    Every row of a unit names its tenant, and not all an application.

    A unit that names it among its needs, or beside other rows that it asks for, is not run again for it.
    """
    return look_by(WEBHOOKS, "tenant", tenant)


def announce_change(rows: Rows, before: Verification | Message | None, after: Verification | Message, now: int) -> None:
    """Queue what the application's webhooks want to know of a change, in the unit that makes it.

    Called after the changed rows were put. What is no change of status, or none that is an event, costs a look into a
    dictionary; an event of a tenant without webhooks costs a look at its subscriptions, one for all units of a batch.
    """
    if before is not None and before.status == after.status:
        return
    if isinstance(after, Message):
        _call_back(rows, before if isinstance(before, Message) else None, after, now)
    of = _OF_VERIFICATIONS if isinstance(after, Verification) else _OF_MESSAGES
    event = of.get(after.status)
    if event is None:
        return
    body, attempt = "", (after.attempt or "") if isinstance(after, Message) else ""
    for webhook in rows.find(WEBHOOKS, "tenant", after.tenant, locked=False):
        if webhook.application != after.application or not webhook.enabled or event not in webhook.events:
            continue
        body = body or post_body(event, now, _view(rows, after, now))
        queue(
            rows,
            Delivery(
                sid=delivery_sid(now, webhook.sid, event, after.sid, attempt),
                tenant=after.tenant,
                application=after.application,
                webhook=webhook.sid,
                lane=webhook.sid,
                form="standard",
                url=None,
                type=event,
                subject=after.sid,
                body=body,
                created_at=now,
                due_at=now,
            ),
        )


def _call_back(rows: Rows, before: Message | None, after: Message, now: int) -> None:
    """Queue the status callback that a caller asked for with a text of its own; a verification's text has none."""
    if after.verification is not None or not is_told(before, after):
        return
    extras = rows.look(MESSAGE_EXTRAS, after.sid)
    if extras is None:
        return
    attempt = None if after.attempt is None else rows.look(ATTEMPTS, after.attempt)
    queue(rows, post_of_status(after, extras, attempt, now))


def queue(rows: Rows, delivery: Delivery) -> None:
    """Put a new delivery, of any form, into the queue; it is posted once the unit is on disk."""
    rows.put(WEBHOOK_DELIVERIES, delivery)
    rows.signal(WEBHOOKS_DUE)


def post_body(event: str, now: int, data: Any) -> str:
    """The JSON of one post."""
    return _encode({"type": event, "timestamp": format_moment(now), "data": data}).decode()


def _view(rows: Rows, row: Verification | Message, now: int) -> VerificationShape | MessageChange:
    if isinstance(row, Message):
        return view_message_change(row)
    return view_verification(row, rows.look(MESSAGES, row.message), now)
