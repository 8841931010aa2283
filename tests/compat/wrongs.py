"""Requests as the SDKs sent them, with one thing wrong at a time, and what Twilio answers to each."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

import oai
from api.twilio import judge
from compat.served import Exchange

SID = re.compile("[A-Z]{2}[0-9a-f]{32}")
IN_PATH = re.compile(r"[A-Z]{2}[0-9a-f]{32}|\+[0-9]{7,15}|(?<=MessagingConfigurations/)[A-Za-z]+")
FORM = "application/x-www-form-urlencoded"
BODY_LIMIT = 65_536

Answer = tuple[int, int]
NOBODY, NOTHING, NO_METHOD, TOO_LARGE = (401, 20003), (404, 20404), (405, 20004), (413, 20413)
MISSING, INVALID, UNREADABLE, PAGE_TOO_LARGE = (400, 20001), (400, 60200), (400, 20422), (400, 20007)

LEFT_OUT: Mapping[tuple[str, str], Answer] = {
    ("CreateMessage", "To"): (400, 21604),
    ("CreateMessage", "Body"): (400, 21602),
    ("CreateVerificationCheck", "Code"): INVALID,
    ("CreateVerificationCheck", "To"): (400, 60221),
    ("CreateVerificationCheck", "VerificationSid"): (400, 60221),
    ("UpdateVerification", "Status"): MISSING,
}
"""What leaving a parameter out comes to, beside those that the document calls required."""

MALFORMED: Mapping[str, Mapping[str, Answer]] = {
    "CreateService": {"FriendlyName": INVALID, "CustomCodeEnabled": INVALID},
    "UpdateService": {"FriendlyName": INVALID, "CodeLength": INVALID},
    "CreateRateLimit": {"UniqueName": (400, 60209)},
    "CreateBucket": {"Max": INVALID, "Interval": INVALID},
    "UpdateBucket": {"Max": INVALID},
    "CreateMessagingConfiguration": {"Country": INVALID, "MessagingServiceSid": INVALID},
    "UpdateMessagingConfiguration": {"MessagingServiceSid": INVALID},
    "CreateVerification": {
        "To": INVALID,
        "Channel": INVALID,
        "Locale": INVALID,
        "RateLimits": INVALID,
        "TemplateSid": (400, 60228),
        "CustomFriendlyName": INVALID,
        "CustomCode": INVALID,
        "AppHash": INVALID,
        "Tags": INVALID,
        "DeviceIp": INVALID,
        "RiskCheck": INVALID,
    },
    "UpdateVerification": {"Status": INVALID},
    "CreateVerificationCheck": {"To": INVALID, "VerificationSid": NOTHING, "Code": INVALID},
    "CreateSafelist": {"PhoneNumber": INVALID},
    "CreateMessage": {"To": (400, 21211), "ValidityPeriod": (400, 21624), "StatusCallback": (400, 21609)},
    "UpdateMessage": {"Body": UNREADABLE},
}
"""What `%%%` comes to in each parameter that has a form."""

GARBAGE = (
    "",
    " ",
    "\0",
    "\x7f",
    "💥",
    "x" * 5_000,
    "-1",
    "1e309",
    "9" * 30,
    "{}",
    "[1]",
    '{"a":',
    "null",
    "true",
    "VE",
)
PAGES: Mapping[str, Answer] = {
    "PageSize=1001": PAGE_TOO_LARGE,
    "PageSize=0": PAGE_TOO_LARGE,
    "PageSize=x": UNREADABLE,
    "PageSize=-1": UNREADABLE,
    "Page=x": UNREADABLE,
    "Page=1&PageToken=x": UNREADABLE,
}
ODD_QUERIES = (
    "Page=99999999999999999999",
    "Page=1&PageToken=PA",
    "Page=1&PageToken=PA%00",
    "Page=7&PageToken=PB" + "z" * 500,
    "%FF=%FF&&&=x&a",
    "PageSize=%00",
    "To=%2B&From=%00&DateSent=0001-01-01&DateSent%3E=9999-12-31T23:59:59-23:59",
    "DateSent=yesterday",
    "DateCreatedAfter=0001-01-01T00:00:00Z&DateCreatedBefore=99999-01-01&Status=x&Country=%00&Channel=x",
    "ChannelData.To=%00&VerifyServiceSid=x&VerificationSid=%F0&DestinationPrefix=%00",
)


@dataclass(frozen=True)
class Wrong:
    """One request; `answer` is Twilio's, or None where any will do that is no failure of the service."""

    what: str
    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    answer: Answer | None


