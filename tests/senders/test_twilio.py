"""Twilio: which account sends, the request as a whole, what each answer comes to, look-ups and signed reports."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from twilio.request_validator import RequestValidator

from otpost.domain.outcome import Accepted, Outcome, ReasonName, Refused, Unavailable, Unknown, Vendor
from otpost.domain.phone import trusted
from otpost.domain.policy import NoRoute, Route
from otpost.domain.secret import Secret
from otpost.senders import twilio
from otpost.senders.answers import basic
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
    Text,
)
from otpost.senders.settings import SecretRef, answer, fill
from otpost.senders.submission import read_section
from otpost.senders.twilio import Settings
from otpost.senders.twilio.codes import CODES
from otpost.senders.twilio.signature import proven, sign
from senders.contract import LOOPBACK, Answer, Case, Example, StandIn, outbound, standing_in, the_one

MAIN = "AC" + "a" * 32
INDIA = "AC" + "b" * 32
JAMAICA = "AC" + "c" * 32
SERVICE = "MG" + "d" * 32
SID = "SM" + "e" * 32
TOKEN = Secret("main-token")
OURS = {"account_sid": MAIN, "auth_token": "main-token", "sender_phone": "+15005550006"}
ROWS = [
    {"dialing_code": "+91", "account_sid": INDIA, "auth_token": "india-token", "sender_phone": "+919191919191"},
    {"dialing_code": "+1", "account_sid": MAIN, "sender_phone": "+15005550001"},
    {"dialing_code": "+1876", "account_sid": JAMAICA, "auth_token": "jamaica-token", "service_sid": "MG" + "f" * 32},
]


def called_back(url: str, vendor_sid: str | None, status: str) -> ReportRequest:
    """Twilio's call about a message of the main account, signed by the official library."""
    fields = {"AccountSid": MAIN, "MessageSid": vendor_sid or SID, "MessageStatus": status}
    fields |= {"ErrorCode": "30008"} if status == "failed" else {}
    signature = RequestValidator("main-token").compute_signature(url, fields)
    headers = {"X-Twilio-Signature": signature, "Content-Type": "application/x-www-form-urlencoded; charset=UTF-8"}
    return ReportRequest(url, urlencode(fields).encode(), headers)


EXAMPLE = Example(
    section=lambda url: {**OURS, "api_url": url, "subaccounts": [dict(row) for row in ROWS]},
    cases={
        "accepted": Case(Answer(201, msgspec.json.encode({"sid": SID, "status": "queued"})), Accepted),
        "refused": Case(Answer(400, b'{"code": 21211}'), Refused, "invalid_number"),
        "credentials": Case(
            Answer(401, b'{"code": 20003}'), Refused, "credentials_refused", "subaccounts[0].auth_token"
        ),
        "throttled": Case(Answer(429), Unavailable, "throttled"),
        "server_error": Case(Answer(503), Unknown, "answer_lost"),
        "not_connected": Case(None, Unavailable, "network_trouble"),
        "timed_out": Case(None, Unknown, "answer_lost"),
        "reset": Case(None, Unknown, "answer_lost"),
        "unreadable": Case(Answer(200, b"<html>"), Unknown, "answer_lost"),
    },
    report=called_back,
)

BODY = "123456 is your Acme code."
TEXT = Text("AT0190", trusted("+4915112345678"), BODY, 290, "https://otp.example.com/callbacks/twilio/AT0190")


def settings_of(**section: Any) -> Settings:
    submission = read_section(Settings, section, "twilio")
    assert submission.errors == []
    return fill(submission.settings, submission.typed)


async def send(stand_in: StandIn, text: Text = TEXT, **section: Any) -> Outcome:
    settings = settings_of(**{**OURS, "api_url": stand_in.url, **section})
    route = twilio.route(settings, text.to)
    assert isinstance(route, Route)
    async with outbound(LOOPBACK) as http:
        return await twilio.send(http, settings, route, text)


# --- settings ---


def test_the_api_form_has_the_names_and_the_order_of_the_contract():
    shown = answer(settings_of(**OURS, subaccounts=ROWS[:1]), lambda ref: ref.owner == MAIN)
    assert list(shown.items()) == [
        ("account_sid", MAIN),
        ("auth_token", None),
        ("auth_token_set", True),
        ("use_copilot", False),
        ("service_sid", ""),
        ("sender_phone", "+15005550006"),
        ("api_url", "https://api.twilio.com"),
        (
            "subaccounts",
            [
                {
                    "dialing_code": "+91",
                    "account_sid": INDIA,
                    "auth_token": None,
                    "auth_token_set": False,
                    "sender_phone": "+919191919191",
                    "service_sid": "",
                }
            ],
        ),
        ("subaccount_falls_back", False),
        ("only_listed_dialing_codes", False),
    ]


