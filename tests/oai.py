"""Twilio's OpenAPI document as a judge of Messages requests and answers; the validating is openapi-schema-validator's.

The document states no ranges and no error body, and its `phone-number` covers every kind of sender. What its
descriptions and https://www.twilio.com/docs/messaging/api/message-resource add is in the tables below.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from jsonschema import FormatChecker

DOCUMENT: dict[str, Any] = json.loads(
    (Path(__file__).parent / "data" / "twilio-oai" / "messages.json").read_text(encoding="utf-8")
)
E164 = re.compile(r"\+[1-9][0-9]{1,14}")
FORM = "application/x-www-form-urlencoded"
RANGES = {"ValidityPeriod": (1, 36_000), "Attempt": (1, 2**31 - 1)}
LONGEST = {"Body": 1_600, "StatusCallback": 4_000}
ERROR = {
    "type": "object",
    "properties": {
        "code": {"type": "integer", "minimum": 10_000, "maximum": 99_999},
        "message": {"type": "string", "minLength": 1},
        "more_info": {"type": "string", "pattern": "^https://www\\.twilio\\.com/docs/errors/[0-9]{5}$"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
    },
}

formats = FormatChecker(formats=())


@formats.checks("phone-number")
def _is_sender_or_number(value: object) -> bool:
    """E.164, a short code, an alphanumeric sender, or a channel address."""
    return not isinstance(value, str) or bool(
        re.fullmatch(r"(?:[a-z]+:)?\+[1-9][0-9]{1,14}|[0-9]{3,8}|(?=.*[A-Za-z])[A-Za-z0-9 &+_-]{1,11}", value)
    )


@formats.checks("date-time-rfc-2822", raises=ValueError)
def _is_rfc_2822(value: object) -> bool:
    return not isinstance(value, str) or bool(datetime.strptime(value, "%a, %d %b %Y %H:%M:%S %z"))


@formats.checks("date-time", raises=ValueError)
def _is_date_or_time(value: object) -> bool:
    """RFC 3339, or the date alone as in the document's own examples."""
    return not isinstance(value, str) or bool(datetime.fromisoformat(value))


@formats.checks("uri", raises=ValueError)
def _is_uri(value: object) -> bool:
    return not isinstance(value, str) or (bool(re.fullmatch(r"[!-~]+", value)) and bool(urlsplit(value)))


@formats.checks("currency")
def _is_currency(value: object) -> bool:
    return not isinstance(value, str) or bool(re.fullmatch("[A-Za-z]{3}", value))


@formats.checks("uri-map")
def _is_uri_map(value: object) -> bool:
    return not isinstance(value, dict) or all(isinstance(uri, str) and uri.startswith("/") for uri in value.values())


def operation_of(method: str, path: str) -> tuple[str, dict[str, str]] | None:
    """The operationId (`CreateMessage`, `ListMessage`, …) for a path without its query, and the path's values."""
    for template, item in DOCUMENT["paths"].items():
        pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(template))
        match = re.fullmatch(pattern, path)
        if match and method.lower() in item:
            return item[method.lower()]["operationId"], {n: unquote(v) for n, v in match.groupdict().items()}
    return None


@cache
def form_fields(operation: str) -> frozenset[str]:
    """Names that the body of this operation may have."""
    return frozenset(_form_schema(_operation(operation)).get("properties", {}))


def judge_request(
    method: str,
    path: str,
    form: Iterable[tuple[str, str]],
    headers: Mapping[str, str] | Iterable[tuple[str, str]],
) -> list[str]:
    """What is wrong with a request, as sentences; empty when nothing is.

    `path` as it came, with its query; `form` the decoded pairs of the body, in order.
    """
    bare, _, query = path.partition("?")
    found = operation_of(method, bare)
    if found is None:
        return [f"{method} {bare} is not in the document"]
    name, values = found
    operation = _operation(name)
    named = {key.lower(): value for key, value in (headers.items() if isinstance(headers, Mapping) else headers)}
    complaints = _judge_credentials(named.get("authorization"))
    pairs = list(form)
    if method.upper() == "POST" and named.get("content-type", "").partition(";")[0].strip() != FORM:
        complaints.append(f"Content-Type is {named.get('content-type')!r}, not {FORM}")
    complaints += _judge_pairs("path", _parameters(operation, "path"), list(values.items()))
    complaints += _judge_pairs("query", _parameters(operation, "query"), parse_qsl(query, keep_blank_values=True))
    complaints += _judge_pairs("body", _form_schema(operation), pairs)
    if name == "CreateMessage":
        complaints += _judge_meaning(pairs)
    return complaints


