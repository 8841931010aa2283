"""MessageBird's SMS API: the request, what each answer and status means, look-ups and signed reports.

https://developers.messagebird.com/api/sms-messaging/ and https://developers.messagebird.com/docs/verify-http-requests
"""

from __future__ import annotations

import binascii
import hmac
import re
from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit

import msgspec

from otpost.domain.outcome import Outcome, Refused, Vendor
from otpost.domain.phone import PhoneNumber
from otpost.domain.policy import NoRoute, Route
from otpost.domain.secret import Secret
from otpost.outbound import Response
from otpost.senders.answers import SID, code_of, header, json_object, name_in, words
from otpost.senders.asking import Answer, Company, ask, ask_for, throttled
from otpost.senders.messagebird.codes import (
    API_PAGE,
    CODES,
    CODES_PAGE,
    INTERNAL_ERROR,
    refused_for,
    told_of,
)
from otpost.senders.service import Account, Http, Listed, LookUpFailed, NotProven, Reported, ReportRequest, Text
from otpost.senders.settings import SecretRef, destination, setting

NAME: Final = "messagebird"
TITLE: Final = "MessageBird"
PLACE: Final = 30
may_be_fallback: Final = True

COMPANY: Final = Company("MessageBird", throttled("MessageBird"))


@dataclass(frozen=True, slots=True)
class Settings:
    """MessageBird's account (the company is called Bird by now): its access key, and what phones show.

    The user name, password and sender name of older products have no counterpart but this: the access key stands for
    the first two, the originator for the third.
    """

    access_key: Secret | None = setting(
        "Access key",
        secret=True,
        destination="api_url",
        required=True,
        help="A live key from Developers, API access, in MessageBird's dashboard. It takes the place of the user name "
        "and password of older products, which have no fields here. It is not shown again once saved.",
    )
    originator: str = setting(
        "Originator",
        kind="origin",
        required=True,
        help="What phones show: a number of yours at MessageBird with its dialing code, as in +31612345678, a short "
        "code, or a name of at most 11 characters such as MyBrand.",
    )
    signing_key: Secret | None = setting(
        "Signing key",
        secret=True,
        help="From Developers, Settings, in MessageBird's dashboard. It proves the reports. Without it MessageBird is "
        "not asked to call; what became of a text is then fetched, from a minute after it was accepted.",
    )
    api_url: str = setting(
        "API URL",
        kind="url",
        appended="/messages",
        default="https://rest.messagebird.com",
        pattern=r"[^?]*",
        rule="The API URL must have no query: https://rest.messagebird.com, or the root of a service that speaks "
        "like it.",
        help="Change it only for a compatible service.",
    )


def route(settings: Settings, to: PhoneNumber) -> Route | NoRoute:
    """Every number takes the one account.

    It has no name that might be shown: MessageBird knows it by the key alone, and an originator is no account (many
    share one account's funds and limits, and a new one leaves the account the same). So its SID is empty.
    """
    return Route(NAME, "", settings.originator, "MessageBird's account sends from its originator to every number.")


def account_secret(settings: Settings, route: Route) -> SecretRef | None:
    """The access key."""
    return SecretRef("access_key", "", destination(settings.api_url))


def account(settings: Settings, route: Route, token: Secret) -> Account:
    """The account, opened by the access key `token`."""
    return Account("", token, settings.api_url)


async def send(http: Http, settings: Settings, route: Route, text: Text) -> Outcome:
    """POST the text once. https://developers.messagebird.com/api/sms-messaging/#send-outbound-sms

    `datacoding` is `auto`, so that MessageBird takes Unicode where the text needs it. A report comes only for a text
    with a reference, which is the attempt's SID.
    """
    if settings.access_key is None:
        detail = "The access key is not stored; type it in the settings."
        return Refused("credentials_refused", detail, field="access_key")
    message: dict[str, Any] = {
        "originator": route.origin.removeprefix("+"),
        "recipients": [_msisdn(text.to)],
        "body": text.body.encode(errors="replace").decode(),
        "datacoding": "auto",
        "validity": max(1, int(text.valid_for_s)),
        "reference": text.attempt,
    }
    if text.callback_url and settings.signing_key is not None:
        message["reportUrl"] = text.callback_url
    sending = account(settings, route, settings.access_key)
    headers = {**_headers(sending), "Content-Type": "application/json"}
    body = msgspec.json.encode(message)
    return await ask(http, COMPANY, _messages_url(sending), headers, body, lambda said: _read(said, sending, text))


