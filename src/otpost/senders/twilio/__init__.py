"""Twilio's Messages API: which account sends, the request, what each answer means, look-ups and reports.

https://www.twilio.com/docs/messaging/api/message-resource and https://www.twilio.com/docs/usage/security
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple
from urllib.parse import quote_plus, urlencode

from otpost.domain.errors import FieldError
from otpost.domain.outcome import REASONS, Accepted, Outcome, ReasonName, Refused, Unavailable, Unknown, Vendor
from otpost.domain.phone import PhoneNumber
from otpost.domain.policy import EVERY_COUNTRY, CountrySender, NoRoute, Route, closest_filter
from otpost.domain.secret import Secret
from otpost.outbound import AnswerLost, NotConnected, OutboundRefused, Response
from otpost.senders.answers import (
    SID,
    basic,
    code_of,
    header,
    json_object,
    milliseconds,
    name_in,
    retry_after_s,
    words,
)
from otpost.senders.service import (
    CONNECT_S,
    TOTAL_S,
    Account,
    Http,
    Listed,
    LookUpFailed,
    NotProven,
    Reported,
    ReportRequest,
    Text,
)
from otpost.senders.settings import SecretRef, destination, join, missing, setting
from otpost.senders.twilio.codes import CODES, STATUSES, SettingAtFault, link, meaning
from otpost.senders.twilio.signature import proven, read_fields

NAME: Final = "twilio"
TITLE: Final = "Twilio"
PLACE: Final = 10
may_be_fallback: Final = True

_ACCOUNT_SID: Final = "AC[0-9a-fA-F]{32}"
_SERVICE_SID: Final = "MG[0-9a-fA-F]{32}"
_ACCOUNT_SID_RULE: Final = "An account SID has 34 characters: AC, then 32 digits or letters a–f."
_SERVICE_SID_RULE: Final = "A Messaging Service SID has 34 characters: MG, then 32 digits or letters a–f."


@dataclass(frozen=True, slots=True)
class Subaccount:
    """The subaccount that sends to the numbers which begin with a dialing code."""

    dialing_code: str = setting(
        "Country Dialing Code Filter",
        kind="dialing_code",
        key=True,
        required=True,
        help="Texts to numbers that begin with this, as in +91, or that belong to this region, as in PR, are sent by "
        "this subaccount. The longest filter wins; a region goes before its country's dialing code.",
    )
    account_sid: str = setting(
        "Subaccount SID",
        pattern=_ACCOUNT_SID,
        rule=_ACCOUNT_SID_RULE,
        required=True,
        help="34 characters, beginning with AC.",
    )
    auth_token: Secret | None = setting(
        "Subaccount Auth Token", secret=True, owner="account_sid", destination="api_url", required=True
    )
    sender_phone: str = setting(
        "Sender Phone", kind="origin", help="A number of the subaccount's own, shown on the recipient's phone."
    )
    service_sid: str = setting(
        "Messaging Service SID",
        pattern=_SERVICE_SID,
        rule=_SERVICE_SID_RULE,
        help="A Messaging Service of the subaccount's own, in place of the Sender Phone.",
    )


@dataclass(frozen=True, slots=True)
class Settings:
    """Twilio's main account, and the subaccounts that send to some dialing codes in its place."""

    account_sid: str = setting(
        "Account sid",
        pattern=_ACCOUNT_SID,
        rule=_ACCOUNT_SID_RULE,
        required=True,
        help="34 characters, beginning with AC. It acts as the user name.",
    )
    auth_token: Secret | None = setting(
        "Authentication token",
        secret=True,
        owner="account_sid",
        destination="api_url",
        required=True,
        help="It acts as the password, and is not shown again once saved.",
    )
    use_copilot: bool = setting(
        "Use Copilot",
        kind="flag",
        help="On: a Messaging Service picks a sender of the recipient's country. Off: the Sender phone sends.",
    )
    service_sid: str = setting(
        "Messaging Service SID",
        pattern=_SERVICE_SID,
        rule=_SERVICE_SID_RULE,
        help="34 characters, beginning with MG. Needed while Use Copilot is on.",
    )
    sender_phone: str = setting(
        "Sender phone",
        kind="origin",
        help="A number that you own at Twilio, with its dialing code, as in +919191919191 or 91\\9191919191.",
    )
    api_url: str = setting(
        "API URL",
        kind="url",
        appended=r"/2010-04-01(/Accounts(\.json|/AC[0-9a-fA-F]{32}(\.json|/Messages(\.json)?)?)?)?",
        default="https://api.twilio.com",
        pattern=r"[^?]*",
        rule="The API URL must have no query: https://api.twilio.com, or the root of a service that speaks like it.",
        help="Change it only for a regional or compatible service.",
    )
    subaccounts: tuple[Subaccount, ...] = setting(
        "Subaccounts",
        row=Subaccount,
        row_label="Subaccount",
        help="Each sends to the numbers that begin with its filter, whatever Use Copilot says.",
    )
    subaccount_falls_back: bool = setting(
        "Fall back to the main account",
        kind="flag",
        help="When a subaccount is refused, the main account sends: it pays, and its sender is shown.",
    )
    only_listed_dialing_codes: bool = setting(
        "Only listed dialing codes", kind="flag", help="Numbers that no subaccount's filter matches get no text."
    )


