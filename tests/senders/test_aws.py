"""AWS End User Messaging: the request as AWS's own library judges it, what each answer comes to, and the events."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import msgspec
import pytest
from botocore.auth import SigV4Auth  # type: ignore[import-untyped]  # AWS's library has no types
from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]
from botocore.credentials import Credentials  # type: ignore[import-untyped]
from botocore.model import OperationModel, Shape  # type: ignore[import-untyped]
from botocore.serialize import create_serializer  # type: ignore[import-untyped]
from botocore.session import Session  # type: ignore[import-untyped]
from botocore.validate import ParamValidator  # type: ignore[import-untyped]
from hypothesis import given, settings
from hypothesis import strategies as st

from otpost.domain.outcome import REASONS as VOCABULARY
from otpost.domain.outcome import Accepted, Outcome, Refused, Unavailable, Unknown, Vendor
from otpost.domain.phone import trusted
from otpost.domain.policy import Route
from otpost.domain.secret import Secret
from otpost.senders import aws
from otpost.senders.aws import ERRORS, ERRORS_PAGE, EVENTS, EVENTS_PAGE, FIELDS, REASONS, Settings
from otpost.senders.registry import capabilities, find_services, list_problems
from otpost.senders.service import (
    Account,
    Confirmation,
    FallsBack,
    FetchesReports,
    LooksUp,
    NotProven,
    ReadsReports,
    Reported,
    ReportRequest,
    SenderService,
    SendsAgain,
    Text,
)
from otpost.senders.settings import SecretRef, answer, fill
from otpost.senders.submission import read_section
from senders.contract import LOOPBACK, Answer, Case, Example, Received, StandIn, outbound, standing_in, the_one

CHECKED_BY_MYPY: SenderService = aws

KEY = "AKIAIOSFODNN7EXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
POOL = "pool-78ec067f62f94d57bd3bab991example"
OURS = {
    "access_key_id": KEY,
    "secret_access_key": SECRET,
    "region": "eu-central-1",
    "origination_identity": POOL,
    "configuration_set": "otp",
}
BODY = "123456 is your Acme code."
TEXT = Text("AT0190", trusted("+4915112345678"), BODY, 290, "https://otp.example.com/callbacks/aws/AT0190")
AT = 1_692_853_305_678  # 2023-08-24 05:01:45 UTC

SESSION: Any = Session()
MODEL: Any = SESSION.get_service_model("pinpoint-sms-voice-v2")
OPERATION: OperationModel = MODEL.operation_model("SendTextMessage")


def taken(request: Received) -> bytes:
    """What AWS answers to a text that it takes: one SID for each attempt."""
    attempt = msgspec.json.decode(request.body)["Context"]["attempt"]
    return msgspec.json.encode({"MessageId": str(uuid5(NAMESPACE_URL, attempt))})


SID = str(uuid5(NAMESPACE_URL, "AT0190"))
ATTEMPT = "AT0190" + "0" * 28
REQUEST_ID = {"x-amzn-RequestId": "5e1b2c3d-0000-4000-8000-0123456789ab", "Content-Type": "application/x-amz-json-1.0"}


def event(kind: str, **more: object) -> dict[str, object]:
    """An event on a text, with what the documentation's example has."""
    given = {"eventType": kind, "eventVersion": "1.0", "eventTimestamp": 1686975103470, "isFinal": True}
    numbers = {"originationPhoneNumber": "+12065550152", "destinationPhoneNumber": "+4915112345678"}
    return {**given, **numbers, "messageId": SID, "context": {"attempt": ATTEMPT}, **more}


def by_eventbridge(url: str, told: Mapping[str, object]) -> ReportRequest:
    envelope = {"version": "0", "id": "5c0fa4f8", "detail-type": "Text Message Delivery Status Updated"}
    whole = {**envelope, "source": "aws.sms-voice", "account": "111122223333", "detail": told}
    return ReportRequest(url, msgspec.json.encode(whole), {"Content-Type": "application/json; charset=utf-8"})


def by_sns(url: str, told: Mapping[str, object], kind: str = "Notification") -> ReportRequest:
    message = {
        "Type": kind,
        "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
        "TopicArn": "arn:aws:sns:eu-central-1:111122223333:otp",
        "Message": msgspec.json.encode(told).decode(),
        "Timestamp": "2023-08-24T05:01:45.678Z",
        "SignatureVersion": "1",
    }
    headers = {"x-amz-sns-message-type": kind, "Content-Type": "text/plain; charset=UTF-8"}
    return ReportRequest(url, msgspec.json.encode(message), headers)


