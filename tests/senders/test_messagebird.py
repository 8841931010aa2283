"""MessageBird: the request as a whole, what each answer and status comes to, look-ups and signed reports."""

from __future__ import annotations

import time
import warnings
from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256
from hmac import digest
from typing import Any
from urllib.parse import urlencode

import jwt
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from messagebird.error import ValidationError  # type: ignore[import-untyped]  # the SDK has no types
from messagebird.request_validator import RequestValidator  # type: ignore[import-untyped]  # the SDK has no types
from messagebird.signed_request import SignedRequest  # type: ignore[import-untyped]  # the SDK has no types

from otpost.domain.outcome import REASONS, Accepted, Outcome, Refused, Unavailable, Unknown, Vendor
from otpost.domain.phone import trusted
from otpost.domain.policy import Route
from otpost.domain.secret import Secret
from otpost.senders import messagebird
from otpost.senders.messagebird import Settings
from otpost.senders.messagebird.codes import API_PAGE, CODES, CODES_PAGE, PARAMETERS, STATUS_CODES, STATUS_REASONS
from otpost.senders.registry import find_services, list_problems
from otpost.senders.service import (
    Account,
    FallsBack,
    FetchesReports,
    Listed,
    LooksUp,
    LookUpFailed,
    NotProven,
    ReadsReports,
    Reported,
    ReportRequest,
    SenderService,
    Text,
)
from otpost.senders.settings import SecretRef, answer, fill
from otpost.senders.submission import read_section
from senders.contract import LOOPBACK, Answer, Case, Example, StandIn, outbound, standing_in, the_one

CHECKED_BY_MYPY: SenderService = messagebird

ID = "e8077d803532c0b5937c639b60216938"
ACCESS = "live-access-key"
SIGNING = "the-signing-key"
OURS = {"access_key": ACCESS, "originator": "+31612345678", "signing_key": SIGNING}
STATUS_OF = {"sent": "sent", "delivered": "delivered", "failed": "delivery_failed"}


def token(url: str, body: bytes = b"", *, key: str = SIGNING, algorithm: str = "HS256", **claims: object) -> str:
    """The signature that MessageBird gives a call, made by a public library."""
    hashes: dict[str, object] = {"url_hash": sha256(url.encode()).hexdigest()}
    if body:
        hashes["payload_hash"] = sha256(body).hexdigest()
    now = int(time.time())
    common = {"iss": "MessageBird", "jti": "e92cf079", "nbf": now - 10, "exp": now + 60}
    with warnings.catch_warnings(action="ignore"):  # of keys shorter than the digest
        return jwt.encode({**common, **hashes, **claims}, key, algorithm)


def report(address: str, sid: str | None, status: str) -> ReportRequest:
    fields = {"id": sid or ID, "reference": address.rpartition("/")[2], "status": STATUS_OF[status]}
    url = f"{address}?{urlencode(fields)}"
    return ReportRequest(url, b"", {"MessageBird-Signature-JWT": token(url)})


def message(status: str = "sent", **more: object) -> dict[str, object]:
    recipient = {"recipient": 4915112345678, "status": status, "statusDatetime": "2023-08-24T05:01:47+00:00"}
    common = {"id": ID, "direction": "mt", "body": "123456 is your Acme code.", "originator": "31612345678"}
    dated = {"createdDatetime": "2023-08-24T05:01:47+00:00"}
    return {**common, **dated, "recipients": {"totalCount": 1, "items": [{**recipient, **more}]}}


EXAMPLE = Example(
    section=lambda url: {**OURS, "api_url": url},
    cases={
        "accepted": Case(Answer(201, msgspec.json.encode(message())), Accepted),
        "refused": Case(
            Answer(422, b'{"errors": [{"code": 10, "parameter": "recipients"}]}'), Refused, "invalid_number"
        ),
        "credentials": Case(Answer(401, b'{"errors": [{"code": 2}]}'), Refused, "credentials_refused", "access_key"),
        "throttled": Case(Answer(429), Unavailable, "throttled"),
        "server_error": Case(Answer(503), Unknown, "answer_lost"),
        "not_connected": Case(None, Unavailable, "network_trouble"),
        "timed_out": Case(None, Unknown, "answer_lost"),
        "reset": Case(None, Unknown, "answer_lost"),
        "unreadable": Case(Answer(200, b"<html>"), Unknown, "answer_lost"),
    },
    report=report,
)

