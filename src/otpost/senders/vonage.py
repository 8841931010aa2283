"""Vonage's SMS API: the request, what each answer means, and the delivery receipts.

https://developer.vonage.com/en/api/sms and https://developer.vonage.com/en/messaging/sms/guides/delivery-receipts
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import md5
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

import msgspec

from otpost.domain.outcome import Outcome, Refused, Unknown, Vendor
from otpost.domain.phone import PhoneNumber
from otpost.domain.policy import NoRoute, Route
from otpost.domain.secret import Secret
from otpost.domain.sid import ATTEMPT, is_sid
from otpost.domain.text import segments
from otpost.outbound import Response
from otpost.senders import dlt
from otpost.senders.answers import SID, basic, header, json_object, name_in, words
from otpost.senders.asking import FORM, Answer, Company, ask, form_body
from otpost.senders.codes import Code, Status
from otpost.senders.service import Account, Http, NotProven, Reported, ReportRequest, Text
from otpost.senders.settings import SecretRef, destination, setting

NAME: Final = "vonage"
TITLE: Final = "Vonage"
PLACE: Final = 40
may_be_fallback: Final = True
PROVEN_BY_ADDRESS: Final = True
LONGEST_CALLBACK: Final = 100
"""Vonage signs its receipts only for accounts that asked its support for it."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Vonage's account (formerly Nexmo), and what phones show."""

    api_key: str = setting(
        "API key",
        pattern="[0-9A-Za-z]{8}",
        rule="An API key has 8 letters and digits.",
        required=True,
        help="8 letters and digits, from the API settings of Vonage's dashboard.",
    )
    api_secret: Secret | None = setting(
        "API secret",
        secret=True,
        owner="api_key",
        destination="api_url",
        required=True,
        help="It stands beside the API key, and is not shown again once saved.",
    )
    sender: str = setting(
        "Sender",
        kind="origin",
        required=True,
        help="What phones show: a number of yours at Vonage with its dialing code, as in +447700900000, a short code, "
        "or a name of at most 11 characters such as MyBrand. Some countries take numbers alone.",
    )
    signature_secret: Secret | None = setting(
        "Signature secret",
        secret=True,
        owner="api_key",
        help="Only if Vonage's support has turned on signed webhooks for your account: receipts without its signature "
        "are then refused. Otherwise leave it empty; the address that Vonage calls proves the receipts.",
    )
    signature_method: str = setting(
        "Signature method",
        choices=(
            ("md5hash", "MD5 hash"),
            ("md5", "MD5 HMAC"),
            ("sha1", "SHA-1 HMAC"),
            ("sha256", "SHA-256 HMAC"),
            ("sha512", "SHA-512 HMAC"),
        ),
        help="As chosen in Vonage's dashboard. It counts only where there is a signature secret.",
    )
    dlt_entity_id: str = dlt.entity_setting()
    dlt_template_id: str = dlt.template_setting()
    api_url: str = setting(
        "API URL",
        kind="url",
        appended=r"/sms(/json)?",
        default="https://rest.nexmo.com",
        pattern=r"[^?]*",
        rule="The API URL must have no query: https://rest.nexmo.com, or the root of a service that speaks like it.",
        help="Change it only for a regional or compatible service.",
    )


def route(settings: Settings, to: PhoneNumber) -> Route | NoRoute:
    """Every number takes the one account, which its API key names."""
    return Route(NAME, settings.api_key, settings.sender, "Vonage's account sends from its sender to every number.")


def account_secret(settings: Settings, route: Route) -> SecretRef | None:
    """The API secret of the account that the route names."""
    return SecretRef("api_secret", route.account_sid, destination(settings.api_url))


