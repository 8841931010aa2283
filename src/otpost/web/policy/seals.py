"""Typed secrets in a page: encrypted for one session and one form, for 15 minutes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from otpost.domain.secret import Secret
from otpost.senders.settings import Field
from otpost.services.keyring import KeyRingError
from otpost.web.request import Visit
from otpost.web.translation import _

SEAL: Final = "forms"
SEALED_MS: Final = 15 * 60_000
CLEAR: Final = "~clear"
LOST: Final = "~lost"
MOVED: Final = "~moved"
PADDED: Final = 512


@dataclass(frozen=True, slots=True)
class FormSecret:
    """A secret in a form.

    `typed` is what was typed and not saved yet, for the `destination` that stood in the form then. `lost`: it was
    typed, but its seal is too old or of another form (`~lost`), or the destination has changed since (`~moved`).
    """

    typed: Secret | None = None
    destination: str = ""
    clear: bool = False
    lost: Literal["", "~lost", "~moved"] = ""


class Seal(msgspec.Struct):
    """What is encrypted into a page in place of a typed secret; `until` is when it is of no use any more.

    `pad` fills it up, so that its length does not tell the secret's.
    """

    secret: str
    destination: str
    until: int
    pad: str = ""


class Seals:
    """Seals what a page carries for this session and this form."""

    def __init__(self, visit: Visit, form_id: str) -> None:
        self._ring, self._now = visit.context.keyring, visit.now
        self._place = f"{visit.who.session.token_sha256} {form_id}"

    def close(self, secret: FormSecret) -> str:
        """The text that stands for a secret in a page; empty where nothing was typed."""
        if secret.typed is None:
            return CLEAR if secret.clear else secret.lost
        sealed = Seal(secret.typed.reveal(), secret.destination, self._now + SEALED_MS)
        sealed.pad = "." * (-len(msgspec.json.encode(sealed)) % PADDED)
        return self.pack(msgspec.json.encode(sealed).decode())

    def open(self, text: str, destination: str) -> FormSecret:
        if text in ("", CLEAR):
            return FormSecret(clear=text == CLEAR)
        if text == MOVED:
            return FormSecret(lost=MOVED)
        try:
            sealed = msgspec.json.decode(self.unpack(text), type=Seal)
        except (KeyRingError, ValueError):
            return FormSecret(lost=LOST)
        if sealed.until <= self._now:
            return FormSecret(lost=LOST)
        if sealed.destination != destination:
            return FormSecret(lost=MOVED)
        return FormSecret(Secret(sealed.secret), destination)

    def pack(self, text: str) -> str:
        return self._ring.seal(SEAL, text, self._place)

    def unpack(self, text: str) -> str:
        """Raises KeyRingError or ValueError for what this session's form did not seal."""
        return self._ring.open(SEAL, text, self._place).reveal()


def lost_words(of: Field, secret: FormSecret) -> str:
    if secret.lost == MOVED:
        return _("%(field)s was typed for another address. Type the one that belongs to this one.", field=_(of.label))
    return _(
        "%(field)s was typed more than 15 minutes ago, or in another session, and is forgotten. Type it again, or "
        "open the page anew to keep the stored one.",
        field=_(of.label),
    )