BODY = "123456 is your Acme code."
URL = "https://otp.example.com/callbacks/messagebird/AT0190"
TEXT = Text("AT0190", trusted("+4915112345678"), BODY, 290, URL)


def settings_of(**section: Any) -> Settings:
    submission = read_section(Settings, section, "messagebird")
    assert submission.errors == []
    return fill(submission.settings, submission.typed)


async def send(stand_in: StandIn, text: Text = TEXT, **section: Any) -> Outcome:
    settings = settings_of(**{**OURS, "api_url": stand_in.url, **section})
    route = messagebird.route(settings, text.to)
    assert isinstance(route, Route)
    async with outbound(LOOPBACK) as http:
        return await messagebird.send(http, settings, route, text)


# --- settings and routes ---


def test_the_api_form_has_the_names_and_the_order_of_the_contract():
    shown = answer(settings_of(**OURS), lambda ref: ref.field == "access_key")
    assert list(shown.items()) == [
        ("access_key", None),
        ("access_key_set", True),
        ("originator", "+31612345678"),
        ("signing_key", None),
        ("signing_key_set", False),
        ("api_url", "https://rest.messagebird.com"),
    ]


def test_the_access_key_belongs_to_the_server_and_the_signing_key_is_sent_to_none():
    assert read_section(Settings, OURS, "messagebird").slots == [
        (SecretRef("access_key", "", "https://rest.messagebird.com:443"), "messagebird.access_key"),
        (SecretRef("signing_key", "", ""), "messagebird.signing_key"),
    ]


def test_only_the_originator_and_the_access_key_are_needed():
    problems = list_problems(messagebird, settings_of(), "messagebird")
    assert [(error.field, error.code) for error in problems] == [("messagebird.originator", "required")]
    assert list_problems(messagebird, settings_of(access_key=ACCESS, originator="MyBrand"), "messagebird") == []


@pytest.mark.parametrize("originator", ["+31612345678", "MyBrand", "12345"])
def test_every_number_takes_the_one_account_which_has_no_name(originator):
    settings = settings_of(**{**OURS, "originator": originator})
    reason = "MessageBird's account sends from its originator to every number."
    assert messagebird.route(settings, TEXT.to) == Route("messagebird", "", originator, reason)


def test_messagebird_looks_up_reads_and_fetches_reports():
    service = find_services()["messagebird"]
    assert isinstance(service, LooksUp)
    assert isinstance(service, ReadsReports)
    assert isinstance(service, FetchesReports)
    assert not isinstance(service, FallsBack)
    assert (service.TITLE, service.PLACE, service.may_be_fallback) == ("MessageBird", 30, True)


# --- the request ---


async def test_the_request_is_this_and_nothing_else():
    async with standing_in(EXAMPLE.accepting) as stand_in:
        await send(stand_in)
    (request,) = stand_in.received
    assert (request.method, request.target) == ("POST", "/messages")
    assert msgspec.json.decode(request.body) == {
        "originator": "31612345678",
        "recipients": ["4915112345678"],
        "body": "123456 is your Acme code.",
        "datacoding": "auto",
        "validity": 290,
        "reference": "AT0190",
        "reportUrl": "https://otp.example.com/callbacks/messagebird/AT0190",
    }
    headers = {name: request.headers[name] for name in ("Authorization", "Accept", "Content-Type")}
    assert headers == {
        "Authorization": "AccessKey live-access-key",
        "Accept": "application/json",
        "Content-Type": "application/json",
    }