def example_report(url: str, sid: str | None, status: str) -> ReportRequest:
    kinds = {"sent": "TEXT_SUCCESSFUL", "delivered": "TEXT_DELIVERED", "failed": "TEXT_PROTECT_BLOCKED"}
    return by_eventbridge(url, event(kinds[status], messageId=sid))


EXAMPLE = Example(
    section=lambda url: {**OURS, "api_url": url},
    cases={
        "accepted": Case(Answer(200, taken, REQUEST_ID), Accepted),
        "refused": Case(
            Answer(400, b'{"__type": "ConflictException", "Reason": "DESTINATION_PHONE_NUMBER_OPTED_OUT"}'),
            Refused,
            "opted_out",
        ),
        "credentials": Case(
            Answer(400, b'{"__type": "UnrecognizedClientException"}'), Refused, "credentials_refused", "access_key_id"
        ),
        "throttled": Case(Answer(429), Unavailable, "throttled"),
        "server_error": Case(Answer(503), Unknown, "answer_lost"),
        "not_connected": Case(None, Unavailable, "network_trouble"),
        "timed_out": Case(None, Unknown, "answer_lost"),
        "reset": Case(None, Unknown, "answer_lost"),
        "unreadable": Case(Answer(200, b"<html>"), Unknown, "answer_lost"),
    },
    report=example_report,
)


def settings_of(**section: Any) -> Settings:
    submission = read_section(Settings, section, "aws")
    assert submission.errors == []
    return fill(submission.settings, submission.typed)


async def send(stand_in: StandIn, text: Text = TEXT, **section: Any) -> Outcome:
    settings = settings_of(**{**OURS, "api_url": stand_in.url, **section})
    route = aws.route(settings, text.to)
    assert isinstance(route, Route)
    async with outbound(LOOPBACK) as http:
        return await aws.send(http, settings, route, replace(text, at=AT))


# --- settings and routes ---


def test_the_api_form_has_these_names_in_this_order():
    assert list(answer(settings_of(**OURS), lambda ref: True).items()) == [
        ("access_key_id", KEY),
        ("secret_access_key", None),
        ("secret_access_key_set", True),
        ("region", "eu-central-1"),
        ("origination_identity", POOL),
        ("configuration_set", "otp"),
        ("dlt_entity_id", ""),
        ("dlt_template_id", ""),
        ("api_url", ""),
    ]


@pytest.mark.parametrize(
    ("section", "path"),
    [
        ({"access_key_id": "ASIAIOSFODNN7EXAMPLE"}, "aws.access_key_id"),
        ({"access_key_id": "akiaiosfodnn7example"}, "aws.access_key_id"),
        ({"access_key_id": "AKIA"}, "aws.access_key_id"),
        ({"region": "eu-central"}, "aws.region"),
        ({"region": "eu-central-1.example.com"}, "aws.region"),
        ({"region": "Frankfurt"}, "aws.region"),
        ({"origination_identity": "My Brand"}, "aws.origination_identity"),
        ({"configuration_set": "+otp"}, "aws.configuration_set"),
        ({"api_url": "https://sms.example.com/v1"}, "aws.api_url"),
        ({"api_url": "https://sms.example.com?x=1"}, "aws.api_url"),
    ],
)
def test_a_setting_of_another_form_is_refused(section, path):
    errors = read_section(Settings, section, "aws").errors
    assert [(error.field, error.code) for error in errors] == [(path, "invalid")]
    assert errors[0].message.endswith(".")


@pytest.mark.parametrize(
    "identity",
    ["+15005550006", "MyBrand", POOL, "phone-1234", "arn:aws:sms-voice:eu-central-1:111122223333:pool/pool-1", ""],
)
def test_every_form_of_an_origination_identity_is_taken(identity):
    assert settings_of(**{**OURS, "origination_identity": identity}).origination_identity == identity


@pytest.mark.parametrize(
    ("section", "expected"),
    [(OURS, []), ({}, ["aws.access_key_id", "aws.region"]), ({**OURS, "origination_identity": ""}, [])],
)
def test_what_keeps_the_settings_from_being_used_is_named(section, expected):
    problems = list_problems(aws, settings_of(**section), "aws")
    assert [(error.field, error.code) for error in problems] == [(path, "required") for path in expected]


def test_every_number_is_sent_to_from_the_one_identity():
    reason = "AWS in eu-central-1 sends from the origination identity of the settings."
    assert aws.route(settings_of(**OURS), TEXT.to) == Route("aws", KEY, POOL, reason)
    without = aws.route(settings_of(**{**OURS, "origination_identity": ""}), TEXT.to)
    reason = "No origination identity is set, so AWS in eu-central-1 picks one of the account's."
    assert without == Route("aws", KEY, "any sender of the account", reason)


