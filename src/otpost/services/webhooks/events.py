"""Which change of a verification or a message is an event, what its post says, and who else is told of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from otpost.domain.message import Message
from otpost.domain.outcome import REASONS, ReasonName
from otpost.domain.phone import trusted
from otpost.domain.verification import Verification
from otpost.domain.webhook import EVENTS, Delivery, delivery_sid
from otpost.services.webhooks.status_callbacks import is_told, post_of_status
from otpost.store.kinds import ATTEMPTS, MESSAGE_EXTRAS, MESSAGES, WEBHOOK_DELIVERIES, WEBHOOKS
from otpost.store.units import Key, Rows, look_by

WEBHOOKS_DUE: Final = "webhooks_due"
"""The signal that a delivery waits for its first post."""

_OF_VERIFICATIONS: Final = {event.partition(".")[2]: event for event in EVENTS if event.startswith("verification.")}
_OF_MESSAGES: Final = {event.partition(".")[2]: event for event in EVENTS if event.startswith("message.")}

_encode = msgspec.json.Encoder().encode


def subscribed(tenant: str) -> Key:
    """What `told` reads: the tenant's webhooks, since every row of a unit names its tenant and not all an application.

    A unit that names it among its needs, or beside other rows that it asks for, is not run again for it.
    """
    return look_by(WEBHOOKS, "tenant", tenant)


def told(rows: Rows, before: Verification | Message | None, after: Verification | Message, now: int) -> None:
    """Queue what the application's webhooks want to know of a change, in the unit that makes it.

    Called after the changed rows were put. What is no change of status, or none that is an event, costs a look into a
    dictionary; an event of a tenant without webhooks costs the look at `subscribed`, one for all units of a batch.
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
        body = body or post_body(event, now, _data(rows, after))
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


def post_body(event: str, now: int, data: dict[str, Any]) -> str:
    """The JSON of one post."""
    return _encode({"type": event, "timestamp": _moment(now), "data": data}).decode()


def _data(rows: Rows, row: Verification | Message) -> dict[str, Any]:
    if isinstance(row, Message):
        return message_data(row)
    return verification_data(row, rows.look(MESSAGES, row.message))


def verification_data(row: Verification, message: Message | None) -> dict[str, Any]:
    """A verification as the API answers it; never with its code."""
    return {
        "sid": row.sid,
        "application": row.application,
        "to": row.to,
        "to_masked": trusted(row.to).masked,
        "status": row.status,
        "channel": "sms",
        "created_at": _moment(row.created_at),
        "expires_at": _moment(row.expires_at),
        "resend_at": _moment(row.resend_at),
        "approved_at": None if row.approved_at is None else _moment(row.approved_at),
        "sends": row.sends,
        "checks": row.checks,
        "checks_left": row.checks_left,
        "message": None if message is None else _brief(message),
    }


def message_data(row: Message) -> dict[str, Any]:
    """A message as the API answers it, but for its attempts, reports and events; never with its text."""
    return {
        "sid": row.sid,
        "application": row.application,
        "verification": row.verification,
        "to": row.to,
        "status": row.status,
        "reason": row.reason,
        "segments": row.segments,
        "created_at": _moment(row.created_at),
        "valid_until": _moment(row.valid_until),
        "route": {
            "service": row.service,
            "account_sid": row.account_sid,
            "origin": row.origin,
            "reason": row.route_reason,
        },
        "explanation": _explanation(row.reason),
    }


def _explanation(reason: ReasonName | None) -> dict[str, str] | None:
    if reason is None:
        return None
    known = REASONS[reason]
    return {
        "for_application": known.for_application,
        "for_administrator": known.for_administrator,
        "help": known.help,
    }


def _brief(row: Message) -> dict[str, Any]:
    return {"sid": row.sid, "status": row.status, "reason": row.reason}


def _moment(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
