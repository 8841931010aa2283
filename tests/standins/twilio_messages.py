"""Twilio's Message resource as the pretended Twilio answers it: checks, fields, listing, redaction, errors.

Source: https://www.twilio.com/docs/messaging/api/message-resource and https://www.twilio.com/docs/api/errors .
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import msgspec

import oai
from standins.twilio_world import (
    ALPHANUMERIC,
    E164,
    SHORT_CODE,
    Account,
    MessageRecord,
    MessagingService,
    RequestRecord,
    World,
    is_possible,
)

SERVICE_SID = re.compile("MG[0-9a-fA-F]{32}")
INTEGER = re.compile("[0-9]{1,9}")
HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|[0-9a-fA-F:]+")
COMPLETE = {"sent", "delivered", "undelivered", "failed", "received", "read", "canceled"}
GSM_7 = set(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà"
)
GSM_7_TWO = set("\f^{}\\[~]|€")
CHOICES = {"RiskCheck": {"enable", "disable"}, "ContentRetention": {"retain", "discard"}} | {
    name: {"true", "false"} for name in ("ProvideFeedback", "SmartEncoded", "ForceDelivery", "ShortenUrls", "SendAsMms")
}
MAGIC_FROM = {"+15005550001": 21212, "+15005550007": 21606, "+15005550008": 21611, "+15005550006": None}
MAGIC_TO = {
    "+15005550001": 21211,
    "+15005550002": 21612,
    "+15005550003": 21408,
    "+15005550004": 21610,
    "+15005550009": 21614,
}

# code: HTTP status and sentence
ERRORS: dict[int, tuple[int, str]] = {
    20001: (400, "A parameter has a value that is not allowed"),
    20003: (401, "Authenticate"),
    20004: (405, "Method not allowed"),
    20005: (401, "Account not active"),
    20008: (403, "Resource not accessible with Test Account Credentials"),
    20009: (409, "Cannot delete this resource before it is complete"),
    20404: (404, "The requested resource was not found"),
    20429: (429, "Too Many Requests"),
    20500: (500, "An internal server error has occurred"),
    20503: (503, "Service unavailable"),
    21211: (400, "The 'To' number is not a valid phone number."),
    21212: (400, "The 'From' number is not a valid phone number, shortcode, or alphanumeric sender ID."),
    21408: (400, "Permission to send an SMS has not been enabled for the region indicated by the 'To' number"),
    21602: (400, "Message body is required."),
    21603: (400, "A 'From' or 'MessagingServiceSid' parameter is required to send a message"),
    21604: (400, "A 'To' phone number is required."),
    21606: (400, "The 'From' phone number is not a valid, message-capable Twilio phone number for this destination"),
    21609: (400, "The 'StatusCallback' URL is not a valid URL."),
    21610: (400, "Attempt to send to unsubscribed recipient"),
    21611: (400, "This 'From' number has exceeded the maximum number of queued messages"),
    21612: (400, "Message cannot be sent with the current combination of 'To' and 'From' parameters"),
    21614: (400, "'To' number is not a valid mobile number"),
    21617: (400, "The concatenated message body exceeds the 1600 character limit"),
    21624: (400, "The validity period is not within 1 and 36000 seconds"),
    21659: (400, "The 'From' number is not a Twilio phone number"),
    21660: (400, "Mismatch between the 'From' number and the account"),
    21701: (404, "The Messaging Service does not exist"),
    21703: (400, "The Messaging Service does not have a phone number available to send a message"),
    21705: (400, "The Messaging Service SID is invalid"),
    21711: (400, "The 'From' number and the Messaging Service cannot both be given"),
}


class Reply(msgspec.Struct):
    """What is answered: `code` is Twilio's for a refusal, `accepted` the message that a create made."""

    status: int
    body: bytes
    code: int | None = None
    accepted: MessageRecord | None = None
    headers: dict[str, str] = {}


def refusal(code: int, status: int | None = None, message: str | None = None) -> Reply:
    """Twilio's error body; status and sentence from the table unless given."""
    usual_status, usual_message = ERRORS.get(code, (400, f"Error {code}"))
    status = usual_status if status is None else status
    body = {
        "code": code,
        "message": message or usual_message,
        "more_info": f"https://www.twilio.com/docs/errors/{code}",
        "status": status,
    }
    headers = {"WWW-Authenticate": 'Basic realm="Twilio API"'} if status == 401 else {}
    return Reply(status, msgspec.json.encode(body), code, headers=headers)


def answer(world: World, record: RequestRecord, account: Account) -> Reply:
    """Answers an authenticated request to an active account."""
    if record.message is not None:
        message = world.by_sid.get(record.message)
        if account.test:
            return refusal(20008)
        if message is None or message.deleted or message.account != account.sid:
            return refusal(20404)
        return _single(world, record, account, message)
    match record.operation:
        case "create":
            return _create(world, record, account)
        case "list":
            return refusal(20008) if account.test else _list(world, record, account)
        case _:
            return refusal(20004)


