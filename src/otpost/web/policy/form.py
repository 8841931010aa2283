"""The sender policy as a form holds it between two requests: what was typed, the rows, and typed secrets sealed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from otpost.domain.errors import FieldError
from otpost.domain.policy import Policy
from otpost.domain.secret import Secret
from otpost.domain.text.characters import trimmed, unwrapped
from otpost.senders.registry import find_services
from otpost.senders.settings import Field, SecretRef, destination, form, join, load, plain
from otpost.web.policy import fallback
from otpost.web.policy.fallback import Standby
from otpost.web.policy.seals import FormSecret, Seals, lost_words
from otpost.web.request import Form, Visit

MESSAGE: Final = "This is a test of the sender policy."
_ROW: Final = re.compile(r"([a-z][a-z0-9_]*)\.([a-z][a-z0-9_]*)\[(\d{1,4})\]")

Part = dict[str, Any]
"""One section or row: texts, flags, `Held` for secrets, and lists of rows."""


@dataclass(frozen=True, slots=True)
class Row:
    """Which row is open for editing: `twilio.subaccounts[1]`."""

    service: str
    name: str
    index: int

    @property
    def list_path(self) -> str:
        return f"{self.service}.{self.name}"

    @property
    def path(self) -> str:
        return f"{self.list_path}[{self.index}]"

    @property
    def of(self) -> Field:
        """The list's field; its `row` is the row's dataclass."""
        return next(one for one in form(find_services()[self.service].Settings) if one.name == self.name)

    @property
    def cls(self) -> type[Any]:
        row = self.of.row
        assert row is not None, "only lists have rows"
        return row


@dataclass(slots=True)
class PolicyForm:
    """The whole form. `before` is the open row as it was, None while it is a new one.

    `sent` is the SID of the message that went through the messaging service, `tried` the last test's outcome, packed;
    `tester` the service that the test goes through, where it is not the chosen one.
    """

    id: str
    revision: int
    chosen: str
    parts: dict[str, Part]
    standby: Standby = field(default_factory=Standby)
    row: Row | None = None
    before: Part | None = None
    to: str = ""
    message: str = MESSAGE
    numbers: str = ""
    sent: str = ""
    tried: str = ""
    tester: str = ""

    @property
    def standing_in(self) -> list[str]:
        """The services that stand in for the chosen one, in their order."""
        return self.standby.standing_in(self.chosen)

    @property
    def asks_standby(self) -> bool:
        """Whether the page asks what happens when the chosen service fails, which the sandbox does not."""
        return bool(self.chosen) and find_services()[self.chosen].may_be_fallback

    @property
    def shown(self) -> list[str]:
        """The services whose settings have fields in the page: the chosen one, then those that stand in for it."""
        return [self.chosen, *self.standing_in] if self.asks_standby else [self.chosen] if self.chosen else []

    @property
    def tested(self) -> str:
        """The service that a test goes through."""
        return self.tester if self.tester in self.shown else self.chosen

    def rows(self, row: Row) -> list[Part]:
        rows: list[Part] = self.parts[row.service][row.name]
        return rows

    @property
    def opened(self) -> Part:
        """What stands in the open row's fields."""
        assert self.row is not None, "no row is open"
        return self.rows(self.row)[self.row.index]

    @property
    def row_changed(self) -> bool:
        """Whether there is something in the open row that its Save has not committed to the form."""
        if self.row is None:
            return False
        return self.opened != (empty_part(self.row.cls) if self.before is None else self.before)

    def close_row(self) -> None:
        """Leave the open row as it was before it was opened."""
        if self.row is None:
            return
        if self.before is None:
            del self.rows(self.row)[self.row.index]
        else:
            self.rows(self.row)[self.row.index] = self.before
        self.row = self.before = None

    def open_row(self, row: Row) -> None:
        rows = self.rows(row)
        if row.index >= len(rows):
            row = Row(row.service, row.name, len(rows))
            rows.append(empty_part(row.cls))
            self.before = None
        else:
            self.before = dict(rows[row.index])
        self.row = row

    def body(self, only: str | None = None) -> dict[str, Any]:
        """The policy as the API takes it; or of `only` one service, as if it were chosen."""
        services = find_services()
        if only is not None:
            return {"sender_service": only, only: section(services[only].Settings, self.parts[only])}
        return {
            "sender_service": self.chosen or None,
            "revision": self.revision,
            **self.standby.body(self.chosen),
            **{name: section(services[name].Settings, part) for name, part in self.parts.items()},
        }

    def lost(self) -> Iterator[FieldError]:
        """Every place where a secret was typed which the form does not hold any more."""
        for name, part in self.parts.items():
            for secret_field, secret, path in form_secrets(find_services()[name].Settings, part, name):
                if secret.lost:
                    yield FieldError(path, "token_required", lost_words(secret_field, secret))