@pytest.mark.parametrize(
    ("section", "path"),
    [
        ({"account_sid": "AC" + "a" * 31}, "twilio.account_sid"),
        ({"account_sid": "AC" + "g" * 32}, "twilio.account_sid"),
        ({"account_sid": SERVICE}, "twilio.account_sid"),
        ({"service_sid": MAIN}, "twilio.service_sid"),
        ({"api_url": "https://api.twilio.com?x=1"}, "twilio.api_url"),
        ({"subaccounts": [{"account_sid": "4" * 34}]}, "twilio.subaccounts[0].account_sid"),
        ({"subaccounts": [{"service_sid": "MG"}]}, "twilio.subaccounts[0].service_sid"),
    ],
)
def test_a_sid_of_another_form_is_refused(section, path):
    assert [(error.field, error.code) for error in read_section(Settings, section, "twilio").errors] == [
        (path, "invalid")
    ]


def test_the_page_s_form_of_a_number_and_blanks_around_a_sid_are_read():
    settings = settings_of(account_sid=f" {MAIN}\n", sender_phone="91\\9191919191")
    assert (settings.account_sid, settings.sender_phone) == (MAIN, "+919191919191")


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        (OURS, []),
        ({}, [("account_sid", "required"), ("sender_phone", "required")]),
        ({**OURS, "use_copilot": True}, [("service_sid", "required")]),
        ({"account_sid": MAIN, "use_copilot": True, "service_sid": SERVICE}, []),
        ({**OURS, "sender_phone": "", "service_sid": SERVICE}, [("sender_phone", "required")]),
        (
            {**OURS, "subaccounts": [{}]},
            [(f"subaccounts[0].{name}", "required") for name in ("dialing_code", "account_sid", "sender_phone")],
        ),
        (
            {**OURS, "subaccounts": [{**ROWS[0], "service_sid": SERVICE}]},
            [("subaccounts[0].service_sid", "invalid")],
        ),
    ],
)
def test_what_keeps_the_settings_from_being_used_is_named(section, expected):
    problems = list_problems(twilio, settings_of(**section), "twilio")
    assert [(error.field, error.code) for error in problems] == [(f"twilio.{name}", code) for name, code in expected]
    assert all(error.message.endswith(".") for error in problems)


def test_one_account_sid_means_one_token_wherever_it_stands():
    submission = read_section(Settings, {**OURS, "subaccounts": ROWS}, "twilio")
    at = "https://api.twilio.com:443"
    assert submission.slots == [
        (SecretRef("auth_token", MAIN, at), "twilio.auth_token"),
        (SecretRef("auth_token", INDIA, at), "twilio.subaccounts[0].auth_token"),
        (SecretRef("auth_token", MAIN, at), "twilio.subaccounts[1].auth_token"),
        (SecretRef("auth_token", JAMAICA, at), "twilio.subaccounts[2].auth_token"),
    ]


# --- routes ---

BY_ROW = "{} is the longest filter that this number begins with, so its subaccount sends."
NONE = "No subaccount's filter matches this number. "
OFF = "Use Copilot is off: the main account sends from its Sender phone."
ON = "Use Copilot is on: the main account's Messaging Service picks the sender."


@pytest.mark.parametrize(
    ("to", "section", "expected"),
    [
        ("+919191919191", {}, (INDIA, "+919191919191", BY_ROW.format("+91"))),
        ("+14165550100", {}, (MAIN, "+15005550001", BY_ROW.format("+1"))),
        ("+18765550100", {}, (JAMAICA, "MG" + "f" * 32, BY_ROW.format("+1876"))),
        ("+4915112345678", {}, (MAIN, "+15005550006", NONE + OFF)),
        ("+4915112345678", {"subaccounts": []}, (MAIN, "+15005550006", OFF)),
        ("+4915112345678", {"use_copilot": True, "service_sid": SERVICE}, (MAIN, SERVICE, NONE + ON)),
        (
            "+919191919191",
            {"use_copilot": True, "service_sid": SERVICE},
            (INDIA, "+919191919191", BY_ROW.format("+91")),
        ),
        ("+919191919191", {"only_listed_dialing_codes": True}, (INDIA, "+919191919191", BY_ROW.format("+91"))),
    ],
)
def test_the_longest_filter_that_a_number_begins_with_sends_and_else_the_main_account(to, section, expected):
    settings = settings_of(**{**OURS, "subaccounts": ROWS, **section})
    assert twilio.route(settings, trusted(to)) == Route("twilio", *expected)


def test_no_text_goes_to_a_number_that_is_not_listed_where_only_those_are_wanted():
    settings = settings_of(**OURS, subaccounts=ROWS, only_listed_dialing_codes=True)
    assert twilio.route(settings, trusted("+4915112345678")) == NoRoute(
        "No subaccount's filter matches this number, and texts go to listed dialing codes only."
    )


