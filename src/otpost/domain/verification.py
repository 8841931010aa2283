"""A verification, from pending to its end, and its code: derived from the SID, never stored."""

from __future__ import annotations

import hmac
import unicodedata
from typing import Any, Final, Literal

import msgspec

from otpost.domain.text.characters import compact

Status = Literal["pending", "approved", "canceled", "expired", "max_attempts_reached"]
What = Literal["started", "resent", "wrong_code", "approved", "canceled", "expired", "max_attempts_reached"]

Binding = tuple[str | None, str | None]
"""The amount and the payee that a code is for."""

FRESH_START_S = 60
CODE, MINUTES = "\0", "\1"
"""Where a template's text has its code and the minutes left; no other text has these characters."""


class Event(msgspec.Struct, frozen=True, array_like=True):
    """One line of a verification's timeline; never holds a code."""

    at: int
    what: What
    detail: str = ""


class Extras(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a Twilio-shaped start brought beyond a native one.

    `custom_code` is encrypted, and gone once the verification has ended. `amount` and `payee` bind the code to one
    transaction. `body` is the text of `template`, filled in but for what stands in `CODE` and `MINUTES`.
    """

    friendly_name: str | None = None
    template: str | None = None
    body: str | None = None
    app_hash: str | None = None
    tags: dict[str, str] = {}
    amount: str | None = None
    payee: str | None = None
    custom_code: str | None = None

    @property
    def binding(self) -> Binding:
        return self.amount, self.payee


class Verification(msgspec.Struct, frozen=True):
    """Its rules (code length, lifetime, limits, key) are those of its start; later edits do not touch it."""

    sid: str
    tenant: str
    application: str
    to: str
    status: Status
    created_at: int
    expires_at: int
    resend_at: int
    key_id: str
    code_length: int
    lifetime_s: int
    max_checks: int
    max_sends: int
    resend_after_s: int
    message: str
    sends: int = 0
    checks: int = 0
    approved_at: int | None = None
    locale: str | None = None
    variables: dict[str, str] = {}
    events: tuple[Event, ...] = ()
    extras: Extras | None = None

    @property
    def updated_at(self) -> int:
        """When it last changed."""
        return self.events[-1].at if self.events else self.created_at

    @property
    def binding(self) -> Binding:
        """The amount and the payee that the code is for, if it is for a transaction."""
        return (None, None) if self.extras is None else self.extras.binding

    @property
    def _without_code(self) -> Extras | None:
        """The extras as they are once the verification has ended."""
        if self.extras is None or self.extras.custom_code is None:
            return self.extras
        return msgspec.structs.replace(self.extras, custom_code=None)

    @property
    def checks_left(self) -> int:
        return max(0, self.max_checks - self.checks)

    def status_at(self, now: int) -> Status:
        """The status as of `now`: nobody has to write `expired` for it to be true."""
        return "expired" if self.status == "pending" and now >= self.expires_at else self.status

    def is_pending(self, now: int) -> bool:
        return self.status == "pending" and now < self.expires_at

    def is_used_up(self, now: int) -> bool:
        """Whether its checks are used up and its life is not over: until then nothing takes its place in Verify."""
        return self.status == "max_attempts_reached" and now < self.expires_at

    def begins_anew(self, now: int, *, to_the_end: bool = False) -> bool:
        """Whether a start now should leave this one behind: too little of its life is left for a text.

        `to_the_end`: only once none is left.
        """
        return now >= self.fresh_start_at(to_the_end=to_the_end)

    def fresh_start_at(self, *, to_the_end: bool = False) -> int:
        """From when on a start begins a new verification, whatever this one has used up."""
        if to_the_end:
            return self.expires_at
        return self.expires_at - min(FRESH_START_S * 1000, self.lifetime_s * 500) + 1

    def sent(self, now: int, message: str, **words: Any) -> Verification:
        """One more text is on its way, in these words (`locale`, `variables`, `extras`); the end does not move."""
        return msgspec.structs.replace(
            self,
            sends=self.sends + 1,
            message=message,
            resend_at=now + self.resend_after_s * 1000,
            events=(*self.events, Event(now, "started" if self.sends == 0 else "resent", message)),
            **words,
        )

    def checked(self, now: int, *, right: bool) -> Verification:
        """One more check, right or wrong; the last wrong one uses the verification up."""
        checks = self.checks + 1
        if right:
            return msgspec.structs.replace(self.approved(now), checks=checks)
        used_up = checks >= self.max_checks
        ending = (Event(now, "max_attempts_reached"),) if used_up else ()
        return msgspec.structs.replace(
            self,
            checks=checks,
            status="max_attempts_reached" if used_up else "pending",
            events=(*self.events, Event(now, "wrong_code"), *ending),
            extras=self._without_code if used_up else self.extras,
        )

    def approved(self, now: int) -> Verification:
        """By a right code, or because the application has learnt of the number otherwise."""
        return msgspec.structs.replace(
            self,
            status="approved",
            approved_at=now,
            events=(*self.events, Event(now, "approved")),
            extras=self._without_code,
        )

    def ended(self, now: int, status: Literal["canceled", "expired"]) -> Verification:
        events = (*self.events, Event(now, status))
        return msgspec.structs.replace(self, status=status, events=events, extras=self._without_code)


SHORTEST: Final = 4
LONGEST: Final = 10
MAX_CODE_CHARACTERS: Final = 64
MAX_INPUT_CHARACTERS: Final = 1000
"""What is looked at before it is cleaned."""


def derive(key: bytes, verification_sid: str, length: int) -> str:
    """The code of this verification: `length` (4–10) decimal digits, leading zeros included.

    HMAC-SHA-256 of the SID under `key`, taken as one big-endian number, modulo 10 to the power of `length`; 256 bits
    against at most 34 leave no bias that could be measured. Raises ValueError for another length.
    """
    if not SHORTEST <= length <= LONGEST:
        raise ValueError(f"a code has {SHORTEST} to {LONGEST} digits, not {length}")
    digest = hmac.digest(key, verification_sid.encode(), "sha256")
    return f"{int.from_bytes(digest, 'big') % 10**length:0{length}d}"


def read_code(text: str, *, letters: bool = False) -> str | None:
    """What was typed as ASCII digits, or None if that is no code.

    Blanks and hyphens (and the invisible marks that copying brings along) are dropped, decimal digits of other
    scripts are read. None for anything else in the text, for no digit at all and for more than 64 digits. With
    `letters`, for a code that a caller brought, letters and hyphens are a part of it.
    """
    if len(text) > MAX_INPUT_CHARACTERS:
        return None
    if text.isascii() and text.isdigit():
        return text if len(text) <= MAX_CODE_CHARACTERS else None
    read: list[str] = []
    for character in compact(text):
        category = unicodedata.category(character)
        if category == "Nd":
            read.append(str(unicodedata.decimal(character)))
        elif category == "Pd" or character == "\u2212":
            read.append("-" if letters else "")
        elif letters and category[0] == "L":
            read.append(character)
        else:
            return None
    code = "".join(read)
    return code if 0 < len(code) <= MAX_CODE_CHARACTERS else None


def same(given: str, expected: str) -> bool:
    """Whether two codes are equal, in a time that does not tell how much of them is."""
    return hmac.compare_digest(given.encode(), expected.encode())