@pytest.mark.parametrize(
    ("text", "section"), [(TEXT, {"signing_key": None}), (Text("AT0190", TEXT.to, BODY, 290), {"signing_key": SIGNING})]
)
async def test_without_a_signing_key_or_an_address_no_report_is_asked_for(text, section):
    async with standing_in(EXAMPLE.accepting) as stand_in:
        await send(stand_in, text, **section)
    assert "reportUrl" not in msgspec.json.decode(stand_in.received[0].body)


@pytest.mark.parametrize(("valid_for_s", "sent"), [(0, 1), (1, 1), (299, 299), (36_000, 36_000)])
async def test_the_validity_is_what_is_left_of_the_text_s_life(valid_for_s, sent):
    async with standing_in(EXAMPLE.accepting) as stand_in:
        await send(stand_in, Text("AT0190", TEXT.to, BODY, valid_for_s))
    assert msgspec.json.decode(stand_in.received[0].body)["validity"] == sent


async def test_a_text_of_any_characters_is_sent_as_it_is_and_half_a_character_as_a_question_mark():
    async with standing_in(EXAMPLE.accepting) as stand_in:
        await send(stand_in, Text("AT0190", TEXT.to, "123456 – код \U0001f511\ud800\n", 290))
    assert msgspec.json.decode(stand_in.received[0].body)["body"] == "123456 – код \U0001f511?\n"


async def test_an_api_url_with_a_path_and_a_slash_at_the_end_is_the_root():
    async with standing_in(EXAMPLE.accepting) as stand_in:
        await send(stand_in, api_url=f"{stand_in.url}/eu/", originator="MyBrand")
    assert stand_in.received[0].target == "/eu/messages"
    assert msgspec.json.decode(stand_in.received[0].body)["originator"] == "MyBrand"


async def test_without_an_access_key_nothing_is_sent():
    settings = settings_of(originator="MyBrand")
    route = messagebird.route(settings, TEXT.to)
    assert isinstance(route, Route)
    async with outbound() as http:
        outcome = await messagebird.send(http, settings, route, TEXT)
    detail = "The access key is not stored; type it in the settings."
    assert outcome == Refused("credentials_refused", detail, field="access_key")


# --- what each answer comes to ---


def said(code: object, parameter: str | None = None, description: str = "MessageBird's words") -> bytes:
    return msgspec.json.encode({"errors": [{"code": code, "description": description, "parameter": parameter}]})


def vendor(status: int, code: int | None = None) -> Vendor:
    return Vendor(status, str(code), "MessageBird's words") if code else Vendor(status)


MAYBE = "MessageBird answered {}. The text may or may not have gone out."
UNNAMED = "MessageBird took the text, but its answer does not name the message."
NOT_THEIRS = "The API URL answered {} and none of MessageBird's codes. Check that it is MessageBird's."
BAD_KEY = "MessageBird did not accept the access key."
BAD_NUMBER = "MessageBird does not accept the recipient's number."
BUSY = "MessageBird is getting too many requests of this account at once."

