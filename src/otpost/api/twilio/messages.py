"""`/2010-04-01/Accounts/{AC}/Messages`: callers' own texts as Twilio's Messages, through the sender policy.

The policy alone decides who sends: `From` and `MessagingServiceSid` may be left out, and must otherwise be what it
gives to the number. A verification's texts are no Messages here, as they are none at Twilio. `body` is answered while
Otpost keeps it, which is until the message is final, and is empty after that.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Final

import msgspec

from otpost.api.endpoint import Reply
from otpost.api.lists import read_number
from otpost.api.twilio import paging
from otpost.api.twilio.endpoint import Call, Endpoint
from otpost.api.twilio.errors import TwilioError, missing
from otpost.domain.message import Attempt
from otpost.domain.moments import format_rfc_2822, format_rfc_2822_or_none, read_span
from otpost.domain.outcome import REASONS
from otpost.domain.phone import NumberRefused, parse_origin, parse_recipient
from otpost.domain.text.characters import compact, trimmed, unwrapped
from otpost.senders.registry import capabilities, find_services
from otpost.senders.submission import parse_sender
from otpost.services.messages.bodies import body_of
from otpost.services.messages.read import MessageStory, read_message, read_stories
from otpost.services.messages.search import TextSearch, select_texts
from otpost.services.messages.send import LONGEST_S, erase_message, read_body, redact_message, send_message
from otpost.services.tenants.applications import read_application
from otpost.services.webhooks import status_callbacks
from otpost.services.webhooks.status_callbacks import API_VERSION, is_messaging_service, status_word

PATH: Final = "/2010-04-01/Accounts/{AccountSid}/Messages"
SHORTEST_S: Final = 1
LEAST_S: Final = 20
"""What has less of its life left than 10 s is not sent any more, so that a shorter validity would send nothing."""
URL_LENGTH: Final = 4_000

NUMBERS: Final = {
    "sender_policy_incomplete": 21603,
    "invalid_number": 21211,
    "number_type_refused": 21614,
    "dialing_code_refused": 21408,
    "token_required": 21609,
    "required": 21602,
    "text_too_long": 21617,
    "invalid": 21618,
    "not_complete": 20009,
    "From": 21606,
    "MessagingServiceSid": 21701,
}
REFUSED: Final = {
    "MediaUrl": 21622,
    "ContentSid": 21655,
    "ContentVariables": 21656,
    "ScheduleType": 35114,
    "SendAt": 35114,
}
"""What a text message through Otpost cannot have. Parameters that only tune Twilio's own sending are ignored."""

_SERVICE_SID: Final = re.compile(r"MG[0-9a-fA-F]{32}")


class MessageShape(msgspec.Struct):
    body: str
    num_segments: str
    direction: str
    from_: str | None = msgspec.field(name="from")
    to: str
    date_updated: str
    price: None
    error_message: str | None
    uri: str
    account_sid: str
    num_media: str
    status: str
    messaging_service_sid: str | None
    sid: str
    date_sent: str | None
    date_created: str
    error_code: int | None
    price_unit: None
    api_version: str
    subresource_uris: dict[str, str]


class MessagePage(msgspec.Struct):
    end: int
    first_page_uri: str
    next_page_uri: str | None
    page: int
    page_size: int
    previous_page_uri: str | None
    start: int
    uri: str
    messages: list[MessageShape]


def shape(story: MessageStory, body: str) -> MessageShape:
    row, attempts, reports = story
    latest = next((attempt for attempt in attempts if attempt.sid == row.attempt), None)
    code = status_callbacks.error_code(row, latest)
    uri = f"/{API_VERSION}/Accounts/{row.tenant}/Messages/{row.sid}"
    by_service = is_messaging_service(row.origin)
    moments = [row.created_at, *map(_ended_at, attempts), *(report.at for report in reports)]
    return MessageShape(
        body=body,
        num_segments=str(row.segments),
        direction="outbound-api",
        from_=None if by_service or not row.origin else row.origin,
        to=row.to,
        date_updated=format_rfc_2822(max(moments)),
        price=None,
        error_message=None if code is None else REASONS[row.reason or "unknown"].for_application,
        uri=f"{uri}.json",
        account_sid=row.tenant,
        num_media="0",
        status=status_word(row),
        messaging_service_sid=row.origin if by_service else None,
        sid=row.sid,
        date_sent=format_rfc_2822_or_none(
            next((_ended_at(one) for one in attempts if one.outcome == "accepted"), None)
        ),
        date_created=format_rfc_2822(row.created_at),
        error_code=code,
        price_unit=None,
        api_version=API_VERSION,
        subresource_uris={"media": f"{uri}/Media.json"},
    )


def _ended_at(attempt: Attempt) -> int:
    return attempt.started_at + (attempt.duration_ms or 0)


async def create(call: Call) -> Reply:
    _own(call)
    if "To" not in call.form:
        raise TwilioError(21604)
    for name, code in REFUSED.items():
        if call.form.get(name):
            raise TwilioError(code, detail=f"Otpost sends texts at once, and has no {name}.")
    app = await read_application(call.context, call.tenant, call.principal.application)
    to = read_number(call.form["To"], "to", app.rules.default_region)
    body = read_body(call.form.get("Body", ""))
    unit = send_message(
        call.context,
        call.surroundings.plans,
        call.tenant,
        app.sid,
        to,
        body,
        _valid_for_s(call),
        senders=_senders(call),
        status_callback=await _status_callback(call),
    )
    row = await call.decide(unit)
    return Reply(201, shape(MessageStory(row, [], []), body))