def test_the_main_account_stands_in_for_a_refused_subaccount_only_where_that_is_wanted():
    falls_back = settings_of(**OURS, subaccounts=ROWS, subaccount_falls_back=True)
    refused = twilio.route(falls_back, trusted("+919191919191"))
    assert isinstance(refused, Route)
    main = Route("twilio", MAIN, "+15005550006", f"Twilio refused account {INDIA}. {OFF}")
    assert twilio.other_route(falls_back, refused) == main
    assert twilio.other_route(falls_back, main) is None
    assert twilio.other_route(settings_of(**OURS, subaccounts=ROWS), refused) is None


def test_twilio_looks_up_reads_and_fetches_reports_and_falls_back():
    service = find_services()["twilio"]
    assert isinstance(service, LooksUp)
    assert isinstance(service, ReadsReports)
    assert isinstance(service, FetchesReports)
    assert isinstance(service, FallsBack)
    assert not isinstance(find_services()["sandbox"], LooksUp | ReadsReports | FetchesReports | FallsBack)


# --- the request ---


async def test_the_request_is_this_and_nothing_else():
    async with standing_in(EXAMPLE.accepting) as stand_in:
        await send(stand_in)
    (request,) = stand_in.received
    assert (request.method, request.target) == ("POST", f"/2010-04-01/Accounts/{MAIN}/Messages.json")
    assert request.body == (
        b"To=%2B4915112345678&From=%2B15005550006&Body=123456+is+your+Acme+code.&ValidityPeriod=290"
        b"&StatusCallback=https%3A%2F%2Fotp.example.com%2Fcallbacks%2Ftwilio%2FAT0190%23rc%3D5%26rp%3D5xx%2Cct%2Crt"
    )
    headers = {name: request.headers[name] for name in ("Authorization", "Accept", "Content-Type")}
    assert headers == {
        # base64 of AC, 32 times "a", ":" and main-token
        "Authorization": "Basic QUNhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYTptYWluLXRva2Vu",
        "Accept": "application/json",
        "Content-Type": "application/x-www-form-urlencoded",
    }


async def test_copilot_sends_with_the_messaging_service_alone():
    async with standing_in(EXAMPLE.accepting) as stand_in:
        await send(stand_in, use_copilot=True, service_sid=SERVICE)
    assert stand_in.received[0].body.startswith(f"To=%2B4915112345678&MessagingServiceSid={SERVICE}&Body=".encode())
    assert b"From=" not in stand_in.received[0].body


@pytest.mark.parametrize(
    ("to", "account_sid", "token", "sender"),
    [
        ("+919191919191", INDIA, "india-token", b"From=%2B919191919191"),
        ("+14165550100", MAIN, "main-token", b"From=%2B15005550001"),
        ("+18765550100", JAMAICA, "jamaica-token", b"MessagingServiceSid=MG" + b"f" * 32),
    ],
)
async def test_a_subaccount_sends_with_its_own_sid_token_and_origin(to, account_sid, token, sender):
    text = Text("AT0190", trusted(to), BODY, 290)
    async with standing_in(EXAMPLE.accepting) as stand_in:
        await send(stand_in, text, subaccounts=ROWS, use_copilot=True, service_sid=SERVICE)
    (request,) = stand_in.received
    assert request.target == f"/2010-04-01/Accounts/{account_sid}/Messages.json"
    assert request.headers["Authorization"] == f"Basic {basic(Account(account_sid, Secret(token), ''))}"
    assert sender in request.body.split(b"&")
    assert len([part for part in request.body.split(b"&") if part.startswith((b"From", b"Mess"))]) == 1
    assert b"StatusCallback" not in request.body


@pytest.mark.parametrize(("valid_for_s", "sent"), [(0, b"1"), (1, b"1"), (299, b"299"), (86_400, b"36000")])
async def test_the_validity_period_is_one_that_twilio_takes(valid_for_s, sent):
    async with standing_in(EXAMPLE.accepting) as stand_in:
        await send(stand_in, Text("AT0190", TEXT.to, BODY, valid_for_s))
    assert b"ValidityPeriod=" + sent in stand_in.received[0].body.split(b"&")


async def test_an_api_url_with_a_path_and_a_slash_at_the_end_is_the_root():
    async with standing_in(EXAMPLE.accepting) as stand_in:
        await send(stand_in, api_url=f"{stand_in.url}/eu/")
    assert stand_in.received[0].target == f"/eu/2010-04-01/Accounts/{MAIN}/Messages.json"


async def test_without_a_token_nothing_is_sent():
    settings = settings_of(account_sid=MAIN, sender_phone="+15005550006", subaccounts=[{**ROWS[0], "auth_token": ""}])
    for to, field in (("+4915112345678", "auth_token"), ("+919191919191", "subaccounts[0].auth_token")):
        route = twilio.route(settings, trusted(to))
        assert isinstance(route, Route)
        async with outbound() as http:
            outcome = await twilio.send(http, settings, route, TEXT)
        reason = "The token of the account that sends is not stored; type it in the settings."
        assert outcome == Refused("credentials_refused", reason, field=field)