ANSWERS: list[tuple[Answer, Outcome]] = [
    (Answer(201, msgspec.json.encode(message())), Accepted(Vendor(201, sid=ID, status="sent"))),
    (Answer(200, msgspec.json.encode({"id": ID})), Accepted(Vendor(200, sid=ID))),
    (Answer(201, b"<html>"), Unknown(UNNAMED, Vendor(201), answered=True)),
    (Answer(201, b'{"id": "a b", "recipients": []}'), Unknown(UNNAMED, Vendor(201), answered=True)),
    (Answer(200, said(9, "recipients")), Unknown(UNNAMED, vendor(200, 9), answered=True)),
    (
        Answer(302, b"", {"Location": "https://api.example.com"}),
        Refused(
            "wrong_settings",
            "The API URL answers with a redirect, which is not followed.",
            vendor(302),
            field="api_url",
        ),
    ),
    (
        Answer(401, said(2, "access_key")),
        Refused("credentials_refused", BAD_KEY, vendor(401, 2), API_PAGE, "access_key"),
    ),
    (Answer(401, b""), Refused("credentials_refused", BAD_KEY, vendor(401), None, "access_key")),
    (Answer(403, said(10)), Refused("credentials_refused", BAD_KEY, vendor(403, 10), API_PAGE, "access_key")),
    (
        Answer(402, b""),
        Refused("account_trouble", "The MessageBird account is out of funds.", vendor(402)),
    ),
    (
        Answer(422, said(25)),
        Refused("account_trouble", "The MessageBird account is out of funds.", vendor(422, 25), API_PAGE),
    ),
    (Answer(422, said(9, "recipients")), Refused("invalid_number", BAD_NUMBER, vendor(422, 9), API_PAGE)),
    (
        Answer(422, said(10, "originator")),
        Refused(
            "sender_not_allowed",
            "MessageBird does not accept the originator.",
            vendor(422, 10),
            API_PAGE,
            "originator",
        ),
    ),
    (
        Answer(422, said(10, "something new")),
        Refused(
            "unknown", "MessageBird does not accept a parameter and does not say which.", vendor(422, 10), API_PAGE
        ),
    ),
    (
        Answer(422, said(777)),
        Refused(
            "unknown",
            "MessageBird refused the text with code 777, which Otpost does not know.",
            vendor(422, 777),
            API_PAGE,
        ),
    ),
    (
        Answer(404, said(98)),
        Refused("wrong_settings", "MessageBird knows nothing at this address.", vendor(404, 98), API_PAGE, "api_url"),
    ),
    (Answer(404, b"<html>"), Refused("wrong_settings", NOT_THEIRS.format(404), vendor(404), field="api_url")),
    (
        Answer(400, b'{"errors": "none"}'),
        Refused("wrong_settings", NOT_THEIRS.format(400), vendor(400), None, "api_url"),
    ),
    (
        Answer(429, said(10), {"Retry-After": "7"}),
        Unavailable("throttled", BUSY, vendor(429, 10), 7.0, API_PAGE),
    ),
    (Answer(429, b""), Unavailable("throttled", BUSY, vendor(429))),
    (Answer(408, b""), Unknown(MAYBE.format(408), vendor(408), answered=True)),
    (Answer(422, said(99)), Unknown(MAYBE.format(422), vendor(422, 99), answered=True)),
    (Answer(500, said(99)), Unknown(MAYBE.format(500), vendor(500, 99), answered=True)),
    (Answer(503, said(25)), Unknown(MAYBE.format(503), vendor(503, 25), answered=True)),
]


@pytest.mark.parametrize(("given_answer", "expected"), ANSWERS, ids=lambda value: getattr(value, "status", ""))
async def test_each_answer_comes_to(given_answer, expected):
    async with standing_in(given_answer) as stand_in:
        assert await send(stand_in) == expected
    assert len(stand_in.received) == 1


@pytest.mark.parametrize("parameter", [None, *PARAMETERS])
@pytest.mark.parametrize("code", [*CODES, 1, 3, 101, 999_999])
async def test_every_code_and_parameter_is_a_refusal_with_a_reason_and_a_sentence(code, parameter):
    async with standing_in(Answer(422, said(code, parameter))) as stand_in:
        outcome = await send(stand_in)
    assert isinstance(outcome, Refused)
    assert outcome.reason in REASONS
    assert outcome.detail.endswith(".")
    assert outcome.field in {None, "access_key", "originator", "api_url"}
    assert (outcome.vendor.code, outcome.link) == (str(code), API_PAGE)


async def test_what_messagebird_says_back_is_shown_without_number_text_and_key():
    words = f"no (correct) recipients found: 4915112345678, {BODY} {ACCESS}"
    async with standing_in(Answer(422, said(9, "recipients", words))) as stand_in:
        outcome = await send(stand_in)
    assert outcome.vendor.message == f"no (correct) recipients found: {TEXT.to.masked[1:]}, … …"


# --- look-ups and fetched reports ---

