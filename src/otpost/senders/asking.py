"""How a service is asked, once, and what an answer comes to before and after the service's own codes have their say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple
from urllib.parse import quote_plus

from otpost.domain.outcome import REASONS, Accepted, Outcome, Refused, Unavailable, Unknown, Vendor
from otpost.outbound import AnswerLost, NotConnected, OutboundRefused, Response
from otpost.senders.answers import json_object, retry_after_s
from otpost.senders.codes import Code
from otpost.senders.service import CONNECT_S, TOTAL_S, Http, LookUpFailed


@dataclass(frozen=True, slots=True)
class Company:
    """Whom our sentences speak of.

    `url_field` is the setting with its address, `url_label` what people call that, `codes` what the company calls its
    codes, and `throttled` what a 429 means.
    """

    name: str
    throttled: Code
    url_field: str = "api_url"
    url_label: str = "API URL"
    codes: str = "codes"

    def maybe_sent(self, vendor: Vendor) -> Unknown:
        """The outcome of an answer that does not say whether the text went out."""
        detail = f"{self.name} answered {vendor.http_status}. The text may or may not have gone out."
        return Unknown(detail, vendor, answered=True)

    def unnamed(self, vendor: Vendor) -> Unknown:
        """The outcome of an answer that takes the text and does not name the message."""
        detail = f"{self.name} took the text, but its answer does not name the message."
        return Unknown(detail, vendor, answered=True)


class Answer(NamedTuple):
    """What a company answered, and what its own codes say of it.

    `meaning` is a code's, or an outcome where the answer itself decides; None where there is neither, so that the
    status decides. `link` is the page on the code. An answer that is `certain` is believed whatever its status.
    """

    vendor: Vendor
    meaning: Code | Outcome | None = None
    link: str | None = None
    certain: bool = False


def throttled(company: str) -> Code:
    """What most companies mean by a 429."""
    return Code("throttled", f"{company} is getting too many requests of this account at once.")


async def ask(
    http: Http,
    company: Company,
    url: str,
    headers: Mapping[str, str],
    body: bytes | None,
    read: Callable[[Response], Answer],
    *,
    method: str = "POST",
    connect_s: float = CONNECT_S,
    total_s: float = TOTAL_S,
    ca: str | None = None,
) -> Outcome:
    """Hand a text over by one request; `read` is the service's own reading of the answer."""
    try:
        response = await http.request(
            method, url, headers=headers, body=body, connect_s=connect_s, total_s=total_s, ca=ca
        )
    except OutboundRefused as error:
        return Refused("wrong_settings", error.reason, field=company.url_field)
    except NotConnected as error:
        return Unavailable("network_trouble", f"{company.name} could not be reached. {error.reason}")
    except AnswerLost as error:
        return Unknown(f"The text was handed to {_within(company.name)}, but no answer came. {error.reason}")
    return _judge(company, response, read(response))


def _judge(company: Company, response: Response, answer: Answer) -> Outcome:
    status, (vendor, meaning, link, certain) = response.status, answer
    if 300 <= status < 400:
        detail = f"The {company.url_label} answers with a redirect, which is not followed."
        return Refused("wrong_settings", detail, vendor, field=company.url_field)
    if not certain and (status < 200 or status == 408 or status >= 500):
        return company.maybe_sent(vendor)
    if status == 429 and (meaning is None or (isinstance(meaning, Code) and meaning.reason == "unknown")):
        meaning = company.throttled
    if meaning is None and status < 300:
        return Accepted(vendor) if vendor.sid is not None else company.unnamed(vendor)
    if meaning is None:
        detail = f"The {company.url_label} answered {status} and none of {company.name}'s {company.codes}."
        detail = f"{detail} Check that it is {company.name}'s."
        return Refused("wrong_settings", detail, vendor, field=company.url_field)
    if not isinstance(meaning, Code):
        return meaning
    if REASONS[meaning.reason].help == "again" and meaning.reason != "callback_refused":
        return Unavailable(meaning.reason, meaning.sentence, vendor, retry_after_s(response.headers), link)
    return Refused(meaning.reason, meaning.sentence, vendor, link, meaning.setting or None)


async def ask_for(
    http: Http,
    company: Company,
    url: str,
    headers: Mapping[str, str],
    explain: Callable[[Response], str | None] = lambda response: None,
) -> dict[str, Any] | LookUpFailed:
    """The JSON object at a URL of the service; `explain` may say why there is none."""
    try:
        response = await http.request("GET", url, headers=headers, body=None, connect_s=CONNECT_S, total_s=TOTAL_S)
    except (OutboundRefused, NotConnected, AnswerLost) as error:
        return LookUpFailed(f"{company.name} did not answer. {error.reason}")
    if response.status == 200:
        return json_object(response.body)
    reason = explain(response) or f"{company.name} answered {response.status}."
    return LookUpFailed(reason, about_credentials=response.status in (401, 403))


def form_body(fields: Mapping[str, str]) -> bytes:
    """A form whose names need no escape."""
    return "&".join([f"{name}={quote_plus(value, errors='replace')}" for name, value in fields.items()]).encode()


def _within(name: str) -> str:
    """The name as it stands within a sentence: `the gateway`."""
    return f"the{name[3:]}" if name.startswith("The ") else name


FORM: Final = "application/x-www-form-urlencoded"