# --- what each answer comes to ---


def said(code: int, status: int, message: str = "Twilio's words") -> bytes:
    more_info = f"https://www.twilio.com/docs/errors/{code}"
    return msgspec.json.encode({"code": code, "message": message, "more_info": more_info, "status": status})


def vendor(status: int, code: int | None = None) -> Vendor:
    # The `status` of an error is the HTTP status again, not a message's.
    return Vendor(status, str(code), "Twilio's words") if code else Vendor(status)


def page(code: int) -> str:
    return f"https://www.twilio.com/docs/api/errors/{code}"


ID = {"Twilio-Request-Id": "RQ0123456789"}
NOT_TWILIO = "The API URL answered {} and none of Twilio's codes. Check that it is Twilio's."
TOO_MANY = "Twilio is getting too many requests of this account at once."
MAYBE = "Twilio answered {}. The text may or may not have gone out."
UNNAMED = "Twilio took the text, but its answer does not name the message."

ANSWERS: list[tuple[Answer, Outcome]] = [
    (
        Answer(201, msgspec.json.encode({"sid": SID, "status": "accepted", "code": None}), ID),
        Accepted(Vendor(201, None, None, SID, "accepted", "RQ0123456789")),
    ),
    (Answer(200, msgspec.json.encode({"sid": SID})), Accepted(Vendor(200, sid=SID))),
    (Answer(201, b"<html>"), Unknown(UNNAMED, Vendor(201), answered=True)),
    (Answer(201, b'{"status": "queued"}'), Unknown(UNNAMED, Vendor(201, status="queued"), answered=True)),
    (Answer(201, b'{"sid": "a b"}'), Unknown(UNNAMED, Vendor(201), answered=True)),
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
        Answer(400, said(21211, 400)),
        Refused(
            "invalid_number", "The recipient's number is not a valid phone number.", vendor(400, 21211), page(21211)
        ),
    ),
    (
        Answer(400, said(21614, 400)),
        Refused("cannot_receive", "The recipient's number is not a mobile number.", vendor(400, 21614), page(21614)),
    ),
    (
        Answer(400, said(21610, 400)),
        Refused(
            "opted_out",
            "The recipient has answered STOP to this sender and gets no more texts from it.",
            vendor(400, 21610),
            page(21610),
        ),
    ),
    (
        Answer(400, said(21612, 400)),
        Refused(
            "sender_not_allowed", "This sender cannot reach the recipient's number.", vendor(400, 21612), page(21612)
        ),
    ),
    (
        Answer(400, said(21408, 400)),
        Refused(
            "country_not_permitted",
            "Texts to this country are not enabled; see the account's Messaging Geo Permissions.",
            vendor(400, 21408),
            page(21408),
        ),
    ),
    (
        Answer(400, said(21606, 400)),
        Refused(
            "sender_not_allowed",
            "The sender phone is not the account's, or cannot send to this number.",
            vendor(400, 21606),
            page(21606),
            "sender_phone",
        ),
    ),
    (
        Answer(400, said(21703, 400)),
        Refused(
            "sender_not_allowed",
            "The Messaging Service has no sender for this country.",
            vendor(400, 21703),
            page(21703),
            "service_sid",
        ),
    ),
    (
        Answer(400, said(21617, 400)),
        Refused("text_refused", "The text is longer than 1600 characters.", vendor(400, 21617), page(21617)),
    ),
    (
        Answer(401, said(20003, 401)),
        Refused(
            "credentials_refused",
            "Twilio did not accept the account SID and token.",
            vendor(401, 20003),
            page(20003),
            "auth_token",
        ),
    ),
    (
        Answer(401, b"nonsense"),
        Refused(
            "credentials_refused", "Twilio did not accept the account SID and token.", vendor(401), None, "auth_token"
        ),
    ),
    (
        Answer(403, said(20005, 403)),
        Refused(
            "account_trouble",
            "The Twilio account is not active; it may be suspended or out of funds.",
            vendor(403, 20005),
            page(20005),
            "account_sid",
        ),
    ),
    (
        Answer(404, said(20404, 404)),
        Refused("wrong_settings", "Twilio knows no such account.", vendor(404, 20404), page(20404), "account_sid"),
    ),
    (Answer(404, b"<html>"), Refused("wrong_settings", NOT_TWILIO.format(404), vendor(404), field="api_url")),
    (
        Answer(400, said(21732, 400)),
        Refused(
            "sender_not_allowed",
            "Twilio gives its code 21732, which is not listed here; its range is about registration for US 10DLC.",
            vendor(400, 21732),
            page(21732),
        ),
    ),
    (
        Answer(400, said(21799, 400)),
        Refused("unknown", "Twilio gives its code 21799, which Otpost does not know.", vendor(400, 21799), page(21799)),
    ),
    (
        Answer(400, said(49999, 400)),
        Refused("unknown", "Twilio gives its code 49999, which Otpost does not know.", vendor(400, 49999), page(49999)),
    ),
    (
        Answer(400, said(21609, 400)),
        Refused(
            "callback_refused",
            "Twilio cannot call the callback URL; check OTPOST_PUBLIC_URL.",
            vendor(400, 21609),
            page(21609),
        ),
    ),
    (
        Answer(403, said(21408, 403)),
        Refused(
            "country_not_permitted",
            "Texts to this country are not enabled; see the account's Messaging Geo Permissions.",
            vendor(403, 21408),
            page(21408),
        ),
    ),
    (
        Answer(403, said(21211, 403)),
        Refused(
            "credentials_refused",
            "Twilio did not accept the account SID and token.",
            vendor(403, 21211),
            page(21211),
            "auth_token",
        ),
    ),
    (
        Answer(400, msgspec.json.encode({"code": "21211", "message": "Twilio's words"})),
        Refused(
            "invalid_number", "The recipient's number is not a valid phone number.", vendor(400, 21211), page(21211)
        ),
    ),
    (
        Answer(429, said(20429, 429), {"Retry-After": "7"}),
        Unavailable("throttled", TOO_MANY, vendor(429, 20429), 7.0, page(20429)),
    ),
    (Answer(429, b""), Unavailable("throttled", TOO_MANY, vendor(429))),
    (
        Answer(429, said(63038, 429), {"Retry-After": "7"}),
        Refused(
            "account_trouble",
            "The account's limit of texts in a day is reached.",
            vendor(429, 63038),
            page(63038),
            "account_sid",
        ),
    ),
    (
        Answer(429, said(99999, 429)),
        Unavailable("throttled", TOO_MANY, vendor(429, 99999), link=page(99999)),
    ),
    (
        Answer(
            429,
            b"",
            {"Date": "Thu, 24 Aug 2023 05:01:45 GMT", "Retry-After": "Thu, 24 Aug 2023 05:02:00 GMT"},
        ),
        Unavailable("throttled", TOO_MANY, vendor(429), 15.0),
    ),
    (
        Answer(429, b"", {"Retry-After": "soon"}),
        Unavailable("throttled", TOO_MANY, vendor(429)),
    ),
    (
        Answer(400, said(21611, 400)),
        Unavailable("throttled", "The sender phone's queue at Twilio is full.", vendor(400, 21611), None, page(21611)),
    ),
    (Answer(408, b""), Unknown(MAYBE.format(408), vendor(408), answered=True)),
    (Answer(500, said(20500, 500)), Unknown(MAYBE.format(500), vendor(500, 20500), answered=True)),
    (Answer(503, said(20503, 503)), Unknown(MAYBE.format(503), vendor(503, 20503), answered=True)),
    (Answer(502, b"<html>Bad Gateway"), Unknown(MAYBE.format(502), vendor(502), answered=True)),
]


