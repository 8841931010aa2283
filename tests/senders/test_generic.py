"""The generic gateway: what its settings may say, the bytes of its request, and what each answer and report means."""

from __future__ import annotations

import asyncio
import time
from base64 import b64decode
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import msgspec
import pytest

from otpost.domain.outcome import Accepted, Outcome, Refused, Unavailable, Unknown, Vendor
from otpost.domain.phone import trusted
from otpost.domain.policy import Route
from otpost.domain.secret import Secret
from otpost.outbound import Response
from otpost.senders import generic
from otpost.senders.generic.presets import PRESETS, Preset
from otpost.senders.generic.settings import MEANINGS, Settings
from otpost.senders.registry import capabilities, list_problems
from otpost.senders.service import Http, NotProven, Reported, ReportRequest, SenderService, SendsAgain, Text
from otpost.senders.settings import SecretRef, answer, fill
from otpost.senders.submission import Submission, read_section
from senders.contract import LOOPBACK, Answer, Case, Example, Received, outbound, standing_in, the_one

CHECKED_BY_MYPY: tuple[SenderService, SendsAgain] = (generic, generic)

CALLBACK = "https://otp.example.com/callbacks/generic/AT0190?proof=abc"
TO = trusted("+919191919191")
BODY = "123456 is your Acmé code & more"
TEXT = Text("AT0190", TO, BODY, 299, CALLBACK)


def section(url: str, **changed: Any) -> dict[str, Any]:
    """A gateway that takes a form with two names and says what it did in JSON."""
    return {
        "service_url": f"{url}/send?v=2",
        "parameters": [{"name": "to", "value": "{phone}"}, {"name": "text", "value": "{message}"}],
        **changed,
    }


def report(address: str, sid: str | None, status: str) -> ReportRequest:
    body = urlencode({"id": sid or "", "state": status.upper(), "err": "404" if status == "failed" else ""})
    return ReportRequest(address, body.encode(), {"Content-Type": "application/x-www-form-urlencoded"})


EXAMPLE = Example(
    section=lambda url: section(
        url,
        auth_username="acme",
        auth_password="pass-word-of-acme",
        secure_parameters=[{"name": "apiKey", "value": "key: of/acme+"}],
        secure_headers=[{"name": "X-Key", "value": "Bearer header-of-acme"}],
        headers=[{"name": "X-Attempt", "value": "{attempt}"}],
        parameters=[
            {"name": "to", "value": "{phone}"},
            {"name": "text", "value": "{message}"},
            {"name": "dlr", "value": "{callback_url}"},
        ],
        refusals=[{"pattern": "no such number", "reason": "invalid_number"}],
        message_id_path="id",
        error_code_path="code",
        report_id_path="id",
        report_status_path="state",
        report_code_path="err",
        report_sent="sent",
        report_delivered="delivered",
        report_failed="failed",
    ),
    cases={
        "accepted": Case(Answer(200, b'{"id": "m-1"}'), Accepted),
        "refused": Case(Answer(400, b"no such number"), Refused, "invalid_number"),
        "credentials": Case(Answer(401), Refused, "credentials_refused", "auth_password"),
        "throttled": Case(Answer(429), Unavailable, "throttled"),
        "server_error": Case(Answer(503), Unknown, "answer_lost"),
        "not_connected": Case(None, Unavailable, "network_trouble"),
        "timed_out": Case(None, Unknown, "answer_lost"),
        "reset": Case(None, Unknown, "answer_lost"),
        "unreadable": Case(Answer(200, b"<html>"), Unknown, "answer_lost"),
    },
    report=report,
)


def settings_of(values: Mapping[str, Any]) -> Settings:
    judged: Submission[Settings] = read_section(Settings, dict(values), "generic")
    assert judged.errors == []
    return fill(judged.settings, judged.typed)


