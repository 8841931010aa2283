"""AWS End User Messaging SMS: the signed request, what each answer means, and the events that report.

https://docs.aws.amazon.com/pinpoint/latest/apireference_smsvoicev2/API_SendTextMessage.html and
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import msgspec

from otpost.domain.outcome import Outcome, ReasonName, Refused, Vendor
from otpost.domain.phone import PhoneNumber
from otpost.domain.policy import NoRoute, Route
from otpost.domain.secret import Secret
from otpost.domain.sid import ATTEMPT, is_sid
from otpost.outbound import Response
from otpost.senders import dlt
from otpost.senders.answers import SID, header, json_object, json_value, name_in, words
from otpost.senders.asking import Answer, Company, ask
from otpost.senders.codes import Code, Status
from otpost.senders.service import Account, Confirmation, Http, NotProven, Reported, ReportRequest, Text
from otpost.senders.settings import SecretRef, destination, setting

NAME: Final = "aws"
TITLE: Final = "AWS End User Messaging"
PLACE: Final = 50
PROVEN_BY_ADDRESS: Final = True
may_be_fallback: Final = True

COMPANY: Final = Company(
    "AWS",
    Code("throttled", "AWS is getting more requests or texts of this account than it may send."),
    codes="errors",
)
_ANY_SENDER: Final = "any sender of the account"


@dataclass(frozen=True, slots=True)
class Settings:
    """An access key of AWS, the region that sends, and the sender that is shown."""

    access_key_id: str = setting(
        "Access key ID",
        pattern="(?!ASIA)[A-Z0-9]{16,128}",
        rule="An access key ID has at least 16 capital letters and digits, as in AKIAIOSFODNN7EXAMPLE. One that begins "
        "with ASIA is temporary and cannot be used.",
        required=True,
        help="Of a user whose policy allows sms-voice:SendTextMessage and nothing else.",
    )
    secret_access_key: Secret | None = setting(
        "Secret access key",
        secret=True,
        owner="access_key_id",
        destination="api_url",
        required=True,
        help="It is not shown again once saved.",
    )
    region: str = setting(
        "Region",
        pattern=r"[a-z]{2,4}(-[a-z]+){1,3}-[0-9]{1,2}",
        rule="A region is written as in eu-central-1.",
        required=True,
        help="The region in which the senders are, as in eu-central-1.",
    )
    origination_identity: str = setting(
        "Origination identity",
        pattern=r"[A-Za-z0-9_:/+-]{1,256}",
        rule="A number as in +15005550006, a sender ID, or the ID or ARN of a number, a sender ID or a pool.",
        help="Who is shown: a number, a sender ID or a pool (pool-…), which picks a sender for each country. Left "
        "empty, AWS picks one of the account's.",
        max_length=256,
    )
    configuration_set: str = setting(
        "Configuration set",
        pattern="[A-Za-z0-9_:/-]{1,256}",
        rule="A configuration set is written as its name or its ARN.",
        help="Left empty, the account's own rules hold. For reports, let an EventBridge rule with the source "
        "aws.sms-voice call Otpost's address for reports as its API destination: it needs neither a configuration set "
        "nor a confirmation. An SNS topic that gets the set's events may call the address too; Otpost confirms the "
        "subscription.",
        max_length=256,
    )
    dlt_entity_id: str = dlt.entity_setting()
    dlt_template_id: str = dlt.template_setting()
    api_url: str = setting(
        "API URL",
        kind="url",
        pattern="https?://[^/?]+/?",
        rule="The API URL must have no path and no query: https://sms-voice.eu-central-1.amazonaws.com.",
        help="Left empty, it is the region's own. Change it only for a VPC endpoint or a compatible service.",
    )


def route(settings: Settings, to: PhoneNumber) -> Route | NoRoute:
    """Every number is sent to from the one origination identity, or from one that AWS picks."""
    if settings.origination_identity:
        reason = f"AWS in {settings.region} sends from the origination identity of the settings."
        return Route(NAME, settings.access_key_id, settings.origination_identity, reason)
    reason = f"No origination identity is set, so AWS in {settings.region} picks one of the account's."
    return Route(NAME, settings.access_key_id, _ANY_SENDER, reason)


def account_secret(settings: Settings, route: Route) -> SecretRef | None:
    """The secret of the access key that the route names."""
    return SecretRef("secret_access_key", route.account_sid, destination(settings.api_url))


async def send(http: Http, settings: Settings, route: Route, text: Text) -> Outcome:
    """Call SendTextMessage once; `attempt` in its context comes back in the events."""
    secret = settings.secret_access_key
    if secret is None:
        detail = "The secret of the access key is not stored; type it in the settings."
        return Refused("wrong_settings", detail, field="secret_access_key")
    account = Account(route.account_sid, secret, settings.api_url or url_of(settings.region))
    asked: dict[str, Any] = {
        "DestinationPhoneNumber": text.to.e164,
        "MessageBody": text.body,
        "MessageType": "TRANSACTIONAL",
        "TimeToLive": max(_MIN_VALIDITY_S, min(_MAX_VALIDITY_S, int(text.valid_for_s))),
        "Context": {"attempt": text.attempt},
    }
    origin = {} if route.origin == _ANY_SENDER else {"OriginationIdentity": route.origin}
    configured = {"ConfigurationSetName": settings.configuration_set} if settings.configuration_set else {}
    registered = dlt.ids(settings, text.to, "IN_ENTITY_ID", "IN_TEMPLATE_ID")
    country = {"DestinationCountryParameters": registered} if registered else {}
    body = msgspec.json.encode({**asked, **origin, **configured, **country})
    headers = signed_headers(account, settings.region, body, text.at)
    return await ask(http, COMPANY, account.url, headers, body, lambda answer: _read(answer, account, text))


def url_of(region: str) -> str:
    """The region's own address. https://docs.aws.amazon.com/general/latest/gr/end-user-messaging.html"""
    return f"https://sms-voice.{region}.{_DOMAINS.get(region.split('-')[0], 'amazonaws.com')}"