@pytest.mark.parametrize(("given_answer", "expected"), ANSWERS)
async def test_each_answer_comes_to_its_outcome(given_answer, expected):
    async with standing_in(given_answer) as stand_in:
        assert await send(stand_in) == expected
    assert len(stand_in.received) == 1


async def test_a_subaccount_s_fault_is_shown_at_its_row():
    text = Text("AT0190", trusted("+919191919191"), BODY, 290)
    async with standing_in(Answer(401, said(20003, 401))) as stand_in:
        outcome = await send(stand_in, text, subaccounts=ROWS)
    assert isinstance(outcome, Refused)
    assert outcome.field == "subaccounts[0].auth_token"


@pytest.mark.parametrize(
    ("theirs", "shown"),
    [
        ("Invalid 'To' +4915112345678", "Invalid 'To' +49••••••••678"),
        (f"You sent {BODY}", "You sent …"),
        ("Body 123456", "Body …"),
        ("Token main-token", "Token …"),
        ("Line\nbreak\x00", "Line break "),
        ("x" * 301, "x" * 299 + "…"),
        ("", None),
    ],
)
async def test_twilio_s_words_are_shown_without_what_is_ours_and_not_at_any_length(theirs, shown):
    async with standing_in(Answer(400, said(21211, 400, theirs))) as stand_in:
        outcome = await send(stand_in)
    assert outcome.vendor.message == shown


async def test_a_lost_connection_leaves_the_fate_unknown_and_a_closed_port_does_not():
    async with standing_in(None) as stand_in:
        lost = await send(stand_in)
    refused = await send(stand_in)
    assert isinstance(lost, Unknown)
    assert not lost.answered
    assert lost.reason == "answer_lost"
    assert lost.detail.startswith("The text was handed to Twilio, but no answer came. ")
    assert isinstance(refused, Unavailable)
    assert refused.reason == "network_trouble"
    assert refused.detail.startswith("Twilio could not be reached. ")