def _single(world: World, record: RequestRecord, account: Account, message: MessageRecord) -> Reply:
    match record.operation:
        case "fetch":
            return Reply(200, msgspec.json.encode(resource(message, account)))
        case "update":
            form = dict(record.form)
            if form.get("Body") != "" or len(form) != 1:
                return refusal(20001)
            if message.status not in COMPLETE:
                return refusal(20009)
            message.redacted, message.updated_at = True, world.now()
            world.message_changed(message)
            return Reply(200, msgspec.json.encode(resource(message, account)))
        case "delete":
            if message.status not in COMPLETE:
                return refusal(20009)
            message.deleted = True
            world.message_changed(message)
            return Reply(204, b"")
        case _:
            return refusal(20004)


def _create(world: World, record: RequestRecord, account: Account) -> Reply:
    form = dict(record.form)
    _note_violations(world, record, form)
    to, origin, service_sid = form.get("To", ""), form.get("From", ""), form.get("MessagingServiceSid", "")
    if not to:
        return refusal(21604)
    if account.test and to in MAGIC_TO:
        return refusal(MAGIC_TO[to])
    if not is_possible(to):
        return refusal(21211, message=f"Invalid 'To' Phone Number: {to[:-4]}XXXX")
    if origin and service_sid:
        world.violated(record, "both_senders", "From and MessagingServiceSid in one request")
        return refusal(21711)
    if not origin and not service_sid:
        world.violated(record, "no_sender", "neither From nor MessagingServiceSid")
        return refusal(21603)
    if service_sid:
        chosen = _sender_of_service(world, record, account, service_sid, to)
    else:
        chosen = _own_sender(world, record, account, origin, to)
    if isinstance(chosen, int):
        return refusal(chosen)
    mistake = _mistake_in_the_rest(form)
    if mistake is not None:
        return refusal(mistake)
    message = world.keep(
        account=account.sid,
        to=to,
        body=form.get("Body", ""),
        origin=origin or None,
        messaging_service_sid=service_sid or None,
        sender=chosen,
        sender_chosen=not service_sid,
        status="accepted" if service_sid else "queued",
        created_at=world.now(),
        updated_at=world.now(),
        num_segments=segments(form.get("Body", "")),
        validity_period=int(form["ValidityPeriod"]) if "ValidityPeriod" in form else None,
        status_callback=form.get("StatusCallback"),
        request=record.index,
        username=record.username,
        test=account.test,
    )
    return Reply(201, msgspec.json.encode(resource(message, account)), accepted=message)


def _note_violations(world: World, record: RequestRecord, form: dict[str, str]) -> None:
    unknown = form.keys() - oai.form_fields("CreateMessage")
    if unknown:
        world.violated(record, "unknown_parameter", f"Twilio does not know {', '.join(sorted(unknown))}")
    if len(form) != len(record.form):
        names = [name for name, _ in record.form]
        repeated = {name for name in names if names.count(name) > 1} - {"MediaUrl", "PersistentAction"}
        if repeated:
            world.violated(record, "repeated_parameter", f"more than once: {', '.join(sorted(repeated))}")
    if record.body and not record.form:
        world.violated(record, "not_a_form", "the body is not application/x-www-form-urlencoded")


def _sender_of_service(world: World, record: RequestRecord, account: Account, sid: str, to: str) -> str | int:
    if not SERVICE_SID.fullmatch(sid):
        return 21705
    found: tuple[Account, MessagingService] | None = world.service(sid)
    if found is None or account.test:
        return 21701
    if found[0] is not account:
        world.violated(record, "foreign_messaging_service", f"{sid} belongs to {found[0].sid}, not to {account.sid}")
        return 21701
    return world.choose_sender(found[1], to) or 21703


def _own_sender(world: World, record: RequestRecord, account: Account, origin: str, to: str) -> str | int:
    if account.test:
        return MAGIC_FROM.get(origin, 21606) or origin
    if not (E164.fullmatch(origin) or SHORT_CODE.fullmatch(origin) or ALPHANUMERIC.fullmatch(origin)):
        return 21212
    if world.owns(account, origin):
        return 21612 if ALPHANUMERIC.fullmatch(origin) and to.startswith("+1") else origin
    owner = world.owner_of(origin)
    if owner is not None:
        world.violated(record, "foreign_from", f"{origin} belongs to {owner.sid}, not to {account.sid}")
        return 21660
    return 21606 if ALPHANUMERIC.fullmatch(origin) else 21659


def _mistake_in_the_rest(form: dict[str, str]) -> int | None:
    if not form.get("Body") and not form.get("MediaUrl"):
        return 21602
    if len(form.get("Body", "")) > 1_600:
        return 21617
    validity = form.get("ValidityPeriod", "1")
    if not INTEGER.fullmatch(validity) or not 1 <= int(validity) <= 36_000:
        return 21624
    if "StatusCallback" in form and not is_callback_url(form["StatusCallback"]):
        return 21609
    if any(name in form and form[name] not in allowed for name, allowed in CHOICES.items()):
        return 20001
    if not INTEGER.fullmatch(form.get("Attempt", "1")):
        return 20001
    return None


