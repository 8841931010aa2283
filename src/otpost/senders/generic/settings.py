"""What is set of a generic gateway, row by row, and what keeps such settings from being used."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from textwrap import wrap
from typing import Final

from otpost.domain.errors import FieldError
from otpost.domain.outcome import ReasonName
from otpost.domain.secret import Secret
from otpost.outbound import OutboundRefused, trusting
from otpost.senders.generic import wire
from otpost.senders.generic.wire import AS_JSON, PLACEHOLDERS
from otpost.senders.settings import join, setting

_HEADER: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_HEADER_RULE: Final = "A header's name has letters, digits and hyphens, as in X-Api-Key."
_OURS: Final = frozenset({"host", "content-length", "transfer-encoding", "connection", "expect", "upgrade", "te"})
_CERTIFICATE: Final = re.compile(r"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----")
_SAYS: Final = f"May hold {', '.join(f'{{{name}}}' for name in PLACEHOLDERS)}."
_PATH_HELP: Final = (
    "A path in JSON, as in messages.0.id; or a regular expression whose first group it is, as in ID: (\\w+)."
)
_STATUSES_HELP: Final = "Separated by commas; small and capital letters are alike."


MEANINGS: Final[tuple[tuple[ReasonName, str], ...]] = (
    ("invalid_number", "The number does not exist"),
    ("cannot_receive", "The number takes no texts"),
    ("not_reachable", "The phone is out of reach"),
    ("opted_out", "The recipient wants no texts"),
    ("blocked_as_fraud", "The number is blocked"),
    ("country_not_permitted", "The country is not enabled"),
    ("sender_not_allowed", "The sender is not allowed"),
    ("filtered", "The text was filtered"),
    ("not_delivered", "The text was not delivered"),
    ("text_refused", "The text is not as it must be"),
    ("account_trouble", "The account is blocked or out of funds"),
    ("credentials_refused", "The credentials are wrong"),
    ("wrong_settings", "A parameter is missing or wrong"),
    ("throttled", "Too many requests at once"),
    ("vendor_trouble", "The gateway is in trouble and sent nothing"),
)
"""What a gateway's refusal can mean, and what people call it."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One named value of the request."""

    name: str = setting(
        "Name", key=True, required=True, max_length=200, help="In JSON, dots make objects and numbers lists: to.0."
    )
    value: str = setting("Value", help=f"{_SAYS} {{sender}} or {{callback_url}} alone is left out where it is empty.")


@dataclass(frozen=True, slots=True)
class SecureParameter:
    """One named value of the request that is a secret."""

    name: str = setting("Name", key=True, required=True, max_length=200)
    value: Secret | None = setting(
        "Value",
        secret=True,
        owner="name",
        destination="service_url",
        kept_as="secure_parameter",
        required=True,
        max_length=4096,
    )


@dataclass(frozen=True, slots=True)
class Header:
    """One header of the request."""

    name: str = setting("Name", key=True, required=True, pattern=_HEADER, rule=_HEADER_RULE)
    value: str = setting("Value", help=_SAYS)


@dataclass(frozen=True, slots=True)
class SecureHeader:
    """One header of the request whose value is a secret."""

    name: str = setting("Name", key=True, required=True, pattern=_HEADER, rule=_HEADER_RULE)
    value: Secret | None = setting(
        "Value",
        secret=True,
        owner="name",
        destination="service_url",
        kept_as="secure_header",
        required=True,
        max_length=4096,
        help="The whole value, as in Bearer 0123456789abcdef.",
    )


@dataclass(frozen=True, slots=True)
class KnownRefusal:
    """Words by which the gateway refuses a text, and what they mean."""

    pattern: str = setting("Pattern", key=True, required=True, help="A regular expression over the gateway's answer.")
    reason: str = setting("Means", choices=MEANINGS)