SINCE = 1_692_853_305_000  # 2023-08-24T05:01:45Z
ACCOUNT = Account("", Secret(ACCESS), "")


def row(number: int, date: str | None, recipient: object = 4915112345678, **told: object) -> dict[str, object]:
    recipients = {"items": [{"recipient": recipient, "status": "sent", **told}]}
    return {
        "id": f"{number:032x}",
        "createdDatetime": date,
        "body": f"{number} is your code.",
        "recipients": recipients,
    }


def listing(rows: list[dict[str, object]], total: int | None = None) -> Answer:
    return Answer(200, msgspec.json.encode({"items": rows, "totalCount": len(rows) if total is None else total}))


async def look_up(stand_in: StandIn) -> list[Listed] | LookUpFailed:
    async with outbound(LOOPBACK) as http:
        return await messagebird.look_up(http, Account("", Secret(ACCESS), stand_in.url), TEXT.to, SINCE)


def told(number: int, status: Any = "sent", vendor_status: str = "sent", **more: Any) -> Reported:
    return Reported(status, vendor_status, more.pop("code", None), f"{number:032x}", "", **more)


async def test_a_look_up_lists_the_messages_to_the_number_from_5_s_before_the_intent():
    answers = listing(
        [
            row(1, "2023-08-24T05:01:39+00:00"),
            row(2, "2023-08-24T05:01:40Z"),
            row(3, None, "+4915112345678", status="delivery_failed", statusErrorCode=27),
            row(4, "2023-08-24T05:01:46+00:00", 4915112345679),
            row(5, "2023-08-24T07:01:47+02:00", "4915112345678"),
            row(6, "nonsense"),
        ]
    )
    async with standing_in(answers) as stand_in:
        rows = await look_up(stand_in)
    absent = STATUS_CODES[27]
    assert rows == [
        Listed(f"{2:032x}", SINCE - 5000, "2 is your code.", told(2)),
        Listed(
            f"{3:032x}",
            None,
            "3 is your code.",
            told(
                3, "undelivered", "delivery_failed",
                code="27", reason="not_reachable", detail=absent.sentence, link=CODES_PAGE,
            ),
        ),
        Listed(f"{5:032x}", SINCE + 2000, "5 is your code.", told(5)),
        Listed(f"{6:032x}", None, "6 is your code.", told(6)),
    ]  # fmt: skip
    (request,) = stand_in.received
    assert request.target == (
        "/messages?recipient=4915112345678&direction=mt&from=2023-08-24T05%3A01%3A40%2B00%3A00&limit=20&offset=0"
    )
    assert (request.method, request.headers["Authorization"]) == ("GET", "AccessKey live-access-key")
    assert "is your code" not in repr(rows)


async def test_a_look_up_reads_all_pages():
    first = listing([row(2, "2023-08-24T05:01:47+00:00")], 2)
    async with standing_in(first, listing([row(1, "2023-08-24T05:01:46+00:00")], 2)) as stand_in:
        rows = await look_up(stand_in)
    assert isinstance(rows, list)
    assert [listed.sid for listed in rows] == [f"{2:032x}", f"{1:032x}"]
    assert [request.target.rpartition("&")[2] for request in stand_in.received] == ["offset=0", "offset=1"]


@pytest.mark.parametrize(
    ("given_answer", "about_credentials"),
    [
        (Answer(401, said(2)), True),
        (Answer(403, b""), True),
        (Answer(404, said(20)), False),
        (Answer(429, b""), False),
        (Answer(500, b""), False),
        (Answer(302, b""), False),
        (Answer(200, b"nonsense"), False),
        (Answer(200, b'{"items": []}'), False),
        (Answer(200, b'{"items": 1, "totalCount": 1}'), False),
        (Answer(200, b'{"items": [1], "totalCount": 1}'), False),
        (Answer(200, b'{"items": [{"id": "a b"}], "totalCount": 1}'), False),
        (listing([], 3), False),
        (listing([row(1, "2023-08-24T05:01:47+00:00")], 1000), False),
        (None, False),
    ],
)
async def test_a_look_up_that_fails_proves_nothing(given_answer, about_credentials):
    async with standing_in(given_answer) as stand_in:
        failed = await look_up(stand_in)
    assert isinstance(failed, LookUpFailed)
    assert failed.about_credentials is about_credentials
    assert failed.reason
    assert len(stand_in.received) <= 10


