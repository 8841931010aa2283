"""Which HTTP status each of our refusals has, and what it looks like over the wire."""

from __future__ import annotations

import re

import msgspec

from otpost.domain import errors
from otpost.domain.errors import FieldError, LimitReached, Refusal, VerificationNotFound
from otpost.domain.moments import format_moment

STATUS: dict[str, int] = {
    "malformed": 400,
    "unauthenticated": 401,
    "scope_missing": 403,
    "not_proven": 403,
    "not_found": 404,
    "verification_not_found": 404,
    "method_not_allowed": 405,
    "revision_conflict": 409,
    "sender_policy_incomplete": 409,
    "verification_final": 409,
    "too_slow": 408,
    "too_large": 413,
    "address_too_long": 414,
    "head_too_large": 431,
    "unsupported_media_type": 415,
    "invalid": 422,
    "idempotency_key_reused": 422,
    "unavailable": 503,
    "internal": 500,
}

RETRY_UNAVAILABLE_S = 1


class Problem(msgspec.Struct, omit_defaults=True):
    """What went wrong (RFC 9457): `code` is stable, `detail` is for people, `errors` name the fields at fault.

    `request_id` is the answer's `X-Request-Id`, by which the request is found in the log.
    """

    type: str
    title: str
    status: int
    code: str
    detail: str
    retry_at: str | None = None
    errors: list[FieldError] | None = None
    request_id: str | None = None


class TooLarge(Refusal):
    """The body is larger than 64 KiB."""

    code = "too_large"


class AddressTooLong(Refusal):
    """The address is longer than 16 KiB."""

    code = "address_too_long"


class HeadTooLarge(Refusal):
    """The request's headers are larger than Otpost takes: 16 KiB each, 100 of them, 64 KiB in all."""

    code = "head_too_large"


class TooSlow(Refusal):
    """The request did not come in time."""

    code = "too_slow"


class UnsupportedMediaType(Refusal):
    """Send the body as JSON, with `Content-Type: application/json`."""

    code = "unsupported_media_type"


class MethodNotAllowed(Refusal):
    """This address does not take this method."""

    code = "method_not_allowed"


class NotProven(Refusal):
    """The signature does not prove that this comes from the account that sent the message."""

    code = "not_proven"


class Internal(Refusal):
    """Something broke inside Otpost. It is in the log; what was not answered was not kept."""

    code = "internal"


REFUSED = 422
"""A refusal whose code is not in the table says of what was sent that it will not be done."""


def status_of(refusal: Refusal) -> int:
    return 429 if isinstance(refusal, LimitReached) else STATUS.get(refusal.code, REFUSED)


def title_of(kind: type[Refusal]) -> str:
    """The first words of a refusal's own sentence, which is its docstring."""
    return re.split(r"[.;:]", kind.__doc__ or "", maxsplit=1)[0].strip()


ALIKE = VerificationNotFound.code
"""A check of what is not there and of what is not the caller's are answered byte for byte alike, without an id."""


def problem(refusal: Refusal, request_id: str | None = None) -> Problem:
    return Problem(
        type=f"urn:otpost:problem:{refusal.code}",
        title=title_of(type(refusal)),
        status=status_of(refusal),
        code=refusal.code,
        detail=refusal.detail,
        retry_at=None if refusal.retry_at is None else format_moment(refusal.retry_at),
        errors=list(refusal.errors) or None,
        request_id=None if refusal.code == ALIKE else request_id,
    )


def retry_after_s(refusal: Refusal, now: int) -> int | None:
    """For the `Retry-After` header: whole seconds, at least one."""
    if refusal.retry_at is not None:
        return max(1, -((now - refusal.retry_at) // 1000))
    return RETRY_UNAVAILABLE_S if isinstance(refusal, errors.Unavailable) else None
