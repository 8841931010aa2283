"""Plain messages: a caller's own text through the same policy, queue and reports, and how it is erased again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from otpost.domain import sid, text
from otpost.domain.access import Actor
from otpost.domain.errors import NotFound, Unavailable, invalid
from otpost.domain.message import NO_STALE_TEXT_S, Attempt, Message, MessageExtras, queued
from otpost.domain.phone import PhoneNumber
from otpost.domain.policy import NoRoute, lane_of
from otpost.services.audit import add_line
from otpost.services.context import Context
from otpost.services.messages.bodies import seal_body
from otpost.services.policy.plan import Plans
from otpost.services.webhooks.status_callbacks import TOLD, status_word
from otpost.store.base import MESSAGES_DUE
from otpost.store.kinds import APPLICATIONS, ATTEMPTS, MESSAGE_EXTRAS, MESSAGES, POLICIES, REPORTS, TENANTS
from otpost.store.units import Key, Rows, Unit, lock, lock_by, look

SHORTEST_S, DEFAULT_S, LONGEST_S = 60, 14_400, 36_000
SANDBOX: Final = "sandbox"
NO_MESSAGE: Final = "There is no message with this SID."
NONE_NAMED: Final[Mapping[str, Callable[[str], str]]] = MappingProxyType({})


def read_body(body: str) -> str:
    """The text as it is kept and sent; Invalid at `body` for what is none."""
    try:
        return text.read_text(body)
    except text.TextRefused as refused:
        raise invalid("body", refused.code, refused.message) from None


def send_message(
    context: Context,
    plans: Plans,
    tenant: str,
    application: str,
    to: PhoneNumber,
    body: str,
    valid_for_s: int,
    *,
    senders: Mapping[str, Callable[[str], str]] = NONE_NAMED,
    status_callback: str | None = None,
) -> Unit[Message]:
    """Put a text into the outbox; it is kept encrypted until the message is final.

    `senders` are the origins that the caller names, each by its field, and read as the service that sends writes them:
    the policy alone decides, so each has to be the one that it gives to this number; the sandbox, which has none of
    its own, takes any. `status_callback` is told of the message's status as Twilio tells it, signed with the tenant's
    auth token.

    Raises Invalid, SenderPolicyIncomplete, NotFound, or Unavailable where the text could not leave in time.
    """
    now = context.clock()
    message_sid = context.ids(sid.MESSAGE)
    body = read_body(body)
    sealed = seal_body(context, body, message_sid)
    segments = text.segments(body).count
    turn_in = context.queue_order.place(application, now, plain=True)

    def decide(rows: Rows) -> Message:
        app = rows.look(APPLICATIONS, application)
        if app is None or not app.belongs_to(tenant):
            raise NotFound("There is no such application.")
        plan = plans.plan_of(rows, tenant)
        route = plan.route(to)
        if isinstance(route, NoRoute):
            raise invalid("to", "dialing_code_refused", route.reason)
        for field, read_origin in senders.items():
            if read_origin(route.service) != route.origin and route.service != SANDBOX:
                own = f"from {route.origin}" if route.origin else "from a sender that the service chooses"
                raise invalid(field, "sender_refused", f"The sender policy texts this number {own}; name it or none.")
        valid_until = now + valid_for_s * 1000
        wait_ms = plan.wait_ms(lambda lane: context.lanes.wait_ms(lane, application, True), route, to)
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
            turn=turn_in(lane_of(tenant, route)),
        )
        if status_callback is not None:
            owner = rows.look(TENANTS, tenant)
            if owner is None or owner.auth_token is None:
                said = "Callbacks are signed with the tenant's auth token, and there is none yet: make it first."
                raise invalid("status_callback", "token_required", said)
            rows.put(MESSAGE_EXTRAS, MessageExtras(message_sid, status_callback))
        rows.put(MESSAGES, message)
        rows.signal(MESSAGES_DUE)
        return message

    needs = [look(APPLICATIONS, application), look(POLICIES, tenant)]
    return Unit(decide, needs if status_callback is None else [*needs, look(TENANTS, tenant)])


def redact_message(context: Context, tenant: str, message_sid: str) -> Unit[Message]:
    """Erase a caller's text before its time. Raises NotFound, or Invalid (`not_complete`) while it may be needed."""

    def decide(rows: Rows) -> Message:
        message, _ = _complete(rows, tenant, message_sid)
        if message.body is not None:
            message = msgspec.structs.replace(message, body=None)
            rows.put(MESSAGES, message)
        return message

    return Unit(decide, _whole(message_sid))


def erase_message(context: Context, actor: Actor, message_sid: str) -> Unit[None]:
    """Erase a caller's message with its attempts and reports; an audit line is left, without the number.

    Raises NotFound, or Invalid (`not_complete`) while something may become of it.
    """
    now, line = context.clock(), context.ids("AU")

    def decide(rows: Rows) -> None:
        _, attempts = _complete(rows, actor.tenant, message_sid)
        for attempt in attempts:
            rows.delete(ATTEMPTS, attempt.sid)
        for report in rows.find(REPORTS, "message", message_sid):
            rows.delete(REPORTS, report.attempt, report.vendor_status, report.vendor_code)
        rows.delete(MESSAGE_EXTRAS, message_sid)
        rows.delete(MESSAGES, message_sid)
        add_line(context, rows, line, now, actor, "message deleted", message_sid)

    more = [lock(MESSAGE_EXTRAS, message_sid), lock_by(REPORTS, "message", message_sid)]
    return Unit(decide, [*_whole(message_sid), *more])


def _whole(message_sid: str) -> list[Key]:
    if not sid.is_sid(message_sid, sid.MESSAGE):
        raise NotFound(NO_MESSAGE)
    return [lock(MESSAGES, message_sid), lock_by(ATTEMPTS, "message", message_sid)]


def _complete(rows: Rows, tenant: str, message_sid: str) -> tuple[Message, list[Attempt]]:
    """A caller's own message with its attempts, none of which is under way or may be followed by another."""
    message = rows.get(MESSAGES, message_sid)
    if message is None or message.tenant != tenant or message.verification is not None:
        raise NotFound(NO_MESSAGE)
    attempts = rows.find(ATTEMPTS, "message", message_sid)
    open_ones = any(attempt.outcome is None or attempt.look_at is not None for attempt in attempts)
    if open_ones or message.due_at is not None or status_word(message) not in TOLD:
        raise invalid("sid", "not_complete", "The message is still on its way; nothing was erased.")
    return message, attempts
