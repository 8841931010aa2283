"""What one try to hand a message to a sender service came to, and the closed set of reasons why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

import msgspec

Help = Literal["again", "elsewhere", "nobody"]

ReasonName = Literal[
    "invalid_number",
    "cannot_receive",
    "not_reachable",
    "opted_out",
    "blocked_as_fraud",
    "country_not_permitted",
    "sender_not_allowed",
    "filtered",
    "not_delivered",
    "text_refused",
    "account_trouble",
    "credentials_refused",
    "wrong_settings",
    "throttled",
    "network_trouble",
    "vendor_trouble",
    "answer_lost",
    "callback_refused",
    "too_late",
    "verification_over",
    "not_routed",
    "policy_incomplete",
    "text_gone",
    "unknown",
]


class Reason(NamedTuple):
    """One reason: a sentence for the recipient's application, one for the administrator with the next step, and help.

    `help` says who can: another try on the same account (`again`), another account or service (`elsewhere`), nobody.
    `account` reasons lie with the sending account as a whole, so that its main account may stand in; those that
    `trip` count towards opening the account's circuit breaker.
    """

    for_application: str
    for_administrator: str
    help: Help
    account: bool = False
    trips: bool = False


REASONS: Final[Mapping[ReasonName, Reason]] = {
    "invalid_number": Reason(
        "This is not the number of a phone; ask for it again.",
        "The number does not exist or is malformed. Nothing is wrong with the sender.",
        "nobody",
    ),
    "cannot_receive": Reason(
        "This number cannot receive texts; ask for a mobile number.",
        "It is a landline, or of a kind or network that takes no texts. Nothing is wrong with the sender.",
        "nobody",
    ),
    "not_reachable": Reason(
        "The phone is switched off or out of reach; ask the recipient to look for a signal, then send again.",
        "The phone did not answer the network. A resend helps once it does; if many phones of one network are so, "
        "ask the sender service about that network.",
        "nobody",
    ),
    "opted_out": Reason(
        "The recipient has asked this sender for no more texts; they can undo it by texting START to it.",
        "The recipient answered STOP. Only they can undo it, by START to the same sender; do not go round it.",
        "nobody",
    ),
    "blocked_as_fraud": Reason(
        "Texts to this number are blocked for now; offer another way, or try again later.",
        "The service blocks the number or its range as SMS pumping. Look at who asks for codes to that range; a "
        "wrong block is lifted at the service.",
        "nobody",
    ),
    "country_not_permitted": Reason(
        "Texts to this country cannot be sent at the moment.",
        "The account may not send to this country. Enable it in the account's geographic permissions, or give the "
        "dialing code to another account.",
        "elsewhere",
    ),
    "sender_not_allowed": Reason(
        "Texts to this country cannot be sent at the moment.",
        "The sender is not the account's, not registered, or not allowed in this country. Register it, or choose "
        "another sender for the dialing code.",
        "elsewhere",
        account=True,
    ),
    "filtered": Reason(
        "The text was held back on its way; send again, or offer another way.",
        "The service or the carrier filtered the text. Look at the wording and at the sender's registration.",
        "elsewhere",
    ),
    "not_delivered": Reason(
        "The text did not reach the phone; send again.",
        "The carrier gave no better reason. If many texts of one network end so, ask the service, or try another.",
        "elsewhere",
    ),
    "text_refused": Reason(
        "The text could not be sent as it is.",
        "The service does not take this text: its length, its signs or a missing template. Correct the text.",
        "nobody",
    ),
    "account_trouble": Reason(
        "Texts cannot be sent at the moment.",
        "The account is suspended, closed or out of funds. Settle it in the service's own console.",
        "elsewhere",
        account=True,
        trips=True,
    ),
    "credentials_refused": Reason(
        "Texts cannot be sent at the moment.",
        "The service does not accept the account's credentials. Type them again in the sender policy.",
        "elsewhere",
        account=True,
        trips=True,
    ),
    "wrong_settings": Reason(
        "Texts cannot be sent at the moment.",
        "A setting of the sender policy is wrong; the attempt says which. Correct it and test it.",
        "elsewhere",
        account=True,
    ),
    "throttled": Reason(
        "The text waits for its turn.",
        "The account gets more messages than it may send. Ask the service for a higher rate, or spread the texts "
        "over more senders.",
        "again",
    ),
    "network_trouble": Reason(
        "The text waits until the sender service can be reached.",
        "The service could not be connected to, so nothing was sent. Look at its status page and at the network here.",
        "again",
        trips=True,
    ),
    "vendor_trouble": Reason(
        "The text waits until the sender service has recovered.",
        "The service said that it is in trouble itself, and sent nothing. Look at its status page.",
        "again",
        trips=True,
    ),
    "answer_lost": Reason(
        "The text may be on its way; if it does not arrive, send again.",
        "No answer told what became of the text. Otpost asks the service where it can, and sends once more at most.",
        "again",
        trips=True,
    ),
    "callback_refused": Reason(
        "The text is sent anew.",
        "The service does not call the address for reports. Set OTPOST_PUBLIC_URL to a public https address.",
        "again",
    ),
    "too_late": Reason(
        "The text could not leave while its code was of use; start again.",
        "Less than 10 s of its life were left. The attempts before it say what held it up.",
        "nobody",
    ),
    "verification_over": Reason(
        "The verification was over before the text left.",
        "It was approved or canceled, or had run out, so that the text was not sent any more.",
        "nobody",
    ),
    "not_routed": Reason(
        "Texts to this number are not sent.",
        "The sender policy sends nothing to this number; its route says why.",
        "nobody",
    ),
    "policy_incomplete": Reason(
        "The text waits until a sender is set up.",
        "The sender policy lacks something that is needed. Complete it; the text goes out while its code is of use.",
        "again",
    ),
    "text_gone": Reason(
        "The text could not be sent; start again.",
        "What it is made from is no longer kept.",
        "nobody",
    ),
    "unknown": Reason(
        "The text could not be sent, and the sender service did not say why in words that are known.",
        "The service gave a code that Otpost does not know; the attempt links to the service's page on it.",
        "elsewhere",
    ),
}


class Vendor(msgspec.Struct, frozen=True):
    """What the service said, as far as it said anything: its HTTP status, code, words, SID, status, request id."""

    http_status: int | None = None
    code: str | None = None
    message: str | None = None
    sid: str | None = None
    status: str | None = None
    request_id: str | None = None


NOTHING_SAID = Vendor()


class Accepted(msgspec.Struct, frozen=True):
    """The service has taken the message. `copy` is the text itself, from the sandbox alone."""

    vendor: Vendor
    copy: str | None = None


class Refused(msgspec.Struct, frozen=True):
    """The service said no, and nothing was sent. The same request to the same account would be refused again.

    `reason` is of the closed set; `detail` a sentence of ours on this very case; `link` the vendor's page on its
    code; `field` the setting at fault, if one is. After `callback_refused` the same text may go out without a
    callback address.
    """

    reason: ReasonName
    detail: str
    vendor: Vendor = NOTHING_SAID
    link: str | None = None
    field: str | None = None


class Unavailable(msgspec.Struct, frozen=True):
    """Nothing was sent, and the same request may succeed later: `retry_after_s` if the service said when."""

    reason: ReasonName
    detail: str
    vendor: Vendor = NOTHING_SAID
    retry_after_s: float | None = None
    link: str | None = None


class Unknown(msgspec.Struct, frozen=True):
    """The answer was lost: the message may or may not have gone out.

    `answered` is True for a 5xx answer (look-ups may begin sooner), False where no answer came at all.
    """

    detail: str
    vendor: Vendor = NOTHING_SAID
    answered: bool = False

    @property
    def reason(self) -> ReasonName:
        """Always the same: nobody knows yet."""
        return "answer_lost"


OutcomeName = Literal["accepted", "refused", "unavailable", "unknown"]
Outcome = Accepted | Refused | Unavailable | Unknown
