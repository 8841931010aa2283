"""What becomes of a message in Twilio's words and numbers, and the post that tells an application so.

https://www.twilio.com/docs/messaging/guides/track-outbound-message-status
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlencode, urlsplit

from otpost.domain.message import Attempt, Message, MessageExtras, MessageStatus
from otpost.domain.outcome import ReasonName
from otpost.domain.webhook import Delivery, delivery_sid
from otpost.senders.registry import capabilities, find_services

API_VERSION: Final = "2010-04-01"
TWILIO: Final = "twilio"

TOLD: Final = frozenset({"sent", "delivered", "undelivered", "failed"})
"""Twilio's statuses that are posted; those before them are in the answer to the call itself."""
WITH_ERROR: Final = frozenset({"undelivered", "failed"})

WORDS: Final[Mapping[MessageStatus, str]] = {
    "queued": "queued",
    "sending": "sending",
    "accepted": "sending",
    "sent": "sent",
    "delivered": "delivered",
    "undelivered": "undelivered",
    "failed": "failed",
    "expired": "failed",
    "unconfirmed": "failed",
}

ERROR_CODES: Final[Mapping[ReasonName, int]] = {
    "invalid_number": 30005,
    "cannot_receive": 30006,
    "not_reachable": 30003,
    "opted_out": 21610,
    "blocked_as_fraud": 30450,
    "country_not_permitted": 21408,
    "sender_not_allowed": 21606,
    "filtered": 30007,
    "not_delivered": 30008,
    "text_refused": 21618,
    "account_trouble": 30002,
    "credentials_refused": 20003,
    "wrong_settings": 30400,
    "throttled": 30001,
    "network_trouble": 20503,
    "vendor_trouble": 20503,
    "answer_lost": 30410,
    "callback_refused": 21609,
    "too_late": 30001,
    "verification_over": 30001,
    "not_routed": 21408,
    "policy_incomplete": 21603,
    "text_gone": 20500,
    "unknown": 30008,
}
"""The number of Twilio's that comes nearest to each reason, where the service was not Twilio or gave none."""


def is_messaging_service(origin: str) -> bool:
    """Whether an origin is one of Twilio's Messaging Services, which picks the sender itself."""
    return len(origin) == 34 and origin.startswith("MG")


def status_word(message: Message) -> str:
    """Twilio's status. What a service has taken that tells nothing later is `sent`: no more will be known of it."""
    if message.status == "accepted" and not _tells_later(message.service):
        return "sent"
    if message.status == "queued" and message.attempt is None and is_messaging_service(message.origin):
        return "accepted"
    return WORDS[message.status]


def _tells_later(name: str) -> bool:
    service = find_services().get(name)
    return service is not None and (capabilities(service).reads_reports or capabilities(service).fetches_reports)


def error_code(message: Message, attempt: Attempt | None) -> int | None:
    """Twilio's number for what went wrong: its own where it sent (`attempt`), else the nearest to our reason."""
    if status_word(message) not in WITH_ERROR:
        return None
    if attempt is not None and attempt.service == TWILIO and attempt.reason == message.reason:
        own = attempt.vendor_code or ""
        if own.isascii() and own.isdigit():
            return int(own)
    return ERROR_CODES[message.reason or "unknown"]


def is_told(before: Message | None, after: Message) -> bool:
    """Whether Twilio would post this change."""
    now = status_word(after)
    return now in TOLD and (before is None or status_word(before) != now)


def post_of_status(message: Message, extras: MessageExtras, attempt: Attempt | None, now: int) -> Delivery:
    """The post of a message's status; `attempt` is its latest."""
    status = status_word(message)
    sender = "MessagingServiceSid" if is_messaging_service(message.origin) else "From"
    code = error_code(message, attempt)
    fields = {
        "AccountSid": message.tenant,
        "ApiVersion": API_VERSION,
        **({} if code is None else {"ErrorCode": str(code)}),
        **({sender: message.origin} if message.origin else {}),
        "MessageSid": message.sid,
        "MessageStatus": status,
        "SmsSid": message.sid,
        "SmsStatus": status,
        "To": message.to,
    }
    return Delivery(
        sid=delivery_sid(now, extras.status_callback, status, message.sid),
        tenant=message.tenant,
        application=message.application,
        webhook=None,
        lane=f"{message.tenant} {urlsplit(extras.status_callback).netloc.lower()}",
        form="twilio",
        url=extras.status_callback,
        type=f"message.{status}",
        subject=message.sid,
        body=urlencode(fields),
        created_at=now,
        due_at=now,
    )
