"""One verification, or one message, as a timeline: what happened, when, and in whose words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from otpost.domain.message import Attempt, Message, Report
from otpost.domain.verification import Event, Verification
from otpost.senders.base import found
from otpost.services.reading import MessageStory
from otpost.web.pages import status_of

LIVE_FOR_MS = 600_000
_UNDER_WAY = frozenset({"queued", "sending", "accepted", "sent"})

_EVENTS = {
    "started": ("blue", "Started", "A verification began, and its first text was put into the outbox."),
    "resent": ("blue", "Sent once more", "The application asked for one more text; the code stays the same."),
    "wrong_code": ("orange", "Wrong code", "A code was checked, and it was not the right one."),
    "approved": ("green", "Approved", "The right code was given: the recipient holds this number."),
    "canceled": ("secondary", "Canceled", "The application ended it."),
    "expired": ("secondary", "Expired", "Its time ran out before the right code came."),
    "max_attempts_reached": ("orange", "Checks used up", "No further code is looked at."),
}

_OUTCOMES = {
    None: ("blue", "Being sent"),
    "accepted": ("azure", "Accepted"),
    "refused": ("red", "Refused"),
    "unavailable": ("orange", "Not taken, and to be tried again"),
    "unknown": ("orange", "Answer lost"),
}


@dataclass(frozen=True, slots=True)
class Line:
    """One entry; `said` are the vendor's words, `code` its code and `link` the vendor's page on it.

    `place` is where it stands among those of the same millisecond.
    """

    at: int
    place: int
    colour: str
    title: str
    words: str = ""
    said: str = ""
    code: str = ""
    link: str = ""
    message: str = ""
    facts: tuple[tuple[str, str], ...] = ()


def of_verification(row: Verification, stories: Iterable[MessageStory], now: int) -> list[Line]:
    """Events and the lines of its messages, oldest first."""
    lines = [_event(event) for event in row.events]
    if row.status == "pending" and row.status_at(now) == "expired":
        lines.append(_event(Event(row.expires_at, "expired")))
    for story in stories:
        lines += _of_message(story)
    return sorted(lines, key=_order)


def of_message(story: MessageStory) -> list[Line]:
    """The lines of one message, oldest first."""
    return sorted(_of_message(story), key=_order)


def is_live(messages: Iterable[Message], now: int, *, pending: bool = False) -> bool:
    """Whether the page should look again soon by itself."""
    return any(
        now - message.created_at < LIVE_FOR_MS and (pending or message.status in _UNDER_WAY) for message in messages
    )


def service_title(name: str) -> str:
    service = found().get(name)
    return service.TITLE if service else name


def route_words(message: Message) -> str:
    via = service_title(message.service)
    origin = f" from {message.origin}" if message.origin not in ("", via) else ""
    account = f" of {message.account_sid}" if message.account_sid else ""
    return f"{via}{origin}{account}"


def _order(line: Line) -> tuple[int, int]:
    return line.at, line.place


def _event(event: Event) -> Line:
    colour, title, words = _EVENTS[event.what]
    return Line(event.at, 0 if event.what in ("started", "resent") else 4, colour, title, words)


def _of_message(story: MessageStory) -> Iterator[Line]:
    message = story.message
    yield Line(
        message.created_at,
        1,
        "secondary",
        f"Message queued: {route_words(message)}",
        message.route_reason,
        message=message.sid,
        facts=(("Segments", str(message.segments)),),
    )
    for attempt in story.attempts:
        yield _attempt(attempt)
    for report in story.reports:
        yield _report(report)
    if message.status in ("failed", "expired", "unconfirmed") and message.reason and not _told(story):
        colour, title = status_of(message.status)
        yield Line(_last(story), 5, colour, f"Message {title.lower()}", message.reason, message=message.sid)


def _told(story: MessageStory) -> bool:
    """Whether the last attempt says already why the message ended."""
    return bool(story.attempts) and story.attempts[-1].reason == story.message.reason


def _last(story: MessageStory) -> int:
    ends = [attempt.started_at + (attempt.duration_ms or 0) for attempt in story.attempts]
    return max([story.message.created_at, *ends, *(report.at for report in story.reports)]) + 1


def _attempt(attempt: Attempt) -> Line:
    colour, title = _OUTCOMES[attempt.outcome]
    taken = f" in {attempt.duration_ms} ms" if attempt.duration_ms is not None else ""
    if attempt.outcome == "accepted" and attempt.unknown_at is not None:
        title = "Found again and accepted"
    facts = [("Attempt", attempt.sid)]
    if attempt.vendor_sid:
        facts.append((f"{service_title(attempt.service)}'s SID", attempt.vendor_sid))
    if attempt.vendor_request_id:
        facts.append(("Request", attempt.vendor_request_id))
    if attempt.vendor_http_status:
        facts.append(("HTTP status", str(attempt.vendor_http_status)))
    return Line(
        attempt.started_at,
        2,
        colour,
        f"{title} by {service_title(attempt.service)}{taken}" if attempt.outcome else "Being sent",
        attempt.reason or "",
        attempt.vendor_message or "",
        attempt.vendor_code or "",
        attempt.link or "",
        facts=tuple(facts),
    )


def _report(report: Report) -> Line:
    colour, title = status_of(report.status)
    words = f"Reported as “{report.vendor_status}”." if report.vendor_status else ""
    return Line(report.at, 3, colour, title, words, code=report.vendor_code)
