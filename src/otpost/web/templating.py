"""The templates: how they are loaded, and the words and marks that they share."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from jinja2.ext import InternationalizationExtension
from markupsafe import Markup, escape

from otpost import __version__
from otpost.domain.outcome import REASONS, ReasonName
from otpost.domain.phone import trusted
from otpost.web.static_files import address
from otpost.web.translation import N_, _, ngettext

FOLDER: Final = Path(__file__).parent / "templates"

STATUS: Final[dict[str, tuple[str, str]]] = {
    "pending": ("blue", N_("Pending")),
    "approved": ("green", N_("Approved")),
    "canceled": ("secondary", N_("Canceled")),
    "expired": ("secondary", N_("Expired")),
    "max_attempts_reached": ("orange", N_("Checks used up")),
    "queued": ("blue", N_("Queued")),
    "sending": ("blue", N_("Sending")),
    "accepted": ("azure", N_("Accepted")),
    "sent": ("azure", N_("Sent")),
    "delivered": ("green", N_("Delivered")),
    "undelivered": ("red", N_("Undelivered")),
    "failed": ("red", N_("Failed")),
    "unconfirmed": ("orange", N_("Unconfirmed")),
    "refused": ("red", N_("Refused")),
    "unavailable": ("orange", N_("Unavailable")),
    "unknown": ("orange", N_("Unknown")),
}
"""The colour of a status, and the word that stands beside it: colour is never alone."""


@cache
def environment() -> Environment:
    jinja = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=[InternationalizationExtension],
    )
    jinja.install_gettext_callables(_, ngettext, newstyle=True)  # type: ignore[attr-defined]
    jinja.filters.update(
        at=at,
        to_the_minute=to_the_minute,
        precisely=precisely,
        masked=masked,
        field_id=field_id,
        grouped=grouped,
        because=because,
        translated=_,
        worded=worded,
    )
    jinja.globals.update(static=address, version=__version__, status_of=status_of, status_choices=status_choices)
    return jinja


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
        return escape(_("Never"))
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
    return _(REASONS[reason].for_administrator)


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
    colour, word = STATUS.get(status, ("secondary", status.replace("_", " ").capitalize()))
    return colour, _(word)


def status_choices(statuses: Sequence[str]) -> list[tuple[str, str]]:
    """The choices of a list's filter."""
    return [("", _("Any")), *((status, status_of(status)[1]) for status in statuses)]
