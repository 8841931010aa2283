"""Judging a submitted section of the sender policy: every mistake with its path, and what became of its secrets."""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar
from urllib.parse import urlsplit

from otpost.domain.errors import FieldError
from otpost.domain.phone import NumberRefused, parse_filter, parse_origin
from otpost.domain.secret import Secret
from otpost.domain.text.characters import compact, trimmed, unwrapped
from otpost.senders.settings import Field, Kind, Place, SecretRef, form, join, key_of, places

S = TypeVar("S")

MAX_ROWS: Final = 1000
_OF_ANY_LENGTH: Final = re.compile(r"[*+?]|,[0-9]*\}")
LONGEST_NAME: Final = 64
"""How many characters a sender's name may have where the service decides about names."""


@dataclass(frozen=True, slots=True)
class Submission(Generic[S]):
    """What a submitted section says. `settings` hold no secrets and are of use only where there are no `errors`.

    Every secret of `slots` that is neither in `typed` nor in `cleared` is to be kept as stored. `claimed` are the
    paths whose `…_set` was true: what was submitted takes for granted that these are stored.
    """

    settings: S
    errors: list[FieldError]
    typed: dict[SecretRef, Secret]
    cleared: set[SecretRef]
    slots: list[tuple[SecretRef, str]]
    claimed: set[str]


def read_section(settings: type[S], section: object, path: str) -> Submission[S]:
    """Judge a JSON section, in which anything may be wrong; every mistake is reported with its path.

    Field codes: `unknown_field`, `invalid`, `text_too_long`, `invalid_number`, `out_of_range`, `duplicate`,
    `token_required` (a secret of blanks alone), `required` (a secret was typed, but not whose it is).
    """
    judge = _Judge()
    instance: S = judge.part(settings, section, path)
    return judge.secrets(instance, path)


class _Mistake(Exception):
    def __init__(self, code: str, message: str) -> None:
        self.code, self.message = code, message


class _Judge:
    def __init__(self) -> None:
        self.errors: list[FieldError] = []
        self.raw: dict[str, dict[str, Any]] = {}

    def error(self, path: str, code: str, message: str) -> None:
        self.errors.append(FieldError(path, code, message))

    def part(self, cls: type[Any], section: object, path: str) -> Any:
        """One dataclass from one object; a wrong value is reported and takes its default, so that reading goes on."""
        if not isinstance(section, dict):
            self.error(path, "invalid", "This must be an object with the settings' names.")
            section = {}
        self.raw[path] = section
        fields = form(cls)
        known = {field.name for field in fields} | {f"{field.name}_set" for field in fields if field.kind == "secret"}
        for name in section:
            if name not in known:
                self.error(join(path, _readable(name)), "unknown_field", "There is no such setting. Leave it out.")
        values: dict[str, Any] = {}
        for field in fields:
            value, at = section.get(field.name), join(path, field.name)
            if value is None or field.kind == "secret":
                continue
            try:
                values[field.name] = self.rows(field, value, at) if field.row else _READERS[field.kind](field, value)
            except _Mistake as mistake:
                self.error(at, mistake.code, mistake.message)
                if field.kind == "text" and isinstance(value, str):
                    values[field.name] = cleaned(field, value)
            except NumberRefused as refused:
                self.error(at, refused.code, refused.message)
        return cls(**values)

    def rows(self, field: Field, value: object, path: str) -> tuple[Any, ...]:
        if field.row is None or not isinstance(value, list):
            raise _Mistake("invalid", f"{field.label} must be a list.")
        if len(value) > MAX_ROWS:
            raise _Mistake("out_of_range", f"{field.label} can have at most {MAX_ROWS} rows.")
        rows = tuple(self.part(field.row, row, f"{path}[{index}]") for index, row in enumerate(value))
        key = next((part for part in form(field.row) if part.key), None)
        seen: dict[str, int] = {}
        for index, row in enumerate(rows):
            if key is None or not (text := key_of(row)):
                continue
            if text in seen:
                message = f"{key.label} {text} stands in row {seen[text] + 1} already. Keep one of the two."
                self.error(f"{path}[{index}].{key.name}", "duplicate", message)
            seen.setdefault(text, index)
        return rows

    def secrets(self, settings: Any, path: str) -> Submission[Any]:
        typed: dict[SecretRef, Secret] = {}
        cleared: set[SecretRef] = set()
        claimed: set[str] = set()
        standing = list(places(settings, path))
        for place in standing:
            section = self.raw[place.object_path]
            try:
                value = _secret(place.field, section.get(place.field.name))
                was_set = section.get(f"{place.field.name}_set")
                if was_set is not None and not isinstance(was_set, bool):
                    self.error(f"{place.path}_set", "invalid", "This must be true or false.")
                elif value is not None:
                    self.put(place, value, typed)
                elif was_set is True:
                    claimed.add(place.path)
                elif was_set is False:
                    cleared.add(place.ref)
            except _Mistake as mistake:
                self.error(place.path, mistake.code, mistake.message)
        found = [(place.ref, place.path) for place in standing]
        return Submission(settings, self.errors, typed, cleared - typed.keys(), found, claimed)

    def put(self, place: Place, value: Secret, typed: dict[SecretRef, Secret]) -> None:
        if place.owner_path is not None and not place.ref.owner:
            if all(error.field != place.owner_path for error in self.errors):
                self.error(place.owner_path, "required", f"{place.field.label} was given, but not whose it is.")
        elif typed.setdefault(place.ref, value) != value:
            message = f"Another {place.field.label} was given for {place.ref.owner or 'the same place'} further up."
            self.error(place.path, "invalid", message)


