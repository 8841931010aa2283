"""Our refusals: few, named, each with its sentence and a stable code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import msgspec


class FieldError(msgspec.Struct, frozen=True):
    """One mistake in what was sent: where (`twilio.subaccounts[1].account_sid`), which rule, what to do."""

    field: str
    code: str
    message: str


class Refusal(Exception):
    """Otpost will not do this; `code` is stable, `detail` is for people.

    `retry_at` (milliseconds since the epoch) is when the same request may succeed.
    """

    code: ClassVar[str] = "invalid"

    def __init__(
        self,
        detail: str | None = None,
        *,
        retry_at: int | None = None,
        errors: tuple[FieldError, ...] = (),
    ) -> None:
        self.detail = detail or (type(self).__doc__ or "").strip()
        self.retry_at = retry_at
        self.errors = errors
        super().__init__(self.detail)


class LimitReached(Refusal):
    """A limit was reached; the same request may succeed later."""


class Malformed(Refusal):
    """The request is not well-formed."""

    code = "malformed"


class Unauthenticated(Refusal):
    """The key is missing, unknown or revoked. Send it as Basic `SK…:secret` or `Bearer SK….secret`."""

    code = "unauthenticated"


class ScopeMissing(Refusal):
    """This key's scope does not cover the call; use a key with scope `admin`."""

    code = "scope_missing"


class NotFound(Refusal):
    """There is nothing at this address."""

    code = "not_found"


class VerificationNotFound(Refusal):
    """No pending verification with this SID: it never was, has expired, was canceled or approved."""

    code = "verification_not_found"


class VerificationFinal(Refusal):
    """The verification has ended and cannot change any more."""

    code = "verification_final"


class RevisionConflict(Refusal):
    """The sender policy was changed meanwhile; read it again and repeat your change."""

    code = "revision_conflict"


class SenderPolicyIncomplete(Refusal):
    """No sender service is ready; choose one and fill in its settings in the sender policy."""

    code = "sender_policy_incomplete"


class Invalid(Refusal):
    """Something that was sent breaks a rule; `errors` names each field, the rule and what to do."""

    code = "invalid"


class IdempotencyKeyReused(Refusal):
    """This Idempotency-Key was used with another body; use a new key for a new request."""

    code = "idempotency_key_reused"


class Unavailable(Refusal):
    """Otpost cannot do this right now and has kept nothing of it; try again."""

    code = "unavailable"


class ResendTooSoon(LimitReached):
    """A text was sent to this number a moment ago; wait before the next."""

    code = "resend_too_soon"


class MaxSendsReached(LimitReached):
    """This verification has sent all the texts that it may."""

    code = "max_sends_reached"


class MaxChecksReached(LimitReached):
    """All checks of this verification are used up; start a new one."""

    code = "max_checks_reached"


class NumberSendsReached(LimitReached):
    """This number has had all the texts that it may have for now."""

    code = "number_sends_reached"


class NumberChecksReached(LimitReached):
    """Too many wrong codes were tried for this number within the hour."""

    code = "number_checks_reached"


class NumberLocked(LimitReached):
    """Too many wrong codes in a row: the number is locked until an administrator lifts the lock."""

    code = "number_locked"


class ApplicationSendsReached(LimitReached):
    """The application has sent all the texts that it may send within the hour."""

    code = "application_sends_reached"


class ClientSendsReached(LimitReached):
    """This client address has asked for all the texts that it may within the hour."""

    code = "client_sends_reached"


class TestsReached(LimitReached):
    """The sender policy was tested ten times within the last minute; wait before the next test."""

    code = "tests_reached"


def invalid(field: str, code: str, message: str) -> Invalid:
    """One wrong field as a refusal."""
    return Invalid(message, errors=(FieldError(field, code, message),))


def refusal(wrong: Sequence[FieldError]) -> Invalid:
    """All wrong fields in one refusal; `wrong` is not empty."""
    if len(wrong) == 1:
        return Invalid(wrong[0].message, errors=tuple(wrong))
    named = ", ".join(error.field for error in wrong)
    return Invalid(f"{len(wrong)} fields are wrong: {named}.", errors=tuple(wrong))
