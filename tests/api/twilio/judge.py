"""Twilio's OpenAPI document of Verify as a judge of answers; the validating is openapi-schema-validator's.

The document lists no key as required and says nothing of error bodies: exact key sets and errors are judged here. Its
descriptions say RFC 2822 of dates, its examples and the SDKs ISO 8601.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jsonschema import FormatChecker
from openapi_schema_validator import OAS30Validator

import oai

DOCUMENT: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "data" / "twilio-oai" / "verify.json").read_text(encoding="utf-8")
)
ERROR_KEYS = {"code", "message", "more_info", "status"}

formats = FormatChecker(formats=())


@formats.checks("date-time")
def _is_iso(value: object) -> bool:
    return not isinstance(value, str) or bool(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", value))


@formats.checks("uri")
def _is_absolute(value: object) -> bool:
    return not isinstance(value, str) or (bool(re.fullmatch("[!-~]+", value)) and bool(urlsplit(value).netloc))


@formats.checks("uri-map")
def _is_uri_map(value: object) -> bool:
    return not isinstance(value, dict) or all(_is_absolute(uri) for uri in value.values())


@cache
def operation(method: str, path: str) -> dict[str, Any] | None:
    """The document's own words on a path without its query; None if it has none."""
    for template, item in sorted(DOCUMENT["paths"].items(), key=lambda pair: pair[0].count("{")):
        pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(template))
        if re.fullmatch(pattern, path) and method.lower() in item:
            return dict(item[method.lower()])
    return None


def judge(method: str, path: str, status: int, body: Any) -> list[str]:
    """What is wrong with an answer's decoded JSON body (`None`: empty); empty when nothing is."""
    if status >= 400:
        return _judge_error(status, body)
    if (of_messages := oai.operation_of(method, path)) is not None:
        return oai.judge_response(of_messages[0], status, body)
    known = operation(method, path)
    if known is None:
        return [f"{method} {path} is not in the document"]
    if str(status) not in known["responses"]:
        return [f"it answers {status}, but {', '.join(known['responses'])} are in the document"]
    content = known["responses"][str(status)].get("content")
    if content is None:
        return [] if body is None else ["the answer has a body"]
    schema = content["application/json"]["schema"]
    found = [f"{error.json_path}: {error.message}" for error in _validator(json.dumps(schema)).iter_errors(body)]
    return found + _judge_keys("$", schema, body)


def _judge_error(status: int, body: Any) -> list[str]:
    if not isinstance(body, dict):
        return ["the error is no object"]
    found = [f"the keys are {sorted(body)}"] if body.keys() - {"details"} != ERROR_KEYS else []
    code = body.get("code")
    if not isinstance(code, int) or not 10_000 <= code <= 99_999:
        found.append(f"code is {code!r}")
    if body.get("status") != status:
        found.append(f"status is {body.get('status')!r}, not {status}")
    if body.get("more_info") != f"https://www.twilio.com/docs/errors/{code}":
        found.append(f"more_info is {body.get('more_info')!r}")
    if not body.get("message") or not isinstance(body.get("details", {}), dict):
        found.append("message or details are not as they should be")
    return found


def _judge_keys(at: str, schema: dict[str, Any], value: Any) -> list[str]:
    schema = _resolved(schema)
    if isinstance(value, list):
        items = schema.get("items") or {}
        return [line for place, item in enumerate(value) for line in _judge_keys(f"{at}[{place}]", items, item)]
    if not isinstance(value, dict) or "properties" not in schema:
        return []
    known = schema["properties"]
    found = [f"{at}.{name} is missing" for name in sorted(known.keys() - value.keys())]
    found += [f"{at}.{name} is not in the document" for name in sorted(value.keys() - known.keys())]
    return found + [
        line for name in known.keys() & value.keys() for line in _judge_keys(f"{at}.{name}", known[name], value[name])
    ]


def _resolved(schema: dict[str, Any]) -> dict[str, Any]:
    reference = schema.get("$ref")
    return schema if reference is None else DOCUMENT["components"]["schemas"][reference.rpartition("/")[2]]


@cache
def _validator(schema: str) -> OAS30Validator:
    return OAS30Validator({**json.loads(schema), "components": DOCUMENT["components"]}, format_checker=formats)
