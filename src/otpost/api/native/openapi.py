"""The description of the API (OpenAPI 3.1), made from the handlers' own types."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from otpost import __version__
from otpost.api.native.endpoint import Endpoint
from otpost.api.problems import STATUS, Problem

_PARAMETER = re.compile(r"\{(\w+)\}")
_ALWAYS = ("malformed", "unauthenticated", "too_large", "invalid", "unavailable")
_WITH_BODY = ("unsupported_media_type",)

_PARAMETERS = {
    "sid": "The SID.",
    "key": "The key's SID.",
    "number": "The number in E.164, with its plus sign.",
    "revision": "The revision's number.",
}


def encode(endpoints: Sequence[Endpoint]) -> bytes:
    """The whole description as JSON."""
    return msgspec.json.encode(describe(endpoints))


def describe(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    kinds: list[Any] = [Problem]
    for endpoint in endpoints:
        kinds += [kind for kind in (*endpoint.answers.values(), endpoint.body) if kind is not None]
    schemas, components = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    by_kind = dict(zip(kinds, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, by_kind)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Otpost",
            "version": __version__,
            "description": "One-time passcodes by SMS: verifications, messages, applications and the sender policy.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [{"basic": []}, {"bearer": []}],
        "paths": paths,
        "components": {
            "schemas": dict(components),
            "securitySchemes": {
                "basic": {"type": "http", "scheme": "basic", "description": "User `SK…`, password: the key's secret."},
                "bearer": {"type": "http", "scheme": "bearer", "description": "`SK….secret`"},
            },
        },
    }


def _operation(endpoint: Endpoint, by_kind: dict[Any, dict[str, Any]]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": endpoint.summary,
        "operationId": f"{endpoint.method.lower()}_{re.sub(r'[^a-z0-9]+', '_', endpoint.path.lower()).strip('_')}",
        "tags": [endpoint.path.split("/")[2]],
        "x-scope": endpoint.scope,
        "parameters": _parameters(endpoint),
        "responses": _responses(endpoint, by_kind),
    }
    if endpoint.body is not None:
        operation["requestBody"] = {
            "required": not endpoint.body_optional,
            "content": {"application/json": {"schema": endpoint.schemas.get(0, by_kind[endpoint.body])}},
        }
    return operation


def _parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": _PARAMETERS.get(name, ""),
            "schema": {"type": "string"},
        }
        for name in _PARAMETER.findall(endpoint.path)
    ]
    if endpoint.query is not None:
        schema = msgspec.json.schema(endpoint.query)
        own = schema["$defs"][endpoint.query.__name__]
        for name, described_as in own["properties"].items():
            required = name in own.get("required", ())
            found.append({"name": name, "in": "query", "required": required, "schema": described_as})
    if endpoint.method == "POST":
        found.append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": False,
                "description": "The same key and body get the first answer again for 24 h.",
                "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
            }
        )
    return found


def _responses(endpoint: Endpoint, by_kind: dict[Any, dict[str, Any]]) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    for status, kind in endpoint.answers.items():
        responses[str(status)] = {"description": "Done."}
        if kind is not None:
            responses[str(status)]["content"] = {
                "application/json": {"schema": endpoint.schemas.get(status, by_kind[kind])}
            }
    codes: dict[int, list[str]] = {}
    refuses = [*_ALWAYS, *endpoint.refuses, *(_WITH_BODY if endpoint.body is not None else ())]
    if endpoint.scope == "admin":
        refuses.append("scope_missing")
    if endpoint.method == "POST":
        refuses.append("idempotency_key_reused")
    for code in refuses:
        codes.setdefault(STATUS.get(code, 429), []).append(code)
    for status, named in sorted(codes.items()):
        answer: dict[str, Any] = {
            "description": "Refused: " + ", ".join(f"`{code}`" for code in named),
            "content": {"application/problem+json": {"schema": by_kind[Problem]}},
        }
        if status in (429, 503):
            answer["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds."}}
        responses[str(status)] = answer
    return responses
