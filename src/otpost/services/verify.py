"""Verifications: start, resend, check and cancel, with the limits that hold against guessing and pumping."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from otpost.domain import limits, sid
from otpost.domain.access import Actor, AuditLine
from otpost.domain.application import Application
from otpost.domain.errors import (
    LimitReached,
    MaxChecksReached,
    MaxSendsReached,
    NotFound,
    ResendTooSoon,
    Unavailable,
    VerificationFinal,
    VerificationNotFound,
    invalid,
)
from otpost.domain.limits import HOUR_MS, NumberLimits, Window, client_network
from otpost.domain.message import NO_STALE_TEXT_S, Message, queued
from otpost.domain.phone import PhoneNumber, trusted
from otpost.domain.policy import NoRoute, Route, lane_of
from otpost.domain.verification import Binding, Extras, Verification, read_code, same
from otpost.services import webhooks, wording
from otpost.services.house import House
from otpost.services.policy.plan import plan_of
from otpost.services.twilio.rate_limits import meter
from otpost.services.twilio.safe_list import is_safe
from otpost.store.base import MESSAGES_DUE
from otpost.store.kinds import APPLICATIONS, AUDIT, MESSAGES, NUMBER_LIMITS, POLICIES, VERIFICATIONS, WINDOWS
from otpost.store.units import Key, Query, Rows, Unit, lock, lock_by, look

UNKNOWN = "There is no verification with this SID."
USED_UP = (
    "All checks of this verification are used up. Cancel it (Status=canceled) and start a new one, or start one once "
    "it has expired."
)


class Started(msgspec.Struct, frozen=True):
    """A verification after a start; `created` is False where the start was one more text of a pending one."""

    verification: Verification
    message: Message
    created: bool


class Checked(msgspec.Struct, frozen=True):
    verification: Verification
    message: Message | None
    valid: bool


class Number(NamedTuple):
    """The verification of a number in an application: the pending one, or else the one whose checks were used up."""

    application: str
    to: str


class Whose(msgspec.Struct, frozen=True):
    """Whose rows a caller may touch: those of a tenant, or of one of its applications."""

    tenant: str
    application: str | None = None

    def owns(self, tenant: str, application: str) -> bool:
        return tenant == self.tenant and self.application in (None, application)


def start(
    house: House,
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
    now = house.clock()
    new_verification, new_message = house.sid(sid.VERIFICATION), house.sid(sid.MESSAGE)
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
        plan = plan_of(house, rows, tenant)
        sender = app.sender_for(to)
        route = plan.route(to, sender)
        if isinstance(route, NoRoute):
            raise invalid("to", "dialing_code_refused", route.reason)
        known = _limits(rows, tenant, application, to.e164)
        if (refusal := known.guessing(now, rules.number_checks_per_hour)) is not None:
            raise refusal
        current = next(iter(rows.find(VERIFICATIONS, "pending", application, to.e164)), None)
        if current is not None and current.begins_anew(now, to_the_end=shaped):
            _end(rows, current, current.ended(min(now, current.expires_at), "expired"), now)
            current = None
        elif current is not None and extras is not None and current.binding != extras.binding:
            _end(rows, current, current.ended(now, "canceled"), now)
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
        windows += meter(house, rows, application, rate_limits or {}, now)
        verification = current or Verification(
            sid=new_verification,
            tenant=tenant,
            application=application,
            to=to.e164,
            status="pending",
            created_at=now,
            expires_at=now + rules.lifetime_s * 1000,
            resend_at=now,
            key_id=house.ring.current,
            code_length=rules.code_length,
            lifetime_s=rules.lifetime_s,
            max_checks=rules.max_checks,
            max_sends=rules.max_sends,
            resend_after_s=rules.resend_after_s,
            message=new_message,
        )
        verification = msgspec.structs.replace(
            verification.sent(now, new_message),
            locale=locale or verification.locale or wording.default_language(app, to, extras),
            variables=given,
            extras=_joined(verification.extras, extras),
        )
        wait_ms = plan.wait_ms(lambda lane: house.lane_wait_ms(lane, application, False), route, to, sender)
        message = _message(house, app, verification, route, new_message, wait_ms, now)
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


def check(house: House, whose: Whose, which: str | Number, typed: str, binding: Binding | None = None) -> Unit[Checked]:
    """Judge a code. The check is counted before codes are compared, and both share one commit.

    `which` is a verification's SID or a number; of a number the answer has no message. With a `binding` the code must
    have been sent for this amount and payee, and both are required where it was sent for one.

    Raises Invalid for what is no string of digits (which uses up no check), VerificationNotFound, LimitReached.
    """
    now = house.clock()
    if isinstance(which, str) and not sid.is_sid(which, sid.VERIFICATION):
        _read(typed, None)
        raise VerificationNotFound

    def decide(rows: Rows) -> Checked:
        verification = _found(rows, which)
        mine = verification is not None and whose.owns(verification.tenant, verification.application)
        given = _read(typed, verification if mine else None)
        if verification is None or not mine:
            raise VerificationNotFound
        application, to = verification.application, verification.to
        if isinstance(which, str):
            needs = look(APPLICATIONS, application), look(MESSAGES, verification.message)
            rows.require(lock(NUMBER_LIMITS, application, to), webhooks.subscribed(verification.tenant), *needs)
        if verification.is_used_up(now):
            raise MaxChecksReached(
                None if binding is None else USED_UP,
                retry_at=max(now + 1000, verification.resend_at if binding is None else verification.expires_at),
            )
        app = rows.look(APPLICATIONS, application)
        if not verification.is_pending(now) or (app is not None and app.deleted_at is not None):
            raise VerificationNotFound
        known = _limits(rows, verification.tenant, application, to)
        refusal = known.guessing(now, app.rules.number_checks_per_hour) if app else None
        if refusal is not None:
            raise refusal
        expected = wording.code_of(house, verification)
        right = same(given if "-" in expected else given.replace("-", ""), expected)
        if binding is not None:
            right &= _bound(app, verification, binding)
        before, verification = verification, verification.checked(now, right=right)
        known = known.checked(now, right=right)
        if verification.status == "max_attempts_reached":
            known = known.uses_up(verification.sid)
        _end(rows, before, verification, now)
        rows.put(NUMBER_LIMITS, known)
        message = rows.look(MESSAGES, verification.message) if isinstance(which, str) else None
        return Checked(verification, message, right)

    return Unit(decide, _keys(which))


def approve(house: House, whose: Whose, which: str | Number) -> Unit[Verification]:
    """End a pending verification as approved, on the word of the application. Raises VerificationNotFound."""
    now = house.clock()

    def decide(rows: Rows) -> Verification:
        verification = _found(rows, which)
        if verification is None or not whose.owns(verification.tenant, verification.application):
            raise VerificationNotFound(UNKNOWN)
        if not verification.is_pending(now):
            raise VerificationNotFound(UNKNOWN)
        known = _limits(rows, verification.tenant, verification.application, verification.to)
        before, verification = verification, verification.approved(now)
        _end(rows, before, verification, now)
        rows.put(NUMBER_LIMITS, known.checked(now, right=True))
        return verification

    return Unit(decide, _keys(which))


def cancel(house: House, whose: Whose, which: str | Number) -> Unit[Checked]:
    """End a verification that nobody waits for any more.

    Raises VerificationNotFound, or VerificationFinal where it was approved or has expired.
    """
    if isinstance(which, str) and not sid.is_sid(which, sid.VERIFICATION):
        raise VerificationNotFound(UNKNOWN)
    now = house.clock()

    def decide(rows: Rows) -> Checked:
        verification = _found(rows, which)
        if verification is None or not whose.owns(verification.tenant, verification.application):
            raise VerificationNotFound(UNKNOWN)
        rows.require(look(MESSAGES, verification.message))
        if verification.status_at(now) in ("approved", "expired"):
            raise VerificationFinal
        if verification.status != "canceled":
            before, verification = verification, verification.ended(now, "canceled")
            _end(rows, before, verification, now)
        return Checked(verification, rows.look(MESSAGES, verification.message), False)

    return Unit(decide, _keys(which))


def cancel_all(house: House, application: str) -> Unit[int]:
    """Cancel what is pending of an application that is no more; their count, at most 500 a time."""
    now = house.clock()
    query = Query(
        VERIFICATIONS,
        "status = 'pending' AND application = :application LIMIT :many",
        application=application,
        many=500,
    )

    def decide(rows: Rows) -> int:
        pending = rows.found(query)
        rows.require(*(webhooks.subscribed(verification.tenant) for verification in pending))
        for verification in pending:
            _end(rows, verification, verification.ended(now, "canceled"), now)
        return len(pending)

    return Unit(decide, query=query)


def expire(house: House) -> Unit[int]:
    """Write down that verifications have expired; their count, at most 500 a time."""
    now = house.clock()
    query = Query(
        VERIFICATIONS,
        "status = 'pending' AND expires_at <= :now ORDER BY expires_at LIMIT :many",
        now=now,
        many=500,
    )

    def decide(rows: Rows) -> int:
        over = rows.found(query)
        rows.require(*(webhooks.subscribed(verification.tenant) for verification in over))
        for verification in over:
            _end(rows, verification, verification.ended(verification.expires_at, "expired"), now)
        return len(over)

    return Unit(decide, query=query)


def unlock(house: House, actor: Actor, to: str) -> Unit[int]:
    """Lift the lock of a number in all of the tenant's applications; the count of locks lifted.

    Raises NotFound where the number is not locked.
    """
    now, line = house.clock(), house.sid("AU")

    def decide(rows: Rows) -> int:
        locked = [row for row in rows.find(NUMBER_LIMITS, "number", actor.tenant, to) if row.locked_at is not None]
        if not locked:
            raise NotFound("This number is not locked.")
        for row in locked:
            rows.put(NUMBER_LIMITS, row.unlocked())
        rows.put(
            AUDIT, AuditLine(line, actor.tenant, now, actor.name, "number unlocked", trusted(to).masked, actor.client)
        )
        return len(locked)

    return Unit(decide, [lock_by(NUMBER_LIMITS, "number", actor.tenant, to)])


def rendered(house: House, app: Application, verification: Verification, number: int, now: int) -> str:
    """The text with the code in it, as it is sent now; never kept anywhere."""
    return wording.text(app, verification, number, now, wording.code_of(house, verification))


def _keys(which: str | Number) -> list[Key]:
    """What `_found` reads first."""
    if isinstance(which, str):
        return [lock(VERIFICATIONS, which)]
    return [
        lock_by(VERIFICATIONS, "pending", *which),
        lock(NUMBER_LIMITS, *which),
        look(APPLICATIONS, which.application),
    ]


def _found(rows: Rows, which: str | Number) -> Verification | None:
    if isinstance(which, str):
        return rows.get(VERIFICATIONS, which)
    pending = next(iter(rows.find(VERIFICATIONS, "pending", *which)), None)
    if pending is not None:
        return pending
    known = rows.get(NUMBER_LIMITS, *which)
    return None if known is None or known.used_up is None else rows.get(VERIFICATIONS, known.used_up)


def _read(typed: str, verification: Verification | None) -> str:
    """What was typed as a code, or Invalid; a caller's own code may have letters."""
    extras = None if verification is None else verification.extras
    code = read_code(typed, letters=extras is not None and extras.custom_code is not None)
    if code is None:
        raise invalid("code", "invalid", "The code is a string of digits; send what the recipient typed.")
    return code