async def fetch(stand_in: StandIn, vendor_sid: str = ID) -> Reported | LookUpFailed:
    async with outbound(LOOPBACK) as http:
        return await messagebird.fetch_report(http, Account("", Secret(ACCESS), stand_in.url), vendor_sid)


async def test_a_report_is_fetched_by_the_message_s_id():
    body = message("delivery_failed", statusErrorCode=1, statusReason="unknown subscriber")
    async with standing_in(Answer(200, msgspec.json.encode(body))) as stand_in:
        fetched = await fetch(stand_in)
    sentence = "The number belongs to no active line."
    assert fetched == Reported("undelivered", "delivery_failed", "1", ID, "", "invalid_number", sentence, CODES_PAGE)
    assert stand_in.received[0].target == f"/messages/{ID}"


@pytest.mark.parametrize(
    "given_answer",
    [
        Answer(404, said(20)),
        Answer(200, b"{}"),
        Answer(200, msgspec.json.encode({**message(), "id": "another"})),
        Answer(200, msgspec.json.encode({"id": ID, "recipients": {"items": []}})),
        None,
    ],
)
async def test_a_report_that_cannot_be_fetched_says_nothing(given_answer):
    async with standing_in(given_answer) as stand_in:
        assert isinstance(await fetch(stand_in), LookUpFailed)
        assert isinstance(await fetch(stand_in, "../balance"), LookUpFailed)
    assert len(stand_in.received) == 1


# --- reports ---

FIELDS = {"id": ID, "reference": "AT0190", "recipient": "4915112345678", "status": "delivered"}
TOKENS = {"": [Secret("new-key"), Secret(SIGNING)]}
READY = Settings()


def addressed(fields: Mapping[str, str], url: str = URL) -> str:
    return f"{url}?{urlencode(fields)}"


def signed(fields: Mapping[str, str], url: str = URL, **made: Any) -> ReportRequest:
    address = addressed(fields, url)
    return ReportRequest(address, b"", {"messagebird-signature-jwt": token(address, **made)})


@pytest.mark.parametrize(
    ("status", "more", "expected"),
    [
        ("scheduled", {}, ("accepted", None)),
        ("sent", {}, ("sent", None)),
        ("buffered", {}, ("sent", None)),
        ("delivered", {"statusReason": "successfully delivered"}, ("delivered", None)),
        ("delivered", {"statusErrorCode": "27"}, ("delivered", None)),
        ("buffered", {"statusErrorCode": "27"}, ("sent", "not_reachable")),
        ("expired", {}, ("undelivered", "not_delivered")),
        ("expired", {"statusReason": "unavailable subscriber"}, ("undelivered", "not_reachable")),
        ("delivery_failed", {"statusReason": "Unknown Subscriber"}, ("undelivered", "invalid_number")),
        ("delivery_failed", {"statusErrorCode": "103"}, ("undelivered", "opted_out")),
        ("delivery_failed", {"statusErrorCode": "104"}, ("undelivered", "sender_not_allowed")),
        ("delivery_failed", {"statusErrorCode": "9999"}, ("undelivered", "not_delivered")),
        ("delivery_failed", {}, ("undelivered", "not_delivered")),
        ("a status of tomorrow", {}, ("accepted", None)),
    ],
)
def test_each_status_of_a_report_is_one_of_ours(status, more, expected):
    reported = the_one(messagebird.read_report(READY, signed({**FIELDS, "status": status, **more}), TOKENS))
    assert isinstance(reported, Reported)
    assert (reported.status, reported.reason) == expected
    assert (reported.vendor_status, reported.vendor_sid, reported.account_sid) == (status, ID, "")
    assert bool(reported.detail) == (reported.reason is not None)


