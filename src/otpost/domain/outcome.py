"""What one try to hand a message to a sender service came to: a closed set of values."""

from __future__ import annotations

from typing import Literal

import msgspec


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
    """The service said no, and nothing was sent.

    `about` tells what is at fault: the recipient's `number`, the `account` or its origin, the `message`, or our
    `callback` address, without which the same text may go out.
    `reason` is a sentence of ours; `link` the vendor's page on its code; `field` the setting at fault, if one is.
    """

    about: Literal["number", "account", "message", "callback"]
    reason: str
    vendor: Vendor = NOTHING_SAID
    link: str | None = None
    field: str | None = None


class Unavailable(msgspec.Struct, frozen=True):
    """Nothing was sent, and the same request may succeed later: `retry_after_s` if the service said when."""

    reason: str
    vendor: Vendor = NOTHING_SAID
    retry_after_s: float | None = None


class Unknown(msgspec.Struct, frozen=True):
    """The answer was lost: the message may or may not have gone out.

    `answered` is True for a 5xx answer (look-ups may begin sooner), False where no answer came at all.
    """

    reason: str
    vendor: Vendor = NOTHING_SAID
    answered: bool = False


OutcomeName = Literal["accepted", "refused", "unavailable", "unknown"]
Outcome = Accepted | Refused | Unavailable | Unknown
