"""Bad input, field by field: the promised code at the promised field, and nothing has changed."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import pytest

from api.world import Neighbour, neighbour, picture, quiet, told
from installation import TO, Installation
from otpost.api.native.routes import ENDPOINTS

NUL, LONG = "a\x00b", "x" * 5000
HUGE = 10**30
ABSENT = object()

NO_TEXT: tuple[Any, ...] = (None, 7, 1.5, True, [], {}, ["x"])
NO_NUMBER: tuple[Any, ...] = (None, "7", 1.5, True, [], {})
NO_LIST: tuple[Any, ...] = (None, "x", 7, True, {})
NO_NUMBERS_AT_ALL: tuple[Any, ...] = (
    "",
    " ",
    "hello",
    "+",
    "+1",
    "+1500555",
    "+150055500061234567",
    "15005550006 ext 5",
    "+15005550006;ext=5",
    "+999123456789",
    "+1500555\x000006",
    NUL,
    LONG,
)
NOT_TEXTED: tuple[Any, ...] = ("+18002345678", "+19002345678")

Told = list[tuple[str, str]]


class Case(NamedTuple):
    """A body (or raw bytes) and the refusal that it gets: status, code, fields with their codes."""

    body: Any
    status: int
    code: str
    fields: Told


class Bad:
    """Cases around one body that is right."""

    def __init__(self, right: dict[str, Any]) -> None:
        self.right = right
        self.cases: list[Case] = []

    def at(self, path: str, code: str, *values: Any, field: str | None = None) -> Bad:
        """Each value at `path` (`variables.user`) is refused with 422 and this code at the field."""
        for value in values:
            body = json.loads(json.dumps(self.right))
            *outer, last = path.split(".")
            inner = body
            for name in outer:
                inner = inner.setdefault(name, {})
            if value is ABSENT:
                inner.pop(last, None)
            else:
                inner[last] = value
            self.cases.append(Case(body, 422, "invalid", [(field or path, code)]))
        return self

    def answered(self, status: int, code: str, path: str, *values: Any) -> Bad:
        """Each value at `path` is refused with this status and code, without a field."""
        for value in values:
            self.cases.append(Case({**self.right, path: value}, status, code, []))
        return self


def start_cases(other: Neighbour) -> Bad:
    bad = Bad({"to": "+15005550009"})
    bad.at("to", "required", ABSENT)
    bad.at("to", "invalid", *NO_TEXT)
    bad.at("to", "invalid_number", *NO_NUMBERS_AT_ALL)
    bad.at("to", "number_type_refused", *NOT_TEXTED)
    bad.at("application", "invalid", *NO_TEXT[1:])
    bad.answered(404, "not_found", "application", "", "x", NUL, LONG, "VA" + "0" * 32, other.application)
    bad.at("locale", "invalid", *NO_TEXT[1:], "e", "en\x00", "-", "é", "xx", "en*US", "en-" + "abcdefgh-" * 4, LONG)
    bad.at("client_ip", "invalid", *NO_TEXT[1:], "", "1.2.3", "1.2.3.4.5", "1.2.3.4/32", "host", "1.2.3.4\x00", "::1::")
    bad.at("client_ip", "text_too_long", "1" * 101)
    bad.at("variables", "invalid", "x", 7, True, [])
    for name in ("user", "endpoint", "event"):
        bad.at(f"variables.{name}", "invalid", *NO_TEXT, "a\nb", NUL, "a\u2028b", "\x7f", "http://x", "12345")
        bad.at(f"variables.{name}", "text_too_long", "x" * 65, LONG)
    bad.at("variables.otp", "unknown_field", "1")
    bad.at("colour", "unknown_field", "red", None)
    bad.at(NUL, "unknown_field", 1)
    return bad


def message_cases(other: Neighbour) -> Bad:
    bad = Bad({"to": "+15005550009", "body": "hello"})
    bad.at("to", "required", ABSENT)
    bad.at("to", "invalid", *NO_TEXT)
    bad.at("to", "invalid_number", *NO_NUMBERS_AT_ALL)
    bad.at("to", "number_type_refused", *NOT_TEXTED)
    bad.at("body", "required", ABSENT, "", " \n")
    bad.at("body", "invalid", *NO_TEXT, NUL, "\x1b", "a\x85", "a\x7f")
    bad.at("body", "text_too_long", "x" * 1601, LONG)
    bad.at("valid_for_s", "invalid", *NO_NUMBER)
    bad.at("valid_for_s", "out_of_range", 59, 36_001, 0, -1, HUGE, -HUGE)
    bad.at("colour", "unknown_field", "red")
    return bad


def application_cases(right: dict[str, Any]) -> Bad:
    bad = Bad(right)
    bad.at("name", "required", "", "  ")
    bad.at("name", "invalid", *NO_TEXT, NUL, "a\nb", "a\u2028b")
    bad.at("name", "text_too_long", "x" * 65, LONG)
    for field, low, high in (
        ("code_length", 4, 10),
        ("lifetime_s", 60, 600),
        ("max_checks", 1, 10),
        ("max_sends", 1, 10),
        ("resend_after_s", 0, 600),
        ("number_sends_per_hour", 1, 1000),
        ("number_sends_per_day", 1, 1000),
        ("number_checks_per_hour", 1, 1000),
        ("max_sends_per_hour", 1, 10_000_000),
        ("max_sends_per_client_ip", 1, 1_000_000),
        ("max_segments", 1, 10),
    ):
        nullable = field in ("max_sends_per_hour", "max_sends_per_client_ip")
        bad.at(field, "invalid", *(NO_NUMBER[1:] if nullable else NO_NUMBER))
        bad.at(field, "out_of_range", low - 1, high + 1, -HUGE, HUGE)
    bad.at("code_length", "out_of_range", 4, 5)
    bad.at("body", "invalid", *NO_TEXT, "{otp} {foo}", "{otp} {", "{otp}}", "{otp}\x00", "{otp}{OTP}", "{otp} {0}")
    bad.at("body", "required", "", "no code")
    bad.at("body", "text_too_long", "{otp}" + "x" * 1596)
    bad.at("default_region", "invalid", *NO_TEXT[1:], "XX", "IND", "+91", NUL, LONG, "001")
    bad.at("allowed_dialing_codes", "invalid", *NO_LIST)
    bad.at("allowed_dialing_codes", "invalid", [7], [None], [[]], field="allowed_dialing_codes[0]")
    bad.at("allowed_dialing_codes", "out_of_range", ["+1"] * 301)
    for wrong in ("", "x", "+999", "+12345678", "0", NUL, LONG):
        bad.at("allowed_dialing_codes", "invalid_number", ["+1", wrong], field="allowed_dialing_codes[1]")
    bad.at("allowed_dialing_codes", "duplicate", ["+91", "0091"], ["+1", "1\\"], field="allowed_dialing_codes[1]")
    bad.at("colour", "unknown_field", "red")
    bad.at("sid", "unknown_field", "VA" + "0" * 32)
    return bad


def key_cases() -> Bad:
    bad = Bad({})
    bad.at("name", "invalid", *NO_TEXT, NUL, "a\nb")
    bad.at("name", "text_too_long", "x" * 65, LONG)
    bad.at("scope", "unknown_field", "admin")
    return bad


def policy_cases() -> Bad:
    bad = Bad({"sender_service": None})
    bad.at("sender_service", "invalid", 7, True, [], {}, "", "nobodys", NUL, LONG)
    bad.at("revision", "invalid", "1", 1.5, True, [], {})
    bad.at("fallback", "invalid", "twilio", 7, {}, True)
    bad.at("fallback", "invalid", ["sandbox"], [7], ["nobodys"], [NUL], field="fallback[0]")
    bad.at("twilio", "invalid", 7, "x", [], True)
    for field in ("account_sid", "service_sid", "sender_phone", "api_url"):
        bad.at(f"twilio.{field}", "invalid", 7, True, [], {})
    bad.at("twilio.subaccounts", "invalid", 7, "x", {})
    bad.at("twilio.colour", "unknown_field", 1)
    bad.at("colour", "unknown_field", {})
    return bad


async def refused(otpost: Installation, method: str, path: str, cases: list[Case], **more: Any) -> None:
    """Each case gets its refusal, and after all of them the database is as it was."""
    await quiet(otpost)
    before = await picture(otpost)
    wrong: list[tuple[Any, ...]] = []
    for number, case in enumerate(cases):
        headers = {"idempotency-key": f"{path}-{number}"} if method == "POST" and number % 2 else {}
        answer = await otpost.call(method, path, case.body, headers=headers, **more)
        problem = told(answer) if answer.status >= 400 else (answer.status, "", [])
        if problem != (case.status, case.code, case.fields):
            wrong.append((json.dumps(case.body)[:120], problem, (case.status, case.code, case.fields)))
        elif answer.headers["content-type"] != "application/problem+json":
            wrong.append((json.dumps(case.body)[:120], answer.headers, ()))
    assert not wrong, "\n".join(map(str, wrong))
    assert await picture(otpost) == before


async def test_each_field_of_each_body(otpost: Installation) -> None:
    await otpost.choose_sandbox()
    other = await neighbour(otpost)
    own = otpost.tenant.default_application
    verification = await otpost.ok("POST", "/v1/verifications", {"to": TO})
    await refused(otpost, "POST", "/v1/verifications", start_cases(other).cases)
    no_code = Bad({"code": "123456"})
    no_code.at("code", "required", ABSENT)
    no_code.at("code", "invalid", *NO_TEXT, 123456, "", "12a456", "1" * 65, "12\x00", LONG, "--", "½")
    no_code.at("colour", "unknown_field", 1)
    await refused(otpost, "POST", f"/v1/verifications/{verification['sid']}/check", no_code.cases)
    surplus = Bad({}).at("colour", "unknown_field", 1)
    await refused(otpost, "POST", f"/v1/verifications/{verification['sid']}/cancel", surplus.cases)
    await refused(otpost, "POST", "/v1/messages", message_cases(other).cases)
    create = application_cases({"name": "New"}).at("name", "required", ABSENT)
    await refused(otpost, "POST", "/v1/applications", create.cases)
    await refused(otpost, "PATCH", f"/v1/applications/{own}", application_cases({}).cases)
    await refused(otpost, "POST", f"/v1/applications/{own}/keys", key_cases().cases)
    await refused(otpost, "PUT", "/v1/sender-policy", policy_cases().cases)
    assert (await otpost.ok("GET", f"/v1/verifications/{verification['sid']}"))["checks"] == 0


async def test_each_field_of_a_test_and_of_a_restore(otpost: Installation) -> None:
    await otpost.choose_sandbox()
    test = Bad({"policy": {"sender_service": "sandbox"}, "to": TO, "message": "hello"})
    test.at("policy", "required", ABSENT, None)
    test.at("policy", "invalid", 7, "x", [], True)
    test.at("policy.sender_service", "required", ABSENT, None)
    test.at("policy.sender_service", "invalid", 7, "nobodys", NUL)
    test.at("policy.colour", "unknown_field", 1)
    test.at("to", "required", ABSENT, None, "")
    test.at("to", "invalid", *NO_TEXT[1:])
    test.at("to", "invalid_number", *NO_NUMBERS_AT_ALL[1:])
    test.at("to", "number_type_refused", *NOT_TEXTED)
    test.at("message", "required", ABSENT, None, "", " \n")
    test.at("message", "invalid", *NO_TEXT[1:], NUL)
    test.at("message", "text_too_long", "x" * 1601)
    test.at("colour", "unknown_field", 1)
    await refused(otpost, "POST", "/v1/sender-policy/test", test.cases)
    restore = Bad({}).at("revision", "invalid", "1", 1.5, True, []).at("colour", "unknown_field", 1)
    restore.at("twilio", "invalid", 7, "x", [])
    restore.at("twilio.colour", "unknown_field", 1)
    await refused(otpost, "POST", "/v1/sender-policy/revisions/1/restore", restore.cases)


NO_JSON = (
    b"{",
    b"}",
    b"\xff\xfe",
    b'{"to": "\xff"}',
    b'{"to": "\\ud800"}',
    b'{"to": "\\udc00\\ud800"}',
    b'{"to": NaN}',
    b'{"to": 1, garbage',
    b'{"code": 1, "to": [',
    b'{"name": 1} {"name": 1}',
    b"{'to': 1}",
    b'{"to": 1,}',
    b"\xef\xbb\xbf{}",
    b"\x00",
    b"[" * 65_000,
    b'{"to": ' + b"[" * 65_000,
    b'{"x": ' + b"[" * 30_000 + b"]" * 30_000 + b"}",
    b'{"to": 1, "policy": ' + b'{"a":' * 9_000 + b"1" + b"}" * 9_000 + b"}",
    b"{}".decode().encode("utf-16"),
)
NO_OBJECT = (b"null", b"[]", b"1", b'"x"', b"true", b"1e400", b"[{}]", b"1" + b"0" * 400)
ODD_OBJECTS = (
    b'{"to": 1, "to": "+15005550006", "code": 1, "code": "1", "name": 1, "name": "x", "policy": 1, "colour": 1}',
    b'{"valid_for_s": 1e400, "code_length": 1e400, "code": 1e400, "name": 1e400, "revision": 1e400, "colour": 1e400}',
    b'{"valid_for_s": 1' + b"0" * 500 + b', "code": 1, "name": 7, "colour": 1}',
    b'{"\\u0000": {"\\u0000": "\\u0000"}}',
    b'{"' + b"x" * 20_000 + b'": 1}',
)


async def test_bodies_that_are_no_json_or_no_object(otpost: Installation) -> None:
    """On every address that takes a body: 400 for what is no JSON, 422 for what is another value, never a 5xx."""
    await otpost.choose_sandbox()
    verification = await otpost.ok("POST", "/v1/verifications", {"to": TO})
    await quiet(otpost)
    before = await picture(otpost)
    wrong = []
    for endpoint in ENDPOINTS:
        if endpoint.body is None:
            continue
        own = verification["sid"] if "verifications" in endpoint.path else otpost.tenant.default_application
        path = endpoint.path.replace("{sid}", own).replace("{revision}", "1")
        for number, raw in enumerate((*NO_JSON, *NO_OBJECT, *ODD_OBJECTS)):
            headers = {"idempotency-key": f"k{number}"} if number % 2 else {}
            answer = await otpost.call(endpoint.method, path, raw=raw, headers=headers)
            expected = (400, "malformed") if raw in NO_JSON else (422, "invalid")
            if (answer.status, answer.json()["code"]) != expected or (expected[0] == 422 and not told(answer)[2]):
                wrong.append((endpoint.method, path, raw[:60], answer.status, answer.text[:200]))
    assert not wrong, "\n".join(map(str, wrong))
    assert await picture(otpost) == before


async def test_the_kind_and_the_size_of_a_body(otpost: Installation) -> None:
    await otpost.choose_sandbox()
    for kind in ("", "text/plain", "application/x-www-form-urlencoded", "application/jsonp", "json", "\x00", "é"):
        answer = await otpost.call("POST", "/v1/messages", raw=b'{"to":1}', headers={"content-type": kind})
        assert told(answer) == (415, "unsupported_media_type", []), kind
    for kind in ("application/json; charset=utf-8", "APPLICATION/JSON", "application/vnd.acme+json"):
        answer = await otpost.call("POST", "/v1/messages", raw=b'{"to":1}', headers={"content-type": kind})
        assert answer.status == 422, kind
    start, end = b'{"to":"+15005550006","body":"', b'","valid_for_s":60}'
    for size, expected in ((65_535, 422), (65_536, 422), (65_537, 413), (200_000, 413)):
        raw = start + b"x" * (size - len(start) - len(end)) + end
        assert len(raw) == size
        answer = await otpost.call("POST", "/v1/messages", raw=raw)
        assert answer.status == expected, size
    assert (await otpost.call("POST", "/v1/messages", raw=b"x" * 70_000, key=otpost.verify)).status == 413
    unknown = {"authorization": "Bearer x.y"}
    assert (await otpost.call("POST", "/v1/messages", raw=b"x" * 70_000, headers=unknown)).status == 401
    for path in ("/v1/verifications", "/v1/messages", "/v1/applications", "/v1/sender-policy/test"):
        assert told(await otpost.call("POST", path, headers={"content-type": "application/json"}))[:2] == (
            400,
            "malformed",
        )


async def test_a_body_of_unknown_fields_is_refused_without_an_answer_many_times_its_size(otpost: Installation) -> None:
    await otpost.choose_sandbox()
    raw = b"{" + b",".join(b'"%05d":1' % place for place in range(6_000)) + b"}"
    answer = await otpost.call("POST", "/v1/applications", raw=raw)
    assert answer.status == 422
    codes = [error["code"] for error in answer.json()["errors"]]
    assert codes == ["unknown_field"] * 50 + ["required"]
    assert len(answer.body) < len(raw)


async def test_a_query_has_at_most_two_hundred_parameters(otpost: Installation) -> None:
    for count, status in ((200, 200), (201, 400)):
        answer = await otpost.call("GET", "/v1/verifications?" + "&".join(["limit=1"] * count))
        assert answer.status == status, count


async def test_idempotency_keys_that_are_none(otpost: Installation) -> None:
    await otpost.choose_sandbox()
    before = await picture(otpost, without=frozenset({"nodes"}))
    for key in ("", "a b", "é", "\x00", "x" * 256, "tab\t", "\x7f"):
        answer = await otpost.call("POST", "/v1/verifications", {"to": TO}, headers={"idempotency-key": key})
        assert told(answer) == (422, "invalid", [("Idempotency-Key", "invalid")]), key
    assert await picture(otpost, without=frozenset({"nodes"})) == before
    for key in ("!", "~" * 255):
        answer = await otpost.call("POST", "/v1/verifications", {}, headers={"idempotency-key": key})
        assert told(answer) == (422, "invalid", [("to", "required")])


ODD_SIDS = (
    "x",
    "%00",
    "%FF",
    "%20",
    "..",
    "VE",
    "VE" + "0" * 31,
    "VE" + "0" * 33,
    "VE" + "A" * 32,
    "VE" + "0" * 31 + "%0A",
    "%F0%9F%92%A9" * 40,
    "'%20OR%201=1--",
    "x" * 6000,
    "%EF%BF%BD",
)


RIGHT: dict[str, dict[str, Any]] = {
    "check": {"code": "123456"},
    "webhooks": {"url": "https://shop.example/", "events": ["message.failed"]},
    "replay": {"since": "2026-11-23T02:06:27Z"},
}
"""The bodies of addresses that take no empty one, by how they end."""


async def test_parameters_of_a_path_that_name_nothing(otpost: Installation) -> None:
    """Malformed, unknown and another tenant's are alike: not found, or at `number` no number."""
    await otpost.choose_sandbox()
    other = await neighbour(otpost)
    theirs = {
        "VE": other.verification["sid"],
        "SM": other.message,
        "VA": other.application,
        "SK": other.key.key.sid,
        "WH": "WH" + "1" * 32,
        "WD": "WD" + "1" * 32,
    }
    own = otpost.tenant.default_application
    await quiet(otpost)
    before = await picture(otpost)
    wrong = []
    for endpoint in ENDPOINTS:
        if "{" not in endpoint.path:
            continue
        code = "verification_not_found" if "/verifications/" in endpoint.path else "not_found"
        body = RIGHT.get(endpoint.path.rpartition("/")[2], {}) if endpoint.body else None
        odd: list[str] = [*ODD_SIDS, *theirs.values(), *(prefix + "0" * 32 for prefix in theirs)]
        expected: tuple[int, str, Told] = (404, code, [])
        if "{number}" in endpoint.path:
            odd, expected = ["x", "%00", "+1", "%FF", "1" * 70], (422, "invalid", [("number", "invalid_number")])
        if "{revision}" in endpoint.path:
            odd = ["x", "0", "-1", "999", "1.0", "%00", "9" * 10, "9" * 5000, "%D9%A1", "1e1", "%FF", "2147483648"]
        paths = [endpoint.path.replace("{key}", theirs["SK"]).replace("{sid}", value) for value in odd]
        inner = [name for name in ("{key}", "{webhook}", "{delivery}") if name in endpoint.path]
        paths += [endpoint.path.replace("{sid}", own).replace(name, value) for name in inner for value in odd]
        for path, value in zip(paths, odd * (1 + len(inner)), strict=True):
            full = path.replace("{number}", value).replace("{revision}", value)
            for headers in ({}, {"idempotency-key": "same"}) if endpoint.method == "POST" else ({},):
                answer = await otpost.call(endpoint.method, full, body, headers=headers)
                if told(answer) != expected:
                    wrong.append((endpoint.method, full[:90], answer.status, answer.text[:120]))
    assert not wrong, "\n".join(map(str, wrong))
    assert await picture(otpost) == before


