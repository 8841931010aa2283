"""Infobip's SMS API: the request, what each answer means, its log of sent messages, and delivery reports.

https://www.infobip.com/docs/api/channels/sms/outbound-sms/send-sms-messages and
https://www.infobip.com/docs/api/channels/sms/logs-and-status-reports/get-outbound-sms-message-logs
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import msgspec

from otpost.domain.outcome import Outcome, ReasonName, Refused, Unknown, Vendor
from otpost.domain.phone import PhoneNumber
from otpost.domain.policy import NoRoute, Route
from otpost.domain.secret import Secret
from otpost.domain.sid import ATTEMPT, is_sid
from otpost.outbound import Response
from otpost.senders import dlt
from otpost.senders.answers import SID, json_object, name_in, words
from otpost.senders.asking import Answer, Company, ask, ask_for, throttled
from otpost.senders.codes import Code, Status
from otpost.senders.service import Account, Http, Listed, LookUpFailed, NotProven, Reported, ReportRequest, Text
from otpost.senders.settings import SecretRef, destination, setting

NAME: Final = "infobip"
TITLE: Final = "Infobip"
PLACE: Final = 60
PROVEN_BY_ADDRESS: Final = True
may_be_fallback: Final = True

COMPANY: Final = Company("Infobip", throttled("Infobip"), url_label="Base URL")


@dataclass(frozen=True, slots=True)
class Settings:
    """An Infobip account: its own address, an API key, and the sender that is shown."""

    api_url: str = setting(
        "Base URL",
        kind="url",
        appended=r"/sms(/[0-9](/[a-z/]*)?)?",
        pattern=r"[^?]*",
        rule="The Base URL must have no query: https://xxxxx.api.infobip.com.",
        required=True,
        help="Each account has its own, as in https://xxxxx.api.infobip.com; Infobip's home page shows it.",
    )
    api_key: Secret | None = setting(
        "API key",
        secret=True,
        destination="api_url",
        required=True,
        help="With the scope sms:message:send, and sms:logs:read for settling lost answers. It is not shown again.",
    )
    sender: str = setting(
        "Sender",
        kind="origin",
        required=True,
        help="A sender ID or number of the account's own, as in MyBrand or +447860099299.",
    )
    dlt_entity_id: str = dlt.entity_setting()
    dlt_template_id: str = dlt.template_setting()


def route(settings: Settings, to: PhoneNumber) -> Route | NoRoute:
    """Every number is sent to by the one account, from its sender."""
    return Route(NAME, account_of(settings), settings.sender, "Infobip sends every text from the one sender.")


def account_of(settings: Settings) -> str:
    """What names the account: the host of its own address."""
    return urlsplit(settings.api_url).netloc.lower()


def account_secret(settings: Settings, route: Route) -> SecretRef | None:
    """The API key that belongs to the Base URL."""
    return SecretRef("api_key", "", destination(settings.api_url))


def account(settings: Settings, route: Route, token: Secret) -> Account:
    """The account that this route sends from, opened by its API key."""
    return Account(route.account_sid, token, settings.api_url)


async def send(http: Http, settings: Settings, route: Route, text: Text) -> Outcome:
    """POST the text once, under the attempt's SID as its message ID."""
    if settings.api_key is None:
        return Refused("wrong_settings", "The API key is not stored; type it in the settings.", field="api_key")
    sending = account(settings, route, settings.api_key)
    valid_for_s = max(1, min(_MAX_VALIDITY_S, int(text.valid_for_s)))
    message: dict[str, Any] = {
        "sender": route.origin.removeprefix("+"),
        "destinations": [{"to": text.to.e164[1:], "messageId": text.attempt}],
        "content": {"text": text.body},
        "options": {"validityPeriod": {"amount": valid_for_s, "timeUnit": "SECONDS"}},
    }
    if registered := dlt.ids(settings, text.to, "principalEntityId", "contentTemplateId"):
        message["options"]["regional"] = {"indiaDlt": registered}
    if text.callback_url:
        message["webhooks"] = {"delivery": {"url": text.callback_url}, "contentType": "application/json"}
    headers = {**_headers(sending), "Content-Type": "application/json"}
    body = msgspec.json.encode({"messages": [message]})
    url = f"{sending.url.rstrip('/')}/sms/3/messages"
    return await ask(http, COMPANY, url, headers, body, lambda answer: _read(answer, sending, text))