def problems_of(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    judged: Submission[Settings] = read_section(Settings, dict(values), "generic")
    errors = judged.errors + list_problems(generic, judged.settings, "generic")
    assert all(error.message.endswith((".", ")")) for error in errors)
    return [(error.field.removeprefix("generic."), error.code) for error in errors]


async def send(http: Http, values: Mapping[str, Any], text: Text = TEXT) -> Outcome:
    settings = settings_of(values)
    route = generic.route(settings, text.to)
    assert isinstance(route, Route)
    return await generic.send(http, settings, route, text)


async def asked(text: Text = TEXT, **changed: Any) -> Received:
    """The one request that these settings make."""
    async with standing_in(Answer(200, b"OK")) as vendor, outbound(LOOPBACK) as http:
        outcome = await send(http, section(vendor.url, **changed), text)
    assert isinstance(outcome, Accepted)
    assert len(vendor.received) == 1
    return vendor.received[0]


async def answered(status: int, body: bytes, **changed: Any) -> Outcome:
    async with standing_in(Answer(status, body, changed.pop("said", {}))) as vendor, outbound(LOOPBACK) as http:
        outcome = await send(http, section(vendor.url, **changed))
    assert len(vendor.received) == 1
    return outcome


def reason_of(outcome: Outcome) -> str | None:
    return None if isinstance(outcome, Accepted) else outcome.reason


# The request


async def test_a_form_is_sent_whole():
    async with standing_in(Answer(200, b'{"id": "m-1"}')) as vendor, outbound(LOOPBACK) as http:
        outcome = await send(http, EXAMPLE.section(vendor.url))
    assert outcome == Accepted(Vendor(http_status=200, sid="m-1"))
    (request,) = vendor.received
    assert (request.method, request.target) == ("POST", "/send?v=2")
    assert request.body == (
        b"to=%2B919191919191&text=123456+is+your+Acm%C3%A9+code+%26+more"
        b"&dlr=https%3A%2F%2Fotp.example.com%2Fcallbacks%2Fgeneric%2FAT0190%3Fproof%3Dabc&apiKey=key%3A+of%2Facme%2B"
    )
    assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert request.headers["Authorization"] == "Basic YWNtZTpwYXNzLXdvcmQtb2YtYWNtZQ=="
    assert (request.headers["X-Key"], request.headers["X-Attempt"]) == ("Bearer header-of-acme", "AT0190")


async def test_names_with_dots_make_objects_and_lists_in_json():
    request = await asked(
        body_format="json",
        request_method="PUT",
        number_format="",
        sender="Acme",
        parameters=[
            {"name": "messages.0.to.0", "value": "{phone}"},
            {"name": "messages.0.text", "value": "{message}"},
            {"name": "messages.0.from", "value": "{sender}"},
            {"name": "options.ttl:json", "value": "{valid_for_s}"},
            {"name": "options.tags:json", "value": '["otp", "{attempt}"]'},
            {"name": "v\\.1", "value": "x"},
            {"name": "dlr", "value": "{callback_url}"},
        ],
        secure_parameters=[{"name": "auth.key", "value": "geheim"}],
    )
    assert (request.method, request.headers["Content-Type"]) == ("PUT", "application/json")
    assert msgspec.json.decode(request.body) == {
        "messages": [{"to": ["919191919191"], "text": BODY, "from": "Acme"}],
        "options": {"ttl": 299, "tags": ["otp", "AT0190"]},
        "v.1": "x",
        "dlr": CALLBACK,
        "auth": {"key": "geheim"},
    }


@pytest.mark.parametrize(("method", "body_format"), [("GET", "form"), ("GET", "json"), ("POST", "query")])
async def test_a_query_goes_behind_what_the_url_has_already(method, body_format):
    request = await asked(
        request_method=method,
        body_format=body_format,
        number_format="00",
        secure_parameters=[{"name": "apiKey", "value": "a b&c"}],
    )
    assert (request.method, request.body) == (method, b"")
    assert request.target == (
        "/send?v=2&to=00919191919191&text=123456%20is%20your%20Acm%C3%A9%20code%20%26%20more&apiKey=a%20b%26c"
    )
    assert "Content-Type" not in request.headers or request.headers["Content-Type"] == "application/octet-stream"


async def test_placeholders_in_the_url_and_in_headers_are_encoded_for_their_place():
    async with standing_in(Answer(200, b"OK")) as vendor, outbound(LOOPBACK) as http:
        values = {
            "service_url": f"{vendor.url}/to/{{phone}}/say?text={{message}}",
            "headers": [{"name": "X-Text", "value": "{message}"}, {"name": "X-From", "value": "{sender}"}],
        }
        assert isinstance(await send(http, values), Accepted)
    (request,) = vendor.received
    assert request.target == "/to/%2B919191919191/say?text=123456%20is%20your%20Acm%C3%A9%20code%20%26%20more"
    assert request.headers["X-Text"] == "123456 is your Acm%C3%A9 code & more"
    assert "X-From" not in request.headers


async def test_a_text_that_looks_like_a_placeholder_is_sent_as_it_is():
    request = await asked(Text("AT0190", TO, "{phone} {sender} 1234", 60))
    assert parse_qs(request.body.decode())["text"] == ["{phone} {sender} 1234"]


async def test_a_parameter_of_a_placeholder_for_which_there_is_nothing_is_left_out():
    request = await asked(
        Text("AT0190", TO, BODY, 59),
        parameters=[
            {"name": "to", "value": "{phone}"},
            {"name": "text", "value": "{message}"},
            {"name": "from", "value": "{sender}"},
            {"name": "dlr", "value": "{callback_url}"},
            {"name": "kept", "value": ""},
            {"name": "min", "value": "{valid_for_min}"},
        ],
        report_status_path="status",
        report_delivered="ok",
    )
    assert request.body.endswith(b"&kept=&min=1")
    assert b"from" not in request.body
    assert b"dlr" not in request.body


async def test_the_sender_is_written_as_numbers_are():
    request = await asked(
        parameters=[{"name": "a", "value": "{phone}{message}"}, {"name": "from", "value": "{sender}"}],
        number_format="",
        sender="+15005550006",
    )
    assert request.body.endswith(b"&from=15005550006")


async def test_a_header_of_the_settings_replaces_one_of_ours():
    request = await asked(headers=[{"name": "content-type", "value": "text/plain"}])
    assert [value for name, value in request.headers.items() if name.lower() == "content-type"] == ["text/plain"]


async def test_the_time_out_and_the_private_authority_are_those_of_the_settings():
    seen: list[tuple[float, float, str | None]] = []

    class Recording:
        async def request(
            self,
            method: str,
            url: str,
            *,
            headers: Mapping[str, str],
            body: bytes | None,
            connect_s: float,
            total_s: float,
            ca: str | None = None,
        ) -> Response:
            seen.append((connect_s, total_s, ca))
            return Response(200, {}, b"")

    values = section("https://sms.example.com")
    pem = "-----BEGIN CERTIFICATE-----\nAAAA\nBBBB\n-----END CERTIFICATE-----\n"
    assert isinstance(await send(Recording(), values | {"timeout_s": 3}), Accepted)
    assert isinstance(await send(Recording(), values | {"timeout_s": 30}), Accepted)
    assert isinstance(await send(Recording(), values | {"ca_certificate": pem.replace("\n", " ")}), Accepted)
    assert seen == [(3, 3.0, None), (5.0, 30.0, None), (5.0, 10.0, pem.replace("AAAA\nBBBB", "AAAABBBB"))]


@pytest.mark.parametrize(
    ("without", "field"),
    [
        ("auth_password", "auth_password"),
        ("secure_parameters", "secure_parameters[0].value"),
        ("secure_headers", "secure_headers[0].value"),
    ],
)
async def test_without_a_secret_nothing_is_sent(without, field):
    values = EXAMPLE.section("https://sms.example.com")
    values[without] = [row | {"value": None} for row in values[without]] if without != "auth_password" else None
    async with outbound() as http:
        outcome = await send(http, values)
    assert isinstance(outcome, Refused)
    assert (outcome.reason, outcome.field) == ("credentials_refused", field)


def test_a_secret_belongs_to_its_name_and_to_the_host_of_the_service_url():
    judged = read_section(Settings, EXAMPLE.section("https://sms.example.com"), "generic")
    assert set(judged.typed) == {
        SecretRef("auth_password", "acme", "https://sms.example.com:443"),
        SecretRef("secure_parameter", "apiKey", "https://sms.example.com:443"),
        SecretRef("secure_header", "X-Key", "https://sms.example.com:443"),
    }


@pytest.mark.parametrize(
    ("changed", "account_sid", "field"),
    [
        ({"auth_username": "acme"}, "acme@sms.example.com:8443", "auth_password"),
        ({"secure_parameters": [{"name": "k"}]}, "sms.example.com:8443", "secure_parameter"),
        ({"secure_headers": [{"name": "k"}]}, "sms.example.com:8443", "secure_header"),
        ({}, "sms.example.com:8443", None),
    ],
)
def test_the_account_of_a_route_is_the_user_at_the_host(changed, account_sid, field):
    settings = settings_of(section("https://SMS.example.com:8443", sender="Acme", **changed))
    route = generic.route(settings, TO)
    assert route == Route("generic", account_sid, "Acme", "The gateway of the Service URL sends to every number.")
    assert isinstance(route, Route)
    secret = generic.account_secret(settings, route)
    assert (secret.field if secret else None) == field


# What its settings may say


def test_the_names_and_shapes_of_the_contract_are_read_and_answered():
    promised: dict[str, Any] = {
        "service_url": "",
        "auth_username": "",
        "auth_password": None,
        "request_method": "POST",
        "body_format": "form",
        "parameters": [{"name": "to", "value": "{phone}"}],
        "secure_parameters": [{"name": "apiKey", "value": None, "value_set": True}],
        "headers": [],
        "secure_headers": [],
        "number_format": "+",
        "success_pattern": "",
        "failure_pattern": "",
        "message_id_path": "",
        "send_again_when_unknown": False,
    }
    judged: Submission[Settings] = read_section(Settings, promised, "generic")
    assert (judged.errors, judged.claimed) == ([], {"generic.secure_parameters[0].value"})
    shown = answer(judged.settings, lambda ref: True)
    assert {name: shown[name] for name in promised} == promised
    assert answer(Settings(), lambda ref: False).items() >= {"number_format": "+", "request_method": "POST"}.items()


PEM = "-----BEGIN CERTIFICATE----- AAAA -----END CERTIFICATE-----"


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, []),
        ({"service_url": ""}, [("service_url", "required")]),
        ({"parameters": []}, [("parameters", "required"), ("parameters", "required")]),
        ({"parameters": [{"name": "x", "value": "{phone}"}]}, [("parameters", "required")]),
        ({"parameters": [{"name": "", "value": "{phone}{message}"}]}, [("parameters[0].name", "required")]),
        (
            {"parameters": [{"name": "x", "value": "{Phone}{phone}{message}"}]},
            [("parameters[0].value", "invalid")],
        ),
        ({"service_url": "https://a.example/{code}"}, [("service_url", "invalid")]),
        ({"service_url": "https://{phone}.example/"}, [("service_url", "invalid"), ("service_url", "required")]),
        ({"service_url": "https://a.example/{username}"}, [("auth_username", "required")]),
        ({"service_url": "https://a.example/{sender}"}, [("sender", "required")]),
        ({"auth_username": "a:b"}, [("auth_username", "invalid")]),
        ({"secure_parameters": [{"name": "to"}]}, [("secure_parameters[0].name", "duplicate")]),
        ({"headers": [{"name": "a b"}]}, [("headers[0].name", "invalid")]),
        ({"headers": [{"name": "Host"}]}, [("headers[0].name", "invalid")]),
        ({"secure_headers": [{"name": "content-length"}]}, [("secure_headers[0].name", "invalid")]),
        ({"headers": [{"name": "X"}], "secure_headers": [{"name": "x"}]}, [("secure_headers[0].name", "duplicate")]),
        (
            {"secure_headers": [{"name": "authorization"}], "auth_username": "a"},
            [("secure_headers[0].name", "invalid")],
        ),
        ({"secure_headers": [{"name": "authorization"}]}, []),
        ({"body_format": "json", "secure_parameters": [{"name": "to.x"}]}, [("secure_parameters[0].name", "invalid")]),
        ({"body_format": "json", "secure_parameters": [{"name": "0"}]}, [("secure_parameters[0].name", "invalid")]),
        ({"body_format": "json", "secure_parameters": [{"name": "a..b"}]}, [("secure_parameters[0].name", "invalid")]),
        ({"body_format": "form", "secure_parameters": [{"name": "a..b"}]}, []),
        (
            {"body_format": "json", "parameters": [{"name": "x:json", "value": "{phone}{message}"}]},
            [("parameters[0].value", "invalid")],
        ),
        ({"body_format": "json", "parameters": [{"name": "x:json", "value": '["{phone}", "{message}"]'}]}, []),
        ({"success_pattern": "("}, [("success_pattern", "invalid")]),
        ({"failure_pattern": "a(?=b)"}, [("failure_pattern", "invalid")]),
        ({"failure_pattern": r"(a)\1"}, [("failure_pattern", "invalid")]),
        ({"refusals": [{"pattern": "[", "reason": "filtered"}]}, [("refusals[0].pattern", "invalid")]),
        ({"refusals": [{"pattern": "", "reason": "filtered"}]}, [("refusals[0].pattern", "required")]),
        ({"refusals": [{"pattern": "x", "reason": "too_late"}]}, [("refusals[0].reason", "invalid")]),
        ({"message_id_path": "a..b"}, [("message_id_path", "invalid")]),
        ({"message_id_path": "ID: (?:x)"}, [("message_id_path", "invalid")]),
        ({"message_id_path": "ID: (x"}, [("message_id_path", "invalid")]),
        ({"timeout_s": 0}, [("timeout_s", "out_of_range")]),
        ({"timeout_s": 31}, [("timeout_s", "out_of_range")]),
        ({"ca_certificate": "nonsense"}, [("ca_certificate", "invalid")]),
        ({"ca_certificate": PEM}, [("ca_certificate", "invalid")]),
        (
            {"headers": [{"name": "X-Dlr", "value": "{callback_url}"}]},
            [("report_status_path", "required")],
        ),
        (
            {"headers": [{"name": "X-Dlr", "value": "{callback_url}"}], "report_status_path": "s"},
            [("report_delivered", "required")],
        ),
        (
            {"report_status_path": "s", "report_delivered": "ok"},
            [("report_id_path", "required"), ("message_id_path", "required")],
        ),
        (
            {"report_status_path": "s", "report_delivered": "ok", "report_id_path": "id", "message_id_path": "id"},
            [],
        ),
        (
            {
                "headers": [{"name": "X-Dlr", "value": "{callback_url}"}],
                "report_status_path": "s",
                "report_delivered": "OK, done",
                "report_failed": "ok",
            },
            [("report_failed", "invalid")],
        ),
    ],
)
def test_what_cannot_work_is_said_at_its_field(changed, expected):
    assert problems_of(section("https://sms.example.com") | changed) == expected