LISTS = (
    "/v1/verifications",
    "/v1/messages",
    "/v1/applications",
    "/v1/applications/{own}/keys",
    "/v1/sandbox/messages",
    "/v1/sender-policy/revisions",
)


async def test_parameters_of_a_query(otpost: Installation) -> None:
    await otpost.choose_sandbox()
    own = otpost.tenant.default_application
    asked: list[tuple[str, tuple[int, str, Told]]] = []
    for path in LISTS:
        at = path.replace("{own}", own)
        for limit in ("0", "201", "-1", "9" * 30, "9" * 5000):
            asked.append((f"{at}?limit={limit}", (422, "invalid", [("limit", "out_of_range")])))
        for limit in ("x", "", "1.5", "%00", "1e", "null"):
            asked.append((f"{at}?limit={limit}", (422, "invalid", [("limit", "invalid")])))
        for cursor in ("x", "%00", "XX" + "0" * 32, "-1", "9" * 400):
            asked.append((f"{at}?cursor={cursor}", (422, "invalid", [("cursor", "invalid")])))
        for query in ("limit=%FF", "cursor=%FF%FE", "%FF=1", "x=%C3%28", "limit=é"):
            asked.append((f"{at}?{query}", (400, "malformed", [])))
    for at in ("/v1/verifications", "/v1/messages", "/v1/sandbox/messages"):
        for to in ("", "x", "%00", "+1", "%2B999123456789", "9" * 70, "15005550006%20ext%205"):
            asked.append((f"{at}?to={to}", (422, "invalid", [("to", "invalid_number")])))
    for at in ("/v1/verifications", "/v1/messages"):
        for status in ("", "x", "PENDING", "%00", "pending,approved"):
            asked.append((f"{at}?status={status}", (422, "invalid", [("status", "invalid")])))
    for after in (
        "",
        "x",
        "2026-11-23",
        "2026-11-23T00:00:00",
        "1",
        "%00",
        "2026-13-01T00:00:00Z",
        "1900-01-01T00:00:00Z",
    ):
        asked.append((f"/v1/messages?after={after}", (422, "invalid", [("after", "invalid")])))
    asked.append(("/v1/sender-policy/route", (422, "invalid", [("to", "required")])))
    asked.append(("/v1/sender-policy/route?to=", (422, "invalid", [("to", "invalid_number")])))
    asked.append(("/v1/sender-policy/route?to=%00", (422, "invalid", [("to", "invalid_number")])))
    asked.append(("/v1/sender-policy/route?to=%2B18002345678", (422, "invalid", [("to", "number_type_refused")])))
    wrong = []
    for target, expected in asked:
        answer = await otpost.call("GET", target)
        if answer.status < 400 or told(answer) != expected:
            wrong.append((target[:90], answer.status, answer.text[:200]))
    assert not wrong, "\n".join(map(str, wrong))