def _read(response: Response, account: Account, text: Text) -> Answer:
    status, said = response.status, json_object(response.body)
    error = next(_objects(said.get("errors")), {})
    code = code_of(error.get("code"))
    recipient = next(_recipients(said), {})
    vendor = Vendor(
        http_status=status,
        code=str(code) if code is not None else None,
        message=words(error.get("description"), account, text),
        sid=name_in(said.get("id"), account, text),
        status=name_in(recipient.get("status"), account, text),
    )
    page = API_PAGE if code is not None else None
    if status < 300:
        return Answer(vendor)
    if code == INTERNAL_ERROR:
        return Answer(vendor, COMPANY.maybe_sent(vendor))
    if status == 429:
        return Answer(vendor, None, page)
    return Answer(vendor, refused_for(status, code, error.get("parameter")), page)


async def look_up(http: Http, account: Account, to: PhoneNumber, since: int) -> list[Listed] | LookUpFailed:
    """The account's messages to this number from 5 s before `since` on (MessageBird's dates are whole seconds).

    The order of MessageBird's listing is nowhere promised, so all its pages are read.
    """
    oldest = since - 5_000
    query = {
        "recipient": _msisdn(to),
        "direction": "mt",
        "from": datetime.fromtimestamp(oldest // 1000, UTC).isoformat(),
        "limit": _PAGE_SIZE,
    }
    rows: list[Listed] = []
    read = 0
    for _ in range(_MAX_PAGES):
        page = await _get(http, account, f"{_messages_url(account)}?{urlencode({**query, 'offset': read})}")
        if isinstance(page, LookUpFailed):
            return page
        messages, total = page.get("items"), page.get("totalCount")
        if not isinstance(messages, list) or not isinstance(total, int):
            return LookUpFailed("MessageBird's listing could not be read.")
        for message in messages:
            if not isinstance(message, dict) or not isinstance(sid := message.get("id"), str) or not SID.fullmatch(sid):
                return LookUpFailed("MessageBird's listing could not be read.")
            listed = _listed(message, sid, _msisdn(to))
            if listed is not None and (listed.created_at is None or listed.created_at >= oldest):
                rows.append(listed)
        read += len(messages)
        if read >= total:
            return rows
        if not messages:
            return LookUpFailed("MessageBird's listing ends before its total.")
    return LookUpFailed(f"The listing has more than {_MAX_PAGES * _PAGE_SIZE} messages to this number.")


async def fetch_report(http: Http, account: Account, vendor_sid: str) -> Reported | LookUpFailed:
    """What became of the message that MessageBird calls `vendor_sid`."""
    if not SID.fullmatch(vendor_sid):
        return LookUpFailed("This is not the id of a message at MessageBird.")
    said = await _get(http, account, f"{_messages_url(account)}/{vendor_sid}")
    if isinstance(said, LookUpFailed):
        return said
    recipient = next(_recipients(said), None)
    if said.get("id") != vendor_sid or recipient is None or not isinstance(recipient.get("status"), str):
        return LookUpFailed("MessageBird's answer could not be read.")
    return _reported(recipient, vendor_sid)


def read_report(
    settings: Settings, request: ReportRequest, tokens: Mapping[str, Sequence[Secret]]
) -> list[Reported] | NotProven:
    """Prove a status report by `MessageBird-Signature-JWT`, or where that is missing by `MessageBird-Signature`.

    The report is a GET whose query holds it, or a POST of the same fields. The older signature does not cover the
    address, so the reference has to name the attempt that the address names. The times in a signature are not
    checked: a report that is sent again tells nothing new.
    """
    signature = header(request.headers, "MessageBird-Signature-JWT")
    older = header(request.headers, "MessageBird-Signature")
    if not signature and not older:
        return NotProven("the signature is missing")
    url, keys = urlsplit(request.url), tokens.get("", ())
    try:
        pairs = parse_qsl(url.query, keep_blank_values=True, max_num_fields=_MAX_FIELDS)
        if signature:
            proven = _signed(signature, request, keys)
        else:
            timestamp = header(request.headers, "MessageBird-Request-Timestamp") or ""
            proven = _signed_as_before(older or "", timestamp, pairs, request.body, keys)
        fields = dict(pairs + parse_qsl(request.body.decode(), keep_blank_values=True, max_num_fields=_MAX_FIELDS))
    except ValueError as error:
        return NotProven(f"the request cannot be read: {error}")
    if not proven:
        return NotProven("no signing key that is known made the signature for this address and body")
    if fields.get("reference", "") != url.path.rpartition("/")[2]:
        return NotProven("it refers to another attempt than its address")
    vendor_sid = fields.get("id", "")
    if not SID.fullmatch(vendor_sid) or not fields.get("status"):
        return NotProven("this is no report on a message")
    return [_reported(fields, vendor_sid)]


def _signed(signature: str, request: ReportRequest, keys: Sequence[Secret]) -> bool:
    """Whether one of the keys made this JSON Web Token for the request's address and body. Raises ValueError."""
    signed, _, mac = signature.rpartition(".")
    head, _, payload = signed.partition(".")
    digest = _DIGESTS.get(str(_segment(head).get("alg")))
    if digest is None or not _made_by(keys, signed.encode(), digest, _decoded(mac)):
        return False
    claims = _segment(payload)
    body_hash = sha256(request.body).hexdigest() if request.body else None
    return (
        claims.get("iss") == "MessageBird"
        and claims.get("url_hash") == sha256(request.url.encode()).hexdigest()
        and (claims.get("payload_hash") or None) == body_hash
    )


def _signed_as_before(
    signature: str, timestamp: str, pairs: Sequence[tuple[str, str]], body: bytes, keys: Sequence[Secret]
) -> bool:
    """Whether one of the keys made the older signature: over the time, the sorted query, and the body's hash."""
    query = urlencode(sorted(pairs, key=lambda pair: pair[0]))
    signed = f"{timestamp}\n{query}\n".encode() + sha256(body).digest()
    return _made_by(keys, signed, "sha256", b64decode(signature, validate=True))


def _made_by(keys: Sequence[Secret], signed: bytes, digest: str, given: bytes) -> bool:
    return any(hmac.compare_digest(hmac.digest(key.reveal().encode(), signed, digest), given) for key in keys)


def _segment(encoded: str) -> dict[str, Any]:
    return json_object(_decoded(encoded))


def _decoded(segment: str) -> bytes:
    try:
        return b64decode(segment.encode("ascii") + b"=" * (-len(segment) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise ValueError("the signature is no token") from error


def _messages_url(account: Account) -> str:
    return f"{account.url.rstrip('/')}/messages"


def _headers(account: Account) -> dict[str, str]:
    return {"Authorization": f"AccessKey {account.token.reveal()}", "Accept": "application/json"}


def _msisdn(to: PhoneNumber) -> str:
    return to.e164.removeprefix("+")


async def _get(http: Http, account: Account, url: str) -> dict[str, Any] | LookUpFailed:
    return await ask_for(http, COMPANY, url, _headers(account), _explain)


def _explain(response: Response) -> str | None:
    return CODES[2].sentence if response.status in (401, 403) else None


def _objects(value: object) -> Iterator[dict[str, Any]]:
    yield from (one for one in value if isinstance(one, dict)) if isinstance(value, list) else ()


def _recipients(message: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    recipients = message.get("recipients")
    yield from _objects(recipients.get("items")) if isinstance(recipients, dict) else ()


def _listed(message: Mapping[str, Any], sid: str, msisdn: str) -> Listed | None:
    """The message as it went to this number; None if it went to others."""
    for recipient in _recipients(message):
        if str(recipient.get("recipient")).removeprefix("+") == msisdn:
            return Listed(
                sid, _milliseconds(message.get("createdDatetime")), _text(message, "body"), _reported(recipient, sid)
            )
    return None


def _reported(told: Mapping[str, Any], vendor_sid: str) -> Reported:
    code, status = code_of(told.get("statusErrorCode")), _text(told, "status")
    known, why = told_of(status, code, _text(told, "statusReason"))
    given = str(code) if code is not None else None
    if why is None:
        return Reported(known, status[:32], given, vendor_sid, "")
    link = CODES_PAGE if code is not None else None
    return Reported(known, status[:32], given, vendor_sid, "", why.reason, why.sentence, link)


def _text(values: Mapping[str, Any], name: str) -> str:
    value = values.get(name)
    return value if isinstance(value, str) else ""


def _milliseconds(date: object) -> int | None:
    """RFC 3339, as in `2016-05-03T14:26:57+00:00`."""
    if not isinstance(date, str) or not re.fullmatch(r"[0-9T:.+Z-]{19,40}", date):
        return None
    try:
        moment = datetime.fromisoformat(date)
    except ValueError:
        return None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


_DIGESTS: Final = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}
_MAX_FIELDS: Final = 100
_PAGE_SIZE: Final = 20
_MAX_PAGES: Final = 10
