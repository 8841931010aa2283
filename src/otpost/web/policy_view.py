"""What the sender policy's page shows of a form: its fields, its rows, and what is known of each secret."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from otpost.domain.policy import StoredSecret
from otpost.senders.base import found
from otpost.senders.settings import Field, SecretRef, form, join
from otpost.services.house import House
from otpost.services.plan import ref_of
from otpost.store.kinds import SECRETS
from otpost.web.policy_form import Part, PolicyForm, Row, packed, ref_in, row_name, urls_of
from otpost.web.policy_seals import Held, Seals
from otpost.web.visit import Wrong

Stored = Mapping[tuple[str, SecretRef], StoredSecret]

TYPED = "typed, not saved yet"


@dataclass(frozen=True, slots=True)
class Control:
    """One field. Of a secret, `state` says what is kept, `sealed` what the page carries, `stored` that one is kept.

    `under`: it belongs to the flag before it.
    """

    field: Field
    path: str
    value: Any
    under: bool = False
    state: str = ""
    sealed: str = ""
    stored: bool = False
    cleared: bool = False


@dataclass(frozen=True, slots=True)
class RowLine:
    """One row of a list; `carried` is its JSON, `wrong` what its fields are told while they are not shown."""

    path: str
    name: str
    cells: list[tuple[str, str, bool]]
    carried: str
    is_open: bool
    wrong: list[str]


@dataclass(frozen=True, slots=True)
class Editor:
    """The open row; `before` is what it was, None for a new one."""

    row: Row
    title: str
    controls: list[Control]
    before: str | None


@dataclass(frozen=True, slots=True)
class List:
    field: Field
    path: str
    columns: list[str]
    lines: list[RowLine]
    editor: Editor | None


@dataclass(frozen=True, slots=True)
class Section:
    """The chosen service's part of the form: what is asked of everybody, and what is folded away."""

    name: str
    title: str
    about: str
    main: list[Control | List]
    advanced: list[Control]
    advanced_open: bool


async def stored_secrets(house: House, tenant: str) -> dict[tuple[str, SecretRef], StoredSecret]:
    """The secrets in force, by service."""
    rows = await house.store.find(SECRETS, "tenant", tenant)
    return {(row.service, ref_of(row)): row for row in rows if row.retired_at is None}


def set_words(secret: StoredSecret, now: int) -> str:
    """`set on 3 May by ada`; of other years with the year."""
    when = datetime.fromtimestamp(secret.set_at / 1000, UTC)
    year = "" if when.year == datetime.fromtimestamp(now / 1000, UTC).year else f" {when.year}"
    return f"set on {when.day} {when:%B}{year} by {secret.set_by}"


class View:
    """Makes the parts of the page from a form."""

    def __init__(self, policy_form: PolicyForm, seals: Seals, stored: Stored, wrong: Wrong, now: int) -> None:
        self.form, self.seals, self.stored, self.wrong, self.now = policy_form, seals, stored, wrong, now

    def section(self) -> Section | None:
        """The chosen service's section; None while no service is chosen."""
        name = self.form.chosen
        if not name:
            return None
        service = found()[name]
        part = self.form.parts[name]
        urls = urls_of(service.Settings, part)
        main: list[Control | List] = []
        advanced: list[Control] = []
        after_rows = False
        before: Field | None = None
        for one in form(service.Settings):
            path = join(name, one.name)
            if one.row is not None:
                after_rows = True
                main.append(self._list(name, one, path, part[one.name], urls))
            elif after_rows or (one.kind == "url" and one.default):
                advanced.append(self._control(name, one, path, part, urls))
            else:
                under = before is not None and before.kind == "flag" and one.kind != "flag"
                main.append(self._control(name, one, path, part, urls, under=under))
            before = one
        changed = any(control.value != _default(control.field) for control in advanced)
        return Section(
            name=name,
            title=service.TITLE,
            about=(service.Settings.__doc__ or "").strip(),
            main=main,
            advanced=advanced,
            advanced_open=changed or any(self.wrong.at(control.path) for control in advanced),
        )

    def carried(self) -> Iterator[tuple[str, str]]:
        """The sections that are not shown, by the name of their field."""
        for name, service in found().items():
            if name != self.form.chosen:
                yield f"section:{name}", packed(service.Settings, self.form.parts[name], self.seals)

    def fallbacks(self) -> list[tuple[str, str]]:
        """The places in the order of fallbacks, each with what stands there."""
        possible = [name for name, _ in self.fallback_choices()]
        kept = [name for name in self.form.fallback if name in possible]
        return [(f"fallback[{index}]", name) for index, name in enumerate([*kept, ""][: len(possible)])]

    def fallback_choices(self) -> list[tuple[str, str]]:
        return [
            (name, service.TITLE)
            for name, service in found().items()
            if service.may_be_fallback and name != self.form.chosen
        ]

    def _control(
        self, service: str, of: Field, path: str, part: Part, urls: Mapping[str, str], *, under: bool = False
    ) -> Control:
        value = part[of.name]
        if of.kind != "secret":
            return Control(of, path, value, under)
        state, secret = self._state(service, of, part, urls)
        return Control(of, path, "", under, state, self.seals.close(value), secret is not None, value.clear)

    def _state(self, service: str, of: Field, part: Part, urls: Mapping[str, str]) -> tuple[str, StoredSecret | None]:
        held: Held = part[of.name]
        secret = self.stored.get((service, ref_in(of, part, urls)))
        if held.typed is not None:
            return TYPED, secret
        if held.lost:
            return "typed again, please", secret
        if held.clear:
            return "forgotten as soon as this is saved", secret
        return (set_words(secret, self.now) if secret is not None else "not set"), secret

    def _list(self, service: str, of: Field, path: str, rows: list[Part], urls: Mapping[str, str]) -> List:
        assert of.row is not None, "only lists have rows"
        columns = [
            one for one in form(of.row) if one.kind == "secret" or one.required or any(row[one.name] for row in rows)
        ]
        lines = []
        for index, row in enumerate(rows):
            at = f"{path}[{index}]"
            is_open = self.form.row is not None and self.form.row.path == at
            shown = row if not is_open else self.form.before
            if shown is None:
                continue
            cells = [(one.label, *self._cell(service, one, shown, urls)) for one in columns]
            wrong = [] if is_open else [error.message for error in self.wrong if error.field.startswith(f"{at}.")]
            carried = "" if is_open else packed(of.row, row, self.seals)
            lines.append(RowLine(at, row_name(of, shown, index), cells, carried, is_open, wrong))
        return List(of, path, [one.label for one in columns], lines, self._editor(path, urls))

    def _cell(self, service: str, of: Field, row: Part, urls: Mapping[str, str]) -> tuple[str, bool]:
        """What stands in a cell, and whether it is an identifier."""
        if of.kind == "secret":
            return self._state(service, of, row, urls)[0], False
        value = row[of.name]
        if of.kind == "flag":
            return ("on" if value else "off"), False
        return value or "—", of.pattern is not None

    def _editor(self, list_path: str, urls: Mapping[str, str]) -> Editor | None:
        row = self.form.row
        if row is None or row.list_path != list_path:
            return None
        before = self.form.before
        title = f"New {row.of.row_label.lower()}" if before is None else row_name(row.of, before, row.index)
        controls = [
            self._control(row.service, one, f"{row.path}.{one.name}", self.form.opened, urls) for one in form(row.cls)
        ]
        return Editor(row, title, controls, None if before is None else packed(row.cls, before, self.seals))


def _default(of: Field) -> Any:
    return of.default if of.kind == "flag" else str(of.default)
