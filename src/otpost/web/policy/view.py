"""What the sender policy's page shows of a form: its fields, its rows, and what is known of each secret."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from otpost.domain.policy import StoredSecret
from otpost.senders.registry import capabilities, find_services, list_problems
from otpost.senders.service import Preset
from otpost.senders.settings import Field, SecretRef, form, join, places
from otpost.senders.submission import read_section
from otpost.services.context import Context
from otpost.services.policy.callbacks import make_proof
from otpost.services.policy.plan import ref_of
from otpost.store.kinds import SECRETS
from otpost.web.policy.fallback import possible
from otpost.web.policy.form import Part, PolicyForm, Row, packed, ref_in, row_name, section, urls_of
from otpost.web.policy.seals import FormSecret, Seals
from otpost.web.request import Visit, Wrong
from otpost.web.translation import N_, _

Stored = Mapping[tuple[str, SecretRef], StoredSecret]

TYPED = N_("typed, not saved yet")
LONG = 2000
"""A text that may be longer than this is given several lines."""
ASKED_OF_ALL = frozenset({"origin", "choice"})
"""Kinds of fields that are not folded away, wherever they stand."""


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

    @property
    def is_long(self) -> bool:
        return self.field.kind == "text" and self.field.max_length > LONG


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
class PresetNotes:
    """What is said after a preset filled the section: where it comes from, what is still to be typed and done."""

    title: str
    link: str
    typed: list[str]
    note: str


@dataclass(frozen=True, slots=True)
class Section:
    """A service's part of the form: what is asked of everybody, and what is folded away.

    `presets` are pairs of name and title. `by_address`: the service reports to a fixed address, which is
    `report_address` where Otpost knows its own.
    """

    name: str
    title: str
    main: list[Control | List]
    advanced: list[Control]
    advanced_open: bool
    presets: list[tuple[str, str]]
    filled: PresetNotes | None
    by_address: bool
    report_address: str


@dataclass(frozen=True, slots=True)
class StandIn:
    """A service that stands in, with its place; `lacks` names what it needs before it can be saved."""

    path: str
    section: Section
    lacks: list[str]
    is_open: bool


async def stored_secrets(context: Context, tenant: str) -> dict[tuple[str, SecretRef], StoredSecret]:
    """The secrets in force, by service."""
    rows = await context.store.find(SECRETS, "tenant", tenant)
    return {(row.service, ref_of(row)): row for row in rows if row.retired_at is None}


def set_words(secret: StoredSecret, now: int) -> str:
    """`set on 3 May by ada`; of other years with the year."""
    when = datetime.fromtimestamp(secret.set_at / 1000, UTC)
    year = "" if when.year == datetime.fromtimestamp(now / 1000, UTC).year else f" {when.year}"
    return _("set on %(day)s by %(user)s", day=f"{when.day} {when:%B}{year}", user=secret.set_by)


class View:
    """Makes the parts of the page from a form."""

    def __init__(
        self,
        visit: Visit,
        policy_form: PolicyForm,
        seals: Seals,
        stored: Stored,
        wrong: Wrong,
        filled: tuple[str, Preset] | None = None,
    ) -> None:
        self.visit, self.form, self.seals, self.stored, self.wrong = visit, policy_form, seals, stored, wrong
        self.filled = filled

    def section(self, name: str) -> Section:
        """The section of a service that is shown."""
        service = find_services()[name]
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
            elif (after_rows and one.kind not in ASKED_OF_ALL) or (one.kind == "url" and not one.required):
                advanced.append(self._control(name, one, path, part, urls))
            else:
                under = before is not None and before.kind == "flag" and one.kind != "flag"
                main.append(self._control(name, one, path, part, urls, under=under))
            before = one
        changed = any(control.value != _default(control.field) for control in advanced)
        by_address = capabilities(service).proven_by_address
        return Section(
            name=name,
            title=service.TITLE,
            main=main,
            advanced=advanced,
            advanced_open=changed or any(self.wrong.at(control.path) for control in advanced),
            presets=[(preset.name, preset.title) for preset in capabilities(service).presets],
            filled=self._filled(name),
            by_address=by_address,
            report_address=self._report_address(name) if by_address else "",
        )

    def carried(self) -> Iterator[tuple[str, str]]:
        """What is not shown, by the name of its field."""
        for name, service in find_services().items():
            if name not in self.form.shown:
                yield f"section:{name}", packed(service.Settings, self.form.parts[name], self.seals)
        for index, name in enumerate(self.form.standing_in):
            yield f"fallback[{index}]", name
        if not self.form.asks_standby:
            yield "failover_after_s", self.form.standby.failover_after_s
            for index, rate in enumerate(self.form.standby.rates):
                yield f"rates[{index}].origin", rate.origin
                yield f"rates[{index}].messages_per_second", rate.messages_per_second

    def fallbacks(self, saved: PolicyForm, focus: str) -> Iterator[StandIn]:
        """The services that stand in; those that need attention are unfolded."""
        if not self.form.asks_standby:
            return
        for index, name in enumerate(self.form.standing_in):
            lacks = list(dict.fromkeys(self._lacking(name)))
            is_open = (
                bool(lacks)
                or self.form.parts[name] != saved.parts[name]
                or (self.form.row is not None and self.form.row.service == name)
                or any(error.field.startswith(f"{name}.") for error in self.wrong)
                or focus in (f"fallback[{index}]", f"preset-{name}", f"filled-{name}")
                or focus.startswith(f"{name}.")
            )
            yield StandIn(f"fallback[{index}]", self.section(name), lacks, is_open)

    def fallback_choices(self) -> list[tuple[str, str]]:
        """The services that may stand in as well."""
        taken = self.form.shown
        return [(name, find_services()[name].TITLE) for name in possible() if name not in taken]

    def _lacking(self, name: str) -> Iterator[str]:
        """What a service lacks before it may be used, in words."""
        service = find_services()[name]
        submission = read_section(service.Settings, section(service.Settings, self.form.parts[name]), name)
        labels = {join(name, one.name): _(one.label) for one in form(service.Settings)}
        for error in [*submission.errors, *list_problems(service, submission.settings, name)]:
            yield labels.get(error.field.split("[")[0], service.TITLE)
        for place in places(submission.settings, name):
            if place.field.required and place.ref not in submission.typed and (name, place.ref) not in self.stored:
                yield _(place.label)

    def _filled(self, name: str) -> PresetNotes | None:
        if self.filled is None or self.filled[0] != name:
            return None
        preset = self.filled[1]
        labels = {place.path: _(place.label) for place in places(_settings(name, preset), "")}
        labels |= {one.name: _(one.label) for one in form(find_services()[name].Settings)}
        return PresetNotes(preset.title, preset.link, [labels.get(path, path) for path in preset.typed], preset.note)

    def _report_address(self, name: str) -> str:
        """The one address that the service calls for all messages; empty where Otpost does not know its own."""
        public_url = self.visit.surroundings.public_url
        if public_url is None:
            return ""
        proof = make_proof(self.visit.context, name, self.visit.tenant)
        return f"{public_url}/callbacks/{name}/{self.visit.tenant}?proof={proof}"

    def _control(
        self, service: str, of: Field, path: str, part: Part, urls: Mapping[str, str], *, under: bool = False
    ) -> Control:
        value = part[of.name]
        if of.kind != "secret":
            return Control(of, path, value, under)
        state, secret = self._state(service, of, part, urls)
        return Control(of, path, "", under, state, self.seals.close(value), secret is not None, value.clear)

    def _state(self, service: str, of: Field, part: Part, urls: Mapping[str, str]) -> tuple[str, StoredSecret | None]:
        typed: FormSecret = part[of.name]
        secret = self.stored.get((service, ref_in(of, part, urls)))
        if typed.typed is not None:
            return _(TYPED), secret
        if typed.lost:
            return _("typed again, please"), secret
        if typed.clear:
            return _("forgotten as soon as this is saved"), secret
        return (set_words(secret, self.visit.now) if secret is not None else _("not set")), secret

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
            cells = [(_(one.label), *self._cell(service, one, shown, urls)) for one in columns]
            wrong = [] if is_open else [error.message for error in self.wrong if error.field.startswith(f"{at}.")]
            carried = "" if is_open else packed(of.row, row, self.seals)
            lines.append(RowLine(at, row_name(of, shown, index), cells, carried, is_open, wrong))
        return List(of, path, [_(one.label) for one in columns], lines, self._editor(path, urls))

    def _cell(self, service: str, of: Field, row: Part, urls: Mapping[str, str]) -> tuple[str, bool]:
        """What stands in a cell, and whether it is an identifier."""
        if of.kind == "secret":
            return self._state(service, of, row, urls)[0], False
        value = row[of.name]
        if of.kind == "flag":
            return (_("on") if value else _("off")), False
        return value or "—", of.pattern is not None

    def _editor(self, list_path: str, urls: Mapping[str, str]) -> Editor | None:
        row = self.form.row
        if row is None or row.list_path != list_path:
            return None
        before = self.form.before
        title = (
            _("New %(row)s", row=_(row.of.row_label).lower()) if before is None else row_name(row.of, before, row.index)
        )
        controls = [
            self._control(row.service, one, f"{row.path}.{one.name}", self.form.opened, urls) for one in form(row.cls)
        ]
        return Editor(row, title, controls, None if before is None else packed(row.cls, before, self.seals))


def _default(of: Field) -> Any:
    return of.default if of.kind == "flag" else "" if of.kind == "secret" else str(of.default)


def _settings(name: str, preset: Preset) -> Any:
    return read_section(find_services()[name].Settings, dict(preset.section), name).settings