def test_the_secret_belongs_to_its_key_and_to_an_address_of_one_s_own():
    route = Route("aws", KEY, POOL, "")
    assert aws.account_secret(settings_of(**OURS), route) == SecretRef("secret_access_key", KEY, "")
    elsewhere = settings_of(**OURS, api_url="https://vpce-1.sms-voice.eu-central-1.vpce.amazonaws.com")
    at = "https://vpce-1.sms-voice.eu-central-1.vpce.amazonaws.com:443"
    assert aws.account_secret(elsewhere, route) == SecretRef("secret_access_key", KEY, at)


def test_aws_reads_reports_that_the_address_proves_and_can_do_no_more():
    service = find_services()["aws"]
    assert isinstance(service, ReadsReports)
    assert capabilities(service).proven_by_address
    assert not isinstance(service, LooksUp | FetchesReports | FallsBack | SendsAgain)


def regions() -> list[str]:
    partitions = SESSION.get_available_partitions()
    return [r for part in partitions for r in SESSION.get_available_regions("pinpoint-sms-voice-v2", part)]


def test_the_address_of_a_region_is_the_one_that_aws_s_library_calls():
    own = [(region, aws.url_of(settings_of(region=region).region)) for region in regions()]
    called = [
        SESSION.create_client(
            "pinpoint-sms-voice-v2", region_name=region, aws_access_key_id="a", aws_secret_access_key="b"
        ).meta.endpoint_url
        for region in ("eu-central-1", "us-gov-west-1", "eusc-de-east-1")
    ]
    assert len(own) > 30
    assert called == [dict(own)[region] for region in ("eu-central-1", "us-gov-west-1", "eusc-de-east-1")]


# --- the request ---


def judged(request: Received, url: str, region: str, secret: str = SECRET) -> str:
    """The Authorization that AWS's library makes for the request as it was received."""
    signed = [name for name in request.headers if name in ("Content-Type", "Host", "X-Amz-Date", "X-Amz-Target")]
    asked = AWSRequest("POST", url, {name: request.headers[name] for name in signed}, request.body)
    asked.context["timestamp"] = request.headers["X-Amz-Date"]
    auth = SigV4Auth(Credentials(KEY, secret), "sms-voice", region)
    to_sign = auth.string_to_sign(asked, auth.canonical_request(asked))
    names = auth.signed_headers(auth.headers_to_sign(asked))
    scope, signature = auth.scope(asked), auth.signature(to_sign, asked)
    return f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders={names}, Signature={signature}"


async def test_the_request_is_this_and_nothing_else():
    async with standing_in(EXAMPLE.accepting) as stand_in:
        outcome = await send(stand_in)
    (request,) = stand_in.received
    assert outcome == Accepted(Vendor(200, sid=SID, request_id="5e1b2c3d-0000-4000-8000-0123456789ab"))
    assert (request.method, request.target) == ("POST", "/")
    assert request.body == (
        b'{"DestinationPhoneNumber":"+4915112345678","MessageBody":"123456 is your Acme code.",'
        b'"MessageType":"TRANSACTIONAL","TimeToLive":290,"Context":{"attempt":"AT0190"},'
        b'"OriginationIdentity":"pool-78ec067f62f94d57bd3bab991example","ConfigurationSetName":"otp"}'
    )
    names = ("Content-Type", "Host", "X-Amz-Date", "X-Amz-Target", "Authorization")
    assert {name: request.headers[name] for name in names} == {
        "Content-Type": "application/x-amz-json-1.0",
        "Host": stand_in.url.removeprefix("http://"),
        "X-Amz-Date": "20230824T050145Z",
        "X-Amz-Target": "PinpointSMSVoiceV2.SendTextMessage",
        "Authorization": judged(request, stand_in.url, "eu-central-1"),
    }


async def test_aws_s_own_description_of_the_service_knows_the_request():
    async with standing_in(EXAMPLE.accepting) as stand_in:
        await send(stand_in)
    (request,) = stand_in.received
    asked = msgspec.json.decode(request.body)
    report = ParamValidator().validate(asked, OPERATION.input_shape)
    assert not report.has_errors(), report.generate_report()
    for name, value in asked.items():
        pattern = OPERATION.input_shape.members[name].metadata.get("pattern")
        assert pattern is None or re.fullmatch(pattern, value)
    whole = create_serializer("json").serialize_to_request(asked, OPERATION)
    assert (whole["method"], whole["url_path"]) == ("POST", "/")
    assert {name: request.headers[name] for name in whole["headers"]} == whole["headers"]
    assert msgspec.json.decode(whole["body"]) == asked


