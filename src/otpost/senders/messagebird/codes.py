"""MessageBird's error codes, statuses and status codes as tables: the reason for which each stands, and a sentence.

https://developers.messagebird.com/api/ and the page that CODES_PAGE names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from otpost.senders.codes import Code, Status

API_PAGE: Final = "https://developers.messagebird.com/api/"
CODES_PAGE: Final = (
    "https://docs.bird.com/api/channels-api/message-status-and-interactions/message-failure-sources/"
    "sms-platform-extended-error-codes"
)


INTERNAL_ERROR: Final = 99
"""It says nothing about whether the text went out."""

CODES: Final[Mapping[int, Code]] = {
    2: Code("credentials_refused", "MessageBird did not accept the access key.", "access_key"),
    9: Code("unknown", "MessageBird misses a parameter and does not say which."),
    10: Code("unknown", "MessageBird does not accept a parameter and does not say which."),
    20: Code("wrong_settings", "MessageBird knows nothing at this address.", "api_url"),
    21: Code("unknown", "MessageBird does not understand the request."),
    25: Code("account_trouble", "The MessageBird account is out of funds."),
    98: Code("wrong_settings", "MessageBird knows nothing at this address.", "api_url"),
}
"""MessageBird's error codes, but for the internal error."""

PARAMETERS: Final[Mapping[str, Code]] = {
    "access_key": CODES[2],
    "originator": Code("sender_not_allowed", "MessageBird does not accept the originator.", "originator"),
    "recipient": Code("invalid_number", "MessageBird does not accept the recipient's number."),
    "recipients": Code("invalid_number", "MessageBird does not accept the recipient's number."),
    "body": Code("text_refused", "MessageBird does not accept the text."),
    "datacoding": Code("text_refused", "MessageBird does not accept the text's encoding."),
    "validity": Code("text_refused", "MessageBird does not accept the validity period."),
    "reportUrl": Code("callback_refused", "MessageBird does not accept the address for reports."),
}
"""What codes 9, 10 and 21 mean where the error names a parameter."""

STATUSES: Final[Mapping[str, Status]] = {
    "scheduled": "accepted",
    "sent": "sent",
    "buffered": "sent",
    "delivered": "delivered",
    "expired": "undelivered",
    "delivery_failed": "undelivered",
}

_NAMES_A_PARAMETER: Final = frozenset({9, 10, 21})
_NO_LINE: Final = Code("invalid_number", "The number belongs to no active line.")
_NO_TEXTS: Final = Code("cannot_receive", "The network does not deliver texts to this subscriber.")
_ABSENT: Final = Code("not_reachable", "The phone is switched off, out of reach, or busy.")
_NETWORK: Final = Code("not_delivered", "The recipient's network reported an error.")

STATUS_CODES: Final[Mapping[int, Code]] = {
    **dict.fromkeys((1, 2, 3, 5), _NO_LINE),
    **dict.fromkeys((9, 10, 11, 12, 13, 15, 21), _NO_TEXTS),
    **dict.fromkeys((6, 8, 27, 31, 33), _ABSENT),
    **dict.fromkeys((32, 34, 35, 36), _NETWORK),
    103: Code("opted_out", "The recipient has asked this sender for no more texts."),
    104: Code("sender_not_allowed", "The originator is not registered with the recipient's network."),
}
"""`statusErrorCode`: up to 36 the mobile networks' own (3GPP TS 29.002), above them MessageBird's."""

STATUS_REASONS: Final[Mapping[str, Code]] = {
    "unknown subscriber": _NO_LINE,
    "unavailable subscriber": _ABSENT,
    "received network error": _NETWORK,
    "expired": Code("not_delivered", "The text's time ran out before MessageBird could hand it on."),
    "dlr not received": Code("not_delivered", "The network told nothing before the text's time ran out."),
}
"""`statusReason`, where no code says more."""


def refused_for(http_status: int, code: int | None, parameter: object) -> Code | None:
    """Why a text was refused; None where the answer has none of MessageBird's codes and a status that says nothing."""
    known = CODES.get(code) if code is not None else None
    if code in _NAMES_A_PARAMETER and isinstance(parameter, str):
        known = PARAMETERS.get(parameter, known)
    if http_status in (401, 403) and known is not CODES[25]:
        return CODES[2]
    if http_status == 402:
        return CODES[25]
    if known is None and code is not None:
        return Code("unknown", f"MessageBird refused the text with code {code}, which Otpost does not know.")
    return known


def told_of(status: str, code: int | None, reason: str) -> tuple[Status, Code | None]:
    """What a status comes to, and why if something went wrong, so far or for good."""
    known = STATUSES.get(status, "accepted")
    why = STATUS_CODES.get(code) if code is not None else None
    if known == "delivered":
        return known, None
    if why is not None or known != "undelivered":
        return known, why
    if (said := STATUS_REASONS.get(reason.strip().lower())) is not None:
        return known, said
    if code is not None:
        sentence = f"MessageBird gives the network's code {code}, which Otpost does not know."
        return known, Code("not_delivered", sentence)
    return known, Code("not_delivered", "MessageBird gives no reason.")