def signed_headers(account: Account, region: str, body: bytes, at: int) -> dict[str, str]:
    """All headers of a POST of `body` to the account's URL at `at` (ms), signed with Signature Version 4."""
    date = datetime.fromtimestamp(at // 1000, UTC).strftime("%Y%m%dT%H%M%SZ")
    headers = {
        "Content-Type": "application/x-amz-json-1.0",
        "Host": _host(account.url),
        "X-Amz-Date": date,
        "X-Amz-Target": "PinpointSMSVoiceV2.SendTextMessage",
    }
    names = ";".join(headers).lower()
    lines = "".join([f"{name.lower()}:{value}\n" for name, value in headers.items()])
    canonical = f"POST\n/\n\n{lines}\n{names}\n{sha256(body).hexdigest()}"
    scope = f"{date[:8]}/{region}/sms-voice/aws4_request"
    to_sign = f"AWS4-HMAC-SHA256\n{date}\n{scope}\n{sha256(canonical.encode()).hexdigest()}"
    key = f"AWS4{account.token.reveal()}".encode()
    for part in (*scope.split("/"), to_sign):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = f"Credential={account.sid}/{scope}, SignedHeaders={names}, Signature={key.hex()}"
    return {**headers, "Authorization": f"AWS4-HMAC-SHA256 {signature}"}


def _host(url: str) -> str:
    """What the Host header says: lower case, and the port only where it is not the scheme's own."""
    parts = urlsplit(url)
    name = parts.hostname or ""
    host = f"[{name}]" if ":" in name else name
    return host if parts.port in (None, {"https": 443, "http": 80}.get(parts.scheme)) else f"{host}:{parts.port}"


def _read(response: Response, account: Account, text: Text) -> Answer:
    status, said = response.status, json_object(response.body)
    kind = str(said.get("__type") or header(response.headers, "x-amzn-ErrorType") or "").split("#")[-1].split(":")[0]
    vendor = Vendor(
        http_status=status,
        code=name_in(said.get("Reason"), account, text) or name_in(kind, account, text),
        message=words(said.get("Message") or said.get("message"), account, text),
        sid=name_in(said.get("MessageId"), account, text),
        request_id=name_in(header(response.headers, "x-amzn-RequestId"), account, text),
    )
    if status < 300:
        return Answer(vendor)
    if status == 429 or kind in _THROTTLED:
        return Answer(vendor, COMPANY.throttled)
    known = _known(kind, said)
    if known is None and status in (401, 403):
        known = Code("credentials_refused", "AWS did not accept the access key.", "access_key_id")
    if known is None and vendor.code is not None:
        known = Code("unknown", f"AWS refused the text with {vendor.code}, which Otpost does not know.")
    return Answer(vendor, known, ERRORS_PAGE)


def _known(kind: str, said: Mapping[str, Any]) -> Code | None:
    """What an error means: by its reason, else by the field or resource that it names, else by its kind alone."""
    reason, fields, resource = said.get("Reason"), said.get("Fields"), said.get("ResourceType")
    if isinstance(reason, str) and reason in REASONS:
        return REASONS[reason]
    if kind == "ResourceNotFoundException" and resource == "configuration-set":
        return Code("wrong_settings", "AWS knows no such configuration set.", "configuration_set")
    for field in fields if kind == "ValidationException" and isinstance(fields, list) else ():
        name = field.get("Name") if isinstance(field, dict) else None
        if isinstance(name, str) and name in FIELDS:
            return FIELDS[name]
    return ERRORS.get(kind)


def read_report(
    settings: Settings, request: ReportRequest, tokens: Mapping[str, Sequence[Secret]]
) -> list[Reported] | NotProven | Confirmation:
    """Read events as EventBridge (`detail`) or SNS (`Message`) hands them on, or bare; one, or a list of them.

    SNS begins with a call that asks for a confirmation, which is given where its address is one of SNS itself.
    Nothing here is signed by the account: that the address was right is the proof.
    https://docs.aws.amazon.com/sms-voice/latest/userguide/configuration-sets-event-format.html,
    https://docs.aws.amazon.com/sns/latest/dg/http-notification-json.html
    """
    said = json_value(request.body)
    if isinstance(said, dict) and str(said.get("Type")).endswith("Confirmation"):
        url = said.get("SubscribeURL")
        if said.get("Type") == "SubscriptionConfirmation" and isinstance(url, str) and _CONFIRMED_AT.fullmatch(url):
            return Confirmation(url)
        return NotProven("the address by which it asks for a confirmation is none of SNS")
    events = list(_events(said))
    told = [_told(event, settings.access_key_id) for event in events]
    wrong = [one.reason for one in told if isinstance(one, NotProven)]
    if wrong or not told:
        return NotProven(wrong[0] if wrong else "the call holds no event")
    return [one for one in told if isinstance(one, Reported)]


def _events(said: object) -> Iterator[object]:
    """What is left of a call without its envelopes: those of SNS, of EventBridge, and lists."""
    if isinstance(said, list):
        for one in said:
            yield from _events(one) if isinstance(one, dict) else [one]
    elif isinstance(said, dict) and said.get("Type") == "Notification":
        inner = json_value(str(said.get("Message")).encode("utf-8", "replace"))
        yield from inner if isinstance(inner, list) else [inner]
    elif isinstance(said, dict) and "detail" in said:
        detail = said["detail"]
        yield from detail if isinstance(detail, list) else [detail]
    else:
        yield said


def _told(said: object, account_sid: str) -> Reported | NotProven:
    if not isinstance(said, dict):
        return NotProven("this is no event")
    event, vendor_sid = said.get("eventType"), said.get("messageId")
    if not isinstance(event, str) or not re.fullmatch("(TEXT|RCS)_[A-Z_]{1,40}", event, re.ASCII):
        return NotProven("this is no event on a text")
    if not isinstance(vendor_sid, str) or not SID.fullmatch(vendor_sid):
        return NotProven("the event does not name a message")
    known = EVENTS.get(event.split("_", 1)[1], EVENTS["PENDING"])
    if known.reason is not None and said.get("isFinal") is False:
        known = EVENTS["PENDING"]
    code, page = (event, EVENTS_PAGE) if known.reason is not None else (None, None)
    context = said.get("context")
    attempt = context.get("attempt") if isinstance(context, dict) else None
    return Reported(
        *(known.status, event, code, vendor_sid, account_sid, known.reason, known.sentence, page),
        attempt=attempt if isinstance(attempt, str) and is_sid(attempt, ATTEMPT) else None,
    )


class Event(NamedTuple):
    """What an event means: the message's status, and the reason and our sentence where something went wrong."""

    status: Status
    reason: ReasonName | None = None
    sentence: str = ""


ERRORS_PAGE: Final = (
    "https://docs.aws.amazon.com/pinpoint/latest/apireference_smsvoicev2/API_SendTextMessage.html"
    "#API_SendTextMessage_Errors"
)
EVENTS_PAGE: Final = "https://docs.aws.amazon.com/sms-voice/latest/userguide/configuration-sets-event-types.html"

_CONFIRMED_AT: Final = re.compile(
    r"https://sns\.[a-z0-9-]{1,40}\.amazonaws\.(?:com|com\.cn|eu)/\?Action=ConfirmSubscription&[!-~]{1,2000}"
)
_MIN_VALIDITY_S: Final = 5
_MAX_VALIDITY_S: Final = 259_200
_DOMAINS: Final = {"cn": "amazonaws.com.cn", "eusc": "amazonaws.eu"}
_THROTTLED: Final = frozenset({"ThrottlingException", "Throttling", "TooManyRequestsException"})

_KEY: Final = Code("credentials_refused", "AWS does not accept the access key.", "access_key_id")
_SIGNATURE: Final = Code(
    "credentials_refused",
    "AWS did not accept the signature: the secret access key is wrong, or the clock here is minutes off.",
    "secret_access_key",
)

# Those that SendTextMessage documents first, then those that every AWS service has.
ERRORS: Final[Mapping[str, Code]] = {
    "AccessDeniedException": Code(
        "credentials_refused", "The access key's policy does not allow sms-voice:SendTextMessage.", "access_key_id"
    ),
    "ConflictException": Code("wrong_settings", "The text does not fit how the account's senders are set up."),
    "ResourceNotFoundException": Code("wrong_settings", "AWS knows no such sender there.", "origination_identity"),
    "ServiceQuotaExceededException": Code("account_trouble", "A quota of the AWS account is used up."),
    "ValidationException": Code("wrong_settings", "AWS does not accept a parameter of the request."),
    "ExpiredTokenException": _KEY,
    "InvalidClientTokenId": _KEY,
    "MissingAuthenticationTokenException": _KEY,
    "NotAuthorized": _KEY,
    "UnrecognizedClientException": _KEY,
    "IncompleteSignatureException": _SIGNATURE,
    "InvalidSignatureException": _SIGNATURE,
    "SignatureDoesNotMatch": _SIGNATURE,
    "RequestExpired": Code("wrong_settings", "AWS finds the request too old or too new; set the clock here right."),
    "OptInRequired": Code("account_trouble", "The AWS account has not been enabled for the service."),
    "UnknownOperationException": Code("wrong_settings", "The API URL does not take texts.", "api_url"),
}

_COUNTRY: Final = Code("country_not_permitted", "The AWS account may not send to this country.")
_SENDER: Final = Code(
    "sender_not_allowed",
    "The sender may not send to this country, or must be registered first.",
    "origination_identity",
)

# The reasons that a text can meet; the others are about what a console does, and their error's kind says enough.
REASONS: Final[Mapping[str, Code]] = {
    "ACCOUNT_DISABLED": Code("account_trouble", "The AWS account is disabled."),
    "INSUFFICIENT_ACCOUNT_REPUTATION": Code("account_trouble", "The AWS account's reputation does not allow sending."),
    "MONTHLY_SPEND_LIMIT_REACHED_FOR_TEXT": Code("account_trouble", "The account's monthly limit for texts is spent."),
    "CHANNEL_NOT_ENABLED": Code("account_trouble", "Texts are not enabled for the AWS account."),
    "DESTINATION_PHONE_NUMBER_NOT_VERIFIED": Code(
        "account_trouble", "The account is in AWS's sandbox and sends only to numbers that were verified there."
    ),
    "DESTINATION_PHONE_NUMBER_OPTED_OUT": Code("opted_out", "The recipient is on the account's opt-out list."),
    "DESTINATION_PHONE_NUMBER_BLOCKED_BY_PROTECT_NUMBER_OVERRIDE": Code(
        "blocked_as_fraud", "A rule of the account's protect configuration blocks this number."
    ),
    "COUNTRY_NOT_ENABLED": _COUNTRY,
    "DESTINATION_COUNTRY_BLOCKED": _COUNTRY,
    "DESTINATION_COUNTRY_BLOCKED_BY_PROTECT_CONFIGURATION": Code(
        "country_not_permitted", "The account's protect configuration blocks this country."
    ),
    "COUNTRY_CODE_MISMATCH": _SENDER,
    "INTERNATIONAL_SENDING_NOT_SUPPORTED": _SENDER,
    "INVALID_IDENTITY_FOR_DESTINATION_COUNTRY": _SENDER,
    "NO_ORIGINATION_IDENTITIES_FOUND": Code(
        "sender_not_allowed", "The AWS account has no sender for this country.", "origination_identity"
    ),
    "PHONE_NUMBER_NOT_IN_REGISTRATION_REGION": _SENDER,
    "REGISTRATION_NOT_COMPLETE": _SENDER,
    "SENDER_ID_NOT_REGISTERED": _SENDER,
    "SENDER_ID_NOT_SUPPORTED": _SENDER,
    "SENDER_ID_REQUIRES_REGISTRATION": _SENDER,
    "RESOURCE_NOT_ACTIVE": Code("sender_not_allowed", "The sender is not active at AWS.", "origination_identity"),
    "INVALID_ARN": Code("wrong_settings", "An ARN of the settings is not valid.", "origination_identity"),
    "MESSAGE_TYPE_MISMATCH": Code(
        "wrong_settings", "The sender is not for transactional texts.", "origination_identity"
    ),
    "NUMBER_CAPABILITIES_MISMATCH": Code("wrong_settings", "The sender cannot send texts.", "origination_identity"),
    "RESOURCE_NOT_ACCESSIBLE": Code("wrong_settings", "The sender is not the account's own.", "origination_identity"),
    "MAXIMUM_SIZE_EXCEEDED": Code("text_refused", "The text is longer than AWS allows."),
}

FIELDS: Final[Mapping[str, Code]] = {
    "DestinationPhoneNumber": Code("invalid_number", "The recipient's number is not a valid phone number."),
    "MessageBody": Code("text_refused", "AWS does not accept the text: it may be too long."),
    "OriginationIdentity": Code("wrong_settings", "AWS does not accept the sender.", "origination_identity"),
    "ConfigurationSetName": Code("wrong_settings", "AWS does not accept the set's name.", "configuration_set"),
}

# Without the TEXT_ or RCS_ that each begins with. In some countries SUCCESSFUL is the last that is ever told.
EVENTS: Final[Mapping[str, Event]] = {
    "QUEUED": Event("accepted"),
    "PENDING": Event("accepted"),
    "FALLEN_BACK_TO_SMS": Event("accepted"),
    "SENT": Event("sent"),
    "SUCCESSFUL": Event("sent"),
    "DELIVERED": Event("delivered"),
    "READ": Event("delivered"),
    "INVALID": Event("undelivered", "invalid_number", "The recipient's number is not valid."),
    "INVALID_MESSAGE": Event("failed", "text_refused", "The text is not valid and cannot be delivered."),
    "UNREACHABLE": Event("undelivered", "not_reachable", "The phone is switched off or out of reach."),
    "CARRIER_UNREACHABLE": Event("undelivered", "not_delivered", "The carrier's network had an error for a while."),
    "BLOCKED": Event("undelivered", "filtered", "The phone or its carrier blocks texts to this number."),
    "CARRIER_BLOCKED": Event("undelivered", "filtered", "The carrier blocked the text as malicious or unwanted."),
    "SPAM": Event("undelivered", "filtered", "The carrier took the text for advertising."),
    "TTL_EXPIRED": Event("failed", "too_late", "The text could not be handed over while it was valid."),
    "PROTECT_BLOCKED": Event("failed", "blocked_as_fraud", "The account's protect configuration blocked the text."),
    "FAILED": Event("undelivered", "not_delivered", "The text could not be delivered."),
    "UNKNOWN": Event("undelivered", "not_delivered", "The text was not delivered; AWS does not know why."),
}