async def test_what_is_not_set_is_not_sent():
    async with standing_in(EXAMPLE.accepting) as stand_in:
        await send(stand_in, origination_identity="", configuration_set="")
    asked = msgspec.json.decode(stand_in.received[0].body)
    assert list(asked) == ["DestinationPhoneNumber", "MessageBody", "MessageType", "TimeToLive", "Context"]


@pytest.mark.parametrize(("valid_for_s", "ttl"), [(0, 5), (5, 5), (14_400, 14_400), (300_000, 259_200)])
async def test_the_life_of_the_text_is_kept_to_what_aws_takes(valid_for_s, ttl):
    text = Text("AT0190", TEXT.to, BODY, valid_for_s)
    async with standing_in(EXAMPLE.accepting) as stand_in:
        await send(stand_in, text)
    assert msgspec.json.decode(stand_in.received[0].body)["TimeToLive"] == ttl
    limits = OPERATION.input_shape.members["TimeToLive"].metadata
    assert (limits["min"], limits["max"]) == (5, 259_200)


HOSTS = st.sampled_from(
    [
        "https://sms-voice.us-east-1.amazonaws.com",
        "http://127.0.0.1:4566",
        "https://[2001:db8::1]:8443",
        "http://[::1]",
        "https://VPCE.example.com:443",
        "http://a.example:80",
        "https://a.example:80",
    ]
)


@settings(max_examples=60, deadline=None)
@given(
    url=HOSTS,
    region=st.sampled_from(["us-east-1", "us-gov-west-1", "eusc-de-east-1"]),
    secret=st.text(st.characters(codec="utf-8"), min_size=1, max_size=40),
    body=st.binary(max_size=60),
    at=st.integers(min_value=0, max_value=4_102_444_800_000),
)
def test_every_request_is_signed_as_aws_s_library_signs_it(url, region, secret, body, at):
    headers = aws.signed_headers(Account(KEY, Secret(secret), url), region, body, at)
    received = Received("POST", "/", headers, body)
    assert headers["Authorization"] == judged(received, url, region, secret)
    without = {name: value for name, value in headers.items() if name != "Host"}
    assert judged(Received("POST", "/", without, body), url, region, secret) == headers["Authorization"]


# --- answers ---


def said(kind: str, message: str = "No.", **more: object) -> bytes:
    return msgspec.json.encode({"__type": f"com.amazonaws.pinpoint.sms.voice.v2#{kind}", "Message": message, **more})


def vendor(status: int, code: str | None = None, message: str | None = "No.") -> Vendor:
    return Vendor(status, code, message)


def fields(*names: str) -> list[dict[str, str]]:
    return [{"Name": name, "Message": "bad"} for name in names]


