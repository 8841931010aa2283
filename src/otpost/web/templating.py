"""The templates: how they are loaded, and the words and marks that they share."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from otpost import __version__
from otpost.domain.outcome import REASONS, ReasonName
from otpost.domain.phone import trusted
from otpost.web.static_files import address

FOLDER: Final = Path(__file__).parent / "templates"

STATUS: Final[dict[str, tuple[str, str]]] = {
    "pending": ("blue", "Pending"),
    "approved": ("green", "Approved"),
    "canceled": ("secondary", "Canceled"),
    "expired": ("secondary", "Expired"),
    "max_attempts_reached": ("orange", "Checks used up"),
    "queued": ("blue", "Queued"),
    "sending": ("blue", "Sending"),
    "accepted": ("azure", "Accepted"),
    "sent": ("azure", "Sent"),
    "delivered": ("green", "Delivered"),
    "undelivered": ("red", "Undelivered"),
    "failed": ("red", "Failed"),
    "unconfirmed": ("orange", "Unconfirmed"),
    "refused": ("red", "Refused"),
    "unavailable": ("orange", "Unavailable"),
    "unknown": ("orange", "Unknown"),
}
"""The colour of a status, and the word that stands beside it: colour is never alone."""


@cache
def environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        at=at,
        to_the_minute=to_the_minute,
        precisely=precisely,
        masked=masked,
        field_id=field_id,
        grouped=grouped,
        because=because,
        worded=worded,
    )
    made.globals.update(static=address, version=__version__, status_of=status_of)
    return made


def render(template: str, **values: Any) -> str:
    return environment().get_template(template).render(values)


def at(moment: int | None) -> Markup:
    """A moment as people read it, in UTC, with the exact one for machines."""
    if moment is None:
        return Markup("—")
    when = datetime.fromtimestamp(moment / 1000, UTC)
    words = f"{when.day} {when:%b %Y, %H:%M:%S}"
    return Markup('<time datetime="{}">{} UTC</time>').format(when.isoformat(timespec="milliseconds"), words)


def to_the_minute(moment: int | None) -> Markup:
    """The same where the seconds are not known."""
    if moment is None:
        return Markup("Never")
    when = datetime.fromtimestamp(moment / 1000, UTC)
    return Markup('<time datetime="{}">{} UTC</time>').format(when.isoformat(), f"{when.day} {when:%b %Y, %H:%M}")


def precisely(moment: int) -> Markup:
    """A moment of a timeline: the time of day first, to the millisecond."""
    when = datetime.fromtimestamp(moment / 1000, UTC)
    return Markup('<time datetime="{}"><strong>{}.{:03d}</strong> {} UTC</time>').format(
        when.isoformat(timespec="milliseconds"), f"{when:%H:%M:%S}", moment % 1000, f"{when.day} {when:%b %Y}"
    )


def masked(e164: str) -> str:
    return trusted(e164).masked


def field_id(name: str) -> str:
    """The id of the control with this name: `twilio.subaccounts[0].sender_phone` is `f-twilio-subaccounts-0-…`."""
    return "f-" + re.sub(r"[^A-Za-z0-9_]+", "-", name).strip("-")


def because(reason: ReasonName) -> str:
    """A reason in words for the administrator, with what to do."""
    return REASONS[reason].for_administrator


def worded(text: str) -> Markup:
    """A sentence of ours: what stands in backticks is code, as in `otpost user link NAME`."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return escape(text)
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if at % 2 else escape(part) for at, part in enumerate(parts)
    )


def grouped(number: int) -> str:
    """`12 345`, with narrow blanks."""
    return f"{number:,}".replace(",", "\u202f")


def status_of(status: str) -> tuple[str, str]:
    """The colour and the word of a status."""
    return STATUS.get(status, ("secondary", status.replace("_", " ").capitalize()))