def is_callback_url(url: str) -> bool:
    """http or https, a host name of letters, digits, dots and hyphens, at most 4,000 characters. Loopback may be."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return False
    return len(url) <= 4_000 and parts.scheme in ("http", "https") and bool(HOST.fullmatch(host))


def segments(body: str) -> int:
    """Billed parts of a text: GSM-7 160, then 153 each; UCS-2 70, then 67."""
    if GSM_7.issuperset(body):
        length, single, each = len(body), 160, 153
    elif (GSM_7 | GSM_7_TWO).issuperset(body):
        length, single, each = len(body) + sum(character in GSM_7_TWO for character in body), 160, 153
    else:
        length, single, each = len(body.encode("utf-16-be")) // 2, 70, 67
    return 1 if length <= single else -(-length // each)


@lru_cache(maxsize=1_024)
def rfc_2822(second: int) -> str:
    return format_datetime(datetime.fromtimestamp(second, UTC))


def resource(message: MessageRecord, account: Account) -> dict[str, Any]:
    """The Message resource as Twilio shows it; with a Messaging Service, sender and segments only once chosen."""
    uri = f"/2010-04-01/Accounts/{message.account}/Messages/{message.sid}"
    return {
        "account_sid": message.account,
        "api_version": "2010-04-01",
        "body": "" if message.redacted or account.redact_bodies else message.body,
        "date_created": rfc_2822(message.created_at // 1_000),
        "date_sent": None if message.sent_at is None else rfc_2822(message.sent_at // 1_000),
        "date_updated": rfc_2822(message.updated_at // 1_000),
        "direction": "outbound-api",
        "error_code": message.error_code,
        "error_message": None if message.error_code is None else f"Error {message.error_code}",
        "from": message.sender if message.sender_chosen else None,
        "messaging_service_sid": message.messaging_service_sid,
        "num_media": "0",
        "num_segments": str(message.num_segments) if message.sender_chosen else "0",
        "price": None,
        "price_unit": "USD",
        "sid": message.sid,
        "status": message.status,
        "subresource_uris": {"media": uri + "/Media.json"},
        "to": message.to,
        "uri": uri + ".json",
    }


def _list(world: World, record: RequestRecord, account: Account) -> Reply:
    path, _, raw = record.path.partition("?")
    if re.search(r"(?:^|&)(?:To|From)=\+", raw):
        world.violated(record, "unescaped_plus", "a + in a query is a blank; it has to be %2B")
    query = dict(parse_qsl(raw, keep_blank_values=True))
    size, page = query.pop("PageSize", "50"), query.pop("Page", "0")
    after = query.pop("PageToken", None)
    try:
        bounds = {name: _day_or_time(value) for name, value in query.items() if name.startswith("DateSent")}
    except ValueError:
        return refusal(20001)
    if not INTEGER.fullmatch(size) or not 1 <= int(size) <= 1_000 or not INTEGER.fullmatch(page):
        return refusal(20001)
    known = world.by_recipient.get((account.sid, query["To"]), []) if "To" in query else world.by_account[account.sid]
    wanted = [
        message
        for message in reversed(known)
        if not message.deleted
        and query.get("From") in (None, message.sender if message.sender_chosen else "")
        and _sent_within(message.sent_at, bounds)
    ]
    wanted.sort(key=lambda message: message.created_at, reverse=True)
    if after is not None:
        place = next((i for i, message in enumerate(wanted) if "PA" + message.sid == after), len(wanted))
        wanted = wanted[place + 1 :]
    number, count = int(page), int(size)
    if after is None:
        wanted = wanted[number * count :]
    shown = wanted[:count]

    def uri(at: int, **token: str) -> str:
        return f"{path}?{urlencode({**query, 'PageSize': count, 'Page': at, **token})}"

    body = {
        "end": number * count + max(len(shown) - 1, 0),
        "first_page_uri": uri(0),
        "next_page_uri": uri(number + 1, PageToken="PA" + shown[-1].sid) if len(wanted) > count else None,
        "page": number,
        "page_size": count,
        "previous_page_uri": None if number == 0 else uri(number - 1),
        "start": number * count,
        "uri": record.path,
        "messages": [resource(message, account) for message in shown],
    }
    return Reply(200, msgspec.json.encode(body))


def _day_or_time(text: str) -> tuple[int, int]:
    """First and last millisecond of a day (YYYY-MM-DD, GMT), or of the second that an ISO 8601 time names."""
    start = datetime.fromisoformat(text)
    first = int((start if start.tzinfo else start.replace(tzinfo=UTC)).timestamp()) * 1_000
    return first, first + (86_400_000 if len(text) == 10 else 1_000) - 1


def _sent_within(sent_at: int | None, bounds: Mapping[str, tuple[int, int]]) -> bool:
    if sent_at is None:
        return not bounds
    return all(
        (name == "DateSent<" or sent_at >= first) and (name == "DateSent>" or sent_at <= last)
        for name, (first, last) in bounds.items()
    )
