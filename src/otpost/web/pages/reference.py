"""The API reference: the OpenAPI document as pages for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from starlette.responses import Response

from otpost.web.request import Page, Visit

DEEPEST: Final = 4


@dataclass(frozen=True, slots=True)
class Value:
    """One field: its path, type in words, and what is said of it."""

    name: str
    kind: str
    required: bool
    words: str


@dataclass(frozen=True, slots=True)
class Answer:
    status: str
    words: str
    values: list[Value]


@dataclass(frozen=True, slots=True)
class Operation:
    """One call; `id` is its anchor on the page."""

    id: str
    method: str
    path: str
    summary: str
    scope: str
    parameters: list[Value]
    body: list[Value]
    answers: list[Answer]


async def reference(visit: Visit) -> Response:
    document = visit.surroundings.openapi
    return await visit.page(
        "reference.html",
        groups=_groups(_Frozen(document)),
        problem=list(_values(document, document.get("components", {}).get("schemas", {}).get("Problem", {}), "", 0)),
        base=visit.surroundings.public_url or visit.browser.base,
    )


class _Frozen:
    """A document by its identity, so that it is read once."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document = document

    def __hash__(self) -> int:
        return id(self.document)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Frozen) and other.document is self.document


@lru_cache(4)
def _groups(of: _Frozen) -> dict[str, list[Operation]]:
    groups: dict[str, list[Operation]] = {}
    for path, methods in of.document.get("paths", {}).items():
        for method, operation in methods.items():
            group = operation.get("tags", ["Other"])[0].replace("-", " ").capitalize()
            groups.setdefault(group, []).append(_operation(of.document, path, method, operation))
    return groups


def _operation(document: Mapping[str, Any], path: str, method: str, operation: Mapping[str, Any]) -> Operation:
    parameters = [
        Value(
            each["name"],
            f"{_kind(document, each.get('schema', {}))} in the {each['in']}",
            each.get("required", False),
            each.get("description") or each.get("schema", {}).get("description", ""),
        )
        for each in operation.get("parameters", [])
    ]
    answers = []
    for status, answer in operation.get("responses", {}).items():
        schema = _schema(answer)
        problem = schema.get("$ref", "").endswith("/Problem")
        values = [] if problem else list(_values(document, schema, "", 0))
        answers.append(Answer(status, answer.get("description", "").replace("`", ""), values))
    return Operation(
        operation["operationId"],
        method.upper(),
        path,
        operation.get("summary", ""),
        operation.get("x-scope", ""),
        parameters,
        list(_values(document, _schema(operation.get("requestBody", {})), "", 0)),
        answers,
    )


def _schema(holder: Mapping[str, Any]) -> dict[str, Any]:
    for content in holder.get("content", {}).values():
        return dict(content.get("schema", {}))
    return {}


def _values(document: Mapping[str, Any], schema: Mapping[str, Any], path: str, depth: int) -> Iterator[Value]:
    """The fields of an object, those of its parts after each."""
    whole = _resolved(document, schema)
    if whole.get("type") == "array" and not path:
        yield from _values(document, whole.get("items", {}), "[]", depth)
        return
    needed = whole.get("required", [])
    for name, own in whole.get("properties", {}).items():
        at = f"{path}.{name}" if path else name
        said = _resolved(document, own)
        words = own.get("description") or ""
        yield Value(at, _kind(document, own), name in needed, words)
        if depth < DEEPEST:
            inner = _inner(document, own)
            suffix = "[]" if said.get("type") == "array" else ""
            yield from _values(document, inner, f"{at}{suffix}", depth + 1)


def _inner(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    whole = _resolved(document, schema)
    for choice in whole.get("anyOf", []):
        inner = _inner(document, choice)
        if inner.get("properties"):
            return inner
    if whole.get("type") == "array":
        return _resolved(document, whole.get("items") or {})
    return whole


def _kind(document: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    whole = _resolved(document, schema)
    if "anyOf" in whole:
        return " or ".join(dict.fromkeys(_kind(document, choice) for choice in whole["anyOf"]))
    if "enum" in whole:
        return " or ".join(f"“{choice}”" if isinstance(choice, str) else str(choice) for choice in whole["enum"])
    kind = whole.get("type", "anything")
    if kind == "array":
        return f"list of {_kind(document, whole.get('items') or {})}"
    low, high = whole.get("minimum"), whole.get("maximum")
    bounds = f" {low}–{high}" if low is not None and high is not None else ""
    return f"{kind}{bounds}"


def _resolved(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    whole: Mapping[str, Any] = schema
    while "$ref" in whole:
        name = whole["$ref"].rsplit("/", 1)[-1]
        whole = document.get("components", {}).get("schemas", {}).get(name, {})
    return whole


PAGES: Final[tuple[Page, ...]] = (Page("/docs", get=reference, entry="docs"),)