async def test_a_refusal_of_the_guard_stands_at_the_api_url():
    settings = settings_of(**OURS, api_url="https://169.254.169.254")
    route = twilio.route(settings, TEXT.to)
    assert isinstance(route, Route)
    async with outbound() as http:
        outcome = await twilio.send(http, settings, route, TEXT)
    assert isinstance(outcome, Refused)
    assert (outcome.reason, outcome.field) == ("wrong_settings", "api_url")


def test_every_code_has_a_sentence():
    assert all(code.sentence.endswith((".", "!")) and code.sentence[0].isupper() for code in CODES.values())
    assert {20003, 20429, 21211, 21408, 21610, 21611, 21612, 21614, 21703, 30003, 30007, 30450} <= CODES.keys()


# --- look-ups ---

SINCE = 1_692_853_305_000  # Thu, 24 Aug 2023 05:01:45 UTC


def row(number: int, date: str | None, **more: object) -> dict[str, object]:
    given = {"sid": f"SM{number:032x}", "body": f"{number} is your code.", "status": "sent", "error_code": None}
    return {**given, "date_created": date, "direction": "outbound-api", **more}


def told(number: int) -> Reported:
    return Reported("sent", "sent", None, f"SM{number:032x}", MAIN)


def unreachable(sid: str) -> Reported:
    detail = "The phone is switched off or out of reach."
    return Reported("undelivered", "undelivered", "30003", sid, MAIN, "not_reachable", detail, page(30003))


def listing(rows: list[dict[str, object]], following: str | None = None) -> Answer:
    return Answer(200, msgspec.json.encode({"messages": rows, "next_page_uri": following}))


async def look_up(stand_in: StandIn) -> list[Listed] | LookUpFailed:
    async with outbound(LOOPBACK) as http:
        return await twilio.look_up(http, Account(MAIN, TOKEN, stand_in.url), TEXT.to, SINCE)


async def test_a_look_up_lists_the_account_s_messages_to_the_number_from_5_s_before_the_intent():
    answers = listing(
        [
            row(5, "Thu, 24 Aug 2023 05:01:47 +0000"),
            row(4, "Thu, 24 Aug 2023 05:01:46 +0000", direction="inbound"),
            row(3, None, body=None, error_code=30003, status="undelivered"),
            row(2, "Thu, 24 Aug 2023 05:01:40 +0000"),
            row(1, "Thu, 24 Aug 2023 05:01:39 +0000"),
        ],
        f"/2010-04-01/Accounts/{MAIN}/Messages.json?Page=1",
    )
    async with standing_in(answers) as stand_in:
        rows = await look_up(stand_in)
    assert rows == [
        Listed(f"SM{5:032x}", SINCE + 2000, "5 is your code.", told(5)),
        Listed(f"SM{3:032x}", None, "", unreachable(f"SM{3:032x}")),
        Listed(f"SM{2:032x}", SINCE - 5000, "2 is your code.", told(2)),
    ]
    (request,) = stand_in.received
    assert request.target == f"/2010-04-01/Accounts/{MAIN}/Messages.json?To=%2B4915112345678&PageSize=50"
    assert (request.method, request.headers["Authorization"]) == ("GET", f"Basic {basic(Account(MAIN, TOKEN, ''))}")
    assert "is your code" not in repr(rows)


async def test_a_look_up_follows_the_pages_until_it_knows():
    following = f"/2010-04-01/Accounts/{MAIN}/Messages.json?To=%2B4915112345678&PageSize=50&Page=1&PageToken=PA1"
    first = listing([row(2, "Thu, 24 Aug 2023 05:01:47 +0000")], following)
    async with standing_in(first, listing([row(1, "Thu, 24 Aug 2023 05:01:46 +0000")])) as stand_in:
        rows = await look_up(stand_in)
    assert isinstance(rows, list)
    assert [listed.sid for listed in rows] == [f"SM{2:032x}", f"SM{1:032x}"]
    assert stand_in.received[1].target == following