async def listing(call: Call) -> Reply:
    _own(call)
    page = await paging.read_page(call, select_texts(call.tenancy, _search(call)))
    stories = await read_stories(call.context, page.rows)
    want = paging.read_request(call)
    first, own, following, before = paging.write_addresses(call, page)
    start = want.page * want.size
    return Reply(
        200,
        MessagePage(
            end=start + max(0, len(page.rows) - 1),
            first_page_uri=first,
            next_page_uri=following,
            page=want.page,
            page_size=want.size,
            previous_page_uri=before,
            start=start,
            uri=own,
            messages=[shape(story, body_of(call.context, story.message)) for story in stories],
        ),
    )


async def fetch(call: Call) -> Reply:
    story = await _story(call)
    return Reply(200, shape(story, body_of(call.context, story.message)))


async def update(call: Call) -> Reply:
    """Redact (`Body=`); a message that was sent at once can no longer be canceled."""
    story = await _story(call)
    if "Status" in call.form:
        if call.form["Status"] != "canceled":
            raise TwilioError(20422, "Invalid Parameter: Status", detail="canceled is the only status to ask for.")
        raise TwilioError(30409, detail="Texts are sent at once; only a scheduled one could be canceled.")
    if "Body" not in call.form:
        raise missing("Body")
    if call.form["Body"]:
        raise TwilioError(20422, "Invalid Parameter: Body", detail="A text can be erased (an empty Body), not changed.")
    row = await call.decide(redact_message(call.context, call.tenant, story.message.sid))
    return Reply(200, shape(story._replace(message=row), body_of(call.context, row)))


async def delete(call: Call) -> Reply:
    _own(call)
    await call.decide(erase_message(call.context, call.actor, call.path["Sid"]))
    return Reply(204)


def _own(call: Call) -> None:
    """Twilio's 404 unless the path names the caller's own account."""
    if call.path["AccountSid"] != call.tenant:
        call.refuse_path()


async def _story(call: Call) -> MessageStory:
    _own(call)
    story = await read_message(call.context, call.tenancy, call.path["Sid"])
    if story.message.verification is not None:
        call.refuse_path()
    return story


def _valid_for_s(call: Call) -> int:
    text = call.form.get("ValidityPeriod")
    if text is None:
        return LONGEST_S
    seconds = int(text) if text.isascii() and text.isdigit() and len(text) <= 10 else 0
    if not SHORTEST_S <= seconds <= LONGEST_S:
        raise TwilioError(21624, detail=f"Send a whole number of seconds from {SHORTEST_S} to {LONGEST_S}.")
    return max(LEAST_S, seconds)


def _senders(call: Call) -> dict[str, Callable[[str], str]]:
    """The senders that the caller names, written as the policy writes them for the service that sends."""
    named: dict[str, Callable[[str], str]] = {}
    if service := compact(call.form.get("MessagingServiceSid", "")):
        if not _SERVICE_SID.fullmatch(service):
            raise TwilioError(21705, detail="A Messaging Service's SID is MG and 32 hex digits.")
        named["MessagingServiceSid"] = lambda _: service
    if sender := call.form.get("From"):
        named["From"] = partial(_read_sender, sender)
    return named


def _read_sender(sender: str, service: str) -> str:
    try:
        return parse_sender(trimmed(sender), any_name=capabilities(find_services()[service]).takes_any_name)
    except NumberRefused as refused:
        raise TwilioError(21212, f"Invalid From Number: {sender}", detail=refused.message) from None


async def _status_callback(call: Call) -> str | None:
    """The address for callbacks; what stands after `#` sets how Twilio tries again, and is no part of it."""
    given = unwrapped(call.form.get("StatusCallback", ""))
    if not given:
        return None
    url = given.partition("#")[0]
    if len(url) > URL_LENGTH:
        raise TwilioError(21609, detail=f"The address has at most {URL_LENGTH} characters.")
    underscore = "_" in re.split("[/?]", url.partition("://")[2])[0]
    refused = "The host name holds an underscore." if underscore else await call.surroundings.http.judge(url)
    if refused is not None:
        raise TwilioError(21609, f"Invalid 'StatusCallback': {url}", detail=refused)
    return url


def _search(call: Call) -> TextSearch:
    """What the query's filters ask for; a number that cannot be matches nothing."""
    query = call.query
    sent: list[tuple[int | None, int | None]] = []
    for name in ("DateSent", "DateSent<", "DateSent>"):
        if text := query.get(name):
            span = read_span(text)
            if span is None:
                raise TwilioError(20422, f"Invalid Parameter: {name}", detail="Send YYYY-MM-DD or a moment.")
            since = None if name == "DateSent<" else span.begin
            until = None if name == "DateSent>" else span.begin if name == "DateSent<" and not span.is_day else span.end
            sent.append((since, until))
    return TextSearch(
        to=_written(lambda text: parse_recipient(text).e164, query["To"]) if "To" in query else None,
        origin=_written(parse_origin, query["From"]) if "From" in query else None,
        sent=sent,
    )


def _written(parse: Callable[[str], str], text: str) -> str:
    try:
        return parse(text)
    except NumberRefused:
        return text


ENDPOINTS = (
    Endpoint("GET", f"{PATH}.json", listing),
    Endpoint("POST", f"{PATH}.json", create, "admin", numbers=NUMBERS),
    Endpoint("GET", f"{PATH}/{{Sid}}.json", fetch),
    Endpoint("POST", f"{PATH}/{{Sid}}.json", update, "admin", numbers=NUMBERS),
    Endpoint("DELETE", f"{PATH}/{{Sid}}.json", delete, "admin", numbers=NUMBERS),
)