def _bound(app: Application | None, verification: Verification, binding: Binding) -> bool:
    """Whether the code is for this amount and payee; Invalid where they are required and one lacks."""
    required = verification.binding != (None, None) or (app is not None and app.features.psd2)
    if required and None in binding:
        raise invalid("Amount", "amount_and_payee_required", "The code was sent for an amount and a payee: name both.")
    return not required or binding == verification.binding


def _joined(standing: Extras | None, more: Extras | None) -> Extras | None:
    """The extras of the text that is sent now; a caller's own code stays until another is brought."""
    if standing is None or standing.custom_code is None:
        return standing if more is None else more
    if more is None:
        return standing
    return msgspec.structs.replace(more, custom_code=more.custom_code or standing.custom_code)


def _end(rows: Rows, before: Verification, after: Verification, now: int) -> None:
    """Keep what became of a verification, and tell those who want to know."""
    rows.put(VERIFICATIONS, after)
    webhooks.told(rows, before, after, now)


def _limits(rows: Rows, tenant: str, application: str, to: str) -> NumberLimits:
    return rows.get(NUMBER_LIMITS, application, to) or NumberLimits(application, to, tenant, until=0)


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
    house: House,
    app: Application,
    verification: Verification,
    route: Route,
    message_sid: str,
    wait_ms: int,
    now: int,
) -> Message:
    segments = wording.segments(app, verification, now)
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
        turn=house.turns.take(lane_of(app.tenant, route), app.sid, now),
    )
