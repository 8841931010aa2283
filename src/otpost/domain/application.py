"""An application: a program of the tenant that verifies people, with its texts and limits."""

from __future__ import annotations

from collections.abc import Mapping
from types import NoneType
from typing import Annotated, Any, Final, Literal, get_args

import msgspec

from otpost.domain.errors import FieldError, Invalid, invalid
from otpost.domain.phone import PhoneNumber
from otpost.domain.policy import EVERY_COUNTRY, CountrySender
from otpost.domain.text import DEFAULT_TEMPLATE, PLACEHOLDERS, variables_needed

DEFAULT_NAME = "Default"
NAME_LENGTH = 64


Kind = Literal["number", "text", "region", "dialing_codes", "regions"]


class Setting(msgspec.Struct, frozen=True):
    """One setting of an application: body, answer, form, reference page and OpenAPI are made from it.

    `group` is its part of the form; `note` is what only the reference page says, in Markdown. A number lies from `low`
    to `high`; an `optional` setting may be left empty.
    """

    label: str
    help: str
    group: str
    kind: Kind
    low: int
    high: int
    note: str
    name: str = ""
    default: Any = None
    optional: bool = False

    @property
    def range(self) -> str:
        return f"{self.low} to {self.high}" if self.kind == "number" else ""


def setting(
    label: str, help: str = "", *, group: str = "", kind: Kind = "number", low: int = 0, high: int = 0, note: str = ""
) -> msgspec.Meta:
    """Declare a field of `Rules`; the arguments are those of `Setting`."""
    return msgspec.Meta(
        title=label,
        description=help or None,
        extra_json_schema={"minimum": low, "maximum": high} if kind == "number" else None,
        extra={"setting": Setting(label, help, group, kind, low, high, note)},
    )


TEXT: Final = "Name and text"
CODE: Final = "Code"
LIMITS: Final = "Limits"


class Rules(msgspec.Struct, frozen=True):
    """What an application may set, each declared once."""

    code_length: Annotated[
        int,
        setting("Code length", "Digits of a code; 4 and 5 only with at most 3 checks.", group=CODE, low=4, high=10),
    ] = 6
    lifetime_s: Annotated[
        int, setting("Lifetime in seconds", "How long a code can be checked.", group=CODE, low=60, high=600)
    ] = 300
    max_checks: Annotated[
        int, setting("Checks", "How many codes one verification looks at.", group=CODE, low=1, high=10)
    ] = 5
    max_sends: Annotated[
        int, setting("Texts", "How many texts one verification sends.", group=CODE, low=1, high=10)
    ] = 5
    resend_after_s: Annotated[
        int,
        setting(
            "Pause before a resend in seconds",
            "The cooldown of a number. An approval ends it.",
            group=CODE,
            low=0,
            high=600,
        ),
    ] = 30
    body: Annotated[
        str,
        setting(
            "Text",
            f"Placeholders: {', '.join(f'{{{name}}}' for name in sorted(PLACEHOLDERS))}. The code goes where {{otp}} "
            "stands, best at the beginning, so that phones offer to fill it in.",
            group=TEXT,
            kind="text",
            note="At most 1600 characters, and with the longest code and variables at most `max_segments`: judged when "
            "it is saved. `{otp}` must be in it. `{number}` is which text of this verification it is, `{minutes}` what "
            "is left, rounded up.",
        ),
    ] = DEFAULT_TEMPLATE
    default_region: Annotated[
        str | None,
        setting(
            "Default region",
            "Two letters, as in IN: how numbers without a dialing code are read.",
            group=TEXT,
            kind="region",
        ),
    ] = None
    allowed_dialing_codes: Annotated[
        tuple[str, ...],
        setting(
            "Allowed dialing codes",
            "Numbers must begin with one of them, as in +91 +1876. Empty: all.",
            group=TEXT,
            kind="dialing_codes",
            note="Others are refused as `dialing_code_refused`.",
        ),
    ] = ()
    allowed_regions: Annotated[
        tuple[str, ...],
        setting(
            "Allowed regions",
            "Two letters, as in US PR: regions that share a dialing code are told apart. Empty: all.",
            group=TEXT,
            kind="regions",
            note="Numbers of others are refused as `region_refused`. Where both lists are set, a number has to pass "
            "both; a region that `allowed_dialing_codes` leaves no number is refused when it is saved, and so is one "
            "whose numbers cannot be told from another's (`IM`: give `GB`).",
        ),
    ] = ()
    number_sends_per_hour: Annotated[int, setting("Texts to one number in an hour", group=LIMITS, low=1, high=1000)] = (
        10
    )
    number_sends_per_day: Annotated[int, setting("Texts to one number in a day", group=LIMITS, low=1, high=1000)] = 30
    number_checks_per_hour: Annotated[
        int, setting("Wrong checks of one number in an hour", group=LIMITS, low=1, high=1000)
    ] = 10
    max_sends_per_hour: Annotated[
        int | None,
        setting(
            "Texts of the whole application in an hour",
            "Empty: no limit.",
            note="Empty is `null` in JSON.",
            group=LIMITS,
            low=1,
            high=10_000_000,
        ),
    ] = None
    max_sends_per_client_ip: Annotated[
        int | None,
        setting(
            "Texts for one client address in an hour",
            "Counts calls that bring client_ip. Empty: no limit.",
            note="Empty is `null` in JSON.",
            group=LIMITS,
            low=1,
            high=1_000_000,
        ),
    ] = 60
    max_segments: Annotated[
        int,
        setting(
            "Segments of one text", "A longer text is refused, because each is billed.", group=LIMITS, low=1, high=10
        ),
    ] = 2


FIELDS: Final = msgspec.structs.fields(Rules)


def _declared(field: msgspec.structs.FieldInfo) -> Setting:
    kind, meta = get_args(field.type)
    declared: Setting = meta.extra["setting"]
    return msgspec.structs.replace(
        declared, name=field.name, default=field.default, optional=NoneType in get_args(kind)
    )


SETTINGS: Final = {field.name: _declared(field) for field in FIELDS}


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


SHORT_CODE_LENGTH, SHORT_CODE_CHECKS = 5, 3


def out_of_range(rules: Rules) -> list[FieldError]:
    """The numbers of `rules` that lie outside their range, short codes with too many checks among them."""
    errors = []
    for name, own in SETTINGS.items():
        value = getattr(rules, name)
        if own.kind == "number" and value is not None and not own.low <= value <= own.high:
            errors.append(FieldError(name, "out_of_range", f"{name} must be from {own.range}."))
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