def form_secrets(cls: type[Any], part: Part, path: str) -> Iterator[tuple[Field, FormSecret, str]]:
    """Every secret of a part, rows included, with its path."""
    for one in form(cls):
        if one.kind == "secret":
            yield one, part[one.name], join(path, one.name)
        elif one.row is not None:
            for index, row in enumerate(part[one.name]):
                yield from form_secrets(one.row, row, f"{join(path, one.name)}[{index}]")


def new_form_id(visit: Visit) -> str:
    return visit.context.random.randbytes(16).hex()


def saved_form(policy: Policy, form_id: str) -> PolicyForm:
    """A new form with what is saved; secrets are not in it."""
    parts = {
        name: part_of(service.Settings, plain(load(service.Settings, policy.sections.get(name, {}))))
        for name, service in find_services().items()
    }
    chosen = policy.sender_service if policy.sender_service in parts else None
    return PolicyForm(form_id, policy.revision, chosen or "", parts, standby=fallback.saved(policy))


def read_form(visit: Visit) -> PolicyForm:
    """The form as it was sent; what does not belong in it is left out."""
    sent = visit.form
    given = sent.get("form")
    form_id = given if re.fullmatch(r"[0-9a-f]{32}", given) else new_form_id(visit)
    reader = _Reader(sent, Seals(visit, form_id), read_row(sent.get("open")))
    services = find_services()
    shown = sent.get("shown").split()
    parts = {
        name: reader.shown(service.Settings, name)
        if name in shown
        else reader.packed(service.Settings, sent.get(f"section:{name}"), None)
        for name, service in services.items()
    }
    chosen = sent.get("sender_service")
    revision = sent.get("revision")
    row = reader.row
    if row is not None and (row.service not in shown or row.index >= len(parts[row.service][row.name])):
        row = None
    before = None
    if row is not None and "before" in sent:
        before = reader.packed(row.cls, sent.get("before"), reader.address(services[row.service].Settings, row.service))
    return PolicyForm(
        id=form_id,
        revision=int(revision) if re.fullmatch(r"[0-9]{1,9}", revision) else 0,
        chosen=chosen if chosen in services else "",
        parts=parts,
        standby=fallback.read(sent),
        row=row,
        before=before,
        to=sent.get("to"),
        message=sent.get("message", MESSAGE),
        numbers=sent.get("numbers"),
        sent=sent.get("sent"),
        tried=sent.get("tried"),
        tester=sent.get("tester"),
    )


def read_row(path: str) -> Row | None:
    """The row that a path names, if there is such a list in the settings of a service."""
    match = _ROW.fullmatch(path)
    if match is None or match[1] not in find_services():
        return None
    lists = [one.name for one in form(find_services()[match[1]].Settings) if one.row is not None]
    return Row(match[1], match[2], int(match[3])) if match[2] in lists else None


