"""Verifications: start, resend, check and cancel, with the limits that hold against guessing and pumping."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

import msgspec

from otpost.domain import limits, sid, text
from otpost.domain.access import Actor, AuditLine
from otpost.domain.application import Application
from otpost.domain.code import read_code, same
from otpost.domain.errors import (
    FieldError,
    Invalid,
    MaxChecksReached,
    MaxSendsReached,
    NotFound,
    Unavailable,
    VerificationFinal,
    VerificationNotFound,
    invalid,
)
from otpost.domain.limits import HOUR_MS, NumberLimits, Window
from otpost.domain.message import NO_STALE_TEXT_S, Message, queued
from otpost.domain.phone import PhoneNumber, trusted
from otpost.domain.routing import NoRoute, Route
from otpost.domain.verification import Verification
from otpost.services.house import House
from otpost.services.plan import plan_of
from otpost.store.base import MESSAGES_DUE
from otpost.store.kinds import APPLICATIONS, AUDIT, MESSAGES, NUMBER_LIMITS, POLICIES, VERIFICATIONS, WINDOWS
from otpost.store.units import Query, Rows, Unit, lock, lock_by, look

UNKNOWN = "There is no verification with this SID."


class Started(msgspec.Struct, frozen=True):
    """A verification after a start; `created` is False where the start was one more text of a pending one."""

    verification: Verification
    message: Message
    created: bool


class Checked(msgspec.Struct, frozen=True):
    verification: Verification
    message: Message | None
    valid: bool


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
) -> Unit[Started]:
    """Begin a verification of a number, or send one more text for the pending one.

    Raises Invalid, SenderPolicyIncomplete, LimitReached, or Unavailable where the text could not leave in time.
    """
    now = house.clock()
    new_verification, new_message = house.sid(sid.VERIFICATION), house.sid(sid.MESSAGE)
    given = dict(variables or {})
    client = None if client_ip is None else client_network(client_ip)

    def decide(rows: Rows) -> Started:
        app = rows.look(APPLICATIONS, application)
        if app is None or app.tenant != tenant:
            raise NotFound("There is no such application.")
        rules = app.rules
        _judge_number(app, to)
        _judge_variables(app, given)
        plan = plan_of(house, rows, tenant)
        route = plan.route(to)
        if isinstance(route, NoRoute):
            raise invalid("to", "dialing_code_refused", route.reason)
        known = _limits(rows, tenant, application, to.e164)
        if (refusal := known.guessing(now, rules.number_checks_per_hour)) is not None:
            raise refusal
        current = next(iter(rows.find(VERIFICATIONS, "pending", application, to.e164)), None)
        if current is not None and current.begins_anew(now):
            rows.put(VERIFICATIONS, current.ended(min(now, current.expires_at), "expired"))
            current = None
        if current is not None and current.sends >= current.max_sends:
            raise MaxSendsReached(retry_at=current.fresh_start_at())
        if (refusal := known.sending(now, rules.number_sends_per_hour, rules.number_sends_per_day)) is not None:
            raise refusal
        windows = _take_places(rows, app, client, now)
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
            verification.sent(now, new_message), locale=locale or verification.locale, variables=given
        )
        message = _message(house, app, verification, route, new_message, now)
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


def check(house: House, whose: Whose, verification_sid: str, typed: str) -> Unit[Checked]:
    """Judge a code. The check is counted before codes are compared, and both share one commit.

    Raises Invalid for what is no string of digits (which uses up no check), VerificationNotFound, LimitReached.
    """
    now = house.clock()
    code = read_code(typed)
    if code is None:
        raise invalid("code", "invalid", "The code is a string of digits; send what the recipient typed.")
    if not sid.is_sid(verification_sid, sid.VERIFICATION):
        raise VerificationNotFound
    given = code

    def decide(rows: Rows) -> Checked:
        verification = rows.get(VERIFICATIONS, verification_sid)
        if verification is None or not whose.owns(verification.tenant, verification.application):
            raise VerificationNotFound
        application, to = verification.application, verification.to
        rows.require(
            lock(NUMBER_LIMITS, application, to), look(APPLICATIONS, application), look(MESSAGES, verification.message)
        )
        if verification.status == "max_attempts_reached" and now < verification.expires_at:
            raise MaxChecksReached(retry_at=max(now + 1000, verification.resend_at))
        if not verification.is_pending(now):
            raise VerificationNotFound
        app = rows.look(APPLICATIONS, application)
        known = _limits(rows, verification.tenant, application, to)
        refusal = known.guessing(now, app.rules.number_checks_per_hour) if app else None
        if refusal is not None:
            raise refusal
        expected = house.ring.code(verification.sid, verification.key_id, verification.code_length)
        right = same(given, expected)
        verification = verification.checked(now, right=right)
        rows.put(VERIFICATIONS, verification)
        rows.put(NUMBER_LIMITS, known.checked(now, right=right))
        return Checked(verification, rows.look(MESSAGES, verification.message), right)

    return Unit(decide, [lock(VERIFICATIONS, verification_sid)])


def cancel(house: House, whose: Whose, verification_sid: str) -> Unit[Checked]:
    """End a verification that nobody waits for any more.

    Raises VerificationNotFound, or VerificationFinal where it was approved or has expired.
    """
    if not sid.is_sid(verification_sid, sid.VERIFICATION):
        raise VerificationNotFound(UNKNOWN)
    now = house.clock()

    def decide(rows: Rows) -> Checked:
        verification = rows.get(VERIFICATIONS, verification_sid)
        if verification is None or not whose.owns(verification.tenant, verification.application):
            raise VerificationNotFound(UNKNOWN)
        rows.require(look(MESSAGES, verification.message))
        if verification.status_at(now) in ("approved", "expired"):
            raise VerificationFinal
        if verification.status != "canceled":
            verification = verification.ended(now, "canceled")
            rows.put(VERIFICATIONS, verification)
        return Checked(verification, rows.look(MESSAGES, verification.message), False)

    return Unit(decide, [lock(VERIFICATIONS, verification_sid)])


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
        for verification in over:
            rows.put(VERIFICATIONS, verification.ended(verification.expires_at, "expired"))
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
        rows.put(AUDIT, AuditLine(line, actor.tenant, now, actor.name, "number unlocked", trusted(to).masked))
        return len(locked)

    return Unit(decide, [lock_by(NUMBER_LIMITS, "number", actor.tenant, to)])


def rendered(house: House, app: Application, verification: Verification, number: int, now: int) -> str:
    """The text with the code in it, as it is sent now; never kept anywhere."""
    code = house.ring.code(verification.sid, verification.key_id, verification.code_length)
    return _text(app, verification, number, now, code)


def client_network(address: str) -> str:
    """What counts as one client: an IPv4 address, or an IPv6 network of 64 bits. Invalid for anything else."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        raise invalid("client_ip", "invalid", "client_ip must be the IP address of the recipient's client.") from None
    if isinstance(ip, ipaddress.IPv6Address):
        mapped = ip.ipv4_mapped
        return str(mapped) if mapped else str(ipaddress.IPv6Network((int(ip), 64), strict=False))
    return str(ip)


