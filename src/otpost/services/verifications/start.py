"""The start of a verification, or of one more text for the pending one."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from otpost.domain import sid
from otpost.domain.errors import NotFound, SenderPolicyIncomplete, Unavailable
from otpost.domain.limits import client_network
from otpost.domain.message import NO_STALE_TEXT_S, Message, queued
from otpost.domain.phone import PhoneNumber
from otpost.domain.policy import NoRoute, Route, lane_of
from otpost.domain.verification import Extras, Verification
from otpost.services.context import Context
from otpost.services.policy.plan import Plans
from otpost.services.tenants.applications import NO_APPLICATION
from otpost.services.verifications import text
from otpost.services.verifications.check import end_verification
from otpost.services.verifications.guards import Mode, Request, Start, ask_guards, needs_of_guards
from otpost.services.verifications.number_limits import limits_of
from otpost.services.verifications.text import default_language
from otpost.store.base import MESSAGES_DUE
from otpost.store.kinds import APPLICATIONS, MESSAGES, NUMBER_LIMITS, POLICIES, VERIFICATIONS
from otpost.store.units import Rows, Unit, lock, lock_by, look

_NO_EXTRAS = Extras()


class Started(msgspec.Struct, frozen=True):
    """A verification after a start; `created` is False where the start was one more text of a pending one."""

    verification: Verification
    message: Message
    created: bool


def start_verification(
    context: Context,
    plans: Plans,
    tenant: str,
    application: str,
    to: PhoneNumber,
    *,
    mode: Mode = "native",
    locale: str | None = None,
    client_ip: str | None = None,
    variables: Mapping[str, str] | None = None,
    extras: Extras = _NO_EXTRAS,
    rate_limits: Mapping[str, str] | None = None,
) -> Unit[Started]:
    """Begin a verification of a number, or send one more text for the pending one.

    The text is in `locale`, else in that of the start before, else in the number's own. `extras` (their custom code
    from `seal_custom_code`) come in the mode `twilio` alone. `rate_limits` are values by the unique names of the
    application's own limits.

    Raises Invalid, SenderPolicyIncomplete, LimitReached, or Unavailable where the text could not leave in time.
    """
    now = context.clock()
    request = Request(
        context=context,
        plans=plans,
        tenant=tenant,
        application=application,
        to=to,
        now=now,
        mode=mode,
        locale=locale,
        client=None if client_ip is None else client_network(client_ip),
        variables=dict(variables or {}),
        extras=extras,
        rate_limits=rate_limits or {},
        turn_in=context.queue_order.place(application, now),
    )
    verification_sid, message_sid = context.ids(sid.VERIFICATION), context.ids(sid.MESSAGE)

    def decide(rows: Rows) -> Started:
        start = _load_start(rows, request)
        writes = ask_guards(rows, start)
        verification = start.pending or _new_verification(start, verification_sid, message_sid)
        verification = _with_text(start, verification, message_sid)
        message = _message(start, verification)
        if start.outgoing is not None:
            _end_outgoing(rows, request, start.outgoing)
        rows.put(VERIFICATIONS, verification)
        rows.put(NUMBER_LIMITS, start.limits.sent(request.now, verification.resend_after_s))
        rows.put(MESSAGES, message)
        for kind, row in writes:
            rows.put(kind, row)
        rows.signal(MESSAGES_DUE)
        return Started(verification, message, start.pending is None)

    return Unit(
        decide,
        [
            look(APPLICATIONS, application),
            look(POLICIES, tenant),
            lock_by(VERIFICATIONS, "pending", application, to.e164),
            lock(NUMBER_LIMITS, application, to.e164),
            *needs_of_guards(request),
        ],
    )


def _load_start(rows: Rows, request: Request) -> Start:
    application, to = rows.look(APPLICATIONS, request.application), request.to
    if application is None or not application.belongs_to(request.tenant):
        raise NotFound(NO_APPLICATION)
    plan, sender = request.plans.plan_of(rows, request.tenant), application.sender_for(to)
    route: Route | NoRoute | SenderPolicyIncomplete
    try:
        route = plan.route(to, sender)
    except SenderPolicyIncomplete as incomplete:
        route = incomplete
    limits = limits_of(rows, request.tenant, request.application, to.e164)
    pending = next(iter(rows.find(VERIFICATIONS, "pending", request.application, to.e164)), None)
    goes_on = pending is not None and _goes_on(request, pending)
    return Start(
        request=request,
        application=application,
        plan=plan,
        sender=sender,
        route=route,
        limits=limits,
        pending=pending if goes_on else None,
        outgoing=None if goes_on else pending,
    )


def _goes_on(request: Request, pending: Verification) -> bool:
    """Whether a start is one more text of the pending verification."""
    if request.mode == "native":
        return not pending.begins_anew(request.now)
    return not pending.begins_anew(request.now, to_the_end=True) and pending.binding == request.extras.binding


def _end_outgoing(rows: Rows, request: Request, outgoing: Verification) -> None:
    """End the verification that a start leaves behind: too little of its life is left, or it is for another payment."""
    now = request.now
    if outgoing.begins_anew(now, to_the_end=request.mode == "twilio"):
        ended = outgoing.ended(min(now, outgoing.expires_at), "expired")
    else:
        ended = outgoing.ended(now, "canceled")
    end_verification(rows, outgoing, ended, now)


def _new_verification(start: Start, verification_sid: str, message_sid: str) -> Verification:
    request, rules = start.request, start.application.rules
    return Verification(
        sid=verification_sid,
        tenant=request.tenant,
        application=request.application,
        to=request.to.e164,
        status="pending",
        created_at=request.now,
        expires_at=request.now + rules.lifetime_s * 1000,
        resend_at=request.now,
        key_id=request.context.keyring.current,
        code_length=rules.code_length,
        lifetime_s=rules.lifetime_s,
        max_checks=rules.max_checks,
        max_sends=rules.max_sends,
        resend_after_s=rules.resend_after_s,
        message=message_sid,
    )


def _with_text(start: Start, verification: Verification, message_sid: str) -> Verification:
    """The verification with one more text on its way, in the words of this start."""
    request = start.request
    locale = request.locale or verification.locale
    return verification.sent(
        request.now,
        message_sid,
        locale=locale or default_language(start.application, request.to, request.extras),
        variables=request.variables,
        extras=verification.extras if request.mode == "native" else _extras(request, verification.extras),
    )


def _extras(request: Request, standing: Extras | None) -> Extras:
    """The extras of the text that is sent now; a caller's own code stays until another is brought."""
    extras = request.extras
    if standing is None or standing.custom_code is None:
        return extras
    return msgspec.structs.replace(extras, custom_code=extras.custom_code or standing.custom_code)


def _message(start: Start, verification: Verification) -> Message:
    """The text in the outbox; Unavailable where it could not leave within the code's life."""
    request, route, now = start.request, start.route, start.request.now
    context, application = request.context, start.application
    assert isinstance(route, Route)  # a guard refuses the rest
    segments = text.segments(application, verification, now)
    wait_ms = start.plan.wait_ms(
        lambda lane: context.lanes.wait_ms(lane, application.sid, False), route, request.to, start.sender
    )
    if now + wait_ms > verification.expires_at - NO_STALE_TEXT_S * 1000:
        raise Unavailable(
            "The sender service cannot take the text within the code's life; nothing was started.",
            retry_at=now + min(wait_ms, verification.lifetime_s * 1000) if wait_ms else verification.expires_at,
        )
    return queued(
        verification.message,
        application.tenant,
        application.sid,
        verification.to,
        route,
        now=now,
        valid_until=verification.expires_at,
        segments=segments,
        verification=verification.sid,
        number=verification.sends,
        turn=request.turn_in(lane_of(application.tenant, route)),
    )