def _read(response: Response, account: Account, text: Text) -> Answer:
    status, said = response.status, json_object(response.body)
    if 200 <= status < 300:
        return _read_status(status, said, account, text)
    problem = _object(_object(said.get("requestError")).get("serviceException")) or said
    vendor = Vendor(
        http_status=status,
        code=name_in(problem.get("errorCode") or problem.get("messageId"), account, text),
        message=words(problem.get("description") or problem.get("text"), account, text),
    )
    if status == 429:
        return Answer(vendor)
    if status in (401, 403):
        detail = "Infobip did not accept the API key." if status == 401 else "The API key may not send texts from here."
        return Answer(vendor, Code("credentials_refused", detail, "api_key"), PAGE)
    violated = _violated(problem)
    if (known := next((code for name, code in VIOLATIONS.items() if name in violated), None)) is not None:
        return Answer(vendor, known, PAGE)
    if vendor.code is not None and status != 404:
        detail = f"Infobip refused the text with {vendor.code}, an unknown code."
        return Answer(vendor, Code("unknown", detail), PAGE)
    detail = f"The Base URL answered {status} and does not take texts. Check that it is the account's own at Infobip."
    return Answer(vendor, Code("wrong_settings", detail, "api_url"))


def _read_status(http_status: int, said: Mapping[str, Any], account: Account, text: Text) -> Answer:
    """What a 2xx means: by the message's own status, which may be a refusal."""
    messages = said.get("messages")
    message = _object(messages[0]) if isinstance(messages, list) and messages else {}
    given = _object(message.get("status"))
    status = name_in(given.get("name"), account, text)
    vendor = Vendor(http_status, None, None, name_in(message.get("messageId"), account, text), status)
    if vendor.sid is None or _group(given) not in ("UNDELIVERABLE", "EXPIRED", "REJECTED"):
        return Answer(vendor)
    vendor = Vendor(http_status, status, words(given.get("description"), account, text), vendor.sid, status)
    if status == "REJECTED_DUPLICATE_MESSAGE_ID":
        detail = "Infobip has had a text under this attempt's name before."
        return Answer(vendor, Unknown(detail, vendor, answered=True))
    return Answer(vendor, CODES.get(status or "") or _unknown(status, "unknown"), PAGE)


async def look_up(http: Http, account: Account, to: PhoneNumber, since: int) -> list[Listed] | LookUpFailed:
    """The account's messages to this number from 5 s before `since` on, from Infobip's log of the last 48 hours."""
    oldest = datetime.fromtimestamp((since - 5_000) / 1000, UTC).isoformat(timespec="milliseconds")
    asked = {"destination": to.e164[1:], "sentSince": oldest.replace("+00:00", "+0000"), "limit": _MAX_LISTED}
    found = await _log(http, account, asked)
    if isinstance(found, LookUpFailed):
        return found
    if len(found) >= _MAX_LISTED:
        return LookUpFailed(f"The log has more than {_MAX_LISTED - 1} messages to this number.")
    rows: list[Listed] = []
    for entry in found:
        told = _reported(entry, account.sid)
        if told is None:
            return LookUpFailed("Infobip's log could not be read.")
        text = _object(entry.get("content")).get("text")
        rows.append(Listed(told.vendor_sid, _milliseconds(entry.get("sentAt")), str(text or ""), told))
    return rows


async def fetch_report(http: Http, account: Account, vendor_sid: str) -> Reported | LookUpFailed:
    """What became of a message, from the log; the list of reports is not asked, for it tells each of them only once."""
    if not SID.fullmatch(vendor_sid):
        return LookUpFailed("This is not the ID of a message at Infobip.")
    found = await _log(http, account, {"messageId": vendor_sid})
    if isinstance(found, LookUpFailed):
        return found
    told = _reported(found[0], account.sid) if found else None
    if told is None or told.vendor_sid != vendor_sid:
        return LookUpFailed("Infobip's log does not have the message.")
    return told