async def test_a_method_that_an_address_does_not_take_and_an_address_that_is_none(otpost: Installation) -> None:
    by_path: dict[str, set[str]] = {"/healthz": {"GET", "HEAD"}, "/openapi.json": {"GET", "HEAD"}}
    for endpoint in ENDPOINTS:
        by_path.setdefault(endpoint.path, set()).add(endpoint.method)
    for path, methods in by_path.items():
        for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "FOO"} - methods:
            answer = await otpost.call(method, path.replace("{", "").replace("}", ""))
            assert told(answer)[:2] == (405, "method_not_allowed"), (method, path)
            assert set(answer.headers["allow"].split(", ")) == methods
    for path in ("/v1", "/v1/", "/v1/verifications/", "/v20", "/v1/verifications/a/b/c", "/%00", "//v1/verifications"):
        assert told(await otpost.call("GET", path))[:2] == (404, "not_found")


@pytest.mark.parametrize("field", ["name", "body"])
async def test_a_text_beyond_the_basic_plane_is_kept_whole(otpost: Installation, field: str) -> None:
    text = "💩 é ü {otp}" if field == "body" else "Café 💩"
    made = await otpost.ok("POST", "/v1/applications", {"name": "New", field: text})
    assert (await otpost.ok("GET", f"/v1/applications/{made['sid']}"))[field] == text