def judge_response(operation: str, status: int, body: dict[str, Any] | None) -> list[str]:
    """What is wrong with an answer's decoded JSON body (`None`: empty), key sets included; empty when nothing is."""
    if status >= 400:
        complaints = _violations(ERROR, body)
        if isinstance(body, dict):
            complaints += _judge_keys("error", ERROR, body)
            if body.get("status") != status:
                complaints.append(f"error: status is {body.get('status')!r}, the answer's is {status}")
            if not str(body.get("more_info")).endswith(f"/{body.get('code')}"):
                complaints.append(f"error: more_info {body.get('more_info')!r} is not about {body.get('code')!r}")
        return complaints
    answers = _operation(operation)["responses"]
    if str(status) not in answers:
        return [f"{operation} does not answer {status}, but {', '.join(answers)}"]
    content = answers[str(status)].get("content")
    if content is None:
        return [] if body is None else [f"{operation} answers {status} without a body"]
    schema = _resolved(content["application/json"]["schema"])
    complaints = _violations(schema, body)
    if isinstance(body, dict):
        complaints += _judge_keys(operation, schema, body)
        item = schema["properties"].get("messages", {}).get("items")
        for index, message in enumerate(body.get("messages", []) if item else []):
            complaints += _judge_keys(f"messages[{index}]", _resolved(item), message)
    return complaints


def _judge_credentials(authorization: str | None) -> list[str]:
    scheme, _, value = (authorization or "").partition(" ")
    try:
        username, colon, password = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return ["Authorization is not readable"]
    if scheme.lower() != "basic" or not colon or not password:
        return ["Authorization is not HTTP Basic with a name and a password"]
    if not re.fullmatch("(?:AC|SK)[0-9a-fA-F]{32}", username):
        return [f"Authorization: {username!r} is neither an account SID nor a key's"]
    return []


def _judge_pairs(where: str, schema: dict[str, Any], pairs: list[tuple[str, str]]) -> list[str]:
    properties = schema.get("properties", {})
    complaints = []
    typed: dict[str, Any] = {}
    for name, text in pairs:
        kind = _resolved(properties.get(name, {})).get("type")
        if kind == "array":
            typed.setdefault(name, []).append(text)
        elif name in typed:
            complaints.append(f"{where}: {name} is there twice")
        else:
            typed[name] = _typed(kind, text)
    strict = {**schema, "additionalProperties": False}
    return complaints + [f"{where}: {complaint}" for complaint in _violations(strict, typed)]


def _judge_meaning(pairs: list[tuple[str, str]]) -> list[str]:
    form = dict(pairs)
    complaints = []
    if "From" not in form and "MessagingServiceSid" not in form:
        complaints.append("body: neither From nor MessagingServiceSid")
    if not form.keys() & {"Body", "MediaUrl", "ContentSid"}:
        complaints.append("body: none of Body, MediaUrl, ContentSid")
    if "To" in form and not E164.fullmatch(form["To"]):
        complaints.append("body: To is not E.164")
    for name, (least, most) in RANGES.items():
        if re.fullmatch("-?[0-9]+", form.get(name, "")) and not least <= int(form[name]) <= most:
            complaints.append(f"body: {name} is not within {least} and {most}")
    complaints += [
        f"body: {name} is longer than {most} characters"
        for name, most in LONGEST.items()
        if len(form.get(name, "")) > most
    ]
    if "StatusCallback" in form:
        host = urlsplit(form["StatusCallback"]).hostname or ""
        if urlsplit(form["StatusCallback"]).scheme not in ("http", "https") or not host or "_" in host:
            complaints.append("body: StatusCallback has no valid host name")
    return complaints


def _judge_keys(what: str, schema: dict[str, Any], body: dict[str, Any]) -> list[str]:
    known = schema["properties"].keys()
    return [f"{what}: {name} is missing" for name in sorted(known - body.keys())] + [
        f"{what}: {name} is not in the document" for name in sorted(body.keys() - known)
    ]


def _typed(kind: str | None, text: str) -> Any:
    if kind == "integer" and re.fullmatch("-?[0-9]+", text):
        return int(text)
    if kind == "number" and re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", text):
        return float(text)
    if kind == "boolean" and text in ("true", "false"):
        return text == "true"
    return text


def _violations(schema: dict[str, Any], value: Any) -> list[str]:
    # Imported here, for it takes half a second of the start of each pretended Twilio, which never judges.
    from openapi_schema_validator import OAS30Validator

    validator = OAS30Validator({**schema, "components": DOCUMENT["components"]}, format_checker=formats)
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]


@cache
def _operation(name: str) -> dict[str, Any]:
    for item in DOCUMENT["paths"].values():
        for operation in item.values():
            if isinstance(operation, dict) and operation.get("operationId") == name:
                return operation
    raise KeyError(name)


def _form_schema(operation: dict[str, Any]) -> dict[str, Any]:
    schema = operation.get("requestBody", {}).get("content", {}).get(FORM, {}).get("schema", {"type": "object"})
    return _resolved(schema)


def _parameters(operation: dict[str, Any], where: str) -> dict[str, Any]:
    of_it = [parameter for parameter in operation["parameters"] if parameter["in"] == where]
    schema: dict[str, Any] = {"type": "object", "properties": {item["name"]: item["schema"] for item in of_it}}
    required = [item["name"] for item in of_it if item.get("required")]
    return {**schema, "required": required} if required else schema


def _resolved(schema: dict[str, Any]) -> dict[str, Any]:
    reference: str | None = schema.get("$ref")
    return schema if reference is None else DOCUMENT["components"]["schemas"][reference.rpartition("/")[2]]