@pytest.mark.parametrize(
    ("given_answer", "about_credentials"),
    [
        (Answer(401, said(20003, 401)), True),
        (Answer(403, b""), True),
        (Answer(404, b""), False),
        (Answer(429, b""), False),
        (Answer(500, b""), False),
        (Answer(302, b""), False),
        (Answer(200, b"nonsense"), False),
        (Answer(200, b'{"messages": 1}'), False),
        (Answer(200, b'{"messages": [1]}'), False),
        (Answer(200, b'{"messages": [{"sid": "a b"}]}'), False),
        (listing([], "https://evil.example.com/2010-04-01/"), False),
        (listing([], "//evil.example.com"), False),
        (listing([row(1, "Thu, 24 Aug 2023 05:01:47 +0000")], f"/2010-04-01/Accounts/{MAIN}/Messages.json?x"), False),
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


async def fetch(stand_in: StandIn, vendor_sid: str = SID) -> Reported | LookUpFailed:
    async with outbound(LOOPBACK) as http:
        return await twilio.fetch_report(http, Account(MAIN, TOKEN, stand_in.url), vendor_sid)


async def test_a_report_is_fetched_by_the_message_s_sid():
    message = {"sid": SID, "status": "undelivered", "error_code": 30003, "account_sid": MAIN}
    async with standing_in(Answer(200, msgspec.json.encode(message))) as stand_in:
        fetched = await fetch(stand_in)
    assert fetched == unreachable(SID)
    assert stand_in.received[0].target == f"/2010-04-01/Accounts/{MAIN}/Messages/{SID}.json"


@pytest.mark.parametrize(
    "given_answer",
    [Answer(404, said(20404, 404)), Answer(200, b"{}"), Answer(200, b'{"sid": "SM1", "status": "sent"}'), None],
)
async def test_a_report_that_cannot_be_fetched_says_nothing(given_answer):
    async with standing_in(given_answer) as stand_in:
        assert isinstance(await fetch(stand_in), LookUpFailed)
        assert isinstance(await fetch(stand_in, "../Accounts"), LookUpFailed)
    assert len(stand_in.received) == 1


# --- reports ---

URL = "https://otp.example.com/callbacks/twilio/AT0190"
FIELDS = {"AccountSid": MAIN, "MessageSid": SID, "MessageStatus": "delivered", "From": "", "To": "+4915112345678"}
TOKENS = {MAIN: [Secret("new-token"), TOKEN], INDIA: [Secret("india-token")]}


def signed(
    fields: Mapping[str, str], token: str = "main-token", url: str = URL, header: str = "X-Twilio-Signature"
) -> ReportRequest:
    signature = RequestValidator(token).compute_signature(url, dict(fields))
    headers = {header: signature, "Content-Type": "application/x-www-form-urlencoded; charset=UTF-8"}
    return ReportRequest(url, urlencode(fields).encode(), headers)


def proven_report(request: ReportRequest) -> Reported | NotProven:
    return the_one(twilio.read_report(settings_of(**OURS), request, TOKENS))


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("queued", "accepted"),
        ("accepted", "accepted"),
        ("scheduled", "accepted"),
        ("sending", "accepted"),
        ("sent", "sent"),
        ("delivered", "delivered"),
        ("read", "delivered"),
        ("undelivered", "undelivered"),
        ("failed", "failed"),
        ("canceled", "failed"),
        ("a status of tomorrow", "accepted"),
    ],
)
def test_each_of_twilio_s_statuses_is_one_of_ours(status, expected):
    report = proven_report(signed({**FIELDS, "MessageStatus": status}))
    reason: ReasonName | None = "not_delivered" if expected in ("undelivered", "failed") else None
    assert report == Reported(expected, status, None, SID, MAIN, reason)


@pytest.mark.parametrize(
    ("code", "reason", "detail"),
    [
        ("30003", "not_reachable", "The phone is switched off or out of reach."),
        ("30450", "blocked_as_fraud", "Twilio's SMS pumping protection blocks this number for a while."),
        ("39999", "unknown", "Twilio gives its code 39999, which Otpost does not know."),
    ],
)
def test_the_code_of_a_report_is_told_as_a_reason_in_a_sentence_and_with_its_page(code, reason, detail):
    report = proven_report(signed({**FIELDS, "MessageStatus": "undelivered", "ErrorCode": code}))
    assert report == Reported("undelivered", "undelivered", code, SID, MAIN, reason, detail, page(int(code)))


@pytest.mark.parametrize("code", ["", "0", "nonsense", "-1", "9" * 40])
def test_a_code_that_is_none_leaves_the_reason_that_it_was_not_delivered(code):
    report = proven_report(signed({**FIELDS, "MessageStatus": "failed", "ErrorCode": code}))
    assert report == Reported("failed", "failed", None, SID, MAIN, "not_delivered")


@pytest.mark.parametrize(("account_sid", "token"), [(MAIN, "main-token"), (MAIN, "new-token"), (INDIA, "india-token")])
def test_any_token_of_the_account_that_owns_the_message_proves_a_report(account_sid, token):
    request = signed({**FIELDS, "AccountSid": account_sid}, token, header="x-twilio-signature")
    assert isinstance(proven_report(request), Reported)


def test_older_names_of_the_fields_are_read():
    request = signed({"AccountSid": MAIN, "SmsSid": SID, "SmsStatus": "sent"})
    assert proven_report(request) == Reported("sent", "sent", None, SID, MAIN)


GOOD = signed(FIELDS)


