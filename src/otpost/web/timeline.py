"""One verification, or one message, as a timeline: what happened, when, and in whose words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from otpost.domain import message as domain
from otpost.domain.message import Attempt, Message
from otpost.domain.outcome import REASONS
from otpost.domain.verification import Event, Verification
from otpost.senders.registry import find_services
from otpost.services.messages.read import MessageStory
from otpost.web.templating import status_of
from otpost.web.translation import N_, _

LIVE_FOR_MS: Final = 600_000
_UNDER_WAY: Final = frozenset({"queued", "sending", "accepted", "sent"})

_EVENTS: Final = {
    "started": ("blue", N_("Started"), N_("A verification began, and its first text was put into the outbox.")),
    "resent": ("blue", N_("Sent once more"), N_("The application asked for one more text; the code stays the same.")),
    "wrong_code": ("orange", N_("Wrong code"), N_("A code was checked, and it was not the right one.")),
    "approved": ("green", N_("Approved"), N_("The right code was given: the recipient holds this number.")),
    "canceled": ("secondary", N_("Canceled"), N_("The application ended it.")),
    "expired": ("secondary", N_("Expired"), N_("Its time ran out before the right code came.")),
    "max_attempts_reached": ("orange", N_("Checks used up"), N_("No further code is looked at.")),
}

_TRIES: Final = {
    "sending": ("blue", N_("Being sent through %(service)s")),
    "accepted": ("azure", N_("Accepted by %(service)s")),
    "refused": ("red", N_("Refused by %(service)s")),
    "unavailable": ("orange", N_("Not taken by %(service)s")),
    "unknown": ("orange", N_("Answer of %(service)s lost")),
    "found": ("azure", N_("Found again at %(service)s")),
}


@dataclass(frozen=True, slots=True)
class Line:
    """One entry. `words` tell what happened, `advice` what to do about it; `said` are the vendor's own words, `code`
    its code and `link` its page on it. `place` is where it stands among those of the same millisecond.
    """

    at: int
    place: int
    colour: str
    title: str
    words: str = ""
    advice: str = ""
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
        lines += of_message(story)
    return sorted(lines, key=lambda line: (line.at, line.place))


def of_message(story: MessageStory) -> list[Line]:
    """The lines of one message, oldest first."""
    return list(_lines(story))


def is_live(messages: Iterable[Message], now: int, *, pending: bool = False) -> bool:
    """Whether the page should look again soon by itself."""
    return any(
        now - message.created_at < LIVE_FOR_MS and (pending or message.status in _UNDER_WAY) for message in messages
    )


def service_title(name: str) -> str:
    service = find_services().get(name)
    return service.TITLE if service else name


def route_words(of: Message | Attempt) -> str:
    service, origin, account = service_title(of.service), of.origin, of.account_sid
    if origin in ("", service):
        return _("%(service)s of %(account)s", service=service, account=account) if account else service
    if not account:
        return _("%(service)s from %(origin)s", service=service, origin=origin)
    return _("%(service)s from %(origin)s of %(account)s", service=service, origin=origin, account=account)


def _event(event: Event) -> Line:
    colour, title, words = _EVENTS[event.what]
    return Line(event.at, 0 if event.what in ("started", "resent") else 4, colour, _(title), _(words))


def _lines(story: MessageStory) -> Iterator[Line]:
    message = story.message
    attempts = {attempt.sid: attempt for attempt in story.attempts}
    statuses: dict[tuple[str, str], str] = {(one.attempt, one.status): one.vendor_status for one in story.reports}
    shown: set[str] = set()
    for line in domain.timeline(message, story.attempts, story.reports):
        words, attempt = line.detail or "", attempts.get(line.attempt or "")
        advice = _(REASONS[line.reason].for_administrator) if line.reason is not None else ""
        if line.what == "queued":
            first = story.attempts[0] if story.attempts else message
            title = _("Message queued: %(route)s", route=route_words(first))
            segments = (_("Segments"), str(message.segments))
            yield Line(line.at, 1, "secondary", title, words, message=message.sid, facts=(segments,))
        elif line.who == "otpost" or attempt is None:
            colour, title = status_of(line.what)
            yield Line(
                line.at, 5, colour, _("Message %(status)s", status=title.lower()), words, advice, message=message.sid
            )
        elif line.what in _TRIES and attempt.sid not in shown:
            shown.add(attempt.sid)
            colour, title = _TRIES[line.what]
            title = _(title, service=service_title(line.who))
            if line.duration_ms is not None:
                title = _("%(what)s in %(ms)s ms", what=title, ms=line.duration_ms)
            yield Line(
                line.at,
                2,
                colour,
                title,
                words,
                advice,
                attempt.vendor_message or "",
                line.vendor_code or "",
                line.link or "",
                facts=_facts(attempt),
            )
        elif line.what == "found":
            colour, title = _TRIES[line.what]
            yield Line(line.at, 3, colour, _(title, service=service_title(line.who)), words)
        else:
            colour, title = status_of(line.what)
            theirs = statuses.get((attempt.sid, line.what), "")
            facts = ((_("Reported as"), theirs),) if theirs not in ("", line.what) else ()
            code, link = line.vendor_code or "", line.link or ""
            yield Line(line.at, 3, colour, title, words, advice, "", code, link, facts=facts)


def _facts(attempt: Attempt) -> tuple[tuple[str, str], ...]:
    facts = (
        (_("Attempt"), attempt.sid),
        (_("%(service)s's SID", service=service_title(attempt.service)), attempt.vendor_sid),
        (_("Request"), attempt.vendor_request_id),
        (_("HTTP status"), str(attempt.vendor_http_status) if attempt.vendor_http_status else None),
    )
    return tuple((name, value) for name, value in facts if value)
