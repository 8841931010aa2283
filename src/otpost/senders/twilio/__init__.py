"""Twilio's Messages API: which account sends, the request, what each answer means, look-ups and reports.

https://www.twilio.com/docs/messaging/api/message-resource and https://www.twilio.com/docs/usage/security
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

from otpost.domain.outcome import REASONS, Outcome, ReasonName, Refused, Vendor
from otpost.domain.phone import PhoneNumber
from otpost.domain.policy import EVERY_COUNTRY, CountrySender, NoRoute, Route, closest_filter
from otpost.domain.secret import Secret
from otpost.outbound import Response
from otpost.senders.answers import (
    SID,
    basic,
    code_of,
    header,
    json_object,
    milliseconds,
    name_in,
    words,
)
from otpost.senders.asking import FORM, Answer, Company, ask, ask_for, form_body
from otpost.senders.service import Account, Http, Listed, LookUpFailed, NotProven, Reported, ReportRequest, Text
from otpost.senders.settings import SecretRef, destination, join
from otpost.senders.twilio.codes import CODES, STATUSES, link, meaning
from otpost.senders.twilio.settings import Settings, Subaccount, problems
from otpost.senders.twilio.signature import proven, read_fields

__all__ = [
    "NAME", "PLACE", "TITLE", "Settings", "account", "account_secret", "fetch_report", "look_up", "may_be_fallback",
    "other_route", "other_route_by_country", "problems", "read_report", "route", "route_by_country", "send",
]  # fmt: skip

NAME: Final = "twilio"
TITLE: Final = "Twilio"
PLACE: Final = 10
may_be_fallback: Final = True

COMPANY: Final = Company("Twilio", CODES[20429])


def route(settings: Settings, to: PhoneNumber) -> Route | NoRoute:
    """The subaccount whose filter says most about the number; else the main account, or nobody."""
    return route_by_country(settings, to, None)


def route_by_country(settings: Settings, to: PhoneNumber, chosen: CountrySender | None) -> Route | NoRoute:
    """The same; the main account sends by the application's own Messaging Service where it has `chosen` one."""
    best = closest_filter(to, [row.dialing_code for row in settings.subaccounts if row.dialing_code])
    for row in settings.subaccounts:
        if best is not None and row.dialing_code == best:
            longest = f"{best} is the longest filter that this number begins with, so its subaccount sends."
            reason = longest if best.startswith("+") else f"This is a number of {best}, so its subaccount sends."
            return Route(NAME, row.account_sid, row.sender_phone or row.service_sid, reason)
    if settings.only_listed_dialing_codes:
        return NoRoute("No subaccount's filter matches this number, and texts go to listed dialing codes only.")
    return _main(settings, "No subaccount's filter matches this number. " if settings.subaccounts else "", chosen)


def other_route(settings: Settings, refused: Route) -> Route | None:
    """The main account's route after a subaccount's was refused, if the settings say so."""
    return other_route_by_country(settings, refused, None)


def other_route_by_country(settings: Settings, refused: Route, chosen: CountrySender | None) -> Route | None:
    """The same; by the application's own Messaging Service where it has `chosen` one."""
    main = _main(settings, f"Twilio refused account {refused.account_sid}. ", chosen)
    if not settings.subaccount_falls_back or (refused.account_sid, refused.origin) == (main.account_sid, main.origin):
        return None
    return main


def account_secret(settings: Settings, route: Route) -> SecretRef | None:
    """The token of the account that the route names, whether or not the account is still in the settings."""
    return SecretRef("auth_token", route.account_sid, destination(settings.api_url))


def account(settings: Settings, route: Route, token: Secret) -> Account:
    """The account that this route sends from, opened by `token`."""
    return Account(route.account_sid, token, settings.api_url)