def _judge_number(app: Application, to: PhoneNumber) -> None:
    allowed = app.rules.allowed_dialing_codes
    if allowed and not any(to.e164.startswith(dialing_code) for dialing_code in allowed):
        raise invalid(
            "to",
            "dialing_code_refused",
            f"This application sends only to numbers that begin with {', '.join(allowed)}.",
        )


def _judge_variables(app: Application, given: Mapping[str, str]) -> None:
    lacking = sorted(name for name in text.variables_needed(app.rules.body) if not given.get(name))
    if lacking:
        raise Invalid(
            "The application's text needs more variables than were given.",
            errors=tuple(
                FieldError(f"variables.{name}", "variable_missing", f"The application's text needs {{{name}}}.")
                for name in lacking
            ),
        )


def _limits(rows: Rows, tenant: str, application: str, to: str) -> NumberLimits:
    return rows.get(NUMBER_LIMITS, application, to) or NumberLimits(application, to, tenant, until=0)


def _take_places(rows: Rows, app: Application, client: str | None, now: int) -> list[Window]:
    taken = []
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
    house: House, app: Application, verification: Verification, route: Route, message_sid: str, now: int
) -> Message:
    longest = _text(app, verification, verification.sends, now, "0" * verification.code_length)
    segments = text.segments(longest).count
    if segments > app.rules.max_segments:
        raise invalid(
            "variables" if verification.variables else "application",
            "text_too_long",
            f"The text would be billed as {segments} segments; the application allows {app.rules.max_segments}. "
            "Shorten its body or the variables, or raise max_segments.",
        )
    wait_ms = house.lane_wait_ms(route.lane)
    if now + wait_ms > verification.expires_at - NO_STALE_TEXT_S * 1000:
        raise Unavailable(
            "The sender service cannot take the text within the code's life; nothing was started.",
            retry_at=now + min(wait_ms, verification.lifetime_s * 1000),
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
    )


def _text(app: Application, verification: Verification, number: int, now: int, code: str) -> str:
    minutes_left = -((now - verification.expires_at) // 60_000)
    return text.render(
        app.rules.body,
        {
            "user": "",
            "endpoint": "",
            "event": "",
            **verification.variables,
            "otp": code,
            "application": app.name,
            "number": str(number),
            "minutes": str(max(1, minutes_left)),
        },
    )