UNKNOWN_502 = "AWS answered 502. The text may or may not have gone out."
ANSWERS = [
    (
        Answer(400, said("ConflictException", Reason="DESTINATION_PHONE_NUMBER_OPTED_OUT"), REQUEST_ID),
        Refused(
            "opted_out",
            "The recipient is on the account's opt-out list.",
            Vendor(
                400,
                "DESTINATION_PHONE_NUMBER_OPTED_OUT",
                "No.",
                request_id="5e1b2c3d-0000-4000-8000-0123456789ab",
            ),
            ERRORS_PAGE,
        ),
    ),
    (
        Answer(400, said("ConflictException", Reason="A_REASON_OF_TOMORROW")),
        Refused(
            "wrong_settings",
            "The text does not fit how the account's senders are set up.",
            vendor(400, "A_REASON_OF_TOMORROW"),
            ERRORS_PAGE,
        ),
    ),
    (
        Answer(400, said("ValidationException", Reason="SENDER_ID_NOT_REGISTERED")),
        Refused(
            "sender_not_allowed",
            "The sender may not send to this country, or must be registered first.",
            vendor(400, "SENDER_ID_NOT_REGISTERED"),
            ERRORS_PAGE,
            "origination_identity",
        ),
    ),
    (
        Answer(
            400, said("ValidationException", Reason="FIELD_VALIDATION_FAILED", Fields=fields("DestinationPhoneNumber"))
        ),
        Refused(
            "invalid_number",
            "The recipient's number is not a valid phone number.",
            vendor(400, "FIELD_VALIDATION_FAILED"),
            ERRORS_PAGE,
        ),
    ),
    (
        Answer(400, said("ValidationException", Fields=[1, {}, {"Name": []}, *fields("Context", "MessageBody")])),
        Refused(
            "text_refused",
            "AWS does not accept the text: it may be too long.",
            vendor(400, "ValidationException"),
            ERRORS_PAGE,
        ),
    ),
    (
        Answer(400, said("ValidationException", Fields={})),
        Refused(
            "wrong_settings",
            "AWS does not accept a parameter of the request.",
            vendor(400, "ValidationException"),
            ERRORS_PAGE,
        ),
    ),
    (
        Answer(400, said("ResourceNotFoundException", ResourceType="pool", ResourceId=POOL)),
        Refused(
            "wrong_settings",
            "AWS knows no such sender there.",
            vendor(400, "ResourceNotFoundException"),
            ERRORS_PAGE,
            "origination_identity",
        ),
    ),
    (
        Answer(400, said("ResourceNotFoundException", ResourceType="configuration-set")),
        Refused(
            "wrong_settings",
            "AWS knows no such configuration set.",
            vendor(400, "ResourceNotFoundException"),
            ERRORS_PAGE,
            "configuration_set",
        ),
    ),
    (
        Answer(400, said("AccessDeniedException", Reason="ACCOUNT_DISABLED")),
        Refused("account_trouble", "The AWS account is disabled.", vendor(400, "ACCOUNT_DISABLED"), ERRORS_PAGE),
    ),
    (
        Answer(400, said("AccessDeniedException")),
        Refused(
            "credentials_refused",
            "The access key's policy does not allow sms-voice:SendTextMessage.",
            vendor(400, "AccessDeniedException"),
            ERRORS_PAGE,
            "access_key_id",
        ),
    ),
    (
        Answer(400, said("ServiceQuotaExceededException", Reason="MONTHLY_SPEND_LIMIT_REACHED_FOR_TEXT")),
        Refused(
            "account_trouble",
            "The account's monthly limit for texts is spent.",
            vendor(400, "MONTHLY_SPEND_LIMIT_REACHED_FOR_TEXT"),
            ERRORS_PAGE,
        ),
    ),
    (
        Answer(
            400, b'{"message":"The security token is invalid."}', {"x-amzn-ErrorType": "UnrecognizedClientException:"}
        ),
        Refused(
            "credentials_refused",
            "AWS does not accept the access key.",
            vendor(400, "UnrecognizedClientException", "The security token is invalid."),
            ERRORS_PAGE,
            "access_key_id",
        ),
    ),
    (
        Answer(403, said("InvalidSignatureException")),
        Refused(
            "credentials_refused",
            "AWS did not accept the signature: the secret access key is wrong, or the clock here is minutes off.",
            vendor(403, "InvalidSignatureException"),
            ERRORS_PAGE,
            "secret_access_key",
        ),
    ),
    (
        Answer(403, b"<html>"),
        Refused(
            "credentials_refused",
            "AWS did not accept the access key.",
            vendor(403, None, None),
            ERRORS_PAGE,
            "access_key_id",
        ),
    ),
    (
        Answer(400, said("ErrorOfTomorrow")),
        Refused(
            "unknown",
            "AWS refused the text with ErrorOfTomorrow, which Otpost does not know.",
            vendor(400, "ErrorOfTomorrow"),
            ERRORS_PAGE,
        ),
    ),
    (
        Answer(404, b"<html>"),
        Refused(
            "wrong_settings",
            "The API URL answered 404 and none of AWS's errors. Check that it is AWS's.",
            vendor(404, None, None),
            field="api_url",
        ),
    ),
    (
        Answer(302, b"", {"Location": "https://elsewhere.example.com/"}),
        Refused(
            "wrong_settings",
            "The API URL answers with a redirect, which is not followed.",
            vendor(302, None, None),
            field="api_url",
        ),
    ),
    (
        Answer(400, said("ThrottlingException"), {"Retry-After": "3"}),
        Unavailable(
            "throttled",
            "AWS is getting more requests or texts of this account than it may send.",
            vendor(400, "ThrottlingException"),
            3.0,
        ),
    ),
    (
        Answer(429, b""),
        Unavailable(
            "throttled",
            "AWS is getting more requests or texts of this account than it may send.",
            vendor(429, None, None),
        ),
    ),
    (
        Answer(500, said("InternalServerException", RequestId="1")),
        Unknown(
            "AWS answered 500. The text may or may not have gone out.",
            vendor(500, "InternalServerException"),
            answered=True,
        ),
    ),
    (Answer(502, b"<html>"), Unknown(UNKNOWN_502, vendor(502, None, None), answered=True)),
    (
        Answer(503, said("ThrottlingException")),
        Unknown(
            "AWS answered 503. The text may or may not have gone out.",
            vendor(503, "ThrottlingException"),
            answered=True,
        ),
    ),
    (
        Answer(200, b"{}"),
        Unknown(
            "AWS took the text, but its answer does not name the message.",
            vendor(200, None, None),
            answered=True,
        ),
    ),
]