@pytest.mark.parametrize(
    "request_",
    [
        ReportRequest(URL, GOOD.body, {}),
        ReportRequest(URL, GOOD.body, {"X-Twilio-Signature": ""}),
        ReportRequest(URL, GOOD.body, {"X-Twilio-Signature": "é" * 28}),
        ReportRequest(URL, GOOD.body + b"&MessageStatus=failed", GOOD.headers),
        ReportRequest(URL, GOOD.body.replace(b"&From=", b""), GOOD.headers),
        ReportRequest(URL.replace("AT0190", "AT0191"), GOOD.body, GOOD.headers),
        ReportRequest(URL, b"\xff", GOOD.headers),
        ReportRequest(URL, b"a=1&" * 500, GOOD.headers),
        ReportRequest("https://otp.example.com:port/", GOOD.body, GOOD.headers),
        signed(FIELDS, "another-token"),
        signed({**FIELDS, "AccountSid": INDIA}),
        signed({**FIELDS, "AccountSid": JAMAICA}),
        signed({**FIELDS, "AccountSid": ""}, ""),
        signed({"AccountSid": MAIN, "MessageSid": SID}),
        signed({"AccountSid": MAIN, "MessageStatus": "sent"}),
        signed({**FIELDS, "MessageSid": "a b"}),
    ],
)
def test_what_is_not_proven_is_not_believed(request_):
    assert isinstance(proven_report(request_), NotProven)


def json_report(body: bytes, hashed: bytes) -> ReportRequest:
    url = f"{URL}?bodySHA256={sha256(hashed).hexdigest()}"
    signature = RequestValidator("main-token").compute_signature(url, {})
    return ReportRequest(url, body, {"X-Twilio-Signature": signature, "Content-Type": "application/json"})


def test_a_json_report_is_proven_by_the_hash_of_its_body():
    body = msgspec.json.encode(FIELDS)
    assert proven_report(json_report(body, body)) == Reported("delivered", "delivered", None, SID, MAIN)
    assert isinstance(proven_report(json_report(body, b"another")), NotProven)
    assert isinstance(proven_report(json_report(b"[", b"[")), NotProven)
    signature = {"X-Twilio-Signature": sign(TOKEN, URL), "Content-Type": "application/json"}
    assert isinstance(proven_report(ReportRequest(URL, body, signature)), NotProven)


def test_the_published_examples_of_signatures_come_out():
    # The first from the official library's own tests, the second computed by it.
    call = {"CallSid": "CA1234567890ABCDE", "Digits": "1234", "To": "+18005551212"}
    first = {**call, "From": "+14158675309", "Caller": "+14158675309"}
    assert sign(Secret("12345"), "https://mycompany.com/myapp.php?foo=1&bar=2", first.items()) == (
        "RSOYDt4T1cUTdK1PDd93/VVr8B8="
    )
    second = {**call, "From": "+12349013030", "Caller": "+12349013030"}
    assert sign(Secret("12345"), "https://example.com/myapp.php?foo=1&bar=2", second.items()) == (
        "vNe7KK2kJwCsxc9K3OLkkKB3qqI="
    )


class Multi(dict[str, list[str]]):
    def getall(self, name: str) -> list[str]:
        return self[name]


WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
URLS = st.builds(
    "{}://{}{}{}{}".format,
    st.sampled_from(["https", "http"]),
    st.sampled_from(["otp.example.com", "otp", "127.0.0.1", "OTP.example.com"]),
    st.sampled_from(["", ":443", ":80", ":8443"]),
    st.sampled_from(["/", "/callbacks/twilio/AT1", "/a%20b;c", "/callbacks/é"]),
    st.sampled_from(["", "?x=1&y=", "?a=b+c&a=%C3%A9"]),
)


@given(
    url=URLS, signed_url=URLS, pairs=st.lists(st.tuples(WORDS, WORDS), max_size=6), token=st.text("ab1§", min_size=1)
)
def test_signatures_are_judged_as_the_official_library_judges_them(url, signed_url, pairs, token):
    fields = Multi()
    for name, value in pairs:
        fields.setdefault(name, []).append(value)
    validator = RequestValidator(token)
    for signature in (validator.compute_signature(signed_url, fields), validator.compute_signature(url, fields)):
        assert proven(signature, [Secret(token)], url, pairs) == validator.validate(url, fields, signature)
    assert sign(Secret(token), url, pairs) == validator.compute_signature(url, fields)


@pytest.mark.parametrize(
    ("configured", "signed_by_twilio"),
    [
        ("https://user:pass@otp.example.com:8443/cb", "https://otp.example.com:8443/cb"),
        ("https://otp.example.com/cb#rc=5&rp=all", "https://otp.example.com/cb"),
        ("https://[2001:db8::1]/cb", "https://[2001:db8::1]:443/cb"),
        ("https://[2001:db8::1]:8443/cb", "https://[2001:db8::1]/cb"),
    ],
)
def test_user_name_and_fragment_are_not_signed_and_literal_addresses_keep_their_colons(configured, signed_by_twilio):
    assert proven(sign(TOKEN, signed_by_twilio), [TOKEN], configured, [])
