"""Webhooks: which events there are, how a post is signed, and when one that failed is posted again.

Signatures and headers follow the Standard Webhooks specification (https://www.standardwebhooks.com).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence
from typing import Final, Literal, get_args

import msgspec

from otpost.domain.secret import Secret
from otpost.domain.sid import DELIVERY

Event = Literal[
    "verification.approved",
    "verification.canceled",
    "verification.expired",
    "verification.max_attempts_reached",
    "message.sent",
    "message.delivered",
    "message.undelivered",
    "message.failed",
    "message.expired",
    "message.unconfirmed",
]
EVENTS: Final[tuple[Event, ...]] = get_args(Event)
TEST: Final = "webhook.test"

Status = Literal["waiting", "posting", "delivered", "failed"]
Form = Literal["standard", "twilio"]
Disabled = Literal["gone", "failing"]

WAITS_MS: Final = (5_000, 300_000, 1_800_000, 7_200_000, 18_000_000, 36_000_000, 36_000_000)
"""Between one failed try and the next; after the last the delivery has failed."""
JITTER: Final = 0.1
LONGEST_WAIT_MS: Final = 24 * 3_600_000
LEASE_MS: Final = 60_000
"""For how long a delivery is its poster's own: longer than any try takes."""
OLD_SECRET_MS: Final = 24 * 3_600_000
FAILING_MS: Final = 5 * 24 * 3_600_000
"""A webhook that nothing reached for so long is disabled."""
KEPT_MS: Final = 30 * 24 * 3_600_000

MOST_WEBHOOKS: Final = 10
MOST_SECRETS: Final = 3
MOST_TRIES_KEPT: Final = 20
URL_LENGTH: Final = 2_048
DESCRIPTION_LENGTH: Final = 200
SAID_LENGTH: Final = 300
SECRET_BYTES: Final = 32
SECRET_PREFIX: Final = "whsec_"  # noqa: S105  # what every secret begins with


class SigningSecret(msgspec.Struct, frozen=True, array_like=True):
    """A secret as it is kept: sealed. One that was replaced signs beside the new one until `until`."""

    sealed: str
    made_at: int
    until: int | None = None


class Webhook(msgspec.Struct, frozen=True):
    """An address of an application that is told of events. The newest of its `secrets` comes first.

    `old_until` is when the next of the replaced ones has to be erased. `failing_since`: nothing has reached it since
    then. `disabled` is why Otpost no longer posts there, where it was not a person's choice.
    """

    sid: str
    tenant: str
    application: str
    url: str
    description: str
    events: tuple[Event, ...]
    enabled: bool
    secrets: tuple[SigningSecret, ...]
    created_at: int
    updated_at: int
    old_until: int | None = None
    failing_since: int | None = None
    disabled: Disabled | None = None
    disabled_at: int | None = None

    def secrets_at(self, now: int) -> list[SigningSecret]:
        """Those that sign now, the newest first."""
        return [secret for secret in self.secrets if secret.until is None or now < secret.until]

    def rotated(self, sealed: str, now: int) -> Webhook:
        """With a new secret; the one before it signs for a day more."""
        until = now + OLD_SECRET_MS
        old = [
            SigningSecret(secret.sealed, secret.made_at, secret.until or until)
            for secret in self.secrets_at(now)[: MOST_SECRETS - 1]
        ]
        return self._with((SigningSecret(sealed, now), *old), now)

    def without_old(self, now: int) -> Webhook:
        """With the secrets alone that still sign."""
        return self._with(tuple(self.secrets_at(now)), self.updated_at)

    def _with(self, secrets: tuple[SigningSecret, ...], updated_at: int) -> Webhook:
        until = min((secret.until for secret in secrets if secret.until is not None), default=None)
        return msgspec.structs.replace(self, secrets=secrets, old_until=until, updated_at=updated_at)

    def switched(self, *, enabled: bool, now: int) -> Webhook:
        """Enabled or disabled by a person, who begins with a clean slate."""
        return msgspec.structs.replace(
            self, enabled=enabled, failing_since=None, disabled=None, disabled_at=None, updated_at=now
        )

    def after(self, answer: Answer, now: int) -> Webhook:
        """As a try leaves it: reached, failing, or disabled because it is gone or has failed for days."""
        if answer.taken:
            return self if self.failing_since is None else msgspec.structs.replace(self, failing_since=None)
        since = now if self.failing_since is None else self.failing_since
        why: Disabled | None = "gone" if answer.gone else "failing" if now - since >= FAILING_MS else None
        failing = self if since == self.failing_since else msgspec.structs.replace(self, failing_since=since)
        if why is None or not self.enabled:
            return failing
        return msgspec.structs.replace(failing, enabled=False, disabled=why, disabled_at=now)

    @property
    def sentence(self) -> str:
        """Why Otpost no longer posts there; empty where a person chose, or it is enabled."""
        match self.disabled:
            case "gone":
                return f"The webhook {self.url} is disabled: it answered 410, that it is gone for good."
            case "failing":
                return f"The webhook {self.url} is disabled: for five days nothing could be delivered to it."
            case None:
                return ""