@pytest.mark.parametrize(("given_answer", "expected"), ANSWERS)
async def test_each_answer_comes_to_its_outcome(given_answer, expected):
    async with standing_in(given_answer) as stand_in:
        assert await send(stand_in) == expected
    assert len(stand_in.received) == 1


def documented() -> Iterator[tuple[str, str | None]]:
    """Every error that AWS's own description has for the operation, with each of its reasons and without."""
    shape: Shape
    for shape in OPERATION.error_shapes:
        yield shape.name, None
        if "Reason" in shape.members:
            yield from ((shape.name, reason) for reason in shape.members["Reason"].enum)


async def test_every_documented_error_and_each_of_its_reasons_is_known():
    every = list(documented())
    answers = [Answer(400, said(kind, Reason=reason) if reason else said(kind)) for kind, reason in every]
    async with standing_in(*answers) as stand_in:
        outcomes = [await send(stand_in) for _ in every]
    told = dict(zip(every, outcomes, strict=True))
    assert len(every) > 100
    assert {kind for kind, _ in every} == {
        "AccessDeniedException",
        "ConflictException",
        "InternalServerException",
        "ResourceNotFoundException",
        "ServiceQuotaExceededException",
        "ThrottlingException",
        "ValidationException",
    }
    assert isinstance(told.pop(("ThrottlingException", None)), Unavailable)
    told.pop(("InternalServerException", None))
    for (kind, reason), outcome in told.items():
        assert isinstance(outcome, Refused), (kind, reason)
        assert outcome.reason != "unknown", (kind, reason)
        assert outcome.vendor.code == (reason or kind)
        expected = REASONS.get(reason or "", ERRORS[kind])
        assert (outcome.reason, outcome.detail, outcome.field or "") == expected


def test_the_table_has_no_reason_and_no_field_that_aws_does_not_document():
    assert REASONS.keys() <= {reason for _, reason in documented()}
    assert FIELDS.keys() <= OPERATION.input_shape.members.keys()


def test_every_code_has_a_sentence_a_reason_and_a_setting_that_exist():
    names = set(answer(settings_of(**OURS), lambda ref: True)) | {""}
    for code in (*ERRORS.values(), *REASONS.values(), *FIELDS.values()):
        assert code.reason in VOCABULARY
        assert code.sentence[0].isupper()
        assert code.sentence.endswith(".")
        assert code.setting in names


@pytest.mark.parametrize(
    ("theirs", "shown"),
    [
        ("Number +4915112345678 is bad", "Number +49••••••••678 is bad"),
        (f"You sent {BODY}", "You sent …"),
        ("Body 123456", "Body …"),
        (f"Key {SECRET}", "Key …"),
        ("Line\nbreak\x00", "Line break "),
        ("x" * 301, "x" * 299 + "…"),
        ("", None),
    ],
)
async def test_aws_s_words_are_shown_without_what_is_ours_and_not_at_any_length(theirs, shown):
    async with standing_in(Answer(400, said("ConflictException", theirs))) as stand_in:
        outcome = await send(stand_in)
    assert outcome.vendor.message == shown


async def test_a_lost_connection_leaves_the_fate_unknown_and_a_closed_port_does_not():
    async with standing_in(None) as stand_in:
        lost = await send(stand_in)
    refused = await send(stand_in)
    assert isinstance(lost, Unknown)
    assert not lost.answered
    assert lost.detail.startswith("The text was handed to AWS, but no answer came. ")
    assert isinstance(refused, Unavailable)
    assert (refused.reason, refused.detail[:25]) == ("network_trouble", "AWS could not be reached.")


async def test_a_refusal_of_the_guard_stands_at_the_api_url():
    async with standing_in(None) as stand_in, outbound() as http:
        settings = settings_of(**OURS, api_url=stand_in.url)
        outcome = await aws.send(http, settings, Route("aws", KEY, POOL, ""), TEXT)
    assert isinstance(outcome, Refused)
    assert (outcome.reason, outcome.field) == ("wrong_settings", "api_url")
    assert stand_in.connections == 0


