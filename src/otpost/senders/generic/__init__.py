"""A gateway that takes texts over plain HTTP, however it wants them: the administrator describes request and answers.

What the older product calls the Generic service, with headers, JSON, patterns, reasons and reports besides.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final, Literal, TypeVar, cast
from urllib.parse import urlsplit

import msgspec

from otpost.domain.outcome import Accepted, Outcome, ReasonName, Refused, Unknown, Vendor
from otpost.domain.phone import PhoneNumber
from otpost.domain.policy import NoRoute, Route
from otpost.domain.secret import Secret
from otpost.domain.sid import ATTEMPT, is_sid
from otpost.domain.text import segments
from otpost.outbound import Response
from otpost.senders.asking import Answer, Company, ask
from otpost.senders.codes import Code
from otpost.senders.generic import wire
from otpost.senders.generic.presets import PRESETS, Preset
from otpost.senders.generic.settings import MEANINGS, Header, Parameter, Settings, authority, problems, statuses
from otpost.senders.generic.wire import AS_JSON, Hidden, Said
from otpost.senders.service import CONNECT_S, Http, NotProven, Reported, ReportRequest, Text
from otpost.senders.settings import SecretRef, destination

__all__ = [
    "NAME", "PLACE", "PRESETS", "PROVEN_BY_ADDRESS", "TITLE", "Preset", "Settings", "account_secret",
    "may_be_fallback", "problems", "read_report", "report_answer", "route", "send", "sends_again_when_unknown",
]  # fmt: skip

NAME: Final = "generic"
TITLE: Final = "Generic HTTP gateway"
PLACE: Final = 20
may_be_fallback: Final = True
PROVEN_BY_ADDRESS: Final = True

COMPANY: Final = Company(
    "The gateway",
    Code("throttled", "The gateway is getting too many requests at once."),
    url_field="service_url",
    url_label="Service URL",
)
Row = TypeVar("Row", Parameter, Header)


def route(settings: Settings, to: PhoneNumber) -> Route | NoRoute:
    """Every number goes to the gateway; the account is its host, after the user name where there is one."""
    return Route(NAME, _account_sid(settings), settings.sender, "The gateway of the Service URL sends to every number.")


def account_secret(settings: Settings, route: Route) -> SecretRef | None:
    """The password; without a user name the first secure parameter, or else the first secure header."""
    where = destination(settings.service_url)
    if settings.auth_username:
        return SecretRef("auth_password", settings.auth_username, where)
    for parameter in settings.secure_parameters:
        return SecretRef("secure_parameter", parameter.name, where)
    for header in settings.secure_headers:
        return SecretRef("secure_header", header.name, where)
    return None


def sends_again_when_unknown(settings: Settings) -> bool:
    """As the administrator has chosen."""
    return settings.send_again_when_unknown


async def send(http: Http, settings: Settings, route: Route, text: Text) -> Outcome:
    """Make the request, once."""
    if (lacking := next((at for at, secret in _secrets(settings) if secret is None), None)) is not None:
        return Refused("credentials_refused", "A secret of the request is not stored; type it again.", field=lacking)
    try:
        url, headers, body = _request(settings, _values(settings, text))
    except ValueError:
        return Refused("wrong_settings", "The parameters make no JSON; look at their names.", field="parameters")
    return await ask(
        http,
        COMPANY,
        url,
        headers,
        body,
        lambda response: _read(response, settings, text),
        method=settings.request_method,
        connect_s=min(CONNECT_S, settings.timeout_s),
        total_s=float(settings.timeout_s),
        ca=authority(settings),
    )


def read_report(
    settings: Settings, request: ReportRequest, tokens: Mapping[str, Sequence[Secret]]
) -> list[Reported] | NotProven:
    """Read the reports of a call, JSON, a form or a query; that it came to the right address is what proves them.

    A call holds several where the status's path leads through the first of a list, as in `0.status`: each of the list
    is one. A gateway that takes the attempt's SID for its own id of the text reports under that.
    """
    if not settings.report_status_path:
        return NotProven("the settings do not say where a report's status stands")
    calls = Said(request.body, urlsplit(request.url).query).apart(settings.report_status_path)
    told = [_told(settings, said) for said in calls]
    read = [one for one in told if one is not None]
    if len(read) < len(calls):
        return NotProven("this is no report on a message")
    return read


def report_answer(settings: Settings) -> tuple[int, str]:
    """As the administrator has chosen."""
    return settings.report_answer_status, settings.report_answer_body


def _told(settings: Settings, said: Said) -> Reported | None:
    """What a report says; None where it says nothing, or where one cannot tell what it says of which message."""
    status, path = said.at(settings.report_status_path), settings.report_id_path
    vendor_sid = said.at(path) if path else ""
    if status is None or vendor_sid is None or not (vendor_sid == "" or wire.is_name(vendor_sid)):
        return None
    if said.has_several(path) or (
        "(" not in settings.report_status_path and said.has_several(settings.report_status_path)
    ):
        return None
    code = said.at(settings.report_code_path) if settings.report_code_path else None
    told = Reported(
        _meant(settings, status),
        _short(status, 32),
        _short(code, 64) if code else None,
        vendor_sid,
        _account_sid(settings),
        attempt=vendor_sid if is_sid(vendor_sid, ATTEMPT) else None,
    )
    if told.status != "failed":
        return told
    known = _known(settings, said)
    if known is None:
        return replace(told, reason="not_delivered", detail=f"The gateway reported the text as {told.vendor_status}.")
    return replace(told, reason=known[0], detail=f"The gateway reported: {known[1]}.")


def _account_sid(settings: Settings) -> str:
    host = urlsplit(settings.service_url).netloc.lower()
    return f"{settings.auth_username}@{host}" if settings.auth_username else host


def _secrets(settings: Settings) -> Iterator[tuple[str, Secret | None]]:
    """Every secret that the request needs, with the path of its field."""
    if settings.auth_username or settings.auth_password is not None:
        yield "auth_password", settings.auth_password
    for index, parameter in enumerate(settings.secure_parameters):
        yield f"secure_parameters[{index}].value", parameter.value
    for index, header in enumerate(settings.secure_headers):
        yield f"secure_headers[{index}].value", header.value


def _values(settings: Settings, text: Text) -> dict[str, str]:
    """What each placeholder stands for."""
    return {
        "phone": wire.number(text.to.e164, settings.number_format),
        "message": text.body,
        "sender": wire.number(settings.sender, settings.number_format)
        if settings.sender[:1] == "+"
        else settings.sender,
        "username": settings.auth_username,
        "encoding": settings.encoding_gsm7 if segments(text.body).encoding == "GSM-7" else settings.encoding_unicode,
        "callback_url": text.callback_url or "",
        "attempt": text.attempt,
        "valid_for_s": str(max(1, text.valid_for_s)),
        "valid_for_min": str(max(1, text.valid_for_s // 60)),
    }


def _request(settings: Settings, values: Mapping[str, str]) -> tuple[str, dict[str, str], bytes | None]:
    """The URL, the headers and the body."""
    url = wire.filled(settings.service_url, wire.in_url(values))
    headers = {"Accept": "application/json, */*;q=0.5"}
    if settings.auth_username or settings.auth_password is not None:
        headers["Authorization"] = f"Basic {b64encode(_credentials(settings).encode()).decode()}"
    secure = [(row.name, row.value.reveal()) for row in settings.secure_parameters if row.value is not None]
    body: bytes | None = None
    if settings.body_format == "json" and settings.request_method != "GET":
        pairs = [
            (row.name, wire.parameter(row.name, row.value, values)) for row in _stated(settings.parameters, values)
        ]
        body = msgspec.json.encode(
            wire.nested((name.removesuffix(AS_JSON), value) for name, value in [*pairs, *secure])
        )
        headers["Content-Type"] = "application/json"
    else:
        plain = [(row.name, wire.filled(row.value, values)) for row in _stated(settings.parameters, values)]
        if settings.body_format == "query" or settings.request_method == "GET":
            url = wire.with_query(url, [*plain, *secure])
        else:
            body = wire.as_form([*plain, *secure])
            headers["Content-Type"] = "application/x-www-form-urlencoded"
    theirs = [(row.name, wire.in_header(wire.filled(row.value, values))) for row in _stated(settings.headers, values)]
    theirs += [(row.name, row.value.reveal()) for row in settings.secure_headers if row.value is not None]
    named = {name.lower() for name, _ in theirs}
    return url, {name: value for name, value in headers.items() if name.lower() not in named} | dict(theirs), body


def _stated(rows: Iterable[Row], values: Mapping[str, str]) -> list[Row]:
    """The rows but for those that consist of a placeholder for which there is nothing."""
    return [row for row in rows if not (row.value[:1] == "{" and values.get(row.value[1:-1]) == "")]


def _credentials(settings: Settings) -> str:
    return f"{settings.auth_username}:{settings.auth_password.reveal() if settings.auth_password else ''}"


def _read(response: Response, settings: Settings, text: Text) -> Answer:
    status, said = response.status, Said(response.body)
    secrets = [one.reveal() for _, one in _secrets(settings) if one is not None]
    hidden = Hidden([*secrets, _credentials(settings)] if settings.auth_password is not None else secrets, text)
    vendor_sid = said.at(settings.message_id_path) if settings.message_id_path else None
    vendor = Vendor(http_status=status, sid=hidden.name(vendor_sid))
    known = _known(settings, said)
    failed = known is not None or said.matches(settings.failure_pattern)
    taken = not failed and 200 <= status < 300
    if taken and (said.matches(settings.success_pattern) or (not settings.success_pattern and _named(settings, said))):
        return Answer(vendor, Accepted(vendor))
    code = said.at(settings.error_code_path) if settings.error_code_path else None
    vendor = msgspec.structs.replace(vendor, code=hidden.name(code), message=hidden.words(said))
    if taken and not settings.success_pattern:
        return Answer(vendor, COMPANY.unnamed(vendor))
    if taken and (settings.failure_pattern or not said.text.strip()):
        detail = "The gateway's answer says neither that it took the text nor that it did not."
        return Answer(vendor, Unknown(detail, vendor, answered=True))
    if known is not None:
        reason, detail = known[0], f"The gateway refused the text: {known[1]}."
    elif status in _STATUSES:
        reason, detail = _STATUSES[status]
    elif status < 300:
        matched = "matches the failure pattern" if failed else "does not match the success pattern"
        reason, detail = "unknown", f"The gateway's answer {matched}."
    else:
        reason, detail = "unknown", f"The gateway refused the text ({status})."
    return Answer(vendor, Code(reason, detail, _at_fault(settings, reason)), certain=failed)


def _named(settings: Settings, said: Said) -> bool:
    return not settings.message_id_path or said.at(settings.message_id_path) is not None


def _known(settings: Settings, said: Said) -> tuple[ReasonName, str] | None:
    """What the first refusal that is known by its words means, and what people call it."""
    for row in settings.refusals:
        if said.matches(row.pattern):
            name = _MEANINGS[row.reason]
            return cast(ReasonName, row.reason), name[0].lower() + name[1:]
    return None


def _at_fault(settings: Settings, reason: ReasonName) -> str:
    if reason == "credentials_refused":
        return next((at for at, _ in _secrets(settings)), "")
    return {"sender_not_allowed": "sender", "wrong_settings": "service_url"}.get(reason, "")


def _meant(settings: Settings, status: str) -> Literal["accepted", "sent", "delivered", "failed"]:
    lower = status.strip().lower()
    if lower in statuses(settings.report_delivered):
        return "delivered"
    if lower in statuses(settings.report_failed):
        return "failed"
    return "sent" if lower in statuses(settings.report_sent) else "accepted"


def _short(said: str, characters: int) -> str:
    return "".join(one for one in said if one.isprintable())[:characters]


_MEANINGS: Final[Mapping[str, str]] = dict(MEANINGS)
_WRONG: Final = "The Service URL does not take this request: "
_STATUSES: Final[Mapping[int, tuple[ReasonName, str]]] = {
    401: ("credentials_refused", "The gateway did not accept the credentials."),
    402: ("account_trouble", "The gateway asks for payment: the account is out of funds."),
    403: ("credentials_refused", "The gateway forbids this to the account."),
    404: ("wrong_settings", f"{_WRONG}the gateway knows no such address."),
    405: ("wrong_settings", f"{_WRONG}the gateway wants another request method."),
    406: ("wrong_settings", f"{_WRONG}the gateway wants another Accept header."),
    410: ("wrong_settings", f"{_WRONG}the address is gone."),
    413: ("text_refused", "The request was too large for the gateway."),
    414: ("text_refused", "The URL with the text in it was too long for the gateway; send a form or JSON."),
    415: ("wrong_settings", f"{_WRONG}the gateway wants the parameters in another format."),
    421: ("wrong_settings", f"{_WRONG}the host does not answer for this name."),
    426: ("wrong_settings", f"{_WRONG}the gateway asks for another protocol."),
    429: ("throttled", "The gateway is getting too many requests at once."),
    431: ("wrong_settings", f"{_WRONG}the headers are too large."),
}