class Answer(msgspec.Struct, frozen=True):
    """What a try came to: what the other side answered, or in `error` why there was no answer.

    `said` are the first 300 characters of the body. `hopeless`: no other try of the same can succeed.
    """

    http_status: int | None = None
    said: str = ""
    error: str = ""
    duration_ms: int = 0
    retry_after_s: float | None = None
    hopeless: bool = False

    @property
    def taken(self) -> bool:
        return self.http_status is not None and 200 <= self.http_status < 300

    @property
    def gone(self) -> bool:
        return self.http_status == 410


class Try(msgspec.Struct, frozen=True, array_like=True):
    """One line of a delivery's log."""

    at: int
    duration_ms: int
    http_status: int | None
    said: str
    error: str


class Delivery(msgspec.Struct, frozen=True):
    """One event on its way to one address, posted at least once.

    `form` says how it is made and signed. One of form `standard` goes to the address of its `webhook`; other forms
    bring a `url` of their own. `lane` is the queue that it shares with what goes to the same receiver, `subject` the
    SID of what has changed, `body` what is posted, to the letter. While it is `waiting`, `due_at` is its next try;
    while it is `posting`, the end of its poster's lease.
    """

    sid: str
    tenant: str
    application: str
    webhook: str | None
    lane: str
    form: Form
    url: str | None
    type: str
    subject: str
    body: str
    created_at: int
    status: Status = "waiting"
    due_at: int | None = None
    tries: int = 0
    finished_at: int | None = None
    log: tuple[Try, ...] = ()

    def claimed(self, now: int) -> Delivery:
        """In the hands of one poster for as long as a try may take."""
        return msgspec.structs.replace(self, status="posting", tries=self.tries + 1, due_at=now + LEASE_MS)

    def settled(self, answer: Answer, now: int, jitter: float) -> Delivery:
        """As a try leaves it. `jitter` (0 to 1) spreads the next one."""
        line = Try(now - answer.duration_ms, answer.duration_ms, answer.http_status, answer.said, answer.error)
        told = msgspec.structs.replace(self, log=(*self.log, line)[-MOST_TRIES_KEPT:])
        if answer.taken:
            return told.ended("delivered", now)
        if answer.gone or answer.hopeless or self.tries > len(WAITS_MS):
            return told.ended("failed", now)
        wait_ms = int(WAITS_MS[self.tries - 1] * (1 - JITTER + 2 * JITTER * jitter))
        if answer.retry_after_s is not None:
            wait_ms = max(wait_ms, min(LONGEST_WAIT_MS, int(answer.retry_after_s * 1000)))
        return msgspec.structs.replace(told, status="waiting", due_at=now + wait_ms)

    def ended(self, status: Status, now: int) -> Delivery:
        """No try will follow."""
        return msgspec.structs.replace(self, status=status, due_at=None, finished_at=now)

    def again(self, now: int) -> Delivery:
        """Due now, with all its tries before it; one that is just being posted is left alone."""
        if self.status == "posting":
            return self
        return msgspec.structs.replace(self, status="waiting", due_at=now, tries=0, finished_at=None)


def delivery_sid(now: int, *what: str) -> str:
    """The SID of the delivery of one event (`what`): made of the moment and the event itself.

    It has the form of the others, but no dice: a unit of work that is run again makes the same.
    """
    digest = hashlib.sha256(" ".join(what).encode()).hexdigest()
    return f"{DELIVERY}{now:012x}7{digest[:3]}8{digest[3:18]}"


def secret_text(raw: bytes) -> str:
    """A signing secret as people copy it."""
    return SECRET_PREFIX + base64.b64encode(raw).decode()


def signature(secret: Secret, sid: str, at_s: int, body: bytes) -> str:
    """`v1,` and the base64 of the HMAC-SHA-256 over id, moment (seconds since the epoch) and body."""
    key = base64.b64decode(secret.reveal().removeprefix(SECRET_PREFIX))
    signed = hmac.new(key, f"{sid}.{at_s}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(signed).decode()}"


def signed_headers(secrets: Sequence[Secret], sid: str, at_s: int, body: bytes) -> dict[str, str]:
    """The headers of one post, with a signature for each secret that is in force."""
    return {
        "content-type": "application/json",
        "webhook-id": sid,
        "webhook-timestamp": str(at_s),
        "webhook-signature": " ".join(signature(secret, sid, at_s, body) for secret in secrets),
    }


def said(body: bytes) -> str:
    """What is kept of an answer: the first 300 characters, on one line."""
    text = body[: SAID_LENGTH * 4].decode(errors="replace")[:SAID_LENGTH]
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())
