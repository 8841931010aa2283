"""A verification: one wish to prove that a recipient holds a number, from pending to its end."""

from __future__ import annotations

from typing import Literal

import msgspec

Status = Literal["pending", "approved", "canceled", "expired", "max_attempts_reached"]
What = Literal["started", "resent", "wrong_code", "approved", "canceled", "expired", "max_attempts_reached"]

FRESH_START_S = 60


class Event(msgspec.Struct, frozen=True, array_like=True):
    """One line of a verification's timeline; never holds a code."""

    at: int
    what: What
    detail: str = ""


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

    @property
    def checks_left(self) -> int:
        return max(0, self.max_checks - self.checks)

    def status_at(self, now: int) -> Status:
        """The status as of `now`: nobody has to write `expired` for it to be true."""
        return "expired" if self.status == "pending" and now >= self.expires_at else self.status

    def is_pending(self, now: int) -> bool:
        return self.status == "pending" and now < self.expires_at

    def begins_anew(self, now: int) -> bool:
        """Whether a start now should leave this one behind: too little of its life is left for a text."""
        left_ms = self.expires_at - now
        return left_ms < min(FRESH_START_S * 1000, self.lifetime_s * 500)

    def fresh_start_at(self) -> int:
        """From when on a start begins a new verification, whatever this one has used up."""
        return self.expires_at - min(FRESH_START_S * 1000, self.lifetime_s * 500) + 1

    def sent(self, now: int, message: str) -> Verification:
        """One more text is on its way; the end does not move."""
        return msgspec.structs.replace(
            self,
            sends=self.sends + 1,
            message=message,
            resend_at=now + self.resend_after_s * 1000,
            events=(*self.events, Event(now, "started" if self.sends == 0 else "resent", message)),
        )

    def checked(self, now: int, *, right: bool) -> Verification:
        """One more check, right or wrong; the last wrong one uses the verification up."""
        checks = self.checks + 1
        if right:
            return msgspec.structs.replace(
                self, checks=checks, status="approved", approved_at=now, events=(*self.events, Event(now, "approved"))
            )
        used_up = checks >= self.max_checks
        ending = (Event(now, "max_attempts_reached"),) if used_up else ()
        return msgspec.structs.replace(
            self,
            checks=checks,
            status="max_attempts_reached" if used_up else "pending",
            events=(*self.events, Event(now, "wrong_code"), *ending),
        )

    def ended(self, now: int, status: Literal["canceled", "expired"]) -> Verification:
        return msgspec.structs.replace(self, status=status, events=(*self.events, Event(now, status)))