def problems(settings: Settings, path: str) -> list[FieldError]:
    """What keeps these settings from being used: the account, and the origin that Use Copilot asks for."""
    errors = missing(settings, path)
    if settings.use_copilot and not settings.service_sid:
        errors.append(FieldError(join(path, "service_sid"), "required", "Use Copilot needs a Messaging Service SID."))
    if not settings.use_copilot and not settings.sender_phone:
        errors.append(FieldError(join(path, "sender_phone"), "required", "Without Copilot a Sender phone is needed."))
    for index, row in enumerate(settings.subaccounts):
        at = join(path, f"subaccounts[{index}]")
        if not row.sender_phone and not row.service_sid:
            message = "A subaccount needs a Sender Phone, or a Messaging Service SID of its own."
            errors.append(FieldError(f"{at}.sender_phone", "required", message))
        if row.sender_phone and row.service_sid:
            message = "A subaccount has a Sender Phone or a Messaging Service SID. Leave one of the two empty."
            errors.append(FieldError(f"{at}.service_sid", "invalid", message))
    return errors


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
    try:
        response = await http.request(
            "POST",
            _messages_url(sending),
            headers={**_headers(sending), "Content-Type": "application/x-www-form-urlencoded"},
            body="&".join([f"{name}={quote_plus(value, errors='replace')}" for name, value in form.items()]).encode(),
            connect_s=CONNECT_S,
            total_s=TOTAL_S,
        )
    except OutboundRefused as error:
        return Refused("wrong_settings", error.reason, field="api_url")
    except NotConnected as error:
        return Unavailable("network_trouble", f"Twilio could not be reached. {error.reason}")
    except AnswerLost as error:
        return Unknown(f"The text was handed to Twilio, but no answer came. {error.reason}")
    return _outcome(response, place, sending, text)


def _outcome(response: Response, place: _Place, account: Account, text: Text) -> Outcome:
    status, said = response.status, json_object(response.body)
    code = code_of(said.get("code"))
    page = link(code) if code is not None else None
    vendor = Vendor(
        http_status=status,
        code=str(code) if code is not None else None,
        message=words(said.get("message"), account, text),
        sid=name_in(said.get("sid"), account, text),
        status=name_in(said.get("status"), account, text),
        request_id=name_in(header(response.headers, "Twilio-Request-Id"), account, text),
    )
    if 200 <= status < 300:
        if vendor.sid is not None:
            return Accepted(vendor)
        return Unknown("Twilio took the text, but its answer does not name the message.", vendor, answered=True)
    if 300 <= status < 400:
        detail = "The API URL answers with a redirect, which is not followed."
        return Refused("wrong_settings", detail, vendor, field="api_url")
    if status < 200 or status == 408 or status >= 500:
        detail = f"Twilio answered {status}. The text may or may not have gone out."
        return Unknown(detail, vendor, answered=True)
    if code is None and status not in (401, 403, 429):
        detail = f"The API URL answered {status} and none of Twilio's codes. Check that it is Twilio's."
        return Refused("wrong_settings", detail, vendor, field="api_url")
    known = meaning(code) if code is not None else CODES[20429 if status == 429 else 20003]
    if status == 429 and known.reason == "unknown":
        known = CODES[20429]
    elif status in (401, 403) and (known.reason == "unknown" or REASONS[known.reason].help == "nobody"):
        known = CODES[20003]
    if REASONS[known.reason].help == "again" and known.reason != "callback_refused":
        return Unavailable(known.reason, known.sentence, vendor, retry_after_s(response.headers), page)
    return Refused(known.reason, known.sentence, vendor, page, place.field(known.setting))


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

    def field(self, name: SettingAtFault) -> str | None:
        if not name:
            return None
        return name if name == "api_url" else join(self.path, name)


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
    try:
        response = await http.request(
            "GET", url, headers=_headers(account), body=None, connect_s=CONNECT_S, total_s=TOTAL_S
        )
    except (OutboundRefused, NotConnected, AnswerLost) as error:
        return LookUpFailed(f"Twilio did not answer. {error.reason}")
    if response.status == 200:
        return json_object(response.body)
    code = code_of(json_object(response.body).get("code"))
    reason = meaning(code).sentence if code is not None else f"Twilio answered {response.status}."
    return LookUpFailed(reason, about_credentials=response.status in (401, 403))


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
