"""What is wrong with a body or a query is said in plain sentences, never in those of a program."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from api.world import told
from installation import TO, Installation
from otpost.api.native.fields import errors_in
from otpost.api.native.routes import ENDPOINTS


@pytest.mark.parametrize(
    ("path", "body", "field", "message"),
    [
        ("/v1/verifications/{sid}/check", {"code": 123456}, "code", "Send the code as a text, in quotes."),
        ("/v1/verifications", {"to": None}, "to", "Send the to as a text, in quotes."),
        ("/v1/verifications", {"to": TO, "locale": 7}, "locale", "Send the locale as a text, in quotes."),
        (
            "/v1/verifications",
            {"to": TO, "variables": 1},
            "variables",
            "Send the variables as an object, in braces.",
        ),
        ("/v1/verifications", [], "", "Send the body as an object, in braces."),
        (
            "/v1/messages",
            {"to": TO, "body": "x", "valid_for_s": "60"},
            "valid_for_s",
            "Send the valid_for_s as a whole number, without quotes.",
        ),
        (
            "/v1/messages",
            {"to": TO, "body": "x", "valid_for_s": 59},
            "valid_for_s",
            "Send the valid_for_s as a number that is at least 60.",
        ),
        (
            "/v1/applications",
            {"name": "x", "allowed_dialing_codes": "+91"},
            "allowed_dialing_codes",
            "Send the allowed_dialing_codes as a list, in square brackets.",
        ),
        (
            "/v1/applications",
            {"name": "x", "allowed_dialing_codes": [91]},
            "allowed_dialing_codes[0]",
            "Send each entry of allowed_dialing_codes as a text, in quotes.",
        ),
    ],
)
async def test_a_value_of_another_type_is_refused_in_a_sentence_that_says_what_to_send(
    otpost: Installation, path: str, body: Any, field: str, message: str
) -> None:
    answer = await otpost.call("POST", path.replace("{sid}", "VE" + "0" * 32), body)
    assert (answer.status, answer.json()["errors"][0]["field"]) == (422, field)
    assert answer.json()["errors"][0]["message"] == message


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("limit=x", "Send the limit as a whole number."),
        ("limit=0", "Send the limit as a number that is at least 1."),
        ("limit=201", "Send the limit as a number that is at most 200."),
        ("status=done", "Send the status as one of: pending, approved, canceled, expired, max_attempts_reached."),
    ],
)
async def test_a_wrong_query_is_refused_in_a_sentence(otpost: Installation, query: str, message: str) -> None:
    answer = await otpost.call("GET", f"/v1/verifications?{query}")
    assert told(answer)[0] == 422
    assert answer.json()["errors"][0]["message"] == message


VALUES: tuple[Any, ...] = (
    7,
    1.5,
    -1,
    10**30,
    "",
    "x",
    "x" * 5000,
    True,
    None,
    [],
    [7],
    [None],
    ["x" * 99],
    {},
    {"a": 1},
)


def test_no_field_of_any_body_is_refused_in_a_programs_words() -> None:
    kinds = [endpoint.body for endpoint in ENDPOINTS if isinstance(endpoint.body, type)]
    assert len(kinds) > 8
    for kind in kinds:
        for field in msgspec.structs.fields(kind):
            for value in VALUES:
                for error in errors_in(kind, {field.encode_name: value}, ""):
                    for word in ("Expected", " got ", "regex", "`", "null", " str", "\\", "^"):
                        assert word not in error.message, error


@pytest.mark.parametrize(
    ("locale", "told_of"),
    [
        ("pt_BR", "é seu código"),
        ("PT-br", "é seu código"),
        ("zh_Hant_TW", "驗證碼"),
        ("de-AT", "ist Ihr Code"),
        (" de\n", "ist Ihr Code"),
        ("es-419", "es tu código"),
        ("", "is your"),
    ],
)
async def test_a_locale_is_read_in_any_way_of_writing_it(otpost: Installation, locale: str, told_of: str) -> None:
    await otpost.choose_sandbox()
    made = await otpost.ok("POST", "/v1/verifications", {"to": TO, "locale": locale})
    message = await otpost.message(made["message"]["sid"])
    assert message["reason"] is None
    (text,) = (await otpost.ok("GET", "/v1/sandbox/messages"))["items"]
    assert told_of in text["body"]