def read_report(
    settings: Settings, request: ReportRequest, tokens: Mapping[str, Sequence[Secret]]
) -> list[Reported] | NotProven:
    """Read a delivery report, which carries no signature: that the address was right is the proof.

    A call can hold reports on several messages. Infobip calls a message by the SID that its attempt has here.
    https://www.infobip.com/docs/api/channels/sms/logs-and-status-reports/receive-outbound-sms-message-report-v3
    """
    results = json_object(request.body).get("results")
    read = [_reported(entry, account_of(settings)) for entry in (results if isinstance(results, list) else [])]
    told = [
        replace(one, attempt=one.vendor_sid if is_sid(one.vendor_sid, ATTEMPT) else None)
        for one in read
        if one is not None
    ]
    if not told or len(told) < len(read):
        return NotProven(f"{len(told)} of the call's {len(read)} reports can be read")
    return told


async def _log(http: Http, account: Account, asked: Mapping[str, object]) -> list[dict[str, Any]] | LookUpFailed:
    url = f"{account.url.rstrip('/')}/sms/3/logs?{urlencode(asked)}"
    log = await ask_for(http, COMPANY, url, _headers(account))
    if isinstance(log, LookUpFailed):
        return log
    results = log.get("results")
    if not isinstance(results, list) or not all(isinstance(entry, dict) for entry in results):
        return LookUpFailed("Infobip's log could not be read.")
    return results


def _reported(entry: object, account_sid: str) -> Reported | None:
    """What a report or an entry of the log tells; None if it is about no message."""
    said = _object(entry)
    vendor_sid, told, error = said.get("messageId"), _object(said.get("status")), _name(said.get("error"))
    if not isinstance(vendor_sid, str) or not SID.fullmatch(vendor_sid) or not told:
        return None
    group = _group(told)
    name = _name(told) or group
    status = STATUSES.get(name) or GROUPS.get(group, "accepted")
    if status not in ("undelivered", "failed"):
        return Reported(status, name, None, vendor_sid, account_sid)
    code = name if error in ("", "NO_ERROR") else error
    known = CODES.get(code) or CODES.get(name) or _unknown(code, "not_delivered")
    return Reported(status, name, code, vendor_sid, account_sid, known.reason, known.sentence, PAGE)


def _unknown(code: str | None, reason: ReasonName) -> Code:
    return Code(reason, f"Infobip gives the code {code or 'nothing'}, which Otpost does not know.")


def _headers(account: Account) -> dict[str, str]:
    return {"Authorization": f"App {account.token.reveal()}", "Accept": "application/json"}


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _name(told: object) -> str:
    name = _object(told).get("name")
    return name.upper() if isinstance(name, str) and SID.fullmatch(name) else ""


def _group(told: Mapping[str, Any]) -> str:
    """The status's group: by its name, else by its number, from 0 on; empty where neither is known."""
    name, number = told.get("groupName"), told.get("groupId")
    if isinstance(name, str) and name.upper() in GROUPS:
        return name.upper()
    return list(GROUPS)[number] if isinstance(number, int) and 0 <= number < len(GROUPS) else ""