async def send(http: Http, settings: Settings, route: Route, text: Text) -> Outcome:
    """POST the text once. https://www.twilio.com/docs/messaging/api/message-resource#create-a-message-resource"""
    place = _place(settings, route)
    token = place.holder.auth_token
    if token is None:
        reason = "The token of the account that sends is not stored; type it in the settings."
        return Refused("credentials_refused", reason, field=place.field("auth_token"))
    sender = "MessagingServiceSid" if route.origin.startswith("MG") and len(route.origin) == 34 else "From"
    form = {
        "To": text.to.e164,
        sender: route.origin,
        "Body": text.body,
        "ValidityPeriod": str(max(1, min(_MAX_VALIDITY_S, int(text.valid_for_s)))),
    }
    if text.callback_url:
        form["StatusCallback"] = text.callback_url + _CALLED_AGAIN
    sending = account(settings, route, token)
    headers = {**_headers(sending), "Content-Type": FORM}
    url = _messages_url(sending)
    return await ask(http, COMPANY, url, headers, form_body(form), lambda answer: _read(answer, place, sending, text))


def _read(response: Response, place: _Place, account: Account, text: Text) -> Answer:
    status, said = response.status, json_object(response.body)
    code = code_of(said.get("code"))
    vendor = Vendor(
        http_status=status,
        code=str(code) if code is not None else None,
        message=words(said.get("message"), account, text),
        sid=name_in(said.get("sid"), account, text),
        status=name_in(said.get("status"), account, text),
        request_id=name_in(header(response.headers, "Twilio-Request-Id"), account, text),
    )
    if status < 300:
        return Answer(vendor)
    known = meaning(code) if code is not None else None
    if status in (401, 403) and (known is None or known.reason == "unknown" or REASONS[known.reason].help == "nobody"):
        known = CODES[20003]
    if known is None:
        return Answer(vendor)
    return Answer(vendor, known._replace(setting=place.field(known.setting)), link(code) if code is not None else None)


async def look_up(http: Http, account: Account, to: PhoneNumber, since: int) -> list[Listed] | LookUpFailed:
    """The account's outbound messages to this number from 5 s before `since` on (Twilio's dates are whole seconds)."""
    oldest = since - 5_000
    rows: list[Listed] = []
    url = f"{_messages_url(account)}?{urlencode({'To': to.e164, 'PageSize': _PAGE_SIZE})}"
    for _ in range(_MAX_PAGES):
        page = await _get(http, account, url)
        if isinstance(page, LookUpFailed):
            return page
        messages = page.get("messages")
        if not isinstance(messages, list):
            return LookUpFailed("Twilio's listing could not be read.")
        for message in messages:
            listed = _listed(message, account.sid)
            if listed is None:
                return LookUpFailed("Twilio's listing could not be read.")
            if listed.created_at is not None and listed.created_at < oldest:
                return rows
            if str(message.get("direction") or "outbound").startswith("outbound"):
                rows.append(listed)
        following = page.get("next_page_uri")
        if not following:
            return rows
        if not isinstance(following, str) or not following.startswith(f"/2010-04-01/Accounts/{account.sid}/Messages"):
            return LookUpFailed("Twilio's listing goes on at an address that is not its own.")
        url = account.url.rstrip("/") + following
    return LookUpFailed(f"The listing has more than {_MAX_PAGES * _PAGE_SIZE} messages to this number.")


async def fetch_report(http: Http, account: Account, vendor_sid: str) -> Reported | LookUpFailed:
    """What became of the message that Twilio calls `vendor_sid`."""
    if not SID.fullmatch(vendor_sid):
        return LookUpFailed("This is not the SID of a message at Twilio.")
    said = await _get(http, account, _messages_url(account, f"/{vendor_sid}"))
    if isinstance(said, LookUpFailed):
        return said
    if said.get("sid") != vendor_sid or not isinstance(said.get("status"), str):
        return LookUpFailed("Twilio's answer could not be read.")
    return _reported(said["status"], said.get("error_code"), vendor_sid, account.sid)


