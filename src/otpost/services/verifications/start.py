"""The start of a verification, or of one more text for the pending one."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from otpost.domain import limits, sid
from otpost.domain.application import Application
from otpost.domain.errors import (
    LimitReached,
    MaxSendsReached,
    NotFound,
    ResendTooSoon,
    Unavailable,
    invalid,
)
from otpost.domain.limits import HOUR_MS, NumberLimits, Window, client_network
from otpost.domain.message import NO_STALE_TEXT_S, Message, queued
from otpost.domain.phone import PhoneNumber
from otpost.domain.policy import NoRoute, Route, lane_of
from otpost.domain.verification import Extras, Verification
from otpost.services.context import Context
from otpost.services.policy.plan import Plans
from otpost.services.verifications import text
from otpost.services.verifications.check import USED_UP, end_verification
from otpost.services.verifications.guards import limits_of
from otpost.services.verifications.rate_limits import meter_start
from otpost.services.verifications.safe_numbers import is_safe
from otpost.services.verifications.text import default_language
from otpost.store.base import MESSAGES_DUE
from otpost.store.kinds import APPLICATIONS, MESSAGES, NUMBER_LIMITS, POLICIES, VERIFICATIONS, WINDOWS
from otpost.store.units import Rows, Unit, lock, lock_by, look


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
    locale: str | None = None,
    client_ip: str | None = None,
    variables: Mapping[str, str] | None = None,
    extras: Extras | None = None,
    rate_limits: Mapping[str, str] | None = None,
) -> Unit[Started]:
    """Begin a verification of a number, or send one more text for the pending one.

    The text is in `locale`, else in that of the start before, else in the number's own. With `extras` (their custom
    code from `sealed`) it keeps to Twilio Verify: the pending verification is the same until it expires, beside one
    whose checks are used up there is none, and another amount or payee makes a new one.
    `rate_limits` are values by the unique names of the application's own limits.

    Raises Invalid, SenderPolicyIncomplete, LimitReached, or Unavailable where the text could not leave in time.
    """
    now = context.clock()
    new_verification, new_message = context.ids(sid.VERIFICATION), context.ids(sid.MESSAGE)
    turn_in = context.queue_order.place(application, now)
    given, shaped = dict(variables or {}), extras is not None
    client = None if client_ip is None else client_network(client_ip)

    def decide(rows: Rows) -> Started:
        app = rows.look(APPLICATIONS, application)
        if app is None or not app.belongs_to(tenant):
            raise NotFound("There is no such application.")
        rules = app.rules
        app.judge_number(to)
        if extras is None or extras.body is None:
            app.judge_variables(given)
        plan = plans.plan_of(rows, tenant)
        sender = app.sender_for(to)
        route = plan.route(to, sender)
        if isinstance(route, NoRoute):
            raise invalid("to", "dialing_code_refused", route.reason)
        known = limits_of(rows, tenant, application, to.e164)
        if (refusal := known.guessing(now, rules.number_checks_per_hour)) is not None:
            raise refusal
        current = next(iter(rows.find(VERIFICATIONS, "pending", application, to.e164)), None)
        if current is not None and current.begins_anew(now, to_the_end=shaped):
            end_verification(rows, current, current.ended(min(now, current.expires_at), "expired"), now)
            current = None
        elif current is not None and extras is not None and current.binding != extras.binding:
            end_verification(rows, current, current.ended(now, "canceled"), now)
            current = None
        if current is not None and current.sends >= current.max_sends:
            raise MaxSendsReached(retry_at=current.fresh_start_at(to_the_end=shaped))
        if shaped and current is None and known.used_up is not None:
            used_up = rows.look(VERIFICATIONS, known.used_up)
            if used_up is not None and used_up.is_used_up(now):
                raise MaxSendsReached(USED_UP, retry_at=used_up.expires_at)
        try:
            windows = _take_places(rows, app, known, client, now)
        except LimitReached as reached:
            if isinstance(reached, ResendTooSoon) or not is_safe(rows, tenant, to.e164):
                raise
            windows = []
        windows += meter_start(context, rows, application, rate_limits or {}, now)
        verification = current or Verification(
            sid=new_verification,
            tenant=tenant,
            application=application,
            to=to.e164,
            status="pending",
            created_at=now,
            expires_at=now + rules.lifetime_s * 1000,
            resend_at=now,
            key_id=context.keyring.current,
            code_length=rules.code_length,
            lifetime_s=rules.lifetime_s,
            max_checks=rules.max_checks,
            max_sends=rules.max_sends,
            resend_after_s=rules.resend_after_s,
            message=new_message,
        )
        verification = msgspec.structs.replace(
            verification.sent(now, new_message),
            locale=locale or verification.locale or default_language(app, to, extras),
            variables=given,
            extras=_joined(verification.extras, extras),
        )
        wait_ms = plan.wait_ms(lambda lane: context.lanes.wait_ms(lane, application, False), route, to, sender)
        message = _message(app, verification, route, new_message, wait_ms, turn_in, now)
        rows.put(VERIFICATIONS, verification)
        rows.put(NUMBER_LIMITS, known.sent(now, verification.resend_after_s))
        rows.put(MESSAGES, message)
        for window in windows:
            rows.put(WINDOWS, window)
        rows.signal(MESSAGES_DUE)
        return Started(verification, message, current is None)

    return Unit(
        decide,
        [
            look(APPLICATIONS, application),
            look(POLICIES, tenant),
            lock_by(VERIFICATIONS, "pending", application, to.e164),
            lock(NUMBER_LIMITS, application, to.e164),
        ],
    )


def _joined(standing: Extras | None, more: Extras | None) -> Extras | None:
    """The extras of the text that is sent now; a caller's own code stays until another is brought."""
    if standing is None or standing.custom_code is None:
        return standing if more is None else more
    if more is None:
        return standing
    return msgspec.structs.replace(more, custom_code=more.custom_code or standing.custom_code)