STATUSES: Final[Mapping[int, Code]] = {
    1: Code("throttled", "Vonage is getting too many texts of this account at once."),
    2: Code("unknown", "Vonage misses a parameter."),
    3: Code("unknown", "Vonage does not accept a parameter."),
    4: Code("credentials_refused", "Vonage did not accept the API key and secret.", "api_secret"),
    6: Code("invalid_number", "Vonage does not know the beginning of the recipient's number."),
    7: Code("blocked_as_fraud", "Vonage bars the recipient's number."),
    8: Code("account_trouble", "The Vonage account is suspended.", "api_key"),
    9: Code("account_trouble", "The Vonage account is out of funds.", "api_key"),
    10: Code("throttled", "The Vonage account has too many connections at once."),
    11: Code("account_trouble", "The Vonage account is not enabled for the SMS API.", "api_key"),
    12: Code("text_refused", "The text is too long for Vonage."),
    14: Code("credentials_refused", "The Vonage account takes signed requests alone, which Otpost does not make."),
    15: Code("sender_not_allowed", "The Vonage account may not use this sender for this country.", "sender"),
    16: Code("text_refused", "Vonage does not accept the text's validity period."),
    19: Code("account_trouble", "The Vonage account may not do this.", "api_key"),
    22: Code("unknown", "Vonage does not accept the network of the recipient's number."),
    23: Code("callback_refused", "The address for receipts is too long for Vonage, or has signs that it refuses."),
    29: Code("account_trouble", "A trial account sends only to numbers that were registered at Vonage.", "api_key"),
    32: Code("credentials_refused", "Vonage takes either a signature or the API secret.", "api_secret"),
    33: Code("invalid_number", "The recipient's number is no longer in use."),
}
"""The `status` of a text in an answer, but for those of ours that Vonage cannot tell the fate of.

https://developer.vonage.com/en/api-errors/sms
"""

COMPANY: Final = Company("Vonage", STATUSES[1], codes="statuses")

MAYBE_SENT: Final = frozenset({5, 13})
"""An internal error and a failed communication: nothing says that no text went out."""

PARAMETERS: Final[Mapping[str, Code]] = {
    "to": Code("invalid_number", "Vonage does not accept the recipient's number."),
    "from": Code("sender_not_allowed", "Vonage does not accept the sender.", "sender"),
    "text": Code("text_refused", "Vonage does not accept the text."),
    "ttl": STATUSES[16],
    "callback": STATUSES[23],
}
"""What statuses 2 and 3 mean where their words name a parameter, as in `Missing to param`."""

RECEIPTS: Final[Mapping[str, Status]] = {
    "accepted": "sent",
    "buffered": "sent",
    "delivered": "delivered",
    "expired": "undelivered",
    "undelivered": "undelivered",
    "failed": "undelivered",
    "rejected": "failed",
    "deleted": "failed",
}

ERR_CODES: Final[Mapping[int, Code]] = {
    1: Code("not_delivered", "The network gave no reason."),
    2: Code("not_reachable", "The phone is switched off or out of reach."),
    3: Code("invalid_number", "The number is no longer in use."),
    4: Code("cannot_receive", "The recipient has barred texts; their network operator can lift it."),
    5: Code("not_delivered", "The number was taken to another network, and the text got lost between the two."),
    6: Code("filtered", "The carrier's filter against spam blocked the text."),
    7: Code("not_reachable", "The phone was busy."),
    8: Code("not_delivered", "The network reported an error."),
    9: Code("opted_out", "The recipient has asked this sender for no more texts."),
    10: Code("text_refused", "The network did not accept the text as it was."),
    11: Code("not_delivered", "Vonage found no route to the number."),
    12: Code("not_delivered", "There is no route to the number; it may be wrong."),
    13: Code("cannot_receive", "The recipient is too young for texts of this kind."),
    14: Code("cannot_receive", "The recipient's plan takes no such texts; their network operator can change it."),
    15: Code("cannot_receive", "The recipient's prepaid plan has run out of money."),
    99: Code("not_delivered", "The route to the number had an error."),
}
"""The `err-code` of a receipt."""