def test_a_mistake_in_a_pattern_is_told():
    (error,) = list_problems(generic, settings_of(section("https://a.example", success_pattern="OK(")), "generic")
    assert error.message == "This is no usable regular expression: a ( has no )."


async def test_no_pattern_takes_long_whatever_the_gateway_answers():
    began = time.monotonic()
    outcome = await answered(200, b"a" * 60_000 + b"!", failure_pattern="^(a+)+$", message_id_path="^((a*)*)*$")
    assert isinstance(outcome, Unknown)
    assert time.monotonic() - began < 2


# What its answers mean

JSON_ID = {"message_id_path": "data.0.id"}
TEXT_ID = {"message_id_path": r"ID: (\S+)", "success_pattern": "^ID:", "failure_pattern": "^ERR"}


def said(status: int, words: str | None, sid: str | None = None, code: str | None = None) -> Vendor:
    return Vendor(http_status=status, message=words, sid=sid, code=code)


@pytest.mark.parametrize(
    ("status", "body", "changed", "expected"),
    [
        (200, b"", {}, Accepted(said(200, None))),
        (202, b"anything", {}, Accepted(said(202, None))),
        (200, b'{"data": [{"id": 17}]}', JSON_ID, Accepted(said(200, None, "17"))),
        (200, b"ID: m:1/x=\n", TEXT_ID, Accepted(said(200, None, "m:1/x="))),
        (200, b"id=7&status=ok", {"message_id_path": "id"}, Accepted(said(200, None, "7"))),
        (200, b"ID: \n", TEXT_ID, Accepted(said(200, None))),
        (
            200,
            b'{"data": []}',
            JSON_ID,
            Unknown(
                "The gateway took the text, but its answer does not name the message.", said(200, '{"data":[]}'), True
            ),
        ),
        (
            200,
            b"ERR 12",
            TEXT_ID,
            Refused("unknown", "The gateway's answer matches the failure pattern.", said(200, "ERR 12")),
        ),
        (
            200,
            b"<html>",
            TEXT_ID,
            Unknown(
                "The gateway's answer says neither that it took the text nor that it did not.",
                said(200, "<html>"),
                True,
            ),
        ),
        (
            200,
            b"NO",
            {"success_pattern": "^OK"},
            Refused("unknown", "The gateway's answer does not match the success pattern.", said(200, "NO")),
        ),
        (
            200,
            b" ",
            {"success_pattern": "^OK"},
            Unknown(
                "The gateway's answer says neither that it took the text nor that it did not.", said(200, None), True
            ),
        ),
        (
            302,
            b"OK",
            {},
            Refused(
                "wrong_settings",
                "The Service URL answers with a redirect, which is not followed.",
                said(302, "OK"),
                field="service_url",
            ),
        ),
        (400, b"no", {}, Refused("unknown", "The gateway refused the text (400).", said(400, "no"))),
        (
            401,
            b"no",
            {"secure_headers": [{"name": "X-Key", "value": "k1234"}]},
            Refused(
                "credentials_refused",
                "The gateway did not accept the credentials.",
                said(401, "no"),
                field="secure_headers[0].value",
            ),
        ),
        (
            402,
            b"",
            {},
            Refused("account_trouble", "The gateway asks for payment: the account is out of funds.", said(402, None)),
        ),
        (
            404,
            b"",
            {"failure_pattern": "."},
            Refused(
                "wrong_settings",
                "The Service URL does not take this request: the gateway knows no such address.",
                said(404, None),
                field="service_url",
            ),
        ),
        (
            413,
            b"",
            {},
            Refused("text_refused", "The request was too large for the gateway.", said(413, None)),
        ),
        (
            429,
            b"",
            {"said": {"Retry-After": "7"}},
            Unavailable("throttled", "The gateway is getting too many requests at once.", said(429, None), 7.0),
        ),
        (
            408,
            b"",
            {},
            Unknown("The gateway answered 408. The text may or may not have gone out.", said(408, None), True),
        ),
        (
            500,
            b"oops",
            {},
            Unknown("The gateway answered 500. The text may or may not have gone out.", said(500, "oops"), True),
        ),
        (
            500,
            b"ERR 5",
            {"failure_pattern": "^ERR"},
            Refused("unknown", "The gateway refused the text (500).", said(500, "ERR 5")),
        ),
        (
            422,
            b'{"error": {"code": "E7", "text": "bad"}}',
            {"error_code_path": "error.code", "refusals": [{"pattern": '"E7"', "reason": "invalid_number"}]},
            Refused(
                "invalid_number",
                "The gateway refused the text: the number does not exist.",
                said(422, '{"error":{"code":"E7","text":"bad"}}', None, "E7"),
            ),
        ),
    ],
)
async def test_what_an_answer_means(status, body, changed, expected):
    assert await answered(status, body, **changed) == expected


