"""How a generic gateway's request is written from templates, and how values are found in what the gateway says."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final
from urllib.parse import parse_qsl, quote, quote_plus

import msgspec

from otpost.senders.generic.patterns import Budget, Pattern
from otpost.senders.service import Text

PLACEHOLDERS: Final = (
    "phone", "message", "sender", "username", "encoding", "callback_url", "attempt", "valid_for_s", "valid_for_min",
)  # fmt: skip
AS_JSON: Final = ":json"
"""At the end of a parameter's name in a JSON body: the value is JSON itself, not a text."""

_PLACEHOLDER: Final = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_ID: Final = re.compile(r"[!-$&-\[\]-~]{1,128}")
_IN_HEADERS: Final = "".join(chr(code) for code in range(32, 127))
_MAX_READ: Final = 64 * 1024
_MAX_WORDS: Final = 300
_MAX_FIELDS: Final = 200


def placeholders(template: str) -> list[str]:
    """The names in braces, those that mean nothing included: `to={phone}` has `phone`."""
    return _PLACEHOLDER.findall(template)


def filled(template: str, values: Mapping[str, str]) -> str:
    """The template with its placeholders replaced, once: what a value holds is never taken for a placeholder."""
    return _PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), template)


def number(e164: str, prefix: str) -> str:
    """A number as the gateway writes it: `prefix` (`+`, `00` or nothing) in place of the plus."""
    return prefix + e164.removeprefix("+")


def in_header(value: str) -> str:
    """A value that may stand in a header: all but visible ASCII and the blank is percent-encoded UTF-8."""
    return quote(value, safe=_IN_HEADERS, errors="replace")


def as_form(pairs: Iterable[tuple[str, str]]) -> bytes:
    """A form's body."""
    return "&".join(f"{_plus(name)}={_plus(value)}" for name, value in pairs).encode()


def with_query(url: str, pairs: Iterable[tuple[str, str]]) -> str:
    """The URL with these names and values behind what its query holds already."""
    query = "&".join(f"{_percent(name)}={_percent(value)}" for name, value in pairs)
    if not query:
        return url
    between = "" if url.endswith(("?", "&")) else "&" if "?" in url else "?"
    return f"{url}{between}{query}"


def in_url(values: Mapping[str, str]) -> dict[str, str]:
    """The values as they stand in a URL's path or query."""
    return {name: _percent(value) for name, value in values.items()}


def parameter(name: str, template: str, values: Mapping[str, str]) -> Any:
    """A parameter's value in a JSON body: the text, or where the name says so the JSON that it is (ValueError)."""
    if not name.endswith(AS_JSON):
        return filled(template, values)
    return json_value(filled(template, {key: _in_json(value) for key, value in values.items()}))


class _Branch(dict[str, Any]):
    """An object or, where every name is a number, a list in the making."""


def nested(pairs: Iterable[tuple[str, Any]]) -> Any:
    """The object that dotted names describe: `to.0` is the first of the list `to`, `a\\.b` one name.

    Raises ValueError with the name that is malformed or does not go with those before it.
    """
    root = _Branch()
    for name, value in pairs:
        *parents, last = [part.replace("\\.", ".") for part in re.split(r"(?<!\\)\.", name)]
        node = root
        for part in parents:
            node = _grown(node, part, name).setdefault(part, _Branch())
            if not isinstance(node, _Branch):
                raise ValueError(name)
        if last in _grown(node, last, name):
            raise ValueError(name)
        node[last] = value
    return _settled(root)


def _grown(node: _Branch, part: str, name: str) -> _Branch:
    if not part or any(part.isdecimal() != other.isdecimal() for other in node):
        raise ValueError(name)
    return node


def _settled(node: Any) -> Any:
    if not isinstance(node, _Branch):
        return node
    if node and all(part.isdecimal() for part in node):
        return [_settled(node[part]) for part in sorted(node, key=int)]
    return {part: _settled(value) for part, value in node.items()}


def json_value(text: str) -> Any:
    """What a text means as JSON; ValueError where it means nothing."""
    try:
        return msgspec.json.decode(text.encode("utf-8", "replace"))
    except RecursionError as error:
        raise ValueError("too deep") from error


@lru_cache(maxsize=512)
def pattern(text: str) -> Pattern:
    """The compiled pattern; ValueError with a sentence where it cannot be used."""
    try:
        return Pattern(text)
    except ValueError as error:
        raise ValueError(f"This is no usable regular expression: {error}.") from None


def trouble(where: str) -> str | None:
    """Why a path or a pattern with a group says no place in an answer, as a sentence; None if it does."""
    if "(" not in where:
        return None if all(where.split(".")) else "A path has names between its dots, as in messages.0.id."
    try:
        return None if pattern(where).has_group else "The pattern needs a group in parentheses that holds the value."
    except ValueError as error:
        return str(error)