async def test_without_the_secret_nothing_is_sent():
    async with standing_in(None) as stand_in, outbound(LOOPBACK) as http:
        settings = settings_of(access_key_id=KEY, region="eu-central-1", api_url=stand_in.url)
        outcome = await aws.send(http, settings, Route("aws", KEY, POOL, ""), TEXT)
    assert isinstance(outcome, Refused)
    assert (outcome.reason, outcome.field) == ("wrong_settings", "secret_access_key")
    assert stand_in.connections == 0


# --- reports ---

URL = "https://otp.example.com/callbacks/aws?proof=abc"
SETTINGS = settings_of(**OURS)


def told(request: ReportRequest) -> Reported | NotProven:
    return the_one(aws.read_report(SETTINGS, request, {KEY: [Secret(SECRET)]}))


EXPECTED = [
    ("TEXT_QUEUED", "accepted", None),
    ("TEXT_PENDING", "accepted", None),
    ("TEXT_SENT", "sent", None),
    ("TEXT_SUCCESSFUL", "sent", None),
    ("TEXT_DELIVERED", "delivered", None),
    ("TEXT_INVALID", "undelivered", "invalid_number"),
    ("TEXT_INVALID_MESSAGE", "failed", "text_refused"),
    ("TEXT_UNREACHABLE", "undelivered", "not_reachable"),
    ("TEXT_CARRIER_UNREACHABLE", "undelivered", "not_delivered"),
    ("TEXT_BLOCKED", "undelivered", "filtered"),
    ("TEXT_CARRIER_BLOCKED", "undelivered", "filtered"),
    ("TEXT_SPAM", "undelivered", "filtered"),
    ("TEXT_UNKNOWN", "undelivered", "not_delivered"),
    ("TEXT_TTL_EXPIRED", "failed", "too_late"),
    ("TEXT_PROTECT_BLOCKED", "failed", "blocked_as_fraud"),
    ("RCS_QUEUED", "accepted", None),
    ("RCS_SENT", "sent", None),
    ("RCS_DELIVERED", "delivered", None),
    ("RCS_READ", "delivered", None),
    ("RCS_FAILED", "undelivered", "not_delivered"),
    ("RCS_TTL_EXPIRED", "failed", "too_late"),
    ("RCS_PROTECT_BLOCKED", "failed", "blocked_as_fraud"),
    ("RCS_FALLEN_BACK_TO_SMS", "accepted", None),
]


@pytest.mark.parametrize("envelope", [by_eventbridge, by_sns])
@pytest.mark.parametrize(("kind", "status", "reason"), EXPECTED)
def test_each_event_is_a_status_and_a_reason(envelope, kind, status, reason):
    report = told(envelope(URL, event(kind)))
    assert isinstance(report, Reported)
    assert (report.status, report.vendor_status, report.reason) == (status, kind, reason)
    assert (report.vendor_sid, report.account_sid) == (SID, KEY)
    if reason is None:
        assert (report.vendor_code, report.detail, report.link) == (None, "", None)
    else:
        assert (report.vendor_code, report.link) == (kind, EVENTS_PAGE)
        assert report.detail == EVENTS[kind.split("_", 1)[1]].sentence
        assert report.detail.endswith(".")


def test_every_event_on_a_text_that_aws_documents_is_known():
    kinds = [kind for kind in MODEL.shape_for("EventType").enum if re.match("(TEXT|RCS)_(?!ALL$)", kind)]
    assert sorted(kinds) == sorted(kind for kind, _, _ in EXPECTED)


def test_an_event_that_sns_hands_on_bare_is_read():
    bare = ReportRequest(URL, msgspec.json.encode(event("TEXT_DELIVERED")), {"x-amz-sns-rawdelivery": "true"})
    assert told(bare) == Reported("delivered", "TEXT_DELIVERED", None, SID, KEY, attempt=ATTEMPT)


@pytest.mark.parametrize("kind", ["TEXT_CARRIER_UNREACHABLE", "RCS_FAILED", "TEXT_EVENT_OF_TOMORROW"])
def test_trouble_that_is_not_final_and_what_is_not_known_move_nothing(kind):
    assert told(by_eventbridge(URL, event(kind, isFinal=False))) == Reported(
        "accepted", kind, None, SID, KEY, attempt=ATTEMPT
    )