@pytest.mark.parametrize("code", STATUS_CODES)
def test_every_code_of_a_report_is_told_in_a_sentence_and_linked(code):
    fields = {**FIELDS, "status": "delivery_failed", "statusErrorCode": str(code)}
    known = STATUS_CODES[code]
    assert the_one(messagebird.read_report(READY, signed(fields), TOKENS)) == Reported(
        "undelivered", "delivery_failed", str(code), ID, "", known.reason, known.sentence, CODES_PAGE
    )


@pytest.mark.parametrize("why", STATUS_REASONS)
def test_every_reason_of_a_report_is_told_in_a_sentence(why):
    reported = the_one(
        messagebird.read_report(READY, signed({**FIELDS, "status": "delivery_failed", "statusReason": why}), TOKENS)
    )
    known = STATUS_REASONS[why]
    assert reported == Reported("undelivered", "delivery_failed", None, ID, "", known.reason, known.sentence)


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
@pytest.mark.parametrize("key", [SIGNING, "new-key"])
def test_any_signing_key_that_is_kept_proves_a_report(key, algorithm):
    request = signed(FIELDS, key=key, algorithm=algorithm)
    assert the_one(messagebird.read_report(READY, request, TOKENS)) == Reported("delivered", "delivered", None, ID, "")


def test_a_report_that_comes_again_tells_the_same_even_after_its_signature_has_run_out():
    request = signed(FIELDS, exp=1, nbf=1)
    expected = Reported("delivered", "delivered", None, ID, "")
    assert the_one(messagebird.read_report(READY, request, TOKENS)) == expected
    assert the_one(messagebird.read_report(READY, request, TOKENS)) == expected


def test_a_report_may_come_as_a_posted_form():
    body = urlencode(FIELDS).encode()
    request = ReportRequest(URL, body, {"MessageBird-Signature-JWT": token(URL, body)})
    assert the_one(messagebird.read_report(READY, request, TOKENS)) == Reported("delivered", "delivered", None, ID, "")
    for other in (b"", body + b"&status=sent"):
        forged = ReportRequest(URL, other, request.headers)
        assert isinstance(the_one(messagebird.read_report(READY, forged, TOKENS)), NotProven)


GOOD = signed(FIELDS)
NONE_ALG = jwt.encode({"iss": "MessageBird", "url_hash": sha256(GOOD.url.encode()).hexdigest()}, "", "none")


@pytest.mark.parametrize(
    "request_",
    [
        ReportRequest(GOOD.url, b"", {}),
        ReportRequest(GOOD.url, b"", {"MessageBird-Signature-JWT": ""}),
        ReportRequest(GOOD.url, b"", {"MessageBird-Signature-JWT": "nonsense"}),
        ReportRequest(GOOD.url, b"", {"MessageBird-Signature-JWT": "é.é.é"}),
        ReportRequest(GOOD.url, b"", {"MessageBird-Signature-JWT": "...."}),
        ReportRequest(GOOD.url, b"", {"MessageBird-Signature-JWT": NONE_ALG}),
        ReportRequest(GOOD.url + "&status=failed", b"", GOOD.headers),
        ReportRequest(GOOD.url.replace("AT0190", "AT0191"), b"", GOOD.headers),
        ReportRequest(GOOD.url, b"status=failed", GOOD.headers),
        signed(FIELDS, key="another-key"),
        signed(FIELDS, iss="Nobody"),
        signed(FIELDS, url_hash=None),
        signed(FIELDS, payload_hash=sha256(b"").hexdigest()),
        signed(FIELDS, url=URL.replace("AT0190", "AT0191")),
        signed({**FIELDS, "reference": ""}),
        signed({**FIELDS, "id": "a b"}),
        signed({**FIELDS, "status": ""}),
        signed({"reference": "AT0190"}),
        signed({**FIELDS, **{f"a{number}": "" for number in range(200)}}),
    ],
)
def test_what_is_not_proven_is_not_believed(request_):
    assert isinstance(the_one(messagebird.read_report(READY, request_, TOKENS)), NotProven)


