"""The end of a verification: a code judged, an approval on the application's word, a cancel, an expiry."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from otpost.domain import sid
from otpost.domain.application import Application
from otpost.domain.errors import (
    MaxChecksReached,
    VerificationFinal,
    VerificationNotFound,
    invalid,
)
from otpost.domain.message import Message
from otpost.domain.verification import Binding, Verification, read_code, same
from otpost.services.context import Context
from otpost.services.paging import Tenancy
from otpost.services.verifications.number_limits import limits_of
from otpost.services.verifications.text import code_of
from otpost.services.webhooks.events import announce_change, subscriptions_of
from otpost.store.kinds import APPLICATIONS, MESSAGES, NUMBER_LIMITS, VERIFICATIONS
from otpost.store.units import Key, Query, Rows, Unit, lock, lock_by, look

UNKNOWN = "There is no verification with this SID."
USED_UP = (
    "All checks of this verification are used up. Cancel it (Status=canceled) and start a new one, or start one once "
    "it has expired."
)


class Checked(msgspec.Struct, frozen=True):
    verification: Verification
    message: Message | None
    valid: bool


class Number(NamedTuple):
    """The verification of a number in an application: the pending one, or else the one whose checks were used up."""

    application: str
    to: str


def check_code(
    context: Context, whose: Tenancy, which: str | Number, typed: str, binding: Binding | None = None
) -> Unit[Checked]:
    """Judge a code. The check is counted before codes are compared, and both share one commit.

    `which` is a verification's SID or a number; of a number the answer has no message. With a `binding` the code must
    have been sent for this amount and payee, and both are required where it was sent for one.

    Raises Invalid for what is no string of digits (which uses up no check), VerificationNotFound, LimitReached.
    """
    now = context.clock()
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
            rows.require(lock(NUMBER_LIMITS, application, to), subscriptions_of(verification.tenant), *needs)
        if verification.is_used_up(now):
            raise MaxChecksReached(
                None if binding is None else USED_UP,
                retry_at=max(now + 1000, verification.resend_at if binding is None else verification.expires_at),
            )
        app = rows.look(APPLICATIONS, application)
        if not verification.is_pending(now) or (app is not None and app.deleted_at is not None):
            raise VerificationNotFound
        known = limits_of(rows, verification.tenant, application, to)
        refusal = known.guessing(now, app.rules.number_checks_per_hour) if app else None
        if refusal is not None:
            raise refusal
        expected = code_of(context, verification)
        right = same(given if "-" in expected else given.replace("-", ""), expected)
        if binding is not None:
            right &= _bound(app, verification, binding)
        before, verification = verification, verification.checked(now, right=right)
        known = known.checked(now, right=right)
        if verification.status == "max_attempts_reached":
            known = known.uses_up(verification.sid)
        end_verification(rows, before, verification, now)
        rows.put(NUMBER_LIMITS, known)
        message = rows.look(MESSAGES, verification.message) if isinstance(which, str) else None
        return Checked(verification, message, right)

    return Unit(decide, _keys(which))


def approve_verification(context: Context, whose: Tenancy, which: str | Number) -> Unit[Verification]:
    """End a pending verification as approved, on the word of the application. Raises VerificationNotFound."""
    now = context.clock()

    def decide(rows: Rows) -> Verification:
        verification = _found(rows, which)
        if verification is None or not whose.owns(verification.tenant, verification.application):
            raise VerificationNotFound(UNKNOWN)
        if not verification.is_pending(now):
            raise VerificationNotFound(UNKNOWN)
        known = limits_of(rows, verification.tenant, verification.application, verification.to)
        before, verification = verification, verification.approved(now)
        end_verification(rows, before, verification, now)
        rows.put(NUMBER_LIMITS, known.checked(now, right=True))
        return verification

    return Unit(decide, _keys(which))


def cancel_verification(context: Context, whose: Tenancy, which: str | Number) -> Unit[Checked]:
    """End a verification that nobody waits for any more.

    Raises VerificationNotFound, or VerificationFinal where it was approved or has expired.
    """
    if isinstance(which, str) and not sid.is_sid(which, sid.VERIFICATION):
        raise VerificationNotFound(UNKNOWN)
    now = context.clock()

    def decide(rows: Rows) -> Checked:
        verification = _found(rows, which)
        if verification is None or not whose.owns(verification.tenant, verification.application):
            raise VerificationNotFound(UNKNOWN)
        rows.require(look(MESSAGES, verification.message))
        if verification.status_at(now) in ("approved", "expired"):
            raise VerificationFinal
        if verification.status != "canceled":
            before, verification = verification, verification.ended(now, "canceled")
            end_verification(rows, before, verification, now)
        return Checked(verification, rows.look(MESSAGES, verification.message), False)

    return Unit(decide, _keys(which))


def cancel_pending(context: Context, application: str) -> Unit[int]:
    """Cancel what is pending of an application that is no more; their count, at most 500 a time."""
    now = context.clock()
    query = Query(
        VERIFICATIONS,
        "status = 'pending' AND application = :application LIMIT :many",
        application=application,
        many=500,
    )

    def decide(rows: Rows) -> int:
        pending = rows.found(query)
        rows.require(*(subscriptions_of(verification.tenant) for verification in pending))
        for verification in pending:
            end_verification(rows, verification, verification.ended(now, "canceled"), now)
        return len(pending)

    return Unit(decide, query=query)


def expire_verifications(context: Context) -> Unit[int]:
    """Write down that verifications have expired; their count, at most 500 a time."""
    now = context.clock()
    query = Query(
        VERIFICATIONS,
        "status = 'pending' AND expires_at <= :now ORDER BY expires_at LIMIT :many",
        now=now,
        many=500,
    )

    def decide(rows: Rows) -> int:
        over = rows.found(query)
        rows.require(*(subscriptions_of(verification.tenant) for verification in over))
        for verification in over:
            end_verification(rows, verification, verification.ended(verification.expires_at, "expired"), now)
        return len(over)

    return Unit(decide, query=query)


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


def end_verification(rows: Rows, before: Verification, after: Verification, now: int) -> None:
    """Keep what became of a verification, and tell those who want to know."""
    rows.put(VERIFICATIONS, after)
    announce_change(rows, before, after, now)