@pytest.mark.parametrize("reason", [reason for reason, _ in MEANINGS])
@pytest.mark.parametrize("status", [200, 400, 429, 500])
async def test_a_known_refusal_is_what_the_settings_say(reason, status):
    outcome = await answered(status, b"Error 17", refusals=[{"pattern": "^Error 1[0-9]$", "reason": reason}])
    assert reason_of(outcome) == reason
    if reason in ("throttled", "vendor_trouble"):
        assert isinstance(outcome, Unavailable)
    else:
        assert isinstance(outcome, Refused)


async def test_the_first_refusal_that_matches_counts():
    rows = [{"pattern": "x", "reason": "filtered"}, {"pattern": "E", "reason": "opted_out"}]
    rows.append({"pattern": "Err", "reason": "text_refused"})
    assert reason_of(await answered(400, b"Err", refusals=rows)) == "opted_out"


async def test_the_gateways_words_come_back_without_secrets_text_code_and_number():
    values = EXAMPLE.section("")
    secret_form = b"pass-word-of-acme YWNtZTpwYXNzLXdvcmQtb2YtYWNtZQ== key%3A%20of%2Facme%2b header-of-acme"
    told = b"to 00919191919191: '123456+is+your+Acm%C3%A9+code+%26+more' code 123456 \n\n" + secret_form + b"x" * 400
    outcome = await answered(400, told, **{name: values[name] for name in values if name != "service_url"})
    assert outcome.vendor.message == (f"to 00{TO.masked[1:]}: '…' code … … … … …" + "x" * 400)[:299] + "…"


