"""Reading what was sent: a body as the type that its handler names, every mistake with its field."""

from __future__ import annotations

import re
from functools import cache
from itertools import islice
from typing import Any, Literal, TypeVar, get_args, get_origin

import msgspec

from otpost.domain.errors import FieldError, Invalid, Malformed, refusal

MOST_UNKNOWN = 50
"""Unknown fields that a refusal names; a body of nothing else would have an answer many times its size."""

T = TypeVar("T")
Q = TypeVar("Q", bound=msgspec.Struct)

_AT = re.compile(r" - at `\$(.*)`$")
_BOUND = re.compile(r"`(?P<kind>\w+)` (?P<counted>of length )?(?P<compared>>=|<=|>|<) (?P<limit>[-0-9.]+)")
_WANTED = re.compile(r"Expected `(\w+)")
_WORDS = {
    "str": "as a text, in quotes",
    "int": "as a whole number, without quotes",
    "float": "as a number, without quotes",
    "bool": "as true or false, without quotes",
    "array": "as a list, in square brackets",
    "object": "as an object, in braces",
}
"""What each of JSON's types looks like, in a query as far as the comma."""


def decode_body(decoder: msgspec.json.Decoder[T], kind: type[T], body: bytes) -> T:
    """The body as `kind`. Raises Malformed for what is no JSON, Invalid with every wrong field otherwise."""
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise _refused(kind, body, error) from None


def _refused(kind: Any, body: bytes, error: Exception) -> Invalid | Malformed:
    """Every mistake in a body that could not be read; the first one, `error`, came before the rest was looked at."""
    raw: Any = None
    if isinstance(error, msgspec.ValidationError):
        first = [_field_error(str(error), "", kind)]
        try:
            raw = msgspec.json.decode(body)
        except msgspec.ValidationError:
            return refusal(first)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            pass
        else:
            return refusal(errors_in(kind, raw, "") or first)
    return Malformed("The body is not well-formed JSON.")


def read_query(kind: type[Q] | None, pairs: dict[str, str]) -> Q | None:
    """A query's parameters as `kind` (None: there are to be none). Raises Invalid with every wrong one."""
    if kind is None:
        if pairs:
            raise refusal([FieldError(name[:64], "unknown_field", "Leave it out; it means nothing.") for name in pairs])
        return None
    try:
        if any(name not in _names(kind) for name in pairs):
            raise refusal(errors_in(kind, pairs, "", strict=False))
        return msgspec.convert(pairs, kind, strict=False)
    except msgspec.ValidationError:
        raise refusal(errors_in(kind, pairs, "", strict=False)) from None


@cache
def _names(kind: type[msgspec.Struct]) -> frozenset[str]:
    return frozenset(field.encode_name for field in msgspec.structs.fields(kind))


def errors_in(kind: Any, value: Any, path: str, *, strict: bool = True) -> list[FieldError]:
    """Every mistake in `value` where a `kind` is wanted."""
    struct = _struct_of(kind)
    if struct is not None and isinstance(value, dict):
        return _errors_in_struct(struct, value, path, strict=strict)
    try:
        msgspec.convert(value, kind, strict=strict)
    except msgspec.ValidationError as error:
        return [_field_error(str(error), path, kind, strict=strict)]
    return []


def _errors_in_struct(struct: Any, value: dict[Any, Any], path: str, *, strict: bool) -> list[FieldError]:
    fields = {field.encode_name: field for field in msgspec.structs.fields(struct)}
    message = f"Leave it out; known are: {', '.join(fields)}."
    unknown = islice((name for name in value if name not in fields), MOST_UNKNOWN)
    found = [FieldError(_join(path, str(name)[:64]), "unknown_field", message) for name in unknown]
    for name, field in fields.items():
        at = _join(path, name)
        if name in value:
            found.extend(errors_in(field.type, value[name], at, strict=strict))
        elif field.required:
            found.append(FieldError(at, "required", f"{name} is needed."))
    return found


def _struct_of(kind: Any) -> Any:
    for candidate in (kind, *get_args(kind)):
        if isinstance(candidate, type) and issubclass(candidate, msgspec.Struct):
            return candidate
    return None


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _field_error(text: str, path: str, kind: Any, *, strict: bool = True) -> FieldError:
    """What msgspec says of a value, as a sentence that says what to send."""
    at = _AT.search(text)
    within = ""
    if at is not None:
        text, within = text[: at.start()], at[1]
    path = (path + within.replace("[...]", "")).lstrip(".")
    code, words = _judged(text, _named(path + "[...]" * within.endswith("[...]")), kind, strict=strict)
    return FieldError(path, code, words)


def _named(path: str) -> str:
    """What a sentence calls the value at a path: `the code`, `each entry of events`."""
    leaf = path.rpartition(".")[2]
    base, bracket, _ = leaf.partition("[")
    if not base:
        return "the body"
    return f"each entry of {base}" if bracket else f"the {base}"


def _judged(text: str, name: str, kind: Any, *, strict: bool) -> tuple[str, str]:
    """The code and the sentence for one of msgspec's."""
    if (bound := _BOUND.search(text)) is not None:
        least = bound["compared"] in (">=", ">")
        if bound["counted"] is None:
            return (
                "out_of_range",
                f"Send {name} as a number that is at {'least' if least else 'most'} {bound['limit']}.",
            )
        if least:
            return "required", f"Leave {name} out or fill it in; it must not be empty."
        things = "entries" if bound["kind"] == "array" else "characters"
        return "text_too_long", f"Shorten {name} to {bound['limit']} {things} at most."
    if "out of range" in text:
        return "out_of_range", f"Send {name} as a number; this one is too large."
    if (choices := _choices(kind)) and ("enum" in text or "Expected `str" in text):
        return "invalid", f"Send {name} as one of: {', '.join(choices)}."
    wanted = _WANTED.search(text)
    words = _WORDS.get(wanted[1]) if wanted is not None else None
    if words is None:
        return "invalid", f"Send {name} in the form that the documentation shows; this is another."
    return "invalid", f"Send {name} {words if strict else words.partition(',')[0]}."


def _choices(kind: Any) -> list[str]:
    """The words of a Literal, wherever it stands in a type."""
    if get_origin(kind) is Literal:
        return [choice for choice in get_args(kind) if isinstance(choice, str)]
    return [choice for part in get_args(kind) for choice in _choices(part)]