def _take_places(rows: Rows, app: Application, known: NumberLimits, client: str | None, now: int) -> list[Window]:
    """The windows with this send in them; LimitReached where one, or the number itself, has no place for it."""
    taken = []
    if (refusal := known.sending(now, app.rules.number_sends_per_hour, app.rules.number_sends_per_day)) is not None:
        raise refusal
    if (limit := app.rules.max_sends_per_hour) is not None:
        window = rows.get(WINDOWS, "application", app.sid) or Window("application", app.sid, until=0)
        if (refusal := limits.application_sends(window, now, limit)) is not None:
            raise refusal
        taken.append(window.hit(now, HOUR_MS, limit))
    if client is not None and (limit := app.rules.max_sends_per_client_ip) is not None:
        key = f"{app.sid} {client}"
        window = rows.get(WINDOWS, "client", key) or Window("client", key, until=0)
        if (refusal := limits.client_sends(window, now, limit)) is not None:
            raise refusal
        taken.append(window.hit(now, HOUR_MS, limit))
    return taken


def _message(
    app: Application,
    verification: Verification,
    route: Route,
    message_sid: str,
    wait_ms: int,
    turn_in: Callable[[str], int],
    now: int,
) -> Message:
    segments = text.segments(app, verification, now)
    if now + wait_ms > verification.expires_at - NO_STALE_TEXT_S * 1000:
        raise Unavailable(
            "The sender service cannot take the text within the code's life; nothing was started.",
            retry_at=now + min(wait_ms, verification.lifetime_s * 1000) if wait_ms else verification.expires_at,
        )
    return queued(
        message_sid,
        app.tenant,
        app.sid,
        verification.to,
        route,
        now=now,
        valid_until=verification.expires_at,
        segments=segments,
        verification=verification.sid,
        number=verification.sends,
        turn=turn_in(lane_of(app.tenant, route)),
    )
