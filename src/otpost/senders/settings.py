"""How one `Settings` declaration of a sender service becomes form, storage and secrets.

A declaration is a frozen dataclass whose fields are made by `setting`. `plain` and `load` are the stored form, `answer`
the API's; `slots` are the places of its secrets, which are in neither. What is submitted is judged in `submission`.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeVar
from urllib.parse import urlsplit

from otpost.domain.errors import FieldError
from otpost.domain.secret import Secret

Kind = Literal["text", "flag", "origin", "dialing_code", "url", "number", "choice", "rows", "secret"]
S = TypeVar("S")

_MAX_LENGTH: Final = {"text": 1000, "url": 2000, "secret": 1024}
_EMPTY: Final[dict[str, Any]] = {"flag": False, "number": 0, "rows": (), "secret": None}


@dataclass(frozen=True, slots=True)
class Field:
    """One setting, described for the form, the docs and the reader.

    `rule` is a sentence that says what is right, shown where `pattern` does not match. `choices` are pairs of value
    and label. `low` and `high` bound a number. `row` is the dataclass of one row and `row_label` its name; `key` marks
    the field that tells rows apart. Of a secret, `owner` names the sibling field whose value owns it, `destination`
    the top-level field with the URL that it belongs to, and `kept_as` the name under which it is kept: secrets of one
    such name, owner and destination are one secret, wherever they stand. Of a text with `lines` the line breaks become
    blanks. `appended` is what the service appends to a URL itself: it is taken off one that ends in it. An origin of
    `any_name` is a number, a short code, or whatever name the service takes.
    """

    name: str
    label: str
    kind: Kind
    help: str
    rule: str
    pattern: re.Pattern[str] | None
    required: bool
    key: bool
    default: Any
    choices: tuple[tuple[str, str], ...]
    max_length: int
    low: int | None
    high: int | None
    owner: str
    destination: str
    kept_as: str
    row: type | None
    row_label: str
    lines: bool = False
    appended: re.Pattern[str] | None = None
    any_name: bool = False


def setting(
    label: str,
    *,
    kind: Kind = "text",
    secret: bool = False,
    owner: str = "",
    destination: str = "",
    kept_as: str = "",
    pattern: str | None = None,
    rule: str = "",
    required: bool = False,
    key: bool = False,
    help: str = "",
    default: Any = None,
    choices: tuple[tuple[str, str], ...] = (),
    max_length: int | None = None,
    low: int | None = None,
    high: int | None = None,
    row: type | None = None,
    row_label: str = "",
    lines: bool = False,
    appended: str = "",
    any_name: bool = False,
) -> Any:
    """Declare a field of `Settings`; the arguments are those of `Field`.

    Without `default`: "", False, 0, no rows, or the first choice. `required` is a matter of completeness (`missing`,
    `needed`): an unfinished section can be saved.
    """
    if secret:
        kind = "secret"
    if row is not None:
        kind = "rows"
    if default is None:
        default = choices[0][0] if choices else _EMPTY.get(kind, "")
    field = Field(
        name="",
        label=label,
        kind="choice" if choices else kind,
        help=help,
        rule=rule,
        pattern=re.compile(pattern) if pattern else None,
        required=required,
        key=key,
        default=default,
        choices=choices,
        max_length=max_length or _MAX_LENGTH.get(kind, 64),
        low=low,
        high=high,
        owner=owner,
        destination=destination,
        kept_as=kept_as,
        row=row,
        row_label=row_label,
        lines=lines,
        appended=re.compile(f"(?:{appended})/*$") if appended else None,
        any_name=any_name,
    )
    return dataclasses.field(default=default, metadata={"setting": field})


def form(settings: type[Any]) -> tuple[Field, ...]:
    """The fields of a `Settings` class in their order."""
    if (known := _FORMS.get(settings)) is None:
        known = _FORMS[settings] = tuple(
            dataclasses.replace(field.metadata["setting"], name=field.name) for field in dataclasses.fields(settings)
        )
    return known


_FORMS: Final[dict[type[Any], tuple[Field, ...]]] = {}


@dataclass(frozen=True, slots=True)
class SecretRef:
    """Which secret: its name, the owner (an account SID, a user name) and the destination it may be sent to.

    `destination` is scheme, host and port (`https://api.twilio.com:443`), or empty where the service has one alone.
    """

    field: str
    owner: str
    destination: str


def destination(url: str) -> str:
    """Scheme, host and port of a URL (`https://api.twilio.com:443`); empty if it has none."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    except ValueError:
        return ""
    if not parts.hostname or port is None:
        return ""
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}:{port}"


def slots(settings: object, path: str) -> list[tuple[SecretRef, str]]:
    """Every place of a secret: which one stands there, and the place's path (`twilio.subaccounts[1].auth_token`)."""
    return [(place.ref, place.path) for place in places(settings, path)]


def needed(settings: object, path: str) -> list[tuple[SecretRef, str]]:
    """The slots without whose secret the service cannot work."""
    return [(place.ref, place.path) for place in places(settings, path) if place.field.required]


def secret_labels(settings: object) -> dict[SecretRef, str]:
    """What people call each secret: `Authentication token`, `Subaccount +91: Subaccount Auth Token`."""
    labels: dict[SecretRef, str] = {}
    for place in places(settings, ""):
        labels.setdefault(place.ref, place.label)
    return labels


def missing(settings: object, path: str) -> list[FieldError]:
    """A `required` for every required field that is empty, secrets apart."""
    errors = []
    for field, value, at in _values(settings, path):
        if field.kind == "rows":
            for index, row in enumerate(value):
                errors += missing(row, f"{at}[{index}]")
        elif field.required and field.kind != "secret" and value in ("", None):
            errors.append(FieldError(at, "required", f"{field.label} is needed. {field.help}".strip()))
    return errors


