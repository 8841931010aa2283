"""An application: a program of the tenant that verifies people, with its texts and limits."""

from __future__ import annotations

import msgspec

from otpost.domain.errors import FieldError
from otpost.domain.text import DEFAULT_TEMPLATE

DEFAULT_NAME = "Default"
NAME_LENGTH = 64


class Rules(msgspec.Struct, frozen=True):
    """What an application may set; the ranges are in `RANGES`."""

    code_length: int = 6
    lifetime_s: int = 300
    max_checks: int = 5
    max_sends: int = 5
    resend_after_s: int = 30
    body: str = DEFAULT_TEMPLATE
    default_region: str | None = None
    allowed_dialing_codes: tuple[str, ...] = ()
    number_sends_per_hour: int = 10
    number_sends_per_day: int = 30
    number_checks_per_hour: int = 10
    max_sends_per_hour: int | None = None
    max_sends_per_client_ip: int | None = 60
    max_segments: int = 2


class Application(msgspec.Struct, frozen=True):
    sid: str
    tenant: str
    name: str
    created_at: int
    updated_at: int
    rules: Rules = Rules()


RANGES: dict[str, tuple[int, int]] = {
    "code_length": (4, 10),
    "lifetime_s": (60, 600),
    "max_checks": (1, 10),
    "max_sends": (1, 10),
    "resend_after_s": (0, 600),
    "number_sends_per_hour": (1, 1000),
    "number_sends_per_day": (1, 1000),
    "number_checks_per_hour": (1, 1000),
    "max_sends_per_hour": (1, 10_000_000),
    "max_sends_per_client_ip": (1, 1_000_000),
    "max_segments": (1, 10),
}
SHORT_CODE_LENGTH, SHORT_CODE_CHECKS = 5, 3


def out_of_range(rules: Rules) -> list[FieldError]:
    """The numbers of `rules` that lie outside their range, short codes with too many checks among them."""
    errors = []
    for field, (low, high) in RANGES.items():
        value = getattr(rules, field)
        if value is not None and not low <= value <= high:
            errors.append(FieldError(field, "out_of_range", f"{field} must be from {low} to {high}."))
    if 4 <= rules.code_length <= SHORT_CODE_LENGTH and rules.max_checks > SHORT_CODE_CHECKS:
        errors.append(
            FieldError(
                "code_length",
                "out_of_range",
                f"A code of {rules.code_length} digits is safe with at most {SHORT_CODE_CHECKS} checks: "
                f"set max_checks to {SHORT_CODE_CHECKS} or less, or code_length to 6 or more.",
            )
        )
    return errors