@dataclass(frozen=True, slots=True)
class Settings:
    """The request that hands a text to the gateway, what its answers mean, and what it reports."""

    service_url: str = setting("Service URL", kind="url", required=True, help=f"Where the gateway is called. {_SAYS}")
    auth_username: str = setting(
        "HTTP Basic Authentication Username",
        pattern="[^:]*",
        rule="A user name of HTTP Basic Authentication has no colon.",
        help="Leave it empty where the gateway wants a parameter or a header instead.",
    )
    auth_password: Secret | None = setting(
        "HTTP Basic Authentication Password", secret=True, owner="auth_username", destination="service_url"
    )
    request_method: str = setting(
        "HTTP request method", choices=(("POST", "POST"), ("GET", "GET"), ("PUT", "PUT")), help="GET has no body."
    )
    body_format: str = setting(
        "Parameters go as",
        choices=(("form", "a form"), ("json", "JSON"), ("query", "a query in the URL")),
        help=f"With GET always a query. In JSON, a name that ends in {AS_JSON} has a value that is JSON itself.",
    )
    parameters: tuple[Parameter, ...] = setting("Parameters", row=Parameter, row_label="Parameter")
    secure_parameters: tuple[SecureParameter, ...] = setting(
        "Secure parameters", row=SecureParameter, row_label="Secure parameter"
    )
    headers: tuple[Header, ...] = setting("Headers", row=Header, row_label="Header")
    secure_headers: tuple[SecureHeader, ...] = setting("Secure headers", row=SecureHeader, row_label="Secure header")
    sender: str = setting(
        "Sender",
        kind="origin",
        any_name=True,
        help="What the phone shows, a number or a name as the gateway takes it; it goes where {sender} stands.",
    )
    number_format: str = setting(
        "Numbers begin with",
        choices=(("+", "+ (+919191919191)"), ("", "nothing (919191919191)"), ("00", "00 (00919191919191)")),
    )
    encoding_gsm7: str = setting(
        "Word for the GSM-7 alphabet",
        max_length=64,
        help="What {encoding} stands for where the text is all in the GSM-7 alphabet, as in GSM7 or 0.",
    )
    encoding_unicode: str = setting(
        "Word for Unicode",
        max_length=64,
        help="What {encoding} stands for where the text holds anything else, as in UCS2 or 8.",
    )
    success_pattern: str = setting(
        "Success pattern",
        help="A regular expression that each answer to an accepted text matches; others refuse it or, where there is a "
        "failure pattern that they do not match either, leave its fate unknown. Empty: status 2xx is success.",
    )
    failure_pattern: str = setting(
        "Failure pattern",
        help="A regular expression that only the answer to a refused text matches, whatever its status.",
    )
    refusals: tuple[KnownRefusal, ...] = setting(
        "Known refusals",
        row=KnownRefusal,
        row_label="Refusal",
        help="The first pattern that an answer or a report of failure matches says why, and what Otpost does next.",
    )
    message_id_path: str = setting("Where the message's id stands", help=_PATH_HELP)
    error_code_path: str = setting("Where the error's code stands", help=_PATH_HELP)
    report_status_path: str = setting(
        "Where a report's status stands",
        help="A parameter's name, or as above. Put {callback_url} in a parameter, or tell the gateway the address.",
    )
    report_id_path: str = setting(
        "Where a report's message id stands", help="The same way. Needed where the gateway has one fixed address."
    )
    report_code_path: str = setting("Where a report's error code stands", help="The same way.")
    report_sent: str = setting("Statuses that mean sent", help=_STATUSES_HELP)
    report_delivered: str = setting("Statuses that mean delivered", help=_STATUSES_HELP)
    report_failed: str = setting(
        "Statuses that mean not delivered", help=f"{_STATUSES_HELP} Any other changes nothing."
    )
    report_answer_status: int = setting(
        "Answer to a report: status", kind="number", default=204, low=200, high=299, help="204 is without a body."
    )
    report_answer_body: str = setting(
        "Answer to a report: body", max_length=200, help="What the gateway waits for, as in OK or ACK/Jasmin."
    )
    timeout_s: int = setting(
        "Time-out in seconds", kind="number", default=10, low=1, high=30, help="After it a text's fate is unknown."
    )
    ca_certificate: str = setting(
        "Private certificate authority",
        lines=True,
        max_length=32_000,
        help="Its certificate in PEM. It alone may then vouch for the gateway.",
    )
    send_again_when_unknown: bool = setting(
        "Send again when the answer was lost",
        kind="flag",
        help="On: the text may arrive twice. Off: it may not arrive until the recipient asks again.",
    )


def problems(settings: Settings, path: str) -> list[FieldError]:
    """What else keeps these settings from being used: placeholders, names, patterns, paths and the authority."""
    found = [*_in_templates(settings), *_in_names(settings), *_in_patterns(settings), *_in_reports(settings)]
    return [FieldError(join(path, at), code, message) for at, code, message in found]


def authority(settings: Settings) -> str | None:
    """The private authority's certificates with the line breaks of PEM, whatever stands in their place."""
    return _as_pem(settings.ca_certificate) if settings.ca_certificate else None


@lru_cache(maxsize=64)
def _as_pem(text: str) -> str:
    return "".join(
        "\n".join(["-----BEGIN CERTIFICATE-----", *wrap("".join(block.split()), 64), "-----END CERTIFICATE-----", ""])
        for block in _CERTIFICATE.findall(text)
    )


def statuses(listed: str) -> set[str]:
    """The statuses of a list with commas, in small letters."""
    return {one.strip().lower() for one in listed.split(",")} - {""}


_Problem = tuple[str, str, str]
"""A field's path in the section, the code, the sentence."""


def _templates(settings: Settings) -> list[tuple[str, str]]:
    return [
        ("service_url", settings.service_url),
        *((f"parameters[{index}].value", row.value) for index, row in enumerate(settings.parameters)),
        *((f"headers[{index}].value", row.value) for index, row in enumerate(settings.headers)),
    ]