async def test_an_id_that_gives_something_away_is_not_kept():
    for body in (b'{"id": "123456"}', b'{"id": "x-123456-y"}', b'{"id": "919191919191"}', b'{"id": "a b"}'):
        assert await answered(200, body, message_id_path="id") == Accepted(said(200, None))


# Reports

MAPPED = {
    "message_id_path": "id",
    "report_id_path": "id",
    "report_status_path": "status",
    "report_code_path": "error",
    "report_sent": "Sent",
    "report_delivered": "DELIVRD, ok",
    "report_failed": "UNDELIV,expired",
    "refusals": [{"pattern": "absent", "reason": "not_reachable"}],
}
ACCOUNT = "sms.example.com"
EXPIRED = "The gateway reported the text as EXPIRED."


def told(body: bytes = b"", query: str = "", **changed: Any) -> Reported | NotProven:
    settings = settings_of(section("https://sms.example.com", **(MAPPED | changed)))
    return the_one(generic.read_report(settings, ReportRequest(f"{CALLBACK}{query}", body, {}), {}))


NESTED = {"report_id_path": "data.0.id", "report_status_path": "data.0.to.status", "report_code_path": "data.0.code"}


@pytest.mark.parametrize(
    ("body", "query", "changed", "expected"),
    [
        (b"id=m1&status=delivrd", "", {}, Reported("delivered", "delivrd", None, "m1", ACCOUNT)),
        (b"", "&id=m1&status=OK", {}, Reported("delivered", "OK", None, "m1", ACCOUNT)),
        (b'{"id": 17, "status": "sent"}', "", {}, Reported("sent", "sent", None, "17", ACCOUNT)),
        (b"id=m1&status=queued", "", {}, Reported("accepted", "queued", None, "m1", ACCOUNT)),
        (
            b"id=m1&status=EXPIRED&error=E1",
            "",
            {},
            Reported("failed", "EXPIRED", "E1", "m1", ACCOUNT, "not_delivered", EXPIRED),
        ),
        (
            b"",
            "&id=m1&status=UNDELIV&error=absent",
            {},
            Reported(
                "failed", "UNDELIV", "absent", "m1", ACCOUNT, "not_reachable",
                "The gateway reported: the phone is out of reach.",
            ),
        ),
        (
            b'{"data": [{"id": "m1", "to": {"status": "ok"}, "code": 0}]}',
            "",
            NESTED,
            Reported("delivered", "ok", "0", "m1", ACCOUNT),
        ),
        (b"<dlr id='m1'>ok</dlr>", "", {"report_id_path": "id='(.*?)'", "report_status_path": ">(.*?)<"},
         Reported("delivered", "ok", None, "m1", ACCOUNT)),
        (b"status=ok", "", {"report_id_path": "", "headers": [{"name": "X-D", "value": "{callback_url}"}]},
         Reported("delivered", "ok", None, "", ACCOUNT)),
    ],
)  # fmt: skip
def test_what_a_report_means(body, query, changed, expected):
    assert told(body, query, **changed) == expected


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b"id=m1", b"status=ok", b"id=a+b&status=ok", b'{"id": {}, "status": []}', b"\xff", b"&" * 500],
)
def test_what_is_no_report_is_not_believed(body):
    assert told(body) == NotProven("this is no report on a message")