def urls(settings: object, path: str) -> list[tuple[str, str]]:
    """Every URL that the service would call, with its path."""
    return [(at, value) for field, value, at in _values(settings, path) if field.kind == "url" and value]


def fill(settings: S, secrets: Mapping[SecretRef, Secret]) -> S:
    """The same settings with the secrets that are known put in their places."""
    found = {place.path: secrets[place.ref] for place in places(settings, "") if place.ref in secrets}
    filled: S = _filled(settings, "", found) if found else settings
    return filled


def plain(settings: object) -> dict[str, Any]:
    """The settings as JSON-able values without any secret: the stored form."""
    return {
        field.name: [plain(row) for row in value] if field.kind == "rows" else value
        for field, value, _ in _values(settings, "")
        if field.kind != "secret"
    }


def answer(settings: object, is_set: Callable[[SecretRef], bool]) -> dict[str, Any]:
    """The settings as the API answers them: each secret `null`, and beside it `…_set`."""
    return _answered(settings, "", {place.path: is_set(place.ref) for place in places(settings, "")})


def load(settings: type[S], stored: Mapping[str, Any]) -> S:
    """The settings from their stored form; what an older or newer version stored otherwise takes its default."""
    values: dict[str, Any] = {}
    for field in form(settings):
        value = stored.get(field.name)
        if field.row is not None and isinstance(value, list):
            values[field.name] = tuple(load(field.row, row) for row in value if isinstance(row, dict))
        elif field.kind != "secret" and type(value) is type(field.default):
            values[field.name] = value
    return settings(**values)


def changes(settings: type[Any], old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What differs between two stored forms, for people: `Sender phone: +1… → +1…`, `Subaccount +91: added`."""
    return list(_differences(load(settings, old), load(settings, new), ""))


@dataclass(frozen=True, slots=True)
class Place:
    """Where a secret stands: its object's path, its own, and the path of its owner if that is a required field."""

    ref: SecretRef
    field: Field
    object_path: str
    path: str
    owner_path: str | None
    label: str


def join(path: str, name: str) -> str:
    """The path of a field: `twilio` and `api_url` make `twilio.api_url`."""
    return f"{path}.{name}" if path else name


def _values(part: object, path: str) -> Iterator[tuple[Field, Any, str]]:
    for field in form(type(part)):
        yield field, getattr(part, field.name), join(path, field.name)


def places(settings: object, path: str) -> Iterator[Place]:
    """Every place of a secret, in the order of the fields."""

    def visit(part: object, part_path: str, row_name: str) -> Iterator[Place]:
        for field, value, at in _values(part, part_path):
            if field.kind == "secret":
                ref = SecretRef(
                    field.kept_as or field.name,
                    getattr(part, field.owner) if field.owner else "",
                    destination(getattr(settings, field.destination)) if field.destination else "",
                )
                owner = next((other for other in form(type(part)) if other.name == field.owner), None)
                owner_path = join(part_path, owner.name) if owner and owner.required else None
                label = f"{row_name}: {field.label}" if row_name else field.label
                yield Place(ref, field, part_path, at, owner_path, label)
            elif field.kind == "rows":
                for index, row in enumerate(value):
                    yield from visit(row, f"{at}[{index}]", f"{field.row_label} {key_of(row) or index + 1}")

    return visit(settings, path, "")


def _filled(part: Any, path: str, found: Mapping[str, Secret]) -> Any:
    values: dict[str, Any] = {}
    for field, value, at in _values(part, path):
        if field.kind == "rows":
            values[field.name] = tuple(_filled(row, f"{at}[{index}]", found) for index, row in enumerate(value))
        elif field.kind == "secret" and at in found:
            values[field.name] = found[at]
    return dataclasses.replace(part, **values)


def _answered(part: object, path: str, is_set: Mapping[str, bool]) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for field, value, at in _values(part, path):
        if field.kind == "secret":
            shown[field.name] = None
            shown[f"{field.name}_set"] = is_set[at]
        elif field.kind == "rows":
            shown[field.name] = [_answered(row, f"{at}[{index}]", is_set) for index, row in enumerate(value)]
        else:
            shown[field.name] = value
    return shown


def key_of(row: object) -> str:
    """What tells this row from the others; empty where it is not filled in."""
    return next((str(value) for field, value, _ in _values(row, "") if field.key), "")


def _differences(before: object, after: object, of: str) -> Iterator[str]:
    for field, new, _ in _values(after, ""):
        old = getattr(before, field.name)
        if old == new:
            continue
        if field.kind == "rows":
            yield from _row_differences(field, old, new)
        else:
            yield f"{of}{field.label}: {_shown(field, old)} → {_shown(field, new)}"


def _row_differences(field: Field, old: tuple[object, ...], new: tuple[object, ...]) -> Iterator[str]:
    before = {key_of(row) or f"#{index}": row for index, row in enumerate(old, 1)}
    after = {key_of(row) or f"#{index}": row for index, row in enumerate(new, 1)}
    yield from (f"{field.row_label} {key}: removed" for key in before if key not in after)
    for key, row in after.items():
        if key not in before:
            yield f"{field.row_label} {key}: added"
        else:
            yield from _differences(before[key], row, f"{field.row_label} {key}, ")
    if before.keys() == after.keys() and list(before) != list(after):
        yield f"{field.label}: order changed"


def _shown(field: Field, value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    text = dict(field.choices).get(value, str(value))
    return text if 0 < len(text) <= 80 else f"{text[:80]}…" if text else "empty"
