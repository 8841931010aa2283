"""An application: a program of the tenant that verifies people, with its texts and limits."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from otpost.domain.errors import FieldError, Invalid, invalid
from otpost.domain.phone import PhoneNumber
from otpost.domain.policy import EVERY_COUNTRY, CountrySender
from otpost.domain.text import DEFAULT_TEMPLATE, variables_needed

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
    allowed_regions: tuple[str, ...] = ()
    number_sends_per_hour: int = 10
    number_sends_per_day: int = 30
    number_checks_per_hour: int = 10
    max_sends_per_hour: int | None = None
    max_sends_per_client_ip: int | None = 60
    max_segments: int = 2


class MessagingConfiguration(msgspec.Struct, frozen=True):
    """The Messaging Service of Twilio's main account by which an application texts the numbers of a country."""

    service_sid: str
    created_at: int
    updated_at: int


class Features(msgspec.Struct, frozen=True, omit_defaults=True):
    """What Twilio calls a Service knows beyond our rules, and what the Twilio-shaped API alone sets.

    `other` are settings of channels that Otpost does not have, kept as they were sent and answered again. `messaging`
    is by country (`CA`), or under `all` for every other.
    """

    lookup: bool = False
    skip_landlines: bool = False
    dtmf_input_required: bool = True
    tts_name: str | None = None
    psd2: bool = False
    do_not_share_warning: bool = False
    custom_code: bool = False
    template: str | None = None
    event_subscription: bool = False
    other: dict[str, str | int | bool] = {}
    messaging: dict[str, MessagingConfiguration] = {}


class Application(msgspec.Struct, frozen=True):
    """From `deleted_at` on it is there no more, but for what it did before."""

    sid: str
    tenant: str
    name: str
    created_at: int
    updated_at: int
    rules: Rules = Rules()
    features: Features = Features()
    deleted_at: int | None = None

    def belongs_to(self, tenant: str) -> bool:
        """Whether it is there for this tenant."""
        return self.tenant == tenant and self.deleted_at is None

    def number_refusal(self, to: PhoneNumber) -> Invalid | None:
        """Why a number may not be texted: it lies outside of the allowed dialing codes, or of the allowed regions."""
        codes, regions = self.rules.allowed_dialing_codes, self.rules.allowed_regions
        if codes and not to.e164.startswith(codes):
            message = f"This application sends only to numbers that begin with {', '.join(codes)}."
            return invalid("to", "dialing_code_refused", message)
        if regions and to.region not in regions:
            message = f"This application sends only to numbers of the regions {', '.join(regions)}."
            return invalid("to", "region_refused", message)
        return None

    def variables_refusal(self, given: Mapping[str, str]) -> Invalid | None:
        """Why a text cannot be said: it needs variables that nobody gave."""
        lacking = sorted(name for name in variables_needed(self.rules.body) if not given.get(name))
        if not lacking:
            return None
        return Invalid(
            "The application's text needs more variables than were given.",
            errors=tuple(
                FieldError(f"variables.{name}", "variable_missing", f"The application's text needs {{{name}}}.")
                for name in lacking
            ),
        )

    def sender_for(self, to: PhoneNumber) -> CountrySender | None:
        """What its verifications ask of the main account for the number's country; None where it leaves it to that."""
        known = self.features.messaging
        if not known:
            return None
        country = region if (region := to.region) in known else EVERY_COUNTRY
        chosen = known.get(country)
        return None if chosen is None else CountrySender(country, chosen.service_sid)


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