API_PAGE: Final = "https://developer.vonage.com/en/api-errors/sms"
RECEIPTS_PAGE: Final = "https://developer.vonage.com/en/messaging/sms/guides/delivery-receipts"


async def send(http: Http, settings: Settings, route: Route, text: Text) -> Outcome:
    """POST the text once. https://developer.vonage.com/en/api/sms#send-an-sms

    Vonage takes lives from 20 s on; a text with less left gets 20 s.
    """
    if settings.api_secret is None:
        detail = "The API secret of the account that sends is not stored; type it in the settings."
        return Refused("credentials_refused", detail, field="api_secret")
    form = {
        "from": route.origin.removeprefix("+"),
        "to": text.to.e164.removeprefix("+"),
        "text": text.body,
        "type": "text" if segments(text.body).encoding == "GSM-7" else "unicode",
        "ttl": str(max(20_000, min(604_800_000, int(text.valid_for_s) * 1000))),
        "client-ref": text.attempt,
        **dlt.ids(settings, text.to, "entity-id", "content-id"),
    }
    if text.callback_url:
        form["callback"] = text.callback_url
    sending = Account(route.account_sid, settings.api_secret, settings.api_url)
    headers = {"Authorization": f"Basic {basic(sending)}", "Accept": "application/json", "Content-Type": FORM}
    url = f"{settings.api_url.rstrip('/')}/sms/json"
    return await ask(http, COMPANY, url, headers, form_body(form), lambda said: _read(said, sending, text))


def _read(response: Response, account: Account, text: Text) -> Answer:
    status, parts = response.status, _parts(response.body)
    taken = [part for part in parts if _number(part.get("status")) == 0]
    left = next((part for part in parts if _number(part.get("status")) != 0), {})
    code = _number(left.get("status"))
    vendor = Vendor(
        http_status=status,
        code=str(code) if code is not None else None,
        message=words(left.get("error-text"), account, text),
        sid=name_in(taken[0].get("message-id"), account, text) if taken else None,
    )
    page = API_PAGE if code is not None else None
    if status == 429:
        return Answer(vendor, None, page)
    if taken and left:
        detail = f"Vonage took {len(taken)} of the {len(parts)} parts of the text."
        return Answer(vendor, Unknown(detail, vendor, answered=True))
    if code in MAYBE_SENT:
        detail = "Vonage had an error of its own. The text may or may not have gone out."
        return Answer(vendor, Unknown(detail, vendor, answered=True))
    if taken or (code is None and status < 300):
        return Answer(vendor, None if status < 300 else COMPANY.unnamed(vendor))
    return Answer(vendor, _refused_for(status, code, left.get("error-text")), page)


def _refused_for(http_status: int, code: int | None, said: object) -> Code | None:
    """Why a text was refused; None where neither the status of a text nor that of the answer says."""
    known = STATUSES.get(code) if code is not None else None
    if code in (2, 3) and isinstance(said, str) and (named := re.search(r"(\S+) param", said, re.IGNORECASE)):
        known = PARAMETERS.get(named[1].lower(), known)
    if known is not None:
        return known
    if http_status in (401, 403):
        return STATUSES[4]
    if http_status == 402:
        return STATUSES[9]
    if code is None:
        return None
    return Code("unknown", f"Vonage refused the text with status {code}, which Otpost does not know.")