def test_all_events_of_a_call_are_read_in_their_order():
    first, second = event("TEXT_SUCCESSFUL"), event("TEXT_DELIVERED", messageId="another", context={})
    expected = [
        Reported("sent", "TEXT_SUCCESSFUL", None, SID, KEY, attempt=ATTEMPT),
        Reported("delivered", "TEXT_DELIVERED", None, "another", KEY),
    ]
    handed_on = [by_eventbridge(URL, first).body, by_eventbridge(URL, second).body]
    for body in (
        msgspec.json.encode([first, second]),
        b"[" + b",".join(handed_on) + b"]",
        msgspec.json.encode({"detail": [first, second]}),
        msgspec.json.encode({"Type": "Notification", "Message": msgspec.json.encode([first, second]).decode()}),
    ):
        assert aws.read_report(SETTINGS, ReportRequest(URL, body, {}), {}) == expected


def test_a_call_with_one_event_that_cannot_be_read_is_refused_whole():
    wrongs: list[object] = [event("VOICE_COMPLETED"), event("TEXT_SENT", messageId=None), 1, None, []]
    for wrong in wrongs:
        body = msgspec.json.encode([event("TEXT_DELIVERED"), wrong])
        assert isinstance(told(ReportRequest(URL, body, {})), NotProven), wrong


def confirmation(url: object, kind: str = "SubscriptionConfirmation") -> ReportRequest:
    call = by_sns(URL, {}, kind)
    body = msgspec.json.encode({**msgspec.json.decode(call.body), "Token": "2336412f37", "SubscribeURL": url})
    return ReportRequest(URL, body, call.headers)


@pytest.mark.parametrize(
    "host", ["eu-central-1.amazonaws.com", "cn-north-1.amazonaws.com.cn", "eusc-de-east-1.amazonaws.eu"]
)
def test_a_subscription_is_confirmed_at_sns(host):
    url = f"https://sns.{host}/?Action=ConfirmSubscription&TopicArn=arn:aws:sns:x:1:otp&Token=2336412f37"
    assert aws.read_report(SETTINGS, confirmation(url), {}) == Confirmation(url)
    ended = confirmation(url, "UnsubscribeConfirmation")
    assert isinstance(aws.read_report(SETTINGS, ended, {}), NotProven)


@pytest.mark.parametrize(
    "url",
    [
        "http://sns.eu-central-1.amazonaws.com/?Action=ConfirmSubscription&Token=2336412f37",
        "https://sns.eu-central-1.amazonaws.com:8443/?Action=ConfirmSubscription&Token=2336412f37",
        "https://sns.eu-central-1.amazonaws.com/?Action=DeleteTopic&Token=2336412f37",
        "https://sns.eu-central-1.amazonaws.com/other?Action=ConfirmSubscription&Token=2336412f37",
        "https://sns.eu-central-1.amazonaws.com/?Action=ConfirmSubscription&Token=1\r\nHost: x",
        "https://sns.eu-central-1.amazonaws.com.evil.example/?Action=ConfirmSubscription&Token=2336412f37",
        "https://sns.evil.example/.amazonaws.com/?Action=ConfirmSubscription&Token=2336412f37",
        "https://user:password@sns.eu-central-1.amazonaws.com/?Action=ConfirmSubscription&Token=2336412f37",
        "https://s3.eu-central-1.amazonaws.com/?Action=ConfirmSubscription&Token=2336412f37",
        "https://evil.example.com/",
        "javascript:alert(1)",
        "",
        None,
        7,
    ],
)
def test_a_subscription_is_confirmed_nowhere_else(url):
    answer = aws.read_report(SETTINGS, confirmation(url), {})
    assert answer == NotProven("the address by which it asks for a confirmation is none of SNS")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b"\xff",
        b"[" * 5000,
        b"{}",
        b'{"Type": "Notification"}',
        b'{"Type": "Notification", "Message": 1}',
        b'{"Type": "Notification", "Message": "[]"}',
        b'{"Type": "Notification", "Message": "AWS sends a test"}',
        b'{"detail": "TEXT_DELIVERED"}',
        msgspec.json.encode(event("VOICE_COMPLETED")),
        msgspec.json.encode(event("MEDIA_DELIVERED")),
        msgspec.json.encode(event("TEXT_")),
        msgspec.json.encode(event("TEXT_DELIVERED", messageId=None)),
        msgspec.json.encode(event("TEXT_DELIVERED", messageId="a b")),
        msgspec.json.encode(event("TEXT_DELIVERED", messageId="x" * 65)),
        msgspec.json.encode(event("TEXT_DELIVERED", eventType=["TEXT_DELIVERED"])),
    ],
)
def test_what_is_no_event_on_a_text_is_not_believed(body):
    assert isinstance(told(ReportRequest(URL, body, {})), NotProven)