def _readable(name: object) -> str:
    return str(name)[:64].encode("utf-8", "replace").decode()


def _unfit(text: str) -> bool:
    """Whether there are control characters, line breaks or halves of surrogate pairs in it."""
    return not text.isprintable() and any(unicodedata.category(one) in ("Cc", "Cs", "Zl", "Zp") for one in text)


def cleaned(field: Field, text: str) -> str:
    """What was typed or pasted, without what copying brings along; inside only where the form of it is known."""
    if field.kind == "url":
        return unwrapped(text)
    text = trimmed(" ".join(text.split()) if field.lines else text)
    # Only what has one length can have been broken up by copying: `My Brand` is no way of writing `MyBrand`.
    if not field.pattern or _OF_ANY_LENGTH.search(field.pattern.pattern) or field.pattern.fullmatch(text):
        return text
    return whole if field.pattern.fullmatch(whole := compact(text)) else text


def _text(field: Field, value: object) -> str:
    if not isinstance(value, str):
        raise _Mistake("invalid", f"{field.label} must be a text.")
    text = cleaned(field, value)
    if len(text) > field.max_length:
        raise _Mistake("text_too_long", f"{field.label} can have at most {field.max_length} characters.")
    if _unfit(text):
        raise _Mistake("invalid", f"{field.label} must be one line without control characters.")
    if text and field.pattern and not field.pattern.fullmatch(text):
        raise _Mistake("invalid", field.rule or f"{field.label} is not written as it must be. {field.help}".strip())
    return text


def _secret(field: Field, value: object) -> Secret | None:
    """The secret as typed, without white space and invisible marks around it: they are in no token."""
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise _Mistake("invalid", f"{field.label} must be a text.")
    text = trimmed(value)
    if not text:
        raise _Mistake("token_required", f"{field.label} is blank. Type it, or leave it out to keep the stored one.")
    if len(text) > field.max_length:
        raise _Mistake("text_too_long", f"{field.label} can have at most {field.max_length} characters.")
    if _unfit(text):
        raise _Mistake("invalid", f"{field.label} must be one line without control characters.")
    return Secret(text)


def _flag(field: Field, value: object) -> bool:
    if not isinstance(value, bool):
        raise _Mistake("invalid", f"{field.label} must be true or false.")
    return value


def _number(field: Field, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise _Mistake("invalid", f"{field.label} must be a whole number.")
    if (field.low is not None and value < field.low) or (field.high is not None and value > field.high):
        bounds = [f"at least {field.low}"] * (field.low is not None) + [f"at most {field.high}"] * (
            field.high is not None
        )
        raise _Mistake("out_of_range", f"{field.label} must be {' and '.join(bounds)}.")
    return value


def _choice(field: Field, value: object) -> str:
    for choice, _ in field.choices:
        if choice == value:
            return choice
    raise _Mistake("invalid", f"{field.label} must be one of: {', '.join(choice for choice, _ in field.choices)}.")


def _url(field: Field, value: object) -> str:
    text = _text(field, value)
    if not text:
        return str(field.default)
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
        if ":" in host:
            ipaddress.IPv6Address(host)
    except ValueError:
        host, port, parts = "", None, urlsplit("")
    if parts.scheme not in ("http", "https") or not host or port == 0 or not re.fullmatch(r"[\w.:-]+", host):
        raise _Mistake("invalid", f"{field.label} must be a whole URL, as in https://sms.example.com.")
    if "@" in parts.netloc:
        raise _Mistake(
            "invalid", f"{field.label} must not hold a user name or password; they have fields of their own."
        )
    if re.search(r"[\s\\#]", text):
        raise _Mistake("invalid", f"{field.label} must be a URL without blanks, backslashes and #.")
    return field.appended.sub("", text) if field.appended is not None else text


def _pasted(field: Field, value: object) -> str:
    if not isinstance(value, str):
        raise _Mistake("invalid", f"{field.label} must be a text.")
    return trimmed(value)


def _origin(field: Field, value: object) -> str:
    text = _pasted(field, value)
    return parse_sender(text, any_name=field.any_name) if text else ""


def parse_sender(text: str, *, any_name: bool) -> str:
    """A sender as the domain reads it; of `any_name`, one with a letter is kept as it is. Raises NumberRefused."""
    try:
        return parse_origin(text)
    except NumberRefused:
        if any_name and any(one.isalpha() for one in text) and len(text) <= LONGEST_NAME and text.isprintable():
            return text
        raise


def _dialing_code(field: Field, value: object) -> str:
    text = _pasted(field, value)
    return parse_filter(text) if text else ""


_READERS: Final[dict[Kind, Callable[[Field, object], Any]]] = {
    "text": _text,
    "flag": _flag,
    "origin": _origin,
    "dialing_code": _dialing_code,
    "url": _url,
    "number": _number,
    "choice": _choice,
}