def read_report(
    settings: Settings, request: ReportRequest, tokens: Mapping[str, Sequence[Secret]]
) -> list[Reported] | NotProven:
    """Read a delivery receipt: a query, a form or a JSON object, as the account's webhook settings say.

    Its address has proven it already; where a signature secret is stored, the signature has to as well.
    https://developer.vonage.com/en/getting-started/concepts/signing-messages. A text in several parts gets a receipt
    for each; the first that is final speaks for all.
    """
    try:
        fields = _fields(request)
        account_sid = fields.get("api-key") or settings.api_key
        if settings.signature_secret is not None:
            secrets = [token for token in tokens.get(account_sid, ()) if token != settings.api_secret]
            if not _signed(fields, secrets, settings.signature_method):
                return NotProven("no signature secret that is known made the signature")
    except ValueError as error:
        return NotProven(f"the request cannot be read: {error}")
    named, given = urlsplit(request.url).path.rpartition("/")[2], fields.get("client-ref", "")
    if is_sid(named, ATTEMPT) and given not in ("", named):
        return NotProven("it refers to another attempt than its address")
    vendor_sid, status = fields.get("messageId", ""), fields.get("status", "")
    if not SID.fullmatch(vendor_sid) or not status:
        return NotProven("this is no delivery receipt")
    told = _reported(status, _number(fields.get("err-code")), vendor_sid, account_sid)
    return [replace(told, attempt=given if is_sid(given, ATTEMPT) else None)]


def _reported(status: str, code: int | None, vendor_sid: str, account_sid: str) -> Reported:
    known = RECEIPTS.get(status, "accepted")
    given = str(code) if code else None
    ended = known in ("undelivered", "failed")
    if known == "delivered" or not (code or ended):
        return Reported(known, status[:32], given, vendor_sid, account_sid)
    why = ERR_CODES.get(code or 0)
    if why is None and code:
        why = Code("not_delivered", f"Vonage gives the error code {code}, which Otpost does not know.")
    elif why is None and status == "expired":
        why = Code("not_reachable", "The phone did not take the text before its time ran out.")
    elif why is None:
        why = Code("not_delivered", "Vonage gives no reason.")
    link = RECEIPTS_PAGE if code else None
    return Reported(known, status[:32], given, vendor_sid, account_sid, why.reason, why.sentence, link)


def _fields(request: ReportRequest) -> dict[str, str]:
    """The fields of a receipt, without what the address had of its own. Raises ValueError."""
    if not request.body:
        fields = _once(urlsplit(request.url).query)
        fields.pop("proof", None)
        return fields
    if "json" in (header(request.headers, "Content-Type") or "").lower() or request.body.lstrip().startswith(b"{"):
        try:
            said = msgspec.json.decode(request.body, type=dict[str, Any])
        except (ValueError, RecursionError) as error:
            raise ValueError("the body is no JSON object") from error
        return {name: str(value) for name, value in said.items() if isinstance(value, str | int)}
    return _once(request.body.decode())


def _once(form: str) -> dict[str, str]:
    """The fields of a form, none of which may stand in it twice: a call has one receipt. Raises ValueError."""
    pairs = parse_qsl(form, keep_blank_values=True, max_num_fields=_MAX_FIELDS)
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("a field stands in it twice")
    return fields


def _signed(fields: Mapping[str, str], secrets: Iterable[Secret], method: str) -> bool:
    """Whether one of the secrets made the receipt's signature, compared in constant time."""
    given = fields.get("sig", "").lower().encode("utf-8", "replace")
    signed = "".join(
        f"&{name}={value.replace('&', '_').replace('=', '_')}"
        for name, value in sorted(fields.items())
        if name != "sig"
    )
    return any(hmac.compare_digest(_signature(signed, secret, method).encode(), given) for secret in secrets)


def _signature(signed: str, secret: Secret, method: str) -> str:
    if method == "md5hash":
        # Vonage's own default. Weak as it is, the address has to be right as well.
        return md5((signed + secret.reveal()).encode(), usedforsecurity=False).hexdigest()
    return hmac.digest(secret.reveal().encode(), signed.encode(), method).hex()


def _parts(body: bytes) -> list[dict[str, Any]]:
    """What Vonage says of each part that it made of the text."""
    messages = json_object(body).get("messages")
    return [part for part in messages if isinstance(part, dict)] if isinstance(messages, list) else []


def _number(value: object) -> int | None:
    """A status, which Vonage writes as a text."""
    text = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
    return int(text) if re.fullmatch(r"[0-9]{1,6}", text, re.ASCII) else None


_MAX_FIELDS: Final = 100