LISTED = {"report_id_path": "0.id", "report_status_path": "0.status", "report_code_path": "0.error"}


def all_told(body: bytes, query: str = "", **changed: Any) -> list[Reported] | NotProven:
    settings = settings_of(section("https://sms.example.com", **(MAPPED | changed)))
    return generic.read_report(settings, ReportRequest(f"{CALLBACK}{query}", body, {}), {})


def test_all_reports_of_a_list_are_read_each_with_its_own_words():
    body = (
        b'[{"id": "m1", "status": "ok"}, {"id": "m2", "status": "expired", "error": 7}, '
        b'{"id": "m3", "status": "undeliv", "w": "absent"}]'
    )
    detail, reached = "The gateway reported the text as expired.", "The gateway reported: the phone is out of reach."
    expected = [
        Reported("delivered", "ok", None, "m1", ACCOUNT),
        Reported("failed", "expired", "7", "m2", ACCOUNT, "not_delivered", detail),
        Reported("failed", "undeliv", None, "m3", ACCOUNT, "not_reachable", reached),
    ]
    assert all_told(body, **LISTED) == expected
    nested = {name: f"data.{path}" for name, path in LISTED.items()}
    assert all_told(b'{"n": 3, "data": ' + body + b"}", **nested) == expected
    deep = {"report_id_path": "0.id", "report_status_path": "0.to.0.status", "report_code_path": ""}
    assert all_told(b'[{"id": "m1", "to": [{"status": "sent"}, {"status": "ok"}]}]', **deep) == [
        Reported("sent", "sent", None, "m1", ACCOUNT),
        Reported("delivered", "ok", None, "m1", ACCOUNT),
    ]


@pytest.mark.parametrize(
    ("body", "query", "changed"),
    [
        (b'[{"id": "m1", "status": "ok"}, {"id": "m2"}]', "", LISTED),
        (b'[{"id": "m1", "status": "ok"}, {"status": "ok"}]', "", LISTED),
        (b'[{"id": "m1", "status": "ok"}, {"id": "a b", "status": "ok"}]', "", LISTED),
        (b'[{"id": "m1", "status": "ok"}, 1]', "", LISTED),
        (b'{"ids": ["m1", "m2"], "status": "ok"}', "", {"report_id_path": "ids.0"}),
        (b'{"ids": ["m1", "m2"], "s": ["ok", "ok"]}', "", {"report_id_path": "ids.0", "report_status_path": "s.0"}),
        (b"id=m1&status=ok&id=m2&status=ok", "", {}),
        (b"id=m1&status=ok&status=expired", "", {}),
        (b"", "&id=m1&status=ok&id=m2&status=ok", {}),
        (b"id m1: ok\nid m2: ok", "", {"report_id_path": "id (.*):", "report_status_path": ": (.*)"}),
    ],
)
def test_a_call_that_cannot_be_read_whole_is_refused_whole(body, query, changed):
    assert all_told(body, query, **changed) == NotProven("this is no report on a message")


def test_a_gateway_that_takes_our_name_of_the_text_reports_under_it():
    own = "AT" + "0" * 32
    assert told(f"id={own}&status=ok".encode()) == Reported("delivered", "ok", None, own, ACCOUNT, attempt=own)


def test_without_a_place_of_the_status_there_are_no_reports():
    assert isinstance(told(b"id=m1&status=ok", report_status_path=""), NotProven)


@pytest.mark.parametrize(("body", "word"), [("123456 is your code.", "GSM7"), ("123456 – dein Kød ✓", "UCS2")])
async def test_a_gateway_is_told_the_encoding_in_its_own_words(body, word):
    values = section("", encoding_gsm7="GSM7", encoding_unicode="UCS2")
    values["parameters"].append({"name": "enc", "value": "{encoding}"})
    async with standing_in(Answer(200, b"{}")) as stand_in, outbound(LOOPBACK) as http:
        values["service_url"] = stand_in.url
        await send(http, values, Text("AT0190", TEXT.to, body, 290))
    assert parse_qs(stand_in.received[0].body.decode())["enc"] == [word]


async def test_an_encoding_without_a_word_is_left_out():
    values = section("", encoding_unicode="8")
    values["parameters"].append({"name": "enc", "value": "{encoding}"})
    async with standing_in(Answer(200, b"{}")) as stand_in, outbound(LOOPBACK) as http:
        values["service_url"] = stand_in.url
        await send(http, values, Text("AT0190", TEXT.to, "123456", 290))
    assert b"enc" not in stand_in.received[0].body


def test_an_encoding_needs_words_and_an_answer_with_words_another_status():
    asked = section("https://sms.example.com")
    asked["parameters"].append({"name": "enc", "value": "{encoding}"})
    assert problems_of(asked) == [("encoding_unicode", "required")]
    assert problems_of({**asked, "encoding_unicode": "8"}) == []
    answering = section("https://sms.example.com", report_answer_body="OK")
    assert problems_of(answering) == [("report_answer_status", "invalid")]
    assert problems_of({**answering, "report_answer_status": 200}) == []
    assert ("report_answer_status", "out_of_range") in problems_of({**answering, "report_answer_status": 404})


def test_the_address_proves_reports_and_the_administrator_decides_about_lost_answers():
    assert capabilities(generic).reads_reports
    assert capabilities(generic).proven_by_address
    values = section("https://sms.example.com")
    assert generic.sends_again_when_unknown(settings_of(values)) is False
    assert generic.sends_again_when_unknown(settings_of(values | {"send_again_when_unknown": True})) is True


# The presets, against stand-ins that do what the gateways' documentation says


