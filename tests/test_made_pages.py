"""The tables of docs/reference/delivery.md, policy.md and api.md are what the code does: they are made from it.

`make pages` writes them anew, and so does `make test` before it begins: a new sender service needs no hand there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import get_args

import pytest

from otpost.domain import delivery, message
from otpost.domain.application import NAME_LENGTH, SETTINGS
from otpost.domain.message import MessageStatus
from otpost.domain.outcome import REASONS, ReasonName
from otpost.messaging import breaker, pace
from otpost.senders.registry import capabilities, find_services
from otpost.senders.settings import Field, form
from otpost.senders.twilio.codes import CODES, RANGES, link
from otpost.services.context import LONGEST_LEAD_MS
from otpost.services.messages.breakers import FIRST_REST_MS, LONGEST_REST_MS

REFERENCE = Path(__file__).resolve().parent.parent / "docs" / "reference"
HELP = {
    "again": "another try, later",
    "elsewhere": "another account or service, at once",
    "nobody": "nobody",
}
STATUSES: dict[MessageStatus, str] = {
    "queued": "waits for its turn, for another try, or for an account to recover",
    "sending": "an attempt is under way, or its answer was lost and is being looked for",
    "accepted": "a sender service has taken it",
    "sent": "the service says that it has handed it to the carrier",
    "delivered": "the service says that the phone has it",
    "undelivered": "the service says that the carrier could not deliver it",
    "failed": "nothing was sent, or the service gave it up; no attempt will follow",
    "expired": "it could not leave while it was of use; nothing stale is sent",
    "unconfirmed": "the answer was lost and nobody could tell what became of it; a late report still may",
}


def reasons() -> Iterator[str]:
    yield "| Reason | For the application | For the administrator | Who can help | Counts for the breaker |"
    yield "|---|---|---|---|---|"
    for name, reason in REASONS.items():
        who = HELP[reason.help] + ("; for a subaccount also its main account" if reason.account else "")
        trips = "yes" if reason.trips else ""
        yield f"| `{name}` | {reason.for_application} | {reason.for_administrator} | {who} | {trips} |"


def statuses() -> Iterator[str]:
    yield "| Status | Meaning |"
    yield "|---|---|"
    for name, meaning in STATUSES.items():
        yield f"| `{name}` | {meaning} |"


def times() -> Iterator[str]:
    def seconds(*values_ms: int) -> str:
        return ", ".join(f"{value / 1000:g}" for value in values_ms) + " s"

    silent = f"half after a 429, at least 1; half after silence, at least {pace.LEAST_WHEN_SILENT}"
    rows = {
        "Life that must be left for a text to be sent": f"{message.NO_STALE_TEXT_S} s",
        "Backoff without `Retry-After`": f"1, 2, 4, … s, at most {delivery.LONGEST_BACKOFF_S} s, ± 25 %",
        "Texts that a message may lead to without the recipient's asking": f"at most {delivery.MOST_TEXTS}",
        "Tries on one way before the next is taken; a lost answer is enough": str(delivery.TIRED_AFTER),
        "Rest of an account that is waited for despite another way": f"up to {seconds(delivery.SHORT_REST_MS)}",
        "Looks at the account's listing after an answered 5xx": seconds(*delivery.LOOKS_AFTER_ANSWER_MS),
        "Looks after a lost answer or a crash": seconds(*delivery.LOOKS_AFTER_SILENCE_MS),
        "Created at most so long before the message's first attempt": seconds(delivery.CREATED_BEFORE_INTENT_MS),
        "A look holds, before the message goes again, for": seconds(delivery.LOOK_HOLDS_MS),
        "First fetch of a report that did not come, then after gaps that double": seconds(delivery.FIRST_FETCH_MS),
        "Reports are fetched for": f"{delivery.FETCHED_FOR_MS // 3_600_000} h",
        "Failures in a row that open a circuit breaker": str(breaker.OPENS_AFTER),
        "Rest of an open breaker": f"{seconds(FIRST_REST_MS)}, doubling to {seconds(LONGEST_REST_MS)}",
        "Requests in flight per account and node": f"at most {pace.IN_FLIGHT}; {silent}",
        "Longest lead of a burst over the clock": seconds(LONGEST_LEAD_MS),
        "Head start of verifications before plain messages": seconds(message.PLAIN_AFTER_MS),
    }
    yield "| What | Value |"
    yield "|---|---|"
    for what, value in rows.items():
        yield f"| {what} | {value} |"


def services() -> Iterator[str]:
    yield "| Service | Lists what it was asked to send | Reports | Reports can be fetched |"
    yield "|---|---|---|---|"
    for name, service in find_services().items():
        can = capabilities(service)
        report = "proven by the address" if can.proven_by_address else "signed"
        yield (
            f"| {service.TITLE} (`{name}`) | {'yes' if can.looks_up else ''} "
            f"| {report if can.reads_reports else ''} | {'yes' if can.fetches_reports else ''} |"
        )


def twilio() -> Iterator[str]:
    yield "| Code | Reason | What it means | Setting |"
    yield "|---|---|---|---|"
    for number, code in CODES.items():
        setting = f"`{code.setting}`" if code.setting else ""
        yield f"| [{number}]({link(number)}) | `{code.reason}` | {code.sentence} | {setting} |"


def ranges() -> Iterator[str]:
    yield "| From | To | Reason | About |"
    yield "|---|---|---|---|"
    for known in RANGES:
        yield f"| {known.first} | {known.last} | `{known.reason}` | {known.about} |"


def settings() -> Iterator[str]:
    for name, service in find_services().items():
        fields = form(service.Settings)
        yield f"### {service.TITLE}"
        yield ""
        if not fields:
            yield f"`{name}` has no settings."
            yield ""
            continue
        yield f"Its section is `{name}`."
        yield ""
        yield from table(fields)
        rows: dict[type, list[str]] = {}
        for field in fields:
            if field.row is not None:
                rows.setdefault(field.row, []).append(f"`{field.name}`")
        for row, names in rows.items():
            yield f"A row of {' or '.join(names)}:"
            yield ""
            yield from table(form(row))


def table(fields: Sequence[Field]) -> Iterator[str]:
    yield "| Setting | In the console | What it is |"
    yield "|---|---|---|"
    for field in fields:
        values = [f"`{value}`" if value else "nothing" for value, _ in field.choices]
        parts = [f"`{part.name}`" for part in form(field.row)] if field.row is not None else []
        has_default = field.kind in ("url", "number", "choice") and field.default != ""
        words = [
            field.help,
            f"Rows of {', '.join(parts)}." if parts else "",
            f"One of {', '.join(values)}." if values else "",
            f"{field.low} to {field.high}." if field.low is not None and field.high is not None else "",
            "Secret." if field.kind == "secret" else "",
            "Needed." if field.required else "",
            f"`{field.default}` unless it is set." if has_default else "",
        ]
        told = " ".join(filter(None, words)).replace("|", "\\|")
        yield f"| `{field.name}` | {field.label} | {told} |"
    yield ""


def application_settings() -> Iterator[str]:
    yield "| Field | Default | In the console | Range and meaning |"
    yield "|---|---|---|---|"
    yield (
        f"| `name` | | Name | 1 to {NAME_LENGTH} characters, no web address, no five digits in a row; "
        "recipients read it as `{application}` |"
    )
    for name, setting in SETTINGS.items():
        default = setting.default
        if default is None or isinstance(default, int):
            value = "none" if default is None else str(default)
        else:
            value = f"`{default or '[]'}`"
        words = " ".join(filter(None, (setting.range and f"{setting.range}.", setting.help, setting.note)))
        yield f"| `{name}` | {value} | {setting.label} | {words} |"


PAGES: dict[str, dict[str, Callable[[], Iterator[str]]]] = {
    "delivery.md": {
        "statuses": statuses,
        "reasons": reasons,
        "times": times,
        "services": services,
        "twilio": twilio,
        "ranges": ranges,
    },
    "policy.md": {"settings": settings},
    "api.md": {"application settings": application_settings},
}


def written(name: str, page: str) -> str:
    """The page with its made parts made anew."""
    for place, part in PAGES[name].items():
        before, mark, rest = page.partition(f"<!-- made: {place} -->\n")
        assert mark, f"the page has no place for {place}"
        page = before + mark + "\n".join(part()) + "\n<!-- end -->" + rest.partition("<!-- end -->")[2]
    return page


@pytest.mark.parametrize("name", PAGES)
def test_the_page_says_what_the_code_does(name: str) -> None:
    page = (REFERENCE / name).read_text()
    assert page == written(name, page), "run make pages"


def test_every_reason_of_the_vocabulary_has_its_words() -> None:
    assert set(REASONS) == set(get_args(ReasonName))
    for reason in REASONS.values():
        for words in (reason.for_application, reason.for_administrator):
            assert words[0].isupper()
            assert words.endswith(".")


def test_every_status_is_explained() -> None:
    assert list(STATUSES) == list(get_args(MessageStatus))


@pytest.mark.parametrize("name", [name for name, reason in REASONS.items() if reason.trips])
def test_what_opens_a_breaker_is_the_accounts_own_trouble_or_the_networks(name: ReasonName) -> None:
    assert REASONS[name].account or REASONS[name].help == "again"


if __name__ == "__main__":
    for name in PAGES:
        (REFERENCE / name).write_text(written(name, (REFERENCE / name).read_text()))