class _Reader:
    def __init__(self, sent: Form, seals: Seals, row: Row | None) -> None:
        self.sent, self.seals, self.row = sent, seals, row

    def shown(self, cls: type[Any], path: str) -> Part:
        """The section that has fields in the page."""
        return self.fields(cls, path, self.address(cls, path))

    def address(self, cls: type[Any], path: str) -> dict[str, str]:
        return {
            one.name: self.sent.get(join(path, one.name)) or str(one.default) for one in form(cls) if one.kind == "url"
        }

    def fields(self, cls: type[Any], path: str, urls: Mapping[str, str]) -> Part:
        part: Part = {}
        for one in form(cls):
            at = join(path, one.name)
            if one.kind == "flag":
                part[one.name] = at in self.sent
            elif one.kind == "secret":
                part[one.name] = self.secret(one, at, urls)
            elif one.row is not None:
                part[one.name] = list(self.rows(one.row, at, urls))
            else:
                part[one.name] = self.sent.get(at).replace("\n", " ")
        return part

    def rows(self, cls: type[Any], path: str, urls: Mapping[str, str]) -> Iterator[Part]:
        for index in range(10_000):
            at = f"{path}[{index}]"
            if at in self.sent:
                yield self.packed(cls, self.sent.get(at), urls)
            elif self.row is not None and self.row.path == at:
                yield self.fields(cls, at, urls)
            else:
                return

    def secret(self, of: Field, at: str, urls: Mapping[str, str]) -> FormSecret:
        where = address_of(of, urls)
        if typed := self.sent.get(at):
            return FormSecret(Secret(typed), where)
        if f"{at}~clear" in self.sent:
            return FormSecret(clear=True)
        return self.seals.open(self.sent.get(f"{at}~sealed"), where)

    def packed(self, cls: type[Any], text: str, urls: Mapping[str, str] | None) -> Part:
        """A part that has no fields in the page and is carried as JSON; `urls` are the section's, of a row."""
        try:
            raw = msgspec.json.decode(text) if text else {}
        except (msgspec.DecodeError, UnicodeEncodeError):
            raw = {}
        return self._unpacked(cls, raw, urls)

    def _unpacked(self, cls: type[Any], raw: object, urls: Mapping[str, str] | None) -> Part:
        given = raw if isinstance(raw, dict) else {}
        if urls is None:
            urls = {one.name: str(given.get(one.name) or one.default) for one in form(cls) if one.kind == "url"}
        part: Part = {}
        for one in form(cls):
            value = given.get(one.name)
            if one.kind == "flag":
                part[one.name] = value is True
            elif one.kind == "secret":
                part[one.name] = self.seals.open(value if isinstance(value, str) else "", address_of(one, urls))
            elif one.row is not None:
                rows = value if isinstance(value, list) else []
                part[one.name] = [self._unpacked(one.row, row, urls) for row in rows]
            else:
                part[one.name] = value if isinstance(value, str) else str(one.default)
        return part


def address_of(of: Field, urls: Mapping[str, str]) -> str:
    """The destination of a secret by the URLs that stand in the form."""
    return destination(unwrapped(urls[of.destination])) if of.destination else ""


def ref_in(of: Field, part: Part, urls: Mapping[str, str]) -> SecretRef:
    """Which secret a place of the form means now."""
    owner = trimmed(str(part[of.owner])) if of.owner else ""
    return SecretRef(of.kept_as or of.name, owner, address_of(of, urls))


def urls_of(cls: type[Any], part: Part) -> dict[str, str]:
    return {one.name: part[one.name] or str(one.default) for one in form(cls) if one.kind == "url"}


def packed(cls: type[Any], part: Part, seals: Seals) -> str:
    """A part as JSON for a page, its typed secrets sealed."""
    return msgspec.json.encode(_packed(cls, part, seals)).decode()


def _packed(cls: type[Any], part: Part, seals: Seals) -> dict[str, Any]:
    carried: dict[str, Any] = {}
    for one in form(cls):
        value = part[one.name]
        if one.kind == "secret":
            if text := seals.close(value):
                carried[one.name] = text
        elif one.row is not None:
            carried[one.name] = [_packed(one.row, row, seals) for row in value]
        else:
            carried[one.name] = value
    return carried


def part_of(cls: type[Any], stored: Mapping[str, Any]) -> Part:
    """A part from the stored form of settings."""
    part: Part = {}
    for one in form(cls):
        if one.kind == "secret":
            part[one.name] = FormSecret()
        elif one.row is not None:
            part[one.name] = [part_of(one.row, row) for row in stored[one.name]]
        elif one.kind == "flag":
            part[one.name] = stored[one.name]
        else:
            part[one.name] = str(stored[one.name])
    return part


def empty_part(cls: type[Any]) -> Part:
    return part_of(cls, plain(cls()))


def section(cls: type[Any], part: Part) -> dict[str, Any]:
    """A part as the API takes it: numbers as numbers, typed secrets in the clear, nothing for those to be kept."""
    body: dict[str, Any] = {}
    for one in form(cls):
        value = part[one.name]
        if one.kind == "secret":
            if value.typed is not None:
                body[one.name] = value.typed.reveal()
            elif value.clear:
                body[f"{one.name}_set"] = False
        elif one.row is not None:
            body[one.name] = [section(one.row, row) for row in value]
        elif one.kind == "number":
            body[one.name] = int(value) if re.fullmatch(r"-?[0-9]{1,12}", value.strip()) else value or one.default
        else:
            body[one.name] = value
    return body


def row_name(of: Field, row: Part, index: int) -> str:
    """What people call a row: `Subaccount +91`, or `Subaccount 2` while its key is empty."""
    key = next((str(row[one.name]).strip() for one in form(of.row) if one.key), "") if of.row else ""
    return f"{of.row_label} {key or index + 1}"
