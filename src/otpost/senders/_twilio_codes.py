"""Twilio's error codes and message statuses as tables: what each means for Otpost, in one sentence for people.

https://www.twilio.com/docs/api/errors
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

About = Literal["number", "account", "message", "callback", "later"]
Status = Literal["accepted", "sent", "delivered", "undelivered", "failed"]
SettingAtFault = Literal["", "account_sid", "auth_token", "sender_phone", "service_sid"]


class Code(NamedTuple):
    """What one of Twilio's codes means: what is at fault (or that it passes), our sentence, the setting at fault."""

    about: About
    sentence: str
    setting: SettingAtFault = ""


# The codes from 30000 on come in reports. Twilio adds codes and splits old ones, so that none may be relied on.
CODES: Final[Mapping[int, Code]] = {
    20003: Code("account", "Twilio did not accept the account SID and token.", "auth_token"),
    20005: Code("account", "The Twilio account is not active; it may be suspended or out of funds.", "account_sid"),
    20006: Code("account", "The Twilio account may not do this.", "account_sid"),
    20008: Code("account", "These are test credentials, which cannot do this.", "auth_token"),
    20010: Code("account", "Sending is disabled for the Twilio account.", "account_sid"),
    20403: Code("account", "Twilio forbids this to the account.", "account_sid"),
    20404: Code("account", "Twilio knows no such account.", "account_sid"),
    20429: Code("later", "Twilio is getting too many requests of this account at once."),
    20500: Code("later", "Twilio had an internal error."),
    20503: Code("later", "Twilio is not available at the moment."),
    21211: Code("number", "The recipient's number is not a valid phone number."),
    21212: Code("account", "The sender is not a valid one.", "sender_phone"),
    21217: Code("number", "The recipient's number does not seem to be valid."),
    21401: Code("number", "The recipient's number is not a valid phone number."),
    21408: Code("account", "Texts to this country are not enabled; see the account's Messaging Geo Permissions."),
    21601: Code("account", "The sender phone cannot send texts.", "sender_phone"),
    21602: Code("message", "The text is empty."),
    21603: Code("account", "A sender phone or a Messaging Service is missing.", "sender_phone"),
    21604: Code("number", "The recipient's number is missing."),
    21606: Code("account", "The sender phone is not the account's, or cannot send to this number.", "sender_phone"),
    21608: Code("account", "A trial account sends only to numbers that were verified at Twilio.", "account_sid"),
    21609: Code("callback", "Twilio cannot call the callback URL; check OTPOST_PUBLIC_URL."),
    21610: Code("number", "The recipient has answered STOP to this sender and gets no more texts from it."),
    21611: Code("later", "The sender phone's queue at Twilio is full.", "sender_phone"),
    21612: Code("number", "This sender cannot reach the recipient's number."),
    21614: Code("number", "The recipient's number is not a mobile number."),
    21616: Code("account", "The sender phone matches several numbers of the account.", "sender_phone"),
    21617: Code("message", "The text is longer than 1600 characters."),
    21618: Code("message", "All carriers would filter this text."),
    21619: Code("message", "The text is empty, or Twilio could not take it."),
    21624: Code("message", "Twilio does not accept the validity period."),
    21635: Code("number", "The recipient's number is a landline."),
    21654: Code("account", "The Messaging Service asks for a content template.", "service_sid"),
    21655: Code("account", "The content template is not valid.", "service_sid"),
    21656: Code("account", "The content template's variables are not valid.", "service_sid"),
    21657: Code("account", "The sender name is not valid.", "sender_phone"),
    21659: Code("account", "The sender phone is not a Twilio number, or not this account's.", "sender_phone"),
    21660: Code("account", "The sender phone belongs to another account.", "sender_phone"),
    21701: Code("account", "The Messaging Service does not exist.", "service_sid"),
    21702: Code("account", "The Messaging Service is not available.", "service_sid"),
    21703: Code("account", "The Messaging Service has no sender for this country.", "service_sid"),
    21704: Code("account", "The Messaging Service has no senders.", "service_sid"),
    21705: Code("account", "The Messaging Service SID is not valid.", "service_sid"),
    21708: Code("account", "The Messaging Service lacks a sender name.", "service_sid"),
    21709: Code("account", "The sender name is not allowed for this Messaging Service.", "service_sid"),
    30001: Code("later", "The text waited too long at Twilio: its queue was full, or the text's time ran out."),
    30002: Code("account", "The account was suspended before the text left Twilio.", "account_sid"),
    30003: Code("number", "The phone is switched off or out of reach."),
    30004: Code("number", "The phone or its carrier blocks texts."),
    30005: Code("number", "The number is unknown or no longer in use."),
    30006: Code("number", "The number is a landline, or its carrier cannot be reached."),
    30007: Code("message", "Twilio or the carrier filtered the text."),
    30008: Code("later", "The carrier reported an error that it did not explain."),
    30010: Code("message", "The text costs more than the highest price that was set."),
    30017: Code("later", "The carrier's network is congested."),
    30018: Code("account", "The carrier asks for the sender to be registered first.", "sender_phone"),
    30022: Code("later", "The US 10DLC rate limit was exceeded."),
    30023: Code("later", "The US 10DLC daily limit of the brand is reached."),
    30024: Code("account", "The carrier does not know the sender yet.", "sender_phone"),
    30027: Code("later", "T-Mobile's daily limit is reached."),
    30032: Code("account", "The toll-free sender has not been verified.", "sender_phone"),
    30033: Code("account", "The US 10DLC campaign is suspended.", "sender_phone"),
    30034: Code("account", "The sender phone is not registered for US 10DLC.", "sender_phone"),
    30035: Code("account", "The sender phone is still being set up for US 10DLC.", "sender_phone"),
    30038: Code("message", "Twilio hides passcodes that are sent to its own numbers."),
    30042: Code("account", "The sender name is too general or has characters that carriers refuse.", "sender_phone"),
    30410: Code("later", "The carrier did not answer in time; Twilio does not repeat the text."),
    30450: Code("number", "Twilio's SMS pumping protection blocks this number for a while."),
    30453: Code("number", "Twilio's SMS pumping protection blocks this number."),
    30454: Code("number", "Twilio's SMS pumping protection blocks this number."),
}  # fmt: skip

STATUSES: Final[Mapping[str, Status]] = {
    "queued": "accepted",
    "accepted": "accepted",
    "scheduled": "accepted",
    "sending": "accepted",
    "sent": "sent",
    "partially_delivered": "sent",
    "delivered": "delivered",
    "read": "delivered",
    "undelivered": "undelivered",
    "failed": "failed",
    "canceled": "failed",
}


def about_unknown(code: int, http_status: int) -> Literal["account", "message"]:
    """What is at fault where Twilio refuses with a code that has no line above: its range says, else the message.

    Never the number: people would be told that theirs is wrong.
    """
    if 20_000 <= code < 21_000 or 21_700 <= code < 21_800 or http_status in (401, 403, 404):
        return "account"
    return "message"


def link(code: int) -> str:
    """Twilio's page on a code."""
    return f"https://www.twilio.com/docs/api/errors/{code}"