def _in_templates(settings: Settings) -> Iterator[_Problem]:
    used: set[str] = set()
    for at, template in _templates(settings):
        for name in wire.placeholders(template):
            used.add(name)
            if name not in PLACEHOLDERS:
                yield at, "invalid", f"{{{name}}} means nothing here. {_SAYS}"
    for name, what in (("phone", "number"), ("message", "text")):
        if name not in used:
            yield "parameters", "required", f"Put {{{name}}}, the {what}, in a parameter, the Service URL or a header."
    if "username" in used and not settings.auth_username:
        yield "auth_username", "required", "{username} stands in the request, so the user name is needed."
    if "encoding" in used and not (settings.encoding_gsm7 or settings.encoding_unicode):
        yield "encoding_unicode", "required", "{encoding} stands in the request, so say what it stands for."
    if "{sender}" in settings.service_url and not settings.sender:
        yield "sender", "required", "{sender} stands in the Service URL, so the Sender is needed."


def _in_names(settings: Settings) -> Iterator[_Problem]:
    plain = {row.name for row in settings.parameters if row.name}
    for index, secure in enumerate(settings.secure_parameters):
        if secure.name in plain:
            yield f"secure_parameters[{index}].name", "duplicate", f"{secure.name} is a parameter already. Keep one."
    seen: set[str] = set()
    for at, name in [
        *((f"headers[{index}].name", row.name) for index, row in enumerate(settings.headers)),
        *((f"secure_headers[{index}].name", row.name) for index, row in enumerate(settings.secure_headers)),
    ]:
        lower = name.lower()
        if lower in _OURS:
            yield at, "invalid", f"Otpost itself writes the header {name}. Remove it."
        elif lower == "authorization" and settings.auth_username:
            yield at, "invalid", "The user name and password make this header already. Keep one of the two."
        elif lower and lower in seen:
            yield at, "duplicate", f"The header {name} stands further up already. Keep one."
        seen.add(lower)
    if settings.body_format == "json" and settings.request_method != "GET":
        yield from _in_json(settings)


def _in_json(settings: Settings) -> Iterator[_Problem]:
    places = {row.name: f"parameters[{index}]" for index, row in enumerate(settings.parameters)}
    secure = {row.name: f"secure_parameters[{index}]" for index, row in enumerate(settings.secure_parameters)}
    samples = dict.fromkeys(PLACEHOLDERS, "1") | {"message": "a text", "sender": "a sender", "username": "a name"}
    samples["phone"] = samples["callback_url"] = samples["attempt"] = f"{settings.number_format}a"
    for row in settings.parameters:
        try:
            wire.parameter(row.name, row.value, samples)
        except ValueError:
            yield f"{places[row.name]}.value", "invalid", f"This must be JSON, because the name ends in {AS_JSON}."
    known = [name for name in {**places, **secure} if name]
    for index, name in enumerate(known):
        try:
            wire.nested((other.removesuffix(AS_JSON), "") for other in known[: index + 1])
        except ValueError:
            at = places.get(name) or secure[name]
            yield f"{at}.name", "invalid", "This name has an empty part, or does not go with the names further up."
            return


def _in_patterns(settings: Settings) -> Iterator[_Problem]:
    for at, pattern in [
        ("success_pattern", settings.success_pattern),
        ("failure_pattern", settings.failure_pattern),
        *((f"refusals[{index}].pattern", row.pattern) for index, row in enumerate(settings.refusals)),
    ]:
        try:
            wire.pattern(pattern)
        except ValueError as error:
            yield at, "invalid", str(error)
    for at in ("message_id_path", "error_code_path", "report_status_path", "report_id_path", "report_code_path"):
        where: str = getattr(settings, at)
        if where and (trouble := wire.trouble(where)) is not None:
            yield at, "invalid", trouble
    try:
        if (ca := authority(settings)) is not None:
            trusting(ca)
    except OutboundRefused as error:
        yield "ca_certificate", "invalid", error.reason


def _in_reports(settings: Settings) -> Iterator[_Problem]:
    own_address = any("{callback_url}" in template for _, template in _templates(settings))
    if settings.report_answer_body and settings.report_answer_status == 204:
        message = "An answer with the status 204 has no body. Choose 200, or leave the body empty."
        yield "report_answer_status", "invalid", message
    if not settings.report_status_path:
        if own_address:
            message = "The gateway is given {callback_url}, so say where its reports have the status."
            yield "report_status_path", "required", message
        return
    if not settings.report_delivered:
        yield "report_delivered", "required", "Name the status by which the gateway reports a text as delivered."
    if not own_address:
        for at in ("report_id_path", "message_id_path"):
            if not getattr(settings, at):
                message = (
                    "Without {callback_url} in a parameter, reports are known by the message's id. Say where it is."
                )
                yield at, "required", message
    twice = statuses(settings.report_failed) & (
        statuses(settings.report_delivered) | statuses(settings.report_sent)
    ) or statuses(settings.report_delivered) & statuses(settings.report_sent)
    if twice:
        yield "report_failed", "invalid", f"{min(twice)} cannot mean two things. Keep it in one of the three lists."