def read_report(
    settings: Settings, request: ReportRequest, tokens: Mapping[str, Sequence[Secret]]
) -> list[Reported] | NotProven:
    """Prove a status callback by `X-Twilio-Signature`, made with the token of the account that owns the message."""
    signature = header(request.headers, "X-Twilio-Signature")
    if not signature:
        return NotProven("the signature is missing")
    try:
        fields, pairs = read_fields(request.url, request.body, header(request.headers, "Content-Type") or "")
        account_sid = str(fields.get("AccountSid") or "")
        if not proven(signature, tokens.get(account_sid, ()), request.url, pairs):
            return NotProven("no token of the account that the report names made the signature")
    except ValueError as error:
        return NotProven(f"the request cannot be read: {error}")
    vendor_sid = str(fields.get("MessageSid") or fields.get("SmsSid") or "")
    status = str(fields.get("MessageStatus") or fields.get("SmsStatus") or "")
    if not SID.fullmatch(vendor_sid) or not status:
        return NotProven("this is no report on a message")
    return [_reported(status, fields.get("ErrorCode"), vendor_sid, account_sid)]


class _Place(NamedTuple):
    """Where the account of a route stands in the settings: `path` is empty for the main account."""

    path: str
    holder: Settings | Subaccount

    def field(self, name: str) -> str:
        return name if name in ("", "api_url") else join(self.path, name)


def _place(settings: Settings, route: Route) -> _Place:
    """The main account or the row that the route was made from; where that is gone, whoever has its account SID."""
    places = [_Place(f"subaccounts[{index}]", row) for index, row in enumerate(settings.subaccounts)]
    places = [_Place("", settings), *places]
    of_account = [place for place in places if place.holder.account_sid == route.account_sid]
    for place in of_account:
        if route.origin in (place.holder.sender_phone, place.holder.service_sid):
            return place
    return of_account[0] if of_account else _Place("", Settings())


def _main(settings: Settings, why: str, chosen: CountrySender | None) -> Route:
    if chosen is not None:
        numbers = "all countries" if chosen.country == EVERY_COUNTRY else chosen.country
        reason = f"{why}The application has a Messaging Service for {numbers}, which picks the main account's sender."
        return Route(NAME, settings.account_sid, chosen.service_sid, reason)
    if settings.use_copilot:
        reason = f"{why}Use Copilot is on: the main account's Messaging Service picks the sender."
        return Route(NAME, settings.account_sid, settings.service_sid, reason)
    reason = f"{why}Use Copilot is off: the main account sends from its Sender phone."
    return Route(NAME, settings.account_sid, settings.sender_phone, reason)


def _messages_url(account: Account, of: str = "") -> str:
    return f"{account.url.rstrip('/')}/2010-04-01/Accounts/{account.sid}/Messages{of}.json"


def _headers(account: Account) -> dict[str, str]:
    return {"Authorization": f"Basic {basic(account)}", "Accept": "application/json"}


async def _get(http: Http, account: Account, url: str) -> dict[str, Any] | LookUpFailed:
    return await ask_for(http, COMPANY, url, _headers(account), _explain)


def _explain(response: Response) -> str | None:
    code = code_of(json_object(response.body).get("code"))
    return meaning(code).sentence if code is not None else None


def _listed(message: object, account_sid: str) -> Listed | None:
    if not isinstance(message, dict) or not isinstance(sid := message.get("sid"), str) or not SID.fullmatch(sid):
        return None
    return Listed(
        sid=sid,
        created_at=milliseconds(message.get("date_created")),
        body=str(message.get("body") or ""),
        told=_reported(str(message.get("status") or ""), message.get("error_code"), sid, account_sid),
    )


def _reported(status: str, error_code: object, vendor_sid: str, account_sid: str) -> Reported:
    code, known = code_of(error_code), STATUSES.get(status, "accepted")
    if code is not None:
        told = meaning(code)
        return Reported(known, status[:32], str(code), vendor_sid, account_sid, told.reason, told.sentence, link(code))
    reason: ReasonName | None = "not_delivered" if known in ("undelivered", "failed") else None
    return Reported(known, status[:32], None, vendor_sid, account_sid, reason)


# https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides: by itself Twilio does not repeat a call that
# was answered with 5xx or not in time. The fragment is not sent and not signed.
_CALLED_AGAIN: Final = "#rc=5&rp=5xx,ct,rt"
_MAX_VALIDITY_S: Final = 36_000
_PAGE_SIZE: Final = 50
_MAX_PAGES: Final = 10