@asynccontextmanager
async def gateway(judge: Callable[[Received], tuple[int, Any]]) -> AsyncIterator[tuple[str, list[Received]]]:
    """A server on loopback that answers each request with the status and the JSON that `judge` makes of it."""
    received: list[Received] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
        method, target, _ = first.split(" ")
        headers = dict(line.split(": ", 1) for line in lines)
        body = await reader.readexactly(int(headers.get("Content-Length", "0")))
        received.append(Received(method, target, headers, body))
        status, answer = judge(received[-1])
        content = msgspec.json.encode(answer)
        head = f"HTTP/1.1 {status} Said\r\nContent-Length: {len(content)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + content)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", received
    finally:
        server.close()
        await server.wait_closed()


NOBODY = "+15005550001"
POOR, STOPPED = "+15005550002", "+15005550003"
ID = "4ee8c3a6-4995-4309-a3c6-38e3db9ea4be"


def basic(request: Received) -> str:
    return b64decode(request.headers.get("Authorization", "").removeprefix("Basic ")).decode()


def body_of(request: Received, needed: set[str], allowed: set[str]) -> dict[str, Any] | None:
    """The JSON of a request that is what the documentation asks for."""
    if request.method != "POST" or request.headers.get("Content-Type") != "application/json":
        return None
    body = msgspec.json.decode(request.body)
    names = set(body)
    fit = needed <= names <= needed | allowed and all(isinstance(body[name], str | list) for name in names)
    return body if fit else None


def bulksms(request: Received) -> tuple[int, Any]:
    errors = "https://developer.bulksms.com/json/v1/errors"
    if basic(request) != "acme:secret":
        return 401, {"type": f"{errors}#authentication-failed", "title": "Authentication Failed", "status": 401}
    body = body_of(request, {"to", "body"}, {"from"})
    if request.target != "/v1/messages?auto-unicode=true" or body is None or body["to"] == NOBODY:
        return 400, {"type": f"{errors}#bad-request", "title": "Bad Request", "status": 400}
    if body["to"] == POOR:
        return 403, {"type": f"{errors}#insufficient-credits", "title": "Insufficient Credits", "status": 403}
    status = {"id": "ACCEPTED.null", "type": "ACCEPTED"}
    return 201, [{"id": ID, "type": "SENT", "to": body["to"], "body": body["body"], "status": status}]


def clickatell(request: Received) -> tuple[int, Any]:
    if request.headers.get("Authorization") != "secret":
        return 401, {"messages": [], "error": "Invalid or missing Integration API Key."}
    body = body_of(request, {"to", "content"}, {"from"})
    if request.target != "/messages" or body is None:
        return 400, {"messages": [], "error": "Malformed request."}
    (to,) = body["to"]
    if f"+{to}" == NOBODY:
        refused = {"apiMessageId": None, "accepted": False, "to": to, "error": "Invalid destination address."}
        return 202, {"messages": [refused], "error": None}
    return 202, {"messages": [{"apiMessageId": ID, "accepted": True, "to": to, "error": None}], "error": None}


def clicksend(request: Received) -> tuple[int, Any]:
    def answer(code: int, word: str, **more: Any) -> tuple[int, Any]:
        return code, {"http_code": code, "response_code": word, "response_msg": "Said.", "data": more}

    if basic(request) != "acme:secret":
        return answer(401, "UNAUTHORIZED")
    body = body_of(request, {"messages"}, set())
    if request.target != "/v3/sms/send" or body is None or not {"to", "body"} <= set(body["messages"][0]):
        return answer(400, "BAD_REQUEST")
    (message,) = body["messages"]
    status = {NOBODY: "INVALID_RECIPIENT", POOR: "INSUFFICIENT_CREDIT", STOPPED: "THROTTLED"}.get(
        message["to"], "SUCCESS"
    )
    return answer(200, "SUCCESS", messages=[{**message, "message_id": ID, "status": status}])


def plivo(request: Received) -> tuple[int, Any]:
    if basic(request) != "acme:secret" or request.target != "/v1/Account/acme/Message/":
        return 401, {"error": "authentication failed"}
    body = body_of(request, {"src", "dst", "text"}, {"url", "method"})
    if body is None or not body["dst"].isdigit() or f"+{body['dst']}" == NOBODY:
        return 400, {"api_id": ID, "error": "invalid dst"}
    return 202, {"api_id": "db342550", "message": "message(s) queued", "message_uuid": [ID]}


def telnyx(request: Received) -> tuple[int, Any]:
    if request.headers.get("Authorization") != "Bearer secret":
        return 401, {"errors": [{"code": "10009", "title": "Authentication failed"}]}
    body = body_of(request, {"from", "to", "text"}, {"webhook_url"})
    if request.target != "/v2/messages" or body is None or not body["to"].startswith("+") or body["to"] == NOBODY:
        return 422, {"errors": [{"code": "10002", "title": "Invalid phone number"}]}
    return 200, {"data": {"id": ID, "record_type": "message", "to": [{"phone_number": body["to"], "status": "queued"}]}}


@dataclass(frozen=True)
class Known:
    """A gateway's stand-in, what an administrator types, and what its answers and reports come to."""

    judge: Callable[[Received], tuple[int, Any]]
    typed: Mapping[str, Any]
    refusals: Mapping[str, str]
    reports: tuple[tuple[bytes, tuple[str, str | None, str | None]], ...]


def hook(*messages: dict[str, Any]) -> bytes:
    return msgspec.json.encode(messages)


def finalized(status: str, *errors: dict[str, str]) -> bytes:
    payload = {"id": ID, "to": [{"phone_number": "+1", "status": status}], "errors": errors}
    return msgspec.json.encode({"data": {"event_type": "message.finalized", "id": "another", "payload": payload}})