def _violated(problem: Mapping[str, Any]) -> str:
    """The properties of the request that Infobip names as wrong."""
    rows, older = problem.get("violations"), problem.get("validationErrors")
    named = [str(row.get("property")) for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    return " ".join([*named, *_object(older)])


def _milliseconds(date: object) -> int | None:
    """ISO 8601, as in `2023-08-24T05:01:45.678+0000`."""
    try:
        moment = datetime.fromisoformat(str(date))
        return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        return None


PAGE: Final = "https://www.infobip.com/docs/essentials/api-essentials/response-status-and-error-codes"
_MAX_VALIDITY_S: Final = 172_800
_MAX_LISTED: Final = 100

GROUPS: Final[Mapping[str, Status]] = {
    "ACCEPTED": "accepted",
    "PENDING": "accepted",
    "UNDELIVERABLE": "undelivered",
    "DELIVERED": "delivered",
    "EXPIRED": "undelivered",
    "REJECTED": "failed",
}
# The statuses that say more, or something else, than their group.
STATUSES: Final[Mapping[str, Status]] = {
    "PENDING_WAITING_DELIVERY": "sent",
    "DELIVERED_TO_OPERATOR": "sent",
    "UNDELIVERABLE_NOT_SENT": "failed",
}

VIOLATIONS: Final[Mapping[str, Code]] = {
    "destinations": Code("invalid_number", "Infobip does not accept the recipient's number."),
    "sender": Code("wrong_settings", "Infobip does not accept the sender.", "sender"),
    "content": Code("text_refused", "Infobip does not accept the text."),
    "webhooks": Code("callback_refused", "Infobip does not accept the address for reports."),
}

_TABLE: Final[Mapping[Code, str]] = {
    Code("invalid_number", "The number does not exist, or is no longer in use."): """
        REJECTED_PREFIX_MISSING REJECTED_DESTINATION REJECTED_INVALID_DESTINATION MISSING_TO EC_UNKNOWN_SUBSCRIBER
        EC_INVALID_DESTINATION_ADDRESS EC_INVALID_REQUEST_DESTINATION EC_DEACTIVATED_LIST""",
    Code("cannot_receive", "The number's phone, contract or network takes no texts."): """
        EC_ILLEGAL_SUBSCRIBER EC_ILLEGAL_EQUIPMENT EC_UNKNOWN_EQUIPMENT EC_TELESERVICE_NOT_PROVISIONED EC_CALL_BARRED
        EC_BEARER_SERVICE_NOT_PROVISIONED EC_FACILITY_NOT_SUPPORTED EC_SM_DF_EQUIPMENTNOTSM_EQUIPPED
        EC_DEST_ADDRESS_UNABLE_TO_RECEIVE_SMS EC_DESTINATION_NOT_SMS_PROVISIONED EC_DEST_ADDRESS_SUSPENDED
        EC_USER_OUT_OF_CREDIT EC_IMSI_BLACKLISTED EC_DESTINATION_BLOCKED_BY_OPERATOR EC_OPERATOR_NOT_FOUND""",
    Code("not_reachable", "The phone is switched off, out of reach or busy, or has no room for texts."): """
        EC_ABSENT_SUBSCRIBER EC_ABSENT_SUBSCRIBER_SM EC_ROAMING_NOT_ALLOWED EC_SUBSCRIBER_BUSY_FOR_MT_SMS
        EC_MESSAGE_WAITING_LIST_FULL EC_SM_DF_MEMORYCAPACITYEXCEEDED EC_UNKNOWN_BASE_STATION EC_DEST_OVERLOADED
        EC_NO_RADIO_RESOURCE_AVAILABLE EC_TEMPORARY_HANDSET_FAILURE""",
    Code("not_reachable", "The phone was not reached while the text was valid."): """
        EXPIRED_EXPIRED EC_VALIDITY_EXPIRED EC_VALIDITYEXPIRED EC_VP_EXPIRED EC_MESSAGE_EXPIRED""",
    Code("too_late", "The text did not leave Infobip while it was valid."): "EC_MESSAGE_CANCELED",
    Code("opted_out", "The recipient has asked for no more texts from this sender."): """
        EC_SC_BLOCKED_BY_END_USER EC_SC_BLOCKED_FOR_END_USER EC_CONTENT_BLOCKED""",
    Code("blocked_as_fraud", "The number is on a blocklist of the account or of the operator."): """
        REJECTED_DESTINATION_BLOCKLISTED EC_BLACKLISTED_DESTINATIONADDRESS""",
    Code("blocked_as_fraud", "Infobip's protection against fraud blocks texts to this number."): """
        SIGNALS_BLOCKED EC_SIGNALS_BLOCKED""",
    Code("blocked_as_fraud", "The number has had too many texts, or the same one too often, within the hour."): """
        REJECTED_FLOODING_FILTER EC_DESTINATION_FLOODING EC_DESTINATION_TXT_FLOODING EC_DUPLICATE_MESSAGE""",
    Code("country_not_permitted", "The account has no route to this network; ask Infobip for one."): """
        REJECTED_NETWORK REJECTED_ROUTE_NOT_AVAILABLE EC_ACCOUNT_NOT_PROVISIONED_FOR_CHANNEL
        EC_ACC_HAS_NO_ADRESS_FOR_DESR""",
    Code("sender_not_allowed", "The sender is not registered, not allowed there, or blocked.", "sender"): """
        REJECTED_SOURCE REJECTED_SENDER EC_INVALID_SOURCE_ADDRESS EC_BLACKLISTED_SENDERADDRESS
        EC_SOURCE_ADDRESS_BLACKLISTED EC_SOURCE_ADDRESS_IS_BLOCKED EC_CAMPAIGNID_NOT_PROVISIONED
        EC_INVALID_GLOBAL_CAMPAIGN_ID EC_CAMPAIGN_ID_REJECTED EC_TF_NUMBER_NOT_VERIFIED EC_SC_NOT_PROVISIONED
        EC_SC_EXPIRED EC_SC_BLOCKED EC_CANNOT_RECEIVE_SC EC_BLOCKED_NEW_SUBSCRIPTIONS_FOR_SC EC_ACC_NOT_2_WAY
        EC_INTERACTION_NOT_SUPPORTED""",
    Code("filtered", "The recipient has had texts of this kind barred by the operator."): """
        REJECTED_DND EC_DEST_ADDRESS_BLACKLISTED EC_CUG_REJECT""",
    Code("filtered", "The text was held back for its wording."): """
        EC_BLOCKED_BY_CAMPAIGN_BLACKLIST EC_REJECTED_SPAM_BY_OPERATOR EC_CONTENT_BLOCKED_BY_OPERATOR
        EC_INVALIDMSCADDRESS EC_SMS_REJECTED_BY_MOBILE_OPERATOR""",
    Code("text_refused", "The text is too long, or cannot be put into a text message."): """
        REJECTED_MESSAGE_TOO_LONG REJECTED_INVALID_UDH EC_MSG_TEXT_TOO_LONG EC_INVALID_PDU_FORMAT""",
    Code("account_trouble", "The account's credit, or its limit of the day or the month, is used up."): """
        REJECTED_NOT_ENOUGH_CREDITS REJECTED_PREPAID_PACKAGE_EXPIRED REJECTED_FREE_TRIAL_EXCEEDED
        EC_MONTHLY_LIMIT_REACHED EC_SIGNALS_HARD_LIMIT_REACHED""",
    Code("account_trouble", "A trial account sends only to numbers that were verified at Infobip."): """
        REJECTED_DESTINATION_NOT_REGISTERED EC_DEST_ADDRESS_NOT_IN_SMS_DEMO EC_EXCEEDED_THE_MAX_NUMBER
        EC_EXCEEDED_THE_TIME_LIMIT_OF_SMS_DEMO EC_ACC_NOT_PROVISIONED_TO_SMS_DEMO_SC""",
    Code("account_trouble", "Infobip denies the account access."): "EC_ACCOUNT_ACCESS_DENIED",
    Code("throttled", "The sender has reached a limit of the operator."): """
        EC_LIMIT_REACHED EC_QUOTA_REACHED EC_10DLC_LIMIT_REACHED""",
    Code("vendor_trouble", "Infobip had an error of its own and did not take the text."): """
        REJECTED_SYSTEM_ERROR UNDELIVERABLE_REJECTED_PLATFORM EC_NOTSUBMITTEDTOGMSC""",
    Code("not_delivered", "The operator did not deliver the text, and gave no better reason."): """
        UNDELIVERABLE_REJECTED_OPERATOR UNDELIVERABLE_NOT_DELIVERED UNDELIVERABLE_NOT_SENT EXPIRED_UNKNOWN
        EXPIRED_DLR_UNKNOWN REJECTED_DUPLICATE_MESSAGE_ID REJECTED""",
}
# Errors of the mobile network's protocols have no line: what is not here was not delivered.
CODES: Final[Mapping[str, Code]] = {name: code for code, names in _TABLE.items() for name in names.split()}
