"""The judge of Twilio requests and answers is itself tried on the document's examples and on wrong ones."""

from __future__ import annotations

import base64
import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

import oai

ACCOUNT = "AC" + "a" * 32
PATH = f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json"
BASIC = "Basic " + base64.b64encode(f"{ACCOUNT}:token".encode()).decode()
HEADERS = {"Authorization": BASIC, "Content-Type": "application/x-www-form-urlencoded"}
STATUSES = oai.DOCUMENT["components"]["schemas"]["message_enum_status"]["enum"]
RIGHT = [
    ("To", "+15005550006"),
    ("From", "MyBrand"),
    ("Body", "x"),
    ("ValidityPeriod", "300"),
    ("ProvideFeedback", "true"),
]

EXAMPLES = [
    pytest.param(operation["operationId"], int(status), example["value"], id=f"{operation['operationId']}-{name}")
    for item in oai.DOCUMENT["paths"].values()
    for operation in item.values()
    if isinstance(operation, dict) and "operationId" in operation
    for status, answer in operation["responses"].items()
    for name, example in answer.get("content", {}).get("application/json", {}).get("examples", {}).items()
]


@pytest.mark.parametrize(("operation", "status", "body"), EXAMPLES)
def test_the_documents_own_examples_are_right(operation: str, status: int, body: dict[str, Any]) -> None:
    assert oai.judge_response(operation, status, body) == []


def test_a_right_request_has_nothing_wrong() -> None:
    assert oai.judge_request("POST", PATH, RIGHT, HEADERS) == []
    assert oai.judge_request("GET", PATH + "?To=%2B15005550006&DateSent%3E=2024-01-01&PageSize=20", [], HEADERS) == []


@pytest.mark.parametrize(
    ("changes", "complaints"),
    [
        ({"To": None}, ["body: $: 'To' is a required property"]),
        ({"To": "15005550006"}, ["body: $.To: '15005550006' is not a 'phone-number'", "body: To is not E.164"]),
        ({"ValidityPeriod": "5.5"}, ["body: $.ValidityPeriod: '5.5' is not of type 'integer'"]),
        ({"ValidityPeriod": "36001"}, ["body: ValidityPeriod is not within 1 and 36000"]),
        ({"ProvideFeedback": "True"}, ["body: $.ProvideFeedback: 'True' is not of type 'boolean'"]),
        ({"RiskCheck": "off"}, ["body: $.RiskCheck: 'off' is not one of ['enable', 'disable']"]),
        ({"Body": "x" * 1_601}, ["body: Body is longer than 1600 characters"]),
        ({"From": None}, ["body: neither From nor MessagingServiceSid"]),
        ({"StatusCallback": "https://a_b.example/"}, ["body: StatusCallback has no valid host name"]),
        (
            {"Colour": "red"},
            ["body: $: Additional properties are not allowed ('Colour' was unexpected)"],
        ),
    ],
)
def test_a_wrong_field_is_named(changes: dict[str, str | None], complaints: list[str]) -> None:
    fields = dict(RIGHT) | changes
    form = [(name, value) for name, value in fields.items() if value is not None]
    assert oai.judge_request("POST", PATH, form, HEADERS) == complaints


def test_a_repeated_field_and_a_malformed_service_are_named() -> None:
    form = [*RIGHT, ("Body", "y"), ("MessagingServiceSid", "MG1")]
    assert oai.judge_request("POST", PATH, form, HEADERS) == [
        "body: Body is there twice",
        "body: $.MessagingServiceSid: 'MG1' is too short",
        "body: $.MessagingServiceSid: 'MG1' does not match '^MG[0-9a-fA-F]{32}$'",
    ]


def test_path_credentials_and_content_type_are_judged() -> None:
    assert oai.judge_request("POST", PATH.replace("Messages", "Letters"), RIGHT, HEADERS) == [
        f"POST /2010-04-01/Accounts/{ACCOUNT}/Letters.json is not in the document"
    ]
    assert oai.judge_request("POST", PATH, RIGHT, []) == [
        "Authorization is not HTTP Basic with a name and a password",
        "Content-Type is None, not application/x-www-form-urlencoded",
    ]
    assert oai.judge_request("GET", PATH.replace(ACCOUNT, "AC1"), [], HEADERS) == [
        "path: $.AccountSid: 'AC1' is too short",
        "path: $.AccountSid: 'AC1' does not match '^AC[0-9a-fA-F]{32}$'",
    ]


def test_a_wrong_answer_is_told_key_by_key() -> None:
    body = next(p.values[2] for p in EXAMPLES if p.id == "CreateMessage-createWithMessagingService")
    assert isinstance(body, dict)
    wrong = {**body, "sid": "SM1", "num_segments": 1, "status": "gone", "colour": "red"}
    del wrong["uri"]
    assert sorted(oai.judge_response("CreateMessage", 201, wrong)) == [
        "$.num_segments: 1 is not of type 'string'",
        "$.sid: 'SM1' does not match '^(SM|MM)[0-9a-fA-F]{32}$'",
        "$.sid: 'SM1' is too short",
        f"$.status: 'gone' is not one of {STATUSES}",
        "CreateMessage: colour is not in the document",
        "CreateMessage: uri is missing",
    ]
    assert oai.judge_response("CreateMessage", 200, body) == ["CreateMessage does not answer 200, but 201"]
    assert oai.judge_response("DeleteMessage", 204, None) == []


def test_an_error_body_has_four_fields_that_agree() -> None:
    error = {"code": 21211, "message": "No", "more_info": "https://www.twilio.com/docs/errors/21211", "status": 400}
    assert oai.judge_response("CreateMessage", 400, error) == []
    assert oai.judge_response("CreateMessage", 429, {**error, "code": "21211"}) == [
        "$.code: '21211' is not of type 'integer'",
        "error: status is 400, the answer's is 429",
    ]


def test_trimming_the_trimmed_document_changes_nothing() -> None:
    spec = importlib.util.spec_from_file_location("trim", Path(__file__).parent / "data" / "twilio-oai" / "trim.py")
    assert spec is not None
    assert spec.loader is not None
    trim = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(trim)
    for part in trim.PATHS:
        document = json.loads((Path(__file__).parent / "data" / "twilio-oai" / f"{part}.json").read_text())
        assert trim.trim(part, document) == document