def test_without_a_signing_key_no_report_is_believed():
    assert isinstance(the_one(messagebird.read_report(READY, GOOD, {})), NotProven)
    empty = signed(FIELDS, key="another-key")
    assert isinstance(the_one(messagebird.read_report(READY, empty, {"": []})), NotProven)


def signed_as_before(fields: Mapping[str, str], key: str = SIGNING, url: str = URL) -> ReportRequest:
    """By hand, after the vendor's description; the vendor's own library agrees below."""
    query = urlencode(sorted(fields.items()))
    mac = digest(key.encode(), b"1690306305\n" + query.encode() + b"\n" + sha256(b"").digest(), "sha256")
    headers = {"MessageBird-Signature": b64encode(mac).decode(), "MessageBird-Request-Timestamp": "1690306305"}
    return ReportRequest(addressed(fields, url), b"", headers)


def test_the_older_signature_proves_a_report_as_the_vendor_s_library_says():
    fields = {**FIELDS, "price[amount]": "0.075", "statusDatetime": "2016-05-03T14:26:57+00:00"}
    request = signed_as_before(fields)
    with pytest.deprecated_call():
        judge = SignedRequest(request.headers["MessageBird-Signature"], "1690306305", "", fields)
        assert judge.verify(SIGNING)
    assert the_one(messagebird.read_report(READY, request, TOKENS)) == Reported("delivered", "delivered", None, ID, "")


@pytest.mark.parametrize(
    "request_",
    [
        signed_as_before(FIELDS, "another-key"),
        signed_as_before(FIELDS, url=URL.replace("AT0190", "AT0191")),
        ReportRequest(GOOD.url, b"", {"MessageBird-Signature": "é"}),
        ReportRequest(GOOD.url, b"", {**signed_as_before(FIELDS).headers, "MessageBird-Request-Timestamp": "1"}),
        ReportRequest(addressed({**FIELDS, "status": "sent"}), b"", signed_as_before(FIELDS).headers),
        ReportRequest(GOOD.url, b"a=b", signed_as_before(FIELDS).headers),
        ReportRequest(GOOD.url, b"", {**signed_as_before(FIELDS).headers, "MessageBird-Signature-JWT": "nonsense"}),
    ],
)
def test_the_older_signature_has_to_fit_and_never_stands_in_for_a_wrong_newer_one(request_):
    assert isinstance(the_one(messagebird.read_report(READY, request_, TOKENS)), NotProven)


WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@given(
    extra=st.dictionaries(WORDS, WORDS, max_size=4),
    elsewhere=st.sampled_from(["", "&x=1"]),
    body=st.sampled_from([b"", b"x=1"]),
    signed_body=st.sampled_from([b"", b"x=1"]),
    key=st.sampled_from([SIGNING, "another-key"]),
    algorithm=st.sampled_from(["HS256", "HS384", "HS512"]),
)
def test_signatures_are_judged_as_the_official_library_judges_them(extra, elsewhere, body, signed_body, key, algorithm):
    url = addressed({**extra, **FIELDS})
    signature = token(url, signed_body, key=key, algorithm=algorithm)
    try:
        with warnings.catch_warnings(action="ignore"):
            RequestValidator(SIGNING).validate_signature(signature, url + elsewhere, body)
        valid = True
    except ValidationError:
        valid = False
    request = ReportRequest(url + elsewhere, body, {"MessageBird-Signature-JWT": signature})
    reported = the_one(messagebird.read_report(READY, request, {"": [Secret(SIGNING)]}))
    assert isinstance(reported, Reported) == valid


@pytest.mark.parametrize("status", STATUS_OF)
def test_the_example_s_reports_are_proven(status):
    request = report(URL, None, status)
    reported = the_one(messagebird.read_report(READY, request, TOKENS))
    assert isinstance(reported, Reported)
    assert reported.vendor_sid == ID