@dataclass(frozen=True)
class Whose:
    """A tenant as a caller: its credentials, and what it has, by kind."""

    account: str
    token: str
    key: str
    secret: str
    living: Mapping[str, str]


def operation(exchange: Exchange) -> dict[str, Any] | None:
    """The document's own words on the request."""
    if exchange.path.startswith("/v2/"):
        return judge.operation(exchange.method, exchange.path)
    found = oai.operation_of(exchange.method, exchange.path)
    if found is None:
        return None
    paths = oai.DOCUMENT["paths"].values()
    told: dict[str, Any] = next(item[m] for item in paths for m in item if m != "x" and _named(item[m]) == found[0])
    return told


def _named(said: Any) -> str | None:
    return said.get("operationId") if isinstance(said, dict) else None


def basic(name: str, secret: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{secret}".encode()).decode()


def revived(exchange: Exchange, ours: Whose, gone: Mapping[str, str]) -> Exchange:
    """The same about what lives on, where it was about what was deleted since."""
    target = exchange.target
    for kind, sid in gone.items():
        target = target.replace(sid, ours.living[kind])
    return replace(exchange, target=target, body=b"" if exchange.method == "GET" else exchange.body)


def wrongs(exchange: Exchange, ours: Whose, theirs: Whose) -> Iterator[Wrong]:
    """Each thing wrong with this one, alone."""
    plain = Wrong("", exchange.method, exchange.target, _headers(exchange), exchange.body, None)
    yield from _credentials(plain, ours, theirs)
    yield from _addresses(plain, theirs)
    yield from _methods(plain)
    yield from _bodies(plain)
    if exchange.method == "POST":
        yield from _parameters(plain, exchange, theirs)
    if exchange.method == "GET":
        yield from _queries(plain, exchange)


def _headers(exchange: Exchange) -> dict[str, str]:
    return {name: value for name, value in exchange.headers.items() if name not in ("content-length", "connection")}


def _credentials(plain: Wrong, ours: Whose, theirs: Whose) -> Iterator[Wrong]:
    bare = {name: value for name, value in plain.headers.items() if name != "authorization"}
    yield replace(plain, what="no credentials", headers=bare, answer=NOBODY)
    for what, given in (
        ("a wrong secret", basic(ours.key, "wrong")),
        ("no secret", basic(ours.key, "")),
        ("an unknown key", basic("SK" + "0" * 32, ours.secret)),
        ("another tenant's secret", basic(ours.key, theirs.secret)),
        ("another tenant's auth token", basic(ours.account, theirs.token)),
        ("an unknown account", basic("AC" + "0" * 32, ours.token)),
        ("a key's secret for the account", basic(ours.account, ours.secret)),
        ("no name", basic("", ours.token)),
        ("a bearer", f"Bearer {ours.key}.{ours.secret}"),
        ("no Base64", "Basic %%%"),
        ("no text", "Basic " + base64.b64encode(b"\xff\xfe:\xff").decode()),
        ("no colon", "Basic " + base64.b64encode(ours.key.encode()).decode()),
        ("an endless secret", basic(ours.key, "x" * 9_000)),
        ("nothing but the scheme", "Basic"),
    ):
        headers = {**bare, "authorization": given}
        yield replace(plain, what=f"credentials: {what}", headers=headers, answer=NOBODY)


def _addresses(plain: Wrong, theirs: Whose) -> Iterator[Wrong]:
    path, _, query = plain.target.partition("?")
    for found in IN_PATH.finditer(path):
        own = found[0]
        kind = "safe" if "SafeList" in path else "number" if own[0] == "+" else own[:2] if len(own) == 34 else "country"
        others = {"an unknown one": {"number": "+447400999999", "safe": "+447400999999", "country": "ZW"}.get(kind)}
        if others["an unknown one"] is None:
            others["an unknown one"] = own[:2] + "0" * 32
        others["another tenant's"] = theirs.living.get(kind, theirs.account if kind == "AC" else None)
        others |= {
            "one of another kind": "XX" + "1" * 32,
            "half of one": own[:-1] + "%00" if kind == "country" else own[: len(own) // 2],
            "a longer one": own + "0" * 300,
            "a word": "nobody",
            "no UTF-8": "%FF%FE",
            "a NUL": own + "%00",
            "a way up": "..",
            "a slash within": own + "%2F" + own,
        }
        for what, other in others.items():
            if other is None or other == own:
                continue
            target = path[: found.start()] + other + path[found.end() :] + (f"?{query}" if query else "")
            yield replace(plain, what=f"{what} for {own[:2]} at {found.start()}", target=target, answer=NOTHING)
    for what, target in (
        ("a slash at the end", f"{path}/"),
        ("segments more", f"{path}/more/still"),
        ("two slashes", path.replace("/", "//").replace("//", "/", 1)),
        ("another version", path.replace("/v2/", "/v2/v2/").replace("/2010-04-01/", "/2010-04-01/v1/")),
    ):
        yield replace(plain, what=what, target=target, answer=NOTHING)


def _methods(plain: Wrong) -> Iterator[Wrong]:
    for method in ("PUT", "PATCH", "OPTIONS", "TRACE", "BREW"):
        yield replace(plain, what=f"the method {method}", method=method, answer=NO_METHOD)
    for method in ("GET", "POST", "DELETE"):
        asked = Exchange(method, plain.target, {}, b"", 0, b"")
        if operation(asked) is None:
            yield replace(plain, what=f"the method {method}", method=method, answer=NO_METHOD)


def _bodies(plain: Wrong) -> Iterator[Wrong]:
    padding = b"&Padding=" if plain.body else b"Padding="
    room = BODY_LIMIT - len(plain.body) - len(padding)
    headers = {**plain.headers, "content-type": FORM}
    larger = plain.body + padding + b"x" * (room + 1)
    yield replace(plain, what="a body of 64 KiB and a byte", headers=headers, body=larger, answer=TOO_LARGE)
    if plain.method != "POST":
        return
    yield replace(plain, what="a body of 64 KiB", headers=headers, body=larger[:-1])
    for what, body in (
        ("no text", b"\xff\xfe\x00=\xff"),
        ("half an escape", b"To=%&To=%2&%=%"),
        ("nothing but signs", b"&&&===&=&"),
    ):
        yield replace(plain, what=f"a body of {what}", body=body)
    many = b"&".join(b"P%d=x" % number for number in range(300))
    yield replace(plain, what="300 parameters", body=plain.body + b"&" + many, answer=UNREADABLE)


def _parameters(plain: Wrong, exchange: Exchange, theirs: Whose) -> Iterator[Wrong]:
    said = operation(exchange)
    name = str(said["operationId"]) if said else ""
    schema = said["requestBody"]["content"][FORM]["schema"] if said and "requestBody" in said else {}
    required = set(schema.get("required", ()))
    given = parse_qsl(exchange.body.decode(), keep_blank_values=True)

    def with_value(parameter: str, value: str | None) -> bytes:
        others = [(one, value if one == parameter else text) for one, text in given]
        return urlencode([(one, text) for one, text in others if text is not None]).encode()

    for parameter, text in given:
        answer = LEFT_OUT.get((name, parameter), MISSING if parameter in required else None)
        yield replace(plain, what=f"no {parameter}", body=with_value(parameter, None), answer=answer)
        answer = MALFORMED.get(name, {}).get(parameter)
        yield replace(plain, what=f"{parameter} malformed", body=with_value(parameter, "%%%"), answer=answer)
        for value in GARBAGE:
            yield replace(plain, what=f"{parameter}={value[:9]!r}", body=with_value(parameter, value))
        twice = exchange.body + b"&" + urlencode({parameter: text + "x"}).encode()
        yield replace(plain, what=f"{parameter} twice", body=twice)
        spoilt = exchange.body + f"&{quote(parameter)}=%FF".encode()
        yield replace(plain, what=f"{parameter} in no UTF-8", body=spoilt, answer=INVALID)
        if SID.fullmatch(text):
            own = theirs.living.get(text[:2], text[:2] + "9" * 32)
            for what, sid in (("an unknown", text[:2] + "0" * 32), ("another tenant's", own)):
                answer = NOTHING if parameter == "VerificationSid" else None
                yield replace(plain, what=f"{what} {parameter}", body=with_value(parameter, sid), answer=answer)
    if required:
        as_json = {**plain.headers, "content-type": "application/json"}
        yield replace(plain, what="JSON", headers=as_json, body=b'{"To":"+15005550006"}', answer=_first(name))
        untyped = {one: value for one, value in plain.headers.items() if one != "content-type"}
        yield replace(plain, what="no content type", headers=untyped, answer=_first(name))


def _first(name: str) -> Answer:
    return LEFT_OUT[name, "To"] if name == "CreateMessage" else MISSING


def _queries(plain: Wrong, exchange: Exchange) -> Iterator[Wrong]:
    said = operation(exchange)
    paged = said is not None and any(one["name"] == "PageSize" for one in said.get("parameters", ()))
    path = exchange.path
    for query, answer in PAGES.items():
        known = answer if paged else None
        yield replace(plain, what=f"?{query}", target=f"{path}?{query}", answer=known)
    for query in ODD_QUERIES:
        yield replace(plain, what=f"?{query[:30]}", target=f"{path}?{query}")
