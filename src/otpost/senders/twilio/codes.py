"""Twilio's error codes and message statuses as tables: the reason that each stands for, and a sentence for people.

https://www.twilio.com/docs/api/errors
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from otpost.domain.outcome import ReasonName
from otpost.senders.codes import Code, Status

# The codes from 30000 on come in reports. Twilio adds codes and splits old ones: those without a line have a range.
CODES: Final[Mapping[int, Code]] = {
    20001: Code("wrong_settings", "Twilio does not know a parameter of the request."),
    20002: Code("wrong_settings", "Twilio does not accept a name in the request."),
    20003: Code("credentials_refused", "Twilio did not accept the account SID and token.", "auth_token"),
    20004: Code("wrong_settings", "The API URL does not take messages.", "api_url"),
    20005: Code(
        "account_trouble", "The Twilio account is not active; it may be suspended or out of funds.", "account_sid"
    ),
    20006: Code("account_trouble", "The Twilio account may not do this.", "account_sid"),
    20007: Code("wrong_settings", "Twilio was asked for too long a list."),
    20008: Code("credentials_refused", "These are test credentials, which cannot do this.", "auth_token"),
    20009: Code("wrong_settings", "What the request names is not complete yet."),
    20010: Code("account_trouble", "Sending is disabled for the Twilio account.", "account_sid"),
    20011: Code("wrong_settings", "Twilio does not accept the version of TLS."),
    20012: Code("wrong_settings", "Twilio does not accept the TLS cipher."),
    20020: Code("wrong_settings", "The request changes nothing at Twilio."),
    20021: Code("invalid_number", "The carrier T-Mobile does not accept the number."),
    20023: Code("invalid_number", "The recipient's number holds something else than digits."),
    20101: Code("credentials_refused", "Twilio did not accept the access token.", "auth_token"),
    20151: Code("credentials_refused", "Twilio could not authenticate the account.", "auth_token"),
    20403: Code("account_trouble", "Twilio forbids this to the account.", "account_sid"),
    20404: Code("wrong_settings", "Twilio knows no such account.", "account_sid"),
    20409: Code("vendor_trouble", "Twilio was busy with another change of the same thing."),
    20410: Code("wrong_settings", "What the API URL names is gone at Twilio.", "api_url"),
    20413: Code("text_refused", "The request was too large for Twilio."),
    20422: Code("wrong_settings", "Twilio does not accept a parameter of the request."),
    20423: Code("wrong_settings", "A SID of the settings is not a valid one.", "account_sid"),
    20426: Code("wrong_settings", "The API URL asks for another protocol.", "api_url"),
    20429: Code("throttled", "Twilio is getting too many requests of this account at once."),
    20500: Code("vendor_trouble", "Twilio had an internal error."),
    20503: Code("vendor_trouble", "Twilio is not available at the moment."),
    21202: Code("invalid_number", "The recipient's number is a premium-rate number."),
    21210: Code("wrong_settings", "The sender phone has not been verified at Twilio.", "sender_phone"),
    21211: Code("invalid_number", "The recipient's number is not a valid phone number."),
    21212: Code("wrong_settings", "The sender is not a valid one.", "sender_phone"),
    21213: Code("wrong_settings", "A sender phone is missing.", "sender_phone"),
    21214: Code("not_delivered", "The recipient's number cannot be reached."),
    21215: Code("country_not_permitted", "The account's geographic permissions do not allow this country."),
    21216: Code("blocked_as_fraud", "The recipient's number is on Twilio's blocklist."),
    21217: Code("invalid_number", "The recipient's number does not seem to be valid."),
    21219: Code(
        "account_trouble", "A trial account sends only to numbers that were verified at Twilio.", "account_sid"
    ),
    21264: Code("wrong_settings", "The sender phone has not been verified at Twilio.", "sender_phone"),
    21265: Code("invalid_number", "The recipient's number is a short code, which no person has."),
    21266: Code("sender_not_allowed", "The recipient's number is the sender's own.", "sender_phone"),
    21267: Code("account_trouble", "A trial account sends from no sender name.", "sender_phone"),
    21268: Code("invalid_number", "The recipient's number is a premium-rate or information number."),
    21401: Code("invalid_number", "The recipient's number is not a valid phone number."),
    21407: Code("wrong_settings", "This kind of sender phone cannot send texts.", "sender_phone"),
    21408: Code(
        "country_not_permitted", "Texts to this country are not enabled; see the account's Messaging Geo Permissions."
    ),
    21421: Code("invalid_number", "The phone number is not valid."),
    21470: Code("wrong_settings", "The account SID is not valid.", "account_sid"),
    21471: Code("wrong_settings", "Twilio knows no such account.", "account_sid"),
    21472: Code("account_trouble", "The Twilio account is not active.", "account_sid"),
    21476: Code("account_trouble", "The main account is suspended.", "account_sid"),
    21478: Code("account_trouble", "The subaccount is suspended.", "account_sid"),
    21479: Code("account_trouble", "The subaccount has been closed.", "account_sid"),
    21502: Code("callback_refused", "Twilio does not accept the callback URL."),
    21601: Code("wrong_settings", "The sender phone cannot send texts.", "sender_phone"),
    21602: Code("text_refused", "The text is empty."),
    21603: Code("wrong_settings", "A sender phone or a Messaging Service is missing.", "sender_phone"),
    21604: Code("invalid_number", "The recipient's number is missing."),
    21605: Code("text_refused", "The text is longer than 160 characters."),
    21606: Code(
        "sender_not_allowed", "The sender phone is not the account's, or cannot send to this number.", "sender_phone"
    ),
    21607: Code("account_trouble", "A trial account sends only from its own trial number.", "sender_phone"),
    21608: Code(
        "account_trouble", "A trial account sends only to numbers that were verified at Twilio.", "account_sid"
    ),
    21609: Code("callback_refused", "Twilio cannot call the callback URL; check OTPOST_PUBLIC_URL."),
    21610: Code("opted_out", "The recipient has answered STOP to this sender and gets no more texts from it."),
    21611: Code("throttled", "The sender phone's queue at Twilio is full.", "sender_phone"),
    21612: Code("sender_not_allowed", "This sender cannot reach the recipient's number."),
    21613: Code("sender_not_allowed", "The sender phone must be certified first.", "sender_phone"),
    21614: Code("cannot_receive", "The recipient's number is not a mobile number."),
    21615: Code("sender_not_allowed", "The sender phone asks for a local address to be registered.", "sender_phone"),
    21616: Code("wrong_settings", "The sender phone matches several numbers of the account.", "sender_phone"),
    21617: Code("text_refused", "The text is longer than 1600 characters."),
    21618: Code("filtered", "All carriers would filter this text."),
    21619: Code("text_refused", "The text is empty, or Twilio could not take it."),
    21620: Code("wrong_settings", "Twilio does not accept the address of a picture."),
    21621: Code("wrong_settings", "The sender phone cannot send pictures.", "sender_phone"),
    21622: Code("wrong_settings", "The account cannot send pictures.", "account_sid"),
    21623: Code("wrong_settings", "The text has more pictures than allowed."),
    21624: Code("wrong_settings", "Twilio does not accept the validity period."),
    21626: Code("wrong_settings", "Twilio does not know the kind of callback."),
    21627: Code("wrong_settings", "The highest price is not a number."),
    21631: Code("sender_not_allowed", "The sender phone asks for an address to be registered.", "sender_phone"),
    21635: Code("cannot_receive", "The recipient's number is a landline."),
    21649: Code("sender_not_allowed", "The sender phone asks for a regulatory bundle.", "sender_phone"),
    21650: Code("sender_not_allowed", "The sender phone asks for a proof of identity.", "sender_phone"),
    21651: Code("sender_not_allowed", "A document of the sender phone does not meet the rules.", "sender_phone"),
    21652: Code("text_refused", "The subject of the text is too long."),
    21653: Code("wrong_settings", "The text has more recipients than allowed."),
    21654: Code("wrong_settings", "The Messaging Service asks for a content template.", "service_sid"),
    21655: Code("wrong_settings", "The content template is not valid.", "service_sid"),
    21656: Code("wrong_settings", "The content template's variables are not valid.", "service_sid"),
    21657: Code("wrong_settings", "The sender name is not valid.", "sender_phone"),
    21658: Code("text_refused", "A parameter is longer than Twilio allows."),
    21659: Code("wrong_settings", "The sender phone is not a Twilio number, or not this account's.", "sender_phone"),
    21660: Code("wrong_settings", "The sender phone belongs to another account.", "sender_phone"),
    21661: Code("wrong_settings", "The sender phone cannot send texts.", "sender_phone"),
    21662: Code(
        "sender_not_allowed",
        "This sender cannot reach the recipient's number from Twilio's region in Ireland.",
        "sender_phone",
    ),
    21663: Code("wrong_settings", "The sender phone is routed to another of Twilio's regions.", "sender_phone"),
    21664: Code("wrong_settings", "Twilio does not accept a second sender beside the sender phone."),
    21665: Code("wrong_settings", "Twilio does not accept the second sender."),
    21666: Code("wrong_settings", "A second sender needs a Messaging Service.", "service_sid"),
    21667: Code("wrong_settings", "A second sender needs a Messaging Service with an RCS sender.", "service_sid"),
    21668: Code(
        "wrong_settings", "This kind of sender phone cannot send from Twilio's region in Ireland.", "sender_phone"
    ),
    21701: Code("wrong_settings", "The Messaging Service does not exist.", "service_sid"),
    21702: Code("wrong_settings", "The Messaging Service is not available.", "service_sid"),
    21703: Code("sender_not_allowed", "The Messaging Service has no sender for this country.", "service_sid"),
    21704: Code("wrong_settings", "The Messaging Service has no senders.", "service_sid"),
    21705: Code("wrong_settings", "The Messaging Service SID is not valid.", "service_sid"),
    21708: Code("wrong_settings", "The Messaging Service lacks a sender name.", "service_sid"),
    21709: Code("sender_not_allowed", "The sender name is not allowed for this Messaging Service.", "service_sid"),
    21711: Code("wrong_settings", "The sender is not one of the Messaging Service.", "service_sid"),
    21712: Code("wrong_settings", "The sender belongs to another Messaging Service.", "service_sid"),
    21715: Code("wrong_settings", "The Messaging Service's sender cannot send texts.", "service_sid"),
    21717: Code("sender_not_allowed", "The Messaging Service's brand is not registered for US 10DLC.", "service_sid"),
    21719: Code("sender_not_allowed", "The Messaging Service's use does not fit its US 10DLC campaign.", "service_sid"),
    21729: Code("sender_not_allowed", "The US 10DLC campaign is suspended.", "service_sid"),
    21730: Code("vendor_trouble", "Twilio is being maintained."),
    21731: Code("sender_not_allowed", "The US 10DLC brand is suspended.", "service_sid"),
    21733: Code("wrong_settings", "The account has no default Messaging Service.", "service_sid"),
    21900: Code("sender_not_allowed", "The sender's DLT entity (India) is not valid.", "sender_phone"),
    21901: Code("sender_not_allowed", "The text's DLT template (India) is not valid.", "sender_phone"),
    21910: Code("wrong_settings", "Sender and recipient are not of the same channel.", "sender_phone"),
    30001: Code("throttled", "The text waited too long at Twilio: its queue was full, or the text's time ran out."),
    30002: Code("account_trouble", "The account was suspended before the text left Twilio.", "account_sid"),
    30003: Code("not_reachable", "The phone is switched off or out of reach."),
    30004: Code("filtered", "The phone or its carrier blocks texts."),
    30005: Code("invalid_number", "The number is unknown or no longer in use."),
    30006: Code("cannot_receive", "The number is a landline, or its carrier cannot be reached."),
    30007: Code("filtered", "Twilio or the carrier filtered the text."),
    30008: Code("not_delivered", "The carrier reported an error that it did not explain."),
    30009: Code("not_delivered", "A part of the text was lost."),
    30010: Code("not_delivered", "The text costs more than the highest price that was set."),
    30011: Code("not_delivered", "The number takes no multimedia messages."),
    30012: Code("wrong_settings", "The validity period is too short for Twilio."),
    30013: Code("wrong_settings", "The validity period is too long for Twilio."),
    30014: Code("invalid_number", "Twilio does not accept the recipient's number."),
    30015: Code("wrong_settings", "The channel is not supported."),
    30016: Code("wrong_settings", "Sender and recipient are not of the same channel.", "sender_phone"),
    30017: Code("not_delivered", "The carrier's network is congested."),
    30018: Code("sender_not_allowed", "The carrier asks for the sender to be registered first.", "sender_phone"),
    30019: Code("text_refused", "The text is longer than the carrier allows."),
    30020: Code("vendor_trouble", "Twilio failed inside while the message was scheduled."),
    30021: Code("vendor_trouble", "Twilio failed inside."),
    30022: Code("throttled", "The US 10DLC rate limit was exceeded."),
    30023: Code("throttled", "The US 10DLC daily limit of the brand is reached."),
    30024: Code("sender_not_allowed", "The carrier does not know the sender yet.", "sender_phone"),
    30025: Code("throttled", "Half of T-Mobile's daily limit is used up."),
    30026: Code("throttled", "Most of T-Mobile's daily limit is used up."),
    30027: Code("throttled", "T-Mobile's daily limit is reached."),
    30028: Code("wrong_settings", "Twilio does not know the version of its API that was asked for.", "api_url"),
    30029: Code("wrong_settings", "Twilio does not accept how long the text is to be kept."),
    30030: Code("wrong_settings", "Twilio does not accept how long the numbers are to be kept."),
    30031: Code("wrong_settings", "The highest rate is not valid."),
    30032: Code("sender_not_allowed", "The toll-free sender has not been verified.", "sender_phone"),
    30033: Code("sender_not_allowed", "The US 10DLC campaign is suspended.", "sender_phone"),
    30034: Code("sender_not_allowed", "The sender phone is not registered for US 10DLC.", "sender_phone"),
    30035: Code("sender_not_allowed", "The sender phone is still being set up for US 10DLC.", "sender_phone"),
    30036: Code("too_late", "The text's time ran out before it left Twilio."),
    30037: Code(
        "account_trouble", "The account may not send texts: Twilio or the account has turned them off.", "account_sid"
    ),
    30038: Code("filtered", "Twilio hides passcodes that are sent to its own numbers."),
    30039: Code("filtered", "Twilio stopped the text, because two numbers seem to answer each other in a loop."),
    30040: Code(
        "sender_not_allowed", "The carrier takes this sender name only once it is registered there.", "sender_phone"
    ),
    30041: Code(
        "sender_not_allowed",
        "The sender is restricted, or not registered in a country that asks for it.",
        "sender_phone",
    ),
    30042: Code(
        "sender_not_allowed", "The sender name is too general or has characters that carriers refuse.", "sender_phone"
    ),
    30043: Code("sender_not_allowed", "The carrier takes no texts from abroad on this route.", "sender_phone"),
    30044: Code(
        "account_trouble", "A trial account sends only short texts; this one has too many segments.", "account_sid"
    ),
    30045: Code("wrong_settings", "Twilio does not accept the validity period."),
    30046: Code("not_delivered", "Nobody confirmed that the text was delivered."),
    30125: Code("sender_not_allowed", "The sender phone could not be registered for US 10DLC.", "sender_phone"),
    30126: Code("sender_not_allowed", "The sender phone could not be registered for US 10DLC.", "sender_phone"),
    30400: Code("wrong_settings", "Twilio does not accept the parameters."),
    30404: Code("wrong_settings", "Twilio does not find what the request names."),
    30409: Code("not_delivered", "The message could not be canceled."),
    30410: Code("not_delivered", "The carrier did not answer in time; Twilio does not repeat the text."),
    30436: Code("wrong_settings", "The SID of the sender phone is not valid.", "sender_phone"),
    30450: Code("blocked_as_fraud", "Twilio's SMS pumping protection blocks this number for a while."),
    30453: Code("blocked_as_fraud", "Twilio's SMS pumping protection blocks this number."),
    30454: Code("account_trouble", "The trial account's limit of texts is reached.", "account_sid"),
    30485: Code("not_delivered", "Twilio could not deliver the text, and gave no better reason."),
    30500: Code("vendor_trouble", "Twilio failed inside."),
    30610: Code("not_delivered", "Twilio could not deliver the text, and gave no better reason."),
    30615: Code("not_delivered", "Twilio could not deliver the text, and gave no better reason."),
    30620: Code("not_delivered", "Twilio could not deliver the text, and gave no better reason."),
    30630: Code("opted_out", "The recipient has asked for no more texts from this sender."),
    30640: Code("not_delivered", "Twilio could not deliver the text, and gave no better reason."),
    60728: Code("account_trouble", "The account's limit of texts in an hour is reached.", "account_sid"),
    63038: Code("account_trouble", "The account's limit of texts in a day is reached.", "account_sid"),
    90007: Code("wrong_settings", "Twilio does not accept the validity period."),
    90010: Code("account_trouble", "The Twilio account is not active.", "account_sid"),
    90014: Code("wrong_settings", "Twilio does not accept the validity period."),
    572002: Code(
        "account_trouble", "A trial account sends only to numbers that were verified at Twilio.", "account_sid"
    ),
    572005: Code(
        "account_trouble",
        "A trial account sends only to numbers that were verified at Twilio; this one has begun to be.",
        "account_sid",
    ),
}


class Range(NamedTuple):
    """What is known of codes without a line of their own: from `first` to `last`, both included."""

    first: int
    last: int
    reason: ReasonName
    about: str


# A range answers only where all that Twilio has published of it is alike, but for what has a line of its own.
RANGES: Final = (
    Range(20100, 20199, "credentials_refused", "the access token"),
    Range(20500, 20599, "vendor_trouble", "Twilio itself"),
    Range(21628, 21634, "sender_not_allowed", "the sender's papers"),
    Range(21644, 21651, "sender_not_allowed", "the sender's papers"),
    Range(21719, 21732, "sender_not_allowed", "registration for US 10DLC"),
    Range(21736, 21741, "sender_not_allowed", "registration for US 10DLC"),
    Range(23001, 23006, "wrong_settings", "what is kept of messages"),
    Range(30100, 30140, "wrong_settings", "shortened links and their domain"),
    Range(30437, 30449, "sender_not_allowed", "the toll-free sender's verification"),
    Range(30451, 30452, "sender_not_allowed", "the toll-free sender's verification"),
    Range(30455, 30499, "sender_not_allowed", "the toll-free sender's verification"),
    Range(30501, 30531, "sender_not_allowed", "the toll-free sender's verification"),
    Range(30701, 30799, "sender_not_allowed", "registration for US 10DLC"),
    Range(30800, 30899, "sender_not_allowed", "the sender's verification and registration"),
)

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


def meaning(code: int) -> Code:
    """What a code means; one without a line by its range, else `unknown`. Never the recipient's number by a guess."""
    if code in CODES:
        return CODES[code]
    for known in RANGES:
        if known.first <= code <= known.last:
            sentence = f"Twilio gives its code {code}, which is not listed here; its range is about {known.about}."
            return Code(known.reason, sentence)
    return Code("unknown", f"Twilio gives its code {code}, which Otpost does not know.")


def link(code: int) -> str:
    """Twilio's page on a code."""
    return f"https://www.twilio.com/docs/api/errors/{code}"