USER = {"auth_username": "acme", "auth_password": "secret"}
KNOWN = {
    "bulksms": Known(
        bulksms,
        USER,
        {NOBODY: "unknown", POOR: "account_trouble"},
        (
            (hook({"id": ID, "status": {"id": "SENT.null", "type": "SENT"}}), ("sent", None, None)),
            (hook({"id": ID, "status": {"id": "DELIVERED.null", "type": "DELIVERED"}}), ("delivered", None, None)),
            (
                hook({"id": ID, "status": {"id": "FAILED.BLOCKED", "type": "FAILED", "subtype": "BLOCKED"}}),
                ("failed", "BLOCKED", "opted_out"),
            ),
            (
                hook({"id": ID, "status": {"id": "FAILED.NOT_SENT", "type": "FAILED", "subtype": "NOT_SENT"}}),
                ("failed", "NOT_SENT", "not_delivered"),
            ),
        ),
    ),
    "clickatell": Known(
        clickatell,
        {"secure_headers": [{"name": "Authorization", "value": "secret"}]},
        {NOBODY: "invalid_number"},
        (
            (b'{"messageId": "%s", "status": "RECEIVED_BY_RECIPIENT"}' % ID.encode(), ("delivered", None, None)),
            (b'{"messageId": "%s", "status": "DELIVERED_TO_GATEWAY"}' % ID.encode(), ("accepted", None, None)),
        ),
    ),
    "clicksend": Known(clicksend, USER, {NOBODY: "invalid_number", POOR: "account_trouble", STOPPED: "throttled"}, ()),
    "plivo": Known(
        plivo,
        {**USER, "sender": "+14155550000"},
        {NOBODY: "unknown"},
        (
            (b"MessageUUID=%s&Status=sent" % ID.encode(), ("sent", None, None)),
            (b"MessageUUID=%s&Status=delivered&ErrorCode=000" % ID.encode(), ("delivered", "000", None)),
            (b"MessageUUID=%s&Status=undelivered&ErrorCode=30" % ID.encode(), ("failed", "30", "not_delivered")),
        ),
    ),
    "telnyx": Known(
        telnyx,
        {"secure_headers": [{"name": "Authorization", "value": "Bearer secret"}], "sender": "+14155550000"},
        {NOBODY: "unknown"},
        (
            (finalized("delivered"), ("delivered", None, None)),
            (finalized("delivery_unconfirmed"), ("accepted", None, None)),
            (finalized("delivery_failed", {"code": "40008"}), ("failed", "40008", "not_delivered")),
        ),
    ),
}


def filled(preset: Preset, url: str = "", **changed: Any) -> dict[str, Any]:
    address = urlsplit(preset.section["service_url"])
    there = (
        f"{url}{address.path}{f'?{address.query}' if address.query else ''}" if url else preset.section["service_url"]
    )
    return {**preset.section, **KNOWN[preset.name].typed, "service_url": there, **changed}


def test_each_preset_has_a_stand_in():
    assert [preset.name for preset in PRESETS] == sorted(KNOWN)


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_a_preset_lacks_nothing_but_what_is_to_be_typed(preset):
    judged: Submission[Settings] = read_section(Settings, dict(preset.section), "generic")
    assert (judged.errors, judged.typed) == ([], {})
    assert problems_of(filled(preset)) == []
    assert preset.link.startswith("https://")
    top = {path.split("[")[0] for path in preset.typed}
    assert top == {"auth_username" if name == "auth_password" else name for name in KNOWN[preset.name].typed} | (
        top & {"auth_password"}
    )


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
async def test_a_preset_sends_what_its_gateway_takes(preset):
    async with gateway(KNOWN[preset.name].judge) as (url, received), outbound(LOOPBACK) as http:
        outcome = await send(http, filled(preset, url))
    assert isinstance(outcome, Accepted)
    assert outcome.vendor.sid == ID
    assert len(received) == 1


@pytest.mark.parametrize(
    ("preset", "to", "reason"),
    [(preset, to, reason) for preset in PRESETS for to, reason in KNOWN[preset.name].refusals.items()],
    ids=lambda value: value.name if isinstance(value, Preset) else value,
)
async def test_a_preset_knows_why_its_gateway_refuses(preset, to, reason):
    async with gateway(KNOWN[preset.name].judge) as (url, _), outbound(LOOPBACK) as http:
        outcome = await send(http, filled(preset, url), Text("AT0190", trusted(to), BODY, 299))
    assert isinstance(outcome, Refused | Unavailable)
    assert outcome.reason == reason


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
async def test_a_preset_with_a_wrong_secret_is_told_so(preset):
    wrong = {
        name: "wrong" if name == "auth_password" else [{"name": "Authorization", "value": "wrong"}]
        for name in KNOWN[preset.name].typed
        if name in ("auth_password", "secure_headers")
    }
    async with gateway(KNOWN[preset.name].judge) as (url, _), outbound(LOOPBACK) as http:
        outcome = await send(http, filled(preset, url, **wrong))
    assert isinstance(outcome, Refused)
    assert outcome.reason == "credentials_refused"


@pytest.mark.parametrize(
    ("preset", "body", "expected"),
    [(preset, body, expected) for preset in PRESETS for body, expected in KNOWN[preset.name].reports],
    ids=lambda value: value.name if isinstance(value, Preset) else "",
)
def test_a_preset_reads_its_gateways_reports(preset, body, expected):
    request = ReportRequest(CALLBACK, body, {})
    result = the_one(generic.read_report(settings_of(filled(preset)), request, {"x": [Secret("y")]}))
    assert isinstance(result, Reported)
    assert (result.status, result.vendor_code, result.reason) == expected
    assert result.vendor_sid == ID