class Said:
    """What a gateway said in an answer or a report: its text, and what stands where in it."""

    def __init__(self, body: bytes, query: str = "", budget: Budget | None = None) -> None:
        self.text: Final = (body or query.encode())[:_MAX_READ].decode("utf-8", "replace")
        self.fields: Final = _fields(query)
        self.json: Any = None
        self._budget: Final = budget or Budget()
        self._pairs: Final = [] if body else _pairs(query)
        try:
            self.json = msgspec.json.decode(body)
        except (ValueError, RecursionError):
            self.fields.update(_fields(self.text))
            self._pairs.extend(_pairs(self.text) if body else [])

    def apart(self, path: str) -> list[Said]:
        """One for each element of the lists that the path enters at 0, as if it stood there alone; else itself."""
        calls = [] if "(" in path or path in self.fields else _apart(self.json, path.split("."))
        return [Said(msgspec.json.encode(call), budget=self._budget) for call in calls] if len(calls) > 1 else [self]

    def has_several(self, where: str) -> bool:
        """Whether different values stand there, so that one of them would be taken for all."""
        if "(" in where:
            try:
                return len({match.group for match in pattern(where).find_all(self.text, self._budget)}) > 1
            except ValueError:
                return False
        if where in self.fields:
            return len({value for name, value in self._pairs if name == where}) > 1
        return len(_apart(self.json, where.split("."))) > 1

    def matches(self, text: str) -> bool:
        """Whether the pattern is found in the text; an empty one, or one that cannot be used, never is."""
        try:
            return bool(text) and pattern(text).search(self.text, self._budget) is not None
        except ValueError:
            return False

    def at(self, where: str) -> str | None:
        """The value at a dotted path or in the first group of a pattern; None where there is none, or an empty one."""
        if "(" in where:
            try:
                match = pattern(where).search(self.text, self._budget)
            except ValueError:
                return None
            return match.group or None if match is not None else None
        if where in self.fields:
            return self.fields[where] or None
        node = self.json
        for part in where.split("."):
            if isinstance(node, list) and part.isdecimal() and len(part) < 6 and int(part) < len(node):
                node = node[int(part)]
            elif isinstance(node, dict) and part in node:
                node = node[part]
            else:
                return None
        if isinstance(node, bool):
            return "true" if node else "false"
        return str(node) if isinstance(node, str | int | float) and node != "" else None


class Hidden:
    """What must not come back in the gateway's words: our secrets, the text, its code and the number."""

    def __init__(self, secrets: Iterable[str], text: Text) -> None:
        whole = {text.body}
        for secret in secrets:
            whole |= {secret, b64encode(secret.encode()).decode(), *(part for part in secret.split() if len(part) > 7)}
        self._whole: Final = whole - {""}
        self._codes: Final = sorted(set(re.findall(r"[0-9]{4,}", text.body)), key=len, reverse=True)
        self._digits: Final = text.to.e164.removeprefix("+")
        self._masked: Final = text.to.masked.removeprefix("+")

    def words(self, said: Said) -> str | None:
        """The gateway's words on one line, at a bounded length."""
        text = msgspec.json.encode(said.json).decode() if isinstance(said.json, dict | list) else said.text
        if len(text) > _MAX_READ or not text.strip():
            return None
        forms = {form for one in self._whole for form in (one, _percent(one), _plus(one), _in_json(one))}
        if forms:
            literals = map(re.escape, sorted(forms, key=len, reverse=True))
            text = re.sub("|".join(literals), "…", text, flags=re.IGNORECASE)
        text = text.replace(self._digits, self._masked)
        for code in self._codes:
            text = text.replace(code, "…")
        shown = " ".join("".join(one if one.isprintable() else " " for one in text).split())
        return shown if len(shown) <= _MAX_WORDS else f"{shown[: _MAX_WORDS - 1]}…"

    def name(self, value: str | None) -> str | None:
        """A message's id or a code, if it looks like one and gives nothing away."""
        if value is None or not is_name(value) or self._digits in value:
            return None
        if any(one.lower() in value.lower() for one in self._whole):
            return None
        return None if self._codes and set(self._codes) & set(re.findall(r"[0-9]+", value)) else value


def is_name(value: str) -> bool:
    """Whether this looks like a message's id, a status or a code: visible ASCII but % and \\, and not long."""
    return _ID.fullmatch(value) is not None


def _apart(node: Any, parts: Sequence[str]) -> list[Any]:
    """The JSON once for each element of the lists that the path enters at 0, which then stands there alone."""
    if not parts:
        return [node]
    first, rest = parts[0], parts[1:]
    if isinstance(node, list) and first == "0":
        return [[one] for element in node for one in _apart(element, rest)]
    if isinstance(node, dict) and first in node:
        return [{**node, first: one} for one in _apart(node[first], rest)]
    return [node]


def _pairs(form: str) -> list[tuple[str, str]]:
    return parse_qsl(form) if form.count("&") < _MAX_FIELDS else []


def _fields(form: str) -> dict[str, str]:
    return dict(_pairs(form))


def _in_json(text: str) -> str:
    """The text as it stands inside the quotes of a JSON string; a number stands as well without them."""
    return msgspec.json.encode(text.encode("utf-8", "replace").decode()).decode()[1:-1]


def _percent(text: str) -> str:
    return quote(text, safe="", errors="replace")


def _plus(text: str) -> str:
    return quote_plus(text, errors="replace")
