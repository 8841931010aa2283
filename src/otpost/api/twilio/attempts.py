"""`/v2/Attempts` and their summary: each text of a verification, and whether it brought the code back."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from otpost.api.endpoint import Reply
from otpost.api.twilio import paging
from otpost.api.twilio.endpoint import Call, Endpoint
from otpost.api.twilio.errors import wrong
from otpost.api.twilio.verifications import attempt_sid
from otpost.domain.moments import Span, format_second, read_span
from otpost.domain.phone import NumberRefused, parse_recipient, region_known, trusted
from otpost.domain.sid import APPLICATION, MESSAGE, VERIFICATION, is_sid
from otpost.services.messages.search import Search
from otpost.services.verifications.attempts import Sent, list_attempts, read_attempt
from otpost.services.verifications.search import Asked, Summary, select_attempts, summarise_attempts
from otpost.services.webhooks.status_callbacks import error_code, status_word

PREFIX = "VL"
CHANNELS = {"sms", "call", "email", "whatsapp", "rbm"}
RATE_DIGITS = 9


class AttemptShape(msgspec.Struct):
    sid: str
    account_sid: str
    service_sid: str
    verification_sid: str
    date_created: str
    date_updated: str
    conversion_status: Literal["converted", "unconverted"]
    channel: str
    price: dict[str, str | None]
    channel_data: dict[str, Any]
    url: str


class SummaryShape(msgspec.Struct):
    total_attempts: int
    total_converted: int
    total_unconverted: int
    conversion_rate_percentage: str
    url: str


def shape(sent: Sent, now: int, base: str) -> AttemptShape:
    row, of = sent.message, sent.verification
    sid, code = attempt_sid(row.sid), error_code(row, sent.attempt)
    return AttemptShape(
        sid=sid,
        account_sid=row.tenant,
        service_sid=row.application,
        verification_sid=of.sid,
        date_created=format_second(row.created_at),
        date_updated=format_second(_updated_at(sent)),
        conversion_status="converted" if sent.converted else "unconverted",
        channel="sms",
        price={"value": None, "currency": "usd"},
        channel_data={
            "verification_sid": of.sid,
            "to": row.to,
            "status": _status(sent, now),
            "message_status": status_word(row),
            "error_code": None if code is None else str(code),
            "country": trusted(row.to).region or None,
            "code_length": of.code_length,
            "locale": of.locale,
            "mcc": None,
            "mnc": None,
            "carrier": None,
        },
        url=f"{base}/v2/Attempts/{sid}",
    )


def _status(sent: Sent, now: int) -> str:
    if sent.converted:
        return "confirmed"
    return "expired" if sent.verification.status_at(now) == "expired" else "unconfirmed"


def _updated_at(sent: Sent) -> int:
    tried = sent.attempt
    handed_over = 0 if tried is None else tried.started_at + (tried.duration_ms or 0)
    return max(sent.message.created_at, handed_over, (sent.verification.approved_at or 0) if sent.converted else 0)


async def listing(call: Call) -> Reply:
    asked = _asked(call, status=call.query.get("Status"), to=call.query.get("ChannelData.To"))
    if asked is None:
        return paging.reply_page(call, "attempts", paging.slice_page(call, [], str), [])
    page = await paging.read_page(call, select_attempts(call.tenancy, asked))
    told, now = await list_attempts(call.context, page.rows), call.context.clock()
    return paging.reply_page(call, "attempts", page, [shape(sent, now, call.base) for sent in told])


async def fetch(call: Call) -> Reply:
    named = call.path["Sid"]
    if not is_sid(named, PREFIX):
        call.refuse_path()
    sent = await read_attempt(call.context, call.tenancy, MESSAGE + named[len(PREFIX) :])
    return Reply(200, shape(sent, call.context.clock(), call.base))


async def summary(call: Call) -> Reply:
    asked = _asked(call, prefix=call.query.get("DestinationPrefix"))
    found = Summary(0, 0) if asked is None else await summarise_attempts(call.context, call.tenancy, asked)
    share = 100 * found.converted / found.total if found.total else 0.0
    shown = f"{share:.{RATE_DIGITS}f}".rstrip("0").rstrip(".")
    unconverted = found.total - found.converted
    url = f"{call.base}/v2/Attempts/Summary"
    return Reply(
        200,
        SummaryShape(
            total_attempts=found.total,
            total_converted=found.converted,
            total_unconverted=unconverted,
            conversion_rate_percentage=shown,
            url=url,
        ),
    )


def _asked(call: Call, *, status: str | None = None, to: str | None = None, prefix: str | None = None) -> Asked | None:
    """What the query asks for; None for what there can be none of: other channels than SMS."""
    country, channel = call.query.get("Country"), call.query.get("Channel")
    if country is not None and not region_known(country := country.strip().upper()):
        raise wrong("Country", "Send the two letters of ISO 3166-1, as in CA.")
    if channel is not None and channel.lower() not in CHANNELS:
        raise wrong("Channel", f"Send one of {', '.join(sorted(CHANNELS))}.")
    if status is not None and status.lower() not in ("converted", "unconverted"):
        raise wrong("Status", "Send converted or unconverted.")
    if prefix is not None and not (prefix := "+" + prefix.strip().removeprefix("+"))[1:].isdigit():
        raise wrong("DestinationPrefix", "Send the digits with which numbers begin, as in +4479.")
    after, before = _span(call, "DateCreatedAfter"), _span(call, "DateCreatedBefore")
    search = Search(
        to=None if to is None else _number(to),
        application=_sid(call, "VerifyServiceSid", APPLICATION),
        country=country,
        since=after.begin if after is not None and after.is_day else None,
        after=after.begin if after is not None and not after.is_day else None,
        until=None if before is None else before.end if before.is_day else before.begin,
    )
    asked = Asked(
        search,
        prefix=prefix,
        verification=_sid(call, "VerificationSid", VERIFICATION),
        status=None if status is None else "converted" if status.lower() == "converted" else "unconverted",
    )
    return asked if channel is None or channel.lower() == "sms" else None


def _number(text: str) -> str:
    try:
        return parse_recipient("+" + text.lstrip() if text.startswith(" ") else text).e164
    except NumberRefused as refused:
        raise wrong("ChannelData.To", refused.message) from None


def _sid(call: Call, name: str, prefix: str) -> str | None:
    text = call.query.get(name)
    if text is not None and not is_sid(text, prefix):
        raise wrong(name, f"Send a SID that begins with {prefix}.")
    return text


def _span(call: Call, name: str) -> Span | None:
    text = call.query.get(name)
    if text is None:
        return None
    span = read_span(text)
    if span is None:
        raise wrong(name, "Send an ISO 8601 moment, as in 2026-11-23T02:06:27Z.")
    return span


ENDPOINTS = (
    Endpoint("GET", "/v2/Attempts", listing),
    Endpoint("GET", "/v2/Attempts/Summary", summary),
    Endpoint("GET", "/v2/Attempts/{Sid}", fetch),
)
