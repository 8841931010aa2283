"""Infobip: the request as a whole, what each answer comes to, its log of sent messages, and delivery reports."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest

from otpost.domain.outcome import REASONS, Accepted, Outcome, ReasonName, Refused, Unavailable, Unknown, Vendor
from otpost.domain.phone import trusted
from otpost.domain.policy import Route
from otpost.domain.secret import Secret
from otpost.senders import infobip
from otpost.senders.infobip import CODES, GROUPS, PAGE, STATUSES, VIOLATIONS, Settings
from otpost.senders.registry import capabilities, find_services, list_problems
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
from senders.contract import LOOPBACK, Answer, Case, Example, Received, StandIn, outbound, standing_in, the_one

CHECKED_BY_MYPY: SenderService = infobip

KEY = "003026bbc133714df1834b8638bb496e-8f4b3d9a-e931-478d-a994-28a725159ab9"
HOST = "abc123.api.infobip.com"
OURS = {"api_url": f"https://{HOST}", "api_key": KEY, "sender": "MyBrand"}
BODY = "123456 is your Acme code."
CALLBACK = "https://otp.example.com/callbacks/infobip/AT0190?proof=abc"
TEXT = Text("AT0190", trusted("+4915112345678"), BODY, 290, CALLBACK)

PENDING = {"groupId": 1, "groupName": "PENDING", "id": 26, "name": "PENDING_ACCEPTED", "description": "Accepted"}


class Complaint(Exception):
    """What Infobip's documentation does not allow."""


def keys(value: object, needed: set[str], allowed: set[str]) -> dict[str, Any]:
    """An object with these keys and no others, as the API's schema has it."""
    if not isinstance(value, dict) or not needed <= value.keys() <= needed | allowed:
        raise Complaint(f"{value} has other keys than {needed | allowed}")
    return value


def checked(body: bytes) -> dict[str, Any]:
    """The one message of a request, if it is as the API describes it."""
    (message,) = keys(msgspec.json.decode(body), {"messages"}, {"options"})["messages"]
    keys(message, {"destinations", "content"}, {"sender", "options", "webhooks"})
    (to,) = message["destinations"]
    keys(to, {"to"}, {"messageId", "networkId"})
    if not re.fullmatch(r"[1-9][0-9]{6,14}", to["to"]) or not 1 <= len(to["messageId"]) <= 200:
        raise Complaint("the destination")
    if not re.fullmatch(r"[0-9]{3,15}|[A-Za-z0-9 ]{3,11}", message["sender"]):
        raise Complaint("the sender")
    if not isinstance(keys(message["content"], {"text"}, {"transliteration", "language"})["text"], str):
        raise Complaint("the text")
    period = keys(message["options"], {"validityPeriod"}, {"platform", "flash"})["validityPeriod"]
    keys(period, {"amount", "timeUnit"}, set())
    if period["timeUnit"] not in ("SECONDS", "MINUTES", "HOURS") or not 0 < period["amount"] <= 172_800:
        raise Complaint("the validity period")
    if "webhooks" in message:
        hooks = keys(message["webhooks"], {"delivery"}, {"contentType", "callbackData"})
        keys(hooks["delivery"], {"url"}, {"intermediateReport", "notify"})
        if hooks["contentType"] not in ("application/json", "application/xml"):
            raise Complaint("the content type")
    return {"messageId": to["messageId"], "destination": to["to"]}


def taken(request: Received) -> bytes:
    """What Infobip answers to a text that it takes; nothing is taken without the right key and address."""
    if request.headers["Authorization"] != f"App {KEY}" or request.target != "/sms/3/messages":
        raise Complaint(f"{request.headers['Authorization']} {request.target}")
    return msgspec.json.encode(
        {"bulkId": "2034072219640523072", "messages": [{**checked(request.body), "status": PENDING}]}
    )


def status(group: str, name: str, description: str = "No.") -> dict[str, object]:
    return {
        "groupId": list(GROUPS).index(group),
        "groupName": group,
        "id": 99,
        "name": name,
        "description": description,
    }


def error(name: str, group: str = "HANDSET_ERRORS") -> dict[str, object]:
    return {"groupId": 1, "groupName": group, "id": 1, "name": name, "description": "No.", "permanent": True}


NO_ERROR = error("NO_ERROR", "OK")
FAILED = status("REJECTED", "REJECTED_NETWORK")
TOLD = {
    "sent": status("DELIVERED", "DELIVERED_TO_OPERATOR"),
    "delivered": status("DELIVERED", "DELIVERED_TO_HANDSET"),
    "failed": FAILED,
}


def report(
    told: object, wrong: object = None, sid: object = "AT0190", url: str = CALLBACK, more: list[object] | None = None
) -> ReportRequest:
    entry = {
        "bulkId": "2034072219640523072",
        "price": {"pricePerMessage": 0.01, "currency": "EUR"},
        "status": told,
        "error": wrong or NO_ERROR,
        "messageId": sid,
        "to": "4915112345678",
        "sender": "MyBrand",
        "sentAt": "2023-08-24T05:01:45.678+0000",
        "doneAt": "2023-08-24T05:01:47.000+0000",
        "messageCount": 1,
    }
    body = msgspec.json.encode({"results": [*(more or []), entry]})
    return ReportRequest(url, body, {"Content-Type": "application/json"})


EXAMPLE = Example(
    section=lambda url: {**OURS, "api_url": url},
    cases={
        "accepted": Case(Answer(200, taken), Accepted),
        "refused": Case(
            Answer(400, b'{"violations": [{"property": "destinations[0].to"}]}'), Refused, "invalid_number"
        ),
        "credentials": Case(Answer(401), Refused, "credentials_refused", "api_key"),
        "throttled": Case(Answer(429), Unavailable, "throttled"),
        "server_error": Case(Answer(503), Unknown, "answer_lost"),
        "not_connected": Case(None, Unavailable, "network_trouble"),
        "timed_out": Case(None, Unknown, "answer_lost"),
        "reset": Case(None, Unknown, "answer_lost"),
        "unreadable": Case(Answer(200, b"<html>"), Unknown, "answer_lost"),
    },
    report=lambda url, sid, status: report(TOLD[status], sid=sid, url=url),
)


def settings_of(**section: Any) -> Settings:
    submission = read_section(Settings, section, "infobip")
    assert submission.errors == []
    return fill(submission.settings, submission.typed)


async def send(stand_in: StandIn, text: Text = TEXT, **section: Any) -> Outcome:
    settings = settings_of(**{**OURS, "api_url": stand_in.url, **section})
    route = infobip.route(settings, text.to)
    assert isinstance(route, Route)
    async with outbound(LOOPBACK) as http:
        return await infobip.send(http, settings, route, text)


# --- settings and routes ---


def test_the_api_form_has_these_names_in_this_order():
    assert list(answer(settings_of(**OURS), lambda ref: True).items()) == [
        ("api_url", f"https://{HOST}"),
        ("api_key", None),
        ("api_key_set", True),
        ("sender", "MyBrand"),
        ("dlt_entity_id", ""),
        ("dlt_template_id", ""),
    ]


@pytest.mark.parametrize(
    ("section", "path"),
    [
        ({"api_url": HOST}, "infobip.api_url"),
        ({"api_url": f"https://{HOST}?x=1"}, "infobip.api_url"),
        ({"sender": "A name that is too long"}, "infobip.sender"),
    ],
)
def test_a_setting_of_another_form_is_refused(section, path):
    assert [error.field for error in read_section(Settings, section, "infobip").errors] == [path]


@pytest.mark.parametrize(
    ("section", "expected"), [(OURS, []), ({}, ["api_url", "sender"]), ({**OURS, "sender": ""}, ["sender"])]
)
def test_what_keeps_the_settings_from_being_used_is_named(section, expected):
    problems = list_problems(infobip, settings_of(**section), "infobip")
    assert [(error.field, error.code) for error in problems] == [(f"infobip.{name}", "required") for name in expected]


def test_every_number_is_sent_to_by_the_one_account_which_its_address_names():
    settings = settings_of(**{**OURS, "api_url": "https://ABC123.api.infobip.com/"})
    route = Route("infobip", HOST, "MyBrand", "Infobip sends every text from the one sender.")
    assert infobip.route(settings, TEXT.to) == route
    assert infobip.account_secret(settings, route) == SecretRef("api_key", "", f"https://{HOST}:443")
    opened = infobip.account(settings, route, Secret(KEY))
    assert opened == Account(HOST, Secret(KEY), "https://ABC123.api.infobip.com/")


def test_infobip_looks_up_reads_reports_that_the_address_proves_and_fetches_them():
    service = find_services()["infobip"]
    assert isinstance(service, LooksUp)
    assert isinstance(service, ReadsReports)
    assert isinstance(service, FetchesReports)
    assert capabilities(service).proven_by_address
    assert not isinstance(service, FallsBack)


# --- the request ---


async def test_the_request_is_this_and_nothing_else():
    async with standing_in(EXAMPLE.accepting) as stand_in:
        outcome = await send(stand_in)
    (request,) = stand_in.received
    assert outcome == Accepted(Vendor(200, sid="AT0190", status="PENDING_ACCEPTED"))
    assert (request.method, request.target) == ("POST", "/sms/3/messages")
    assert request.body == (
        b'{"messages":[{"sender":"MyBrand","destinations":[{"to":"4915112345678","messageId":"AT0190"}],'
        b'"content":{"text":"123456 is your Acme code."},'
        b'"options":{"validityPeriod":{"amount":290,"timeUnit":"SECONDS"}},'
        b'"webhooks":{"delivery":{"url":"https://otp.example.com/callbacks/infobip/AT0190?proof=abc"},'
        b'"contentType":"application/json"}}]}'
    )
    headers = {name: request.headers[name] for name in ("Authorization", "Accept", "Content-Type")}
    assert headers == {"Authorization": f"App {KEY}", "Accept": "application/json", "Content-Type": "application/json"}


async def test_a_number_as_sender_goes_without_its_plus_and_no_callback_without_an_address():
    text = Text("AT0190", TEXT.to, BODY, 290)
    async with standing_in(EXAMPLE.accepting) as stand_in:
        outcome = await send(stand_in, text, sender="+447860099299", api_url=f"{stand_in.url}/")
    assert isinstance(outcome, Accepted)
    (message,) = msgspec.json.decode(stand_in.received[0].body)["messages"]
    assert message["sender"] == "447860099299"
    assert "webhooks" not in message


@pytest.mark.parametrize(("valid_for_s", "amount"), [(0, 1), (600, 600), (200_000, 172_800)])
async def test_the_life_of_the_text_is_kept_to_what_infobip_takes(valid_for_s, amount):
    text = Text("AT0190", TEXT.to, BODY, valid_for_s)
    async with standing_in(EXAMPLE.accepting) as stand_in:
        await send(stand_in, text)
    (message,) = msgspec.json.decode(stand_in.received[0].body)["messages"]
    assert message["options"]["validityPeriod"] == {"amount": amount, "timeUnit": "SECONDS"}


# --- answers ---


def taken_as(told: object, sid: object = "AT0190") -> Answer:
    return Answer(200, msgspec.json.encode({"messages": [{"messageId": sid, "status": told, "destination": "4915"}]}))


def refused(status: int, code: str = "E400", *properties: str, **headers: str) -> Answer:
    violations = [{"property": name, "violation": "bad"} for name in properties]
    said = {"errorCode": code, "description": "No.", "action": "Look.", "violations": violations, "resources": []}
    return Answer(status, msgspec.json.encode(said), headers)


def vendor(status: int, code: str | None = None, message: str | None = "No.") -> Vendor:
    return Vendor(status, code, message)


def rejected(name: str, sid: str | None = "AT0190") -> Vendor:
    return Vendor(200, name, "No.", sid, name)


NO_TEXTS = "The Base URL answered 404 and does not take texts. Check that it is the account's own at Infobip."
OLD_401 = b'{"requestError":{"serviceException":{"messageId":"UNAUTHORIZED","text":"Invalid login details"}}}'
OLD_400 = (
    b'{"requestError":{"serviceException":{"messageId":"BAD_REQUEST","text":"Bad",'
    b'"validationErrors":{"messages[0].content.text":["x"]}}}}'
)
UNKNOWN_FATE = "Infobip answered {}. The text may or may not have gone out."
ANSWERS = [
    (taken_as({}), Accepted(Vendor(200, sid="AT0190"))),
    (taken_as(None), Accepted(Vendor(200, sid="AT0190"))),
    (
        taken_as({"groupId": 0, "name": "MESSAGE_ACCEPTED"}),
        Accepted(Vendor(200, sid="AT0190", status="MESSAGE_ACCEPTED")),
    ),
    (
        taken_as(status("REJECTED", "REJECTED_PREFIX_MISSING")),
        Refused(
            "invalid_number",
            "The number does not exist, or is no longer in use.",
            rejected("REJECTED_PREFIX_MISSING"),
            PAGE,
        ),
    ),
    (
        taken_as({"groupId": 5, "name": "REJECTED_SOURCE", "description": "No."}),
        Refused(
            "sender_not_allowed",
            "The sender is not registered, not allowed there, or blocked.",
            rejected("REJECTED_SOURCE"),
            PAGE,
            "sender",
        ),
    ),
    (
        taken_as(status("REJECTED", "REJECTED_NOT_ENOUGH_CREDITS")),
        Refused(
            "account_trouble",
            "The account's credit, or its limit of the day or the month, is used up.",
            rejected("REJECTED_NOT_ENOUGH_CREDITS"),
            PAGE,
        ),
    ),
    (
        taken_as(status("REJECTED", "REJECTED_BY_TOMORROW")),
        Refused(
            "unknown",
            "Infobip gives the code REJECTED_BY_TOMORROW, which Otpost does not know.",
            rejected("REJECTED_BY_TOMORROW"),
            PAGE,
        ),
    ),
    (
        taken_as(status("REJECTED", "REJECTED_SYSTEM_ERROR")),
        Unavailable(
            "vendor_trouble",
            "Infobip had an error of its own and did not take the text.",
            rejected("REJECTED_SYSTEM_ERROR"),
            link=PAGE,
        ),
    ),
    (
        taken_as(status("REJECTED", "REJECTED_DUPLICATE_MESSAGE_ID")),
        Unknown(
            "Infobip has had a text under this attempt's name before.",
            rejected("REJECTED_DUPLICATE_MESSAGE_ID"),
            answered=True,
        ),
    ),
    (
        taken_as(PENDING, sid=None),
        Unknown(
            "Infobip took the text, but its answer does not name the message.",
            Vendor(200, status="PENDING_ACCEPTED"),
            answered=True,
        ),
    ),
    (
        Answer(200, b'{"messages": []}'),
        Unknown("Infobip took the text, but its answer does not name the message.", Vendor(200), answered=True),
    ),
    (
        refused(400, "E400", "messages[0].destinations[0].to"),
        Refused("invalid_number", "Infobip does not accept the recipient's number.", vendor(400, "E400"), PAGE),
    ),
    (
        refused(400, "E400", "messages[0].sender"),
        Refused("wrong_settings", "Infobip does not accept the sender.", vendor(400, "E400"), PAGE, "sender"),
    ),
    (
        refused(400, "E400", "messages[0].webhooks.delivery.url"),
        Refused("callback_refused", "Infobip does not accept the address for reports.", vendor(400, "E400"), PAGE),
    ),
    (
        Answer(400, OLD_400),
        Refused("text_refused", "Infobip does not accept the text.", vendor(400, "BAD_REQUEST", "Bad"), PAGE),
    ),
    (
        refused(400, "E499", "something"),
        Refused("unknown", "Infobip refused the text with E499, an unknown code.", vendor(400, "E499"), PAGE),
    ),
    (
        Answer(401, OLD_401),
        Refused(
            "credentials_refused",
            "Infobip did not accept the API key.",
            vendor(401, "UNAUTHORIZED", "Invalid login details"),
            PAGE,
            "api_key",
        ),
    ),
    (
        refused(403, "E403"),
        Refused(
            "credentials_refused", "The API key may not send texts from here.", vendor(403, "E403"), PAGE, "api_key"
        ),
    ),
    (refused(404, "E404"), Refused("wrong_settings", NO_TEXTS, vendor(404, "E404"), field="api_url")),
    (Answer(404, b"<html>"), Refused("wrong_settings", NO_TEXTS, vendor(404, None, None), field="api_url")),
    (
        Answer(302, b"", {"Location": "https://elsewhere.example.com/"}),
        Refused(
            "wrong_settings",
            "The Base URL answers with a redirect, which is not followed.",
            vendor(302, None, None),
            field="api_url",
        ),
    ),
    (
        refused(429, "E429", **{"Retry-After": "2"}),
        Unavailable(
            "throttled", "Infobip is getting too many requests of this account at once.", vendor(429, "E429"), 2.0
        ),
    ),
    (refused(500, "E500"), Unknown(UNKNOWN_FATE.format(500), vendor(500, "E500"), answered=True)),
    (Answer(408, b""), Unknown(UNKNOWN_FATE.format(408), vendor(408, None, None), answered=True)),
    (Answer(503, b"<html>"), Unknown(UNKNOWN_FATE.format(503), vendor(503, None, None), answered=True)),
]


@pytest.mark.parametrize(("given_answer", "expected"), ANSWERS)
async def test_each_answer_comes_to_its_outcome(given_answer, expected):
    async with standing_in(given_answer) as stand_in:
        assert await send(stand_in) == expected
    assert len(stand_in.received) == 1


@pytest.mark.parametrize(
    ("theirs", "shown"),
    [
        ("Number 4915112345678 +4915112345678", "Number 49••••••••678 +49••••••••678"),
        (f"You sent {BODY}", "You sent …"),
        (f"Key {KEY}", "Key …"),
        ("x" * 301, "x" * 299 + "…"),
        ("", None),
    ],
)
async def test_infobip_s_words_are_shown_without_what_is_ours_and_not_at_any_length(theirs, shown):
    said = msgspec.json.encode({"errorCode": "E400", "description": theirs})
    told = status("REJECTED", "REJECTED_NETWORK", theirs)
    async with standing_in(Answer(400, said), taken_as(told)) as stand_in:
        outcomes = [await send(stand_in), await send(stand_in)]
    assert [outcome.vendor.message for outcome in outcomes] == [shown, shown]


async def test_a_lost_connection_leaves_the_fate_unknown_and_a_closed_port_does_not():
    async with standing_in(None) as stand_in:
        lost = await send(stand_in)
    closed = await send(stand_in)
    assert isinstance(lost, Unknown)
    assert not lost.answered
    assert lost.detail.startswith("The text was handed to Infobip, but no answer came. ")
    assert isinstance(closed, Unavailable)
    assert closed.reason == "network_trouble"
    assert closed.detail.startswith("Infobip could not be reached. ")


async def test_a_refusal_of_the_guard_stands_at_the_base_url():
    async with standing_in(None) as stand_in, outbound() as http:
        settings = settings_of(**{**OURS, "api_url": stand_in.url})
        outcome = await infobip.send(http, settings, Route("infobip", HOST, "MyBrand", ""), TEXT)
    assert isinstance(outcome, Refused)
    assert (outcome.reason, outcome.field, stand_in.connections) == ("wrong_settings", "api_url", 0)


async def test_without_the_key_nothing_is_sent():
    async with standing_in(None) as stand_in, outbound(LOOPBACK) as http:
        settings = settings_of(api_url=stand_in.url, sender="MyBrand")
        outcome = await infobip.send(http, settings, Route("infobip", HOST, "MyBrand", ""), TEXT)
    assert isinstance(outcome, Refused)
    assert (outcome.reason, outcome.field, stand_in.connections) == ("wrong_settings", "api_key", 0)


# --- the log ---

SINCE = 1_692_853_305_678  # 2023-08-24 05:01:45.678 UTC
LOG = Account(HOST, Secret(KEY), "")


def entry(sid: str, told: object, at: object = "2023-08-24T05:01:46.000+0000", **more: object) -> dict[str, object]:
    given = {"messageId": sid, "status": told, "error": NO_ERROR, "sentAt": at, "content": {"text": f"{sid} says."}}
    return {"sender": "MyBrand", "destination": "4915112345678", **given, **more}


def log(*entries: object) -> Answer:
    return Answer(200, msgspec.json.encode({"results": entries, "cursor": {"limit": 100}}))


async def look_up(stand_in: StandIn) -> list[Listed] | LookUpFailed:
    async with outbound(LOOPBACK) as http:
        return await infobip.look_up(http, Account(HOST, Secret(KEY), stand_in.url), TEXT.to, SINCE)


async def test_a_look_up_lists_what_was_sent_to_the_number_from_5_s_before_the_intent():
    entries = [
        entry("AT0192", TOLD["delivered"], "2023-08-24T05:01:47.250Z"),
        entry("AT0191", PENDING, None, content=None),
        entry("AT0190", FAILED, "2023-08-24T07:01:40.678+0200", error=error("EC_ABSENT_SUBSCRIBER")),
    ]
    async with standing_in(log(*entries)) as stand_in:
        rows = await look_up(stand_in)
    off = CODES["EC_ABSENT_SUBSCRIBER"].sentence
    assert rows == [
        Listed(
            "AT0192",
            1_692_853_307_250,
            "AT0192 says.",
            Reported("delivered", "DELIVERED_TO_HANDSET", None, "AT0192", HOST),
        ),
        Listed("AT0191", None, "", Reported("accepted", "PENDING_ACCEPTED", None, "AT0191", HOST)),
        Listed(
            "AT0190",
            SINCE - 5_000,
            "AT0190 says.",
            Reported("failed", "REJECTED_NETWORK", "EC_ABSENT_SUBSCRIBER", "AT0190", HOST, "not_reachable", off, PAGE),
        ),
    ]
    (request,) = stand_in.received
    assert (request.method, request.headers["Authorization"]) == ("GET", f"App {KEY}")
    assert urlsplit(request.target).path == "/sms/3/logs"
    assert parse_qs(urlsplit(request.target).query) == {
        "destination": ["4915112345678"],
        "sentSince": ["2023-08-24T05:01:40.678+0000"],
        "limit": ["100"],
    }
    assert "says" not in repr(rows)


FAILING = [
    (Answer(401, OLD_401), True),
    (refused(403), True),
    (refused(404), False),
    (refused(429), False),
    (refused(500), False),
    (Answer(302, b""), False),
    (Answer(200, b"nonsense"), False),
    (Answer(200, b'{"results": 1}'), False),
    (log(1), False),
    (log({"messageId": "AT0190"}), False),
    (log({"messageId": "a b", "status": PENDING}), False),
    (log(*[entry(f"AT{n}", PENDING) for n in range(100)]), False),
    (None, False),
]


@pytest.mark.parametrize(("given_answer", "about_credentials"), FAILING)
async def test_a_look_up_that_fails_proves_nothing(given_answer, about_credentials):
    async with standing_in(given_answer) as stand_in:
        failed = await look_up(stand_in)
    assert isinstance(failed, LookUpFailed)
    assert failed.about_credentials is about_credentials
    assert failed.reason
    assert len(stand_in.received) == 1


async def test_nothing_in_the_log_is_an_answer():
    async with standing_in(log()) as stand_in:
        assert await look_up(stand_in) == []


async def fetch(stand_in: StandIn, vendor_sid: str = "AT0190") -> Reported | LookUpFailed:
    async with outbound(LOOPBACK) as http:
        return await infobip.fetch_report(http, Account(HOST, Secret(KEY), stand_in.url), vendor_sid)


async def test_a_report_is_fetched_from_the_log_which_tells_it_again_and_again():
    async with standing_in(log(entry("AT0190", TOLD["delivered"]))) as stand_in:
        fetched = await fetch(stand_in)
    assert fetched == Reported("delivered", "DELIVERED_TO_HANDSET", None, "AT0190", HOST)
    assert stand_in.received[0].target == "/sms/3/logs?messageId=AT0190"


@pytest.mark.parametrize("given_answer", [log(), log(entry("AT0191", PENDING)), refused(404), refused(500), None])
async def test_a_report_that_cannot_be_fetched_says_nothing(given_answer):
    async with standing_in(given_answer) as stand_in:
        assert isinstance(await fetch(stand_in), LookUpFailed)
        assert isinstance(await fetch(stand_in, "../accounts"), LookUpFailed)
    assert len(stand_in.received) == 1


# --- reports ---

SETTINGS = settings_of(**OURS)


def told(request: ReportRequest) -> Reported | NotProven:
    return the_one(infobip.read_report(SETTINGS, request, {"": [Secret(KEY)]}))


@pytest.mark.parametrize(
    ("group", "name", "expected", "reason"),
    [
        ("ACCEPTED", "MESSAGE_ACCEPTED", "accepted", None),
        ("PENDING", "PENDING_ACCEPTED", "accepted", None),
        ("PENDING", "PENDING_ENROUTE", "accepted", None),
        ("PENDING", "PENDING_WAITING_DELIVERY", "sent", None),
        ("DELIVERED", "DELIVERED_TO_OPERATOR", "sent", None),
        ("DELIVERED", "DELIVERED_TO_HANDSET", "delivered", None),
        ("UNDELIVERABLE", "UNDELIVERABLE_REJECTED_OPERATOR", "undelivered", "not_delivered"),
        ("UNDELIVERABLE", "UNDELIVERABLE_NOT_DELIVERED", "undelivered", "not_delivered"),
        ("UNDELIVERABLE", "UNDELIVERABLE_NOT_SENT", "failed", "not_delivered"),
        ("EXPIRED", "EXPIRED_EXPIRED", "undelivered", "not_reachable"),
        ("EXPIRED", "EXPIRED_DLR_UNKNOWN", "undelivered", "not_delivered"),
        ("EXPIRED", "SIGNALS_BLOCKED", "undelivered", "blocked_as_fraud"),
        ("REJECTED", "SIGNALS_BLOCKED", "failed", "blocked_as_fraud"),
        ("REJECTED", "REJECTED_DND", "failed", "filtered"),
        ("REJECTED", "REJECTED_BY_TOMORROW", "failed", "not_delivered"),
    ],
)
def test_each_status_is_one_of_ours(group, name, expected, reason):
    read = told(report(status(group, name)))
    assert isinstance(read, Reported)
    assert (read.status, read.vendor_status, read.reason) == (expected, name, reason)
    assert (read.vendor_sid, read.account_sid) == ("AT0190", HOST)
    assert (read.vendor_code, read.link) == ((name, PAGE) if reason else (None, None))
    assert bool(read.detail) is bool(reason)


ERRORS: list[tuple[ReasonName, str]] = [
    ("invalid_number", "EC_UNKNOWN_SUBSCRIBER EC_DEACTIVATED_LIST EC_INVALID_DESTINATION_ADDRESS"),
    ("cannot_receive", "EC_TELESERVICE_NOT_PROVISIONED EC_CALL_BARRED EC_USER_OUT_OF_CREDIT EC_OPERATOR_NOT_FOUND"),
    ("not_reachable", "EC_ABSENT_SUBSCRIBER EC_ABSENT_SUBSCRIBER_SM EC_SM_DF_MEMORYCAPACITYEXCEEDED EC_VP_EXPIRED"),
    ("too_late", "EC_MESSAGE_CANCELED"),
    ("opted_out", "EC_SC_BLOCKED_BY_END_USER EC_CONTENT_BLOCKED"),
    ("blocked_as_fraud", "EC_SIGNALS_BLOCKED EC_DESTINATION_FLOODING EC_BLACKLISTED_DESTINATIONADDRESS"),
    ("country_not_permitted", "EC_ACCOUNT_NOT_PROVISIONED_FOR_CHANNEL"),
    ("sender_not_allowed", "EC_INVALID_SOURCE_ADDRESS EC_BLACKLISTED_SENDERADDRESS EC_CAMPAIGN_ID_REJECTED"),
    ("filtered", "EC_REJECTED_SPAM_BY_OPERATOR EC_DEST_ADDRESS_BLACKLISTED EC_INVALIDMSCADDRESS"),
    ("text_refused", "EC_MSG_TEXT_TOO_LONG EC_INVALID_PDU_FORMAT"),
    ("account_trouble", "EC_MONTHLY_LIMIT_REACHED EC_DEST_ADDRESS_NOT_IN_SMS_DEMO EC_ACCOUNT_ACCESS_DENIED"),
    ("throttled", "EC_LIMIT_REACHED EC_10DLC_LIMIT_REACHED"),
    ("not_delivered", "EC_NNR_NETWORKCONGESTION EC_PA_MAINTENANCEACTIVITY EC_NO_RESPONSE EC_OF_TOMORROW"),
]


@pytest.mark.parametrize(("reason", "name"), [(reason, name) for reason, names in ERRORS for name in names.split()])
def test_the_error_of_a_report_says_more_than_its_status(reason, name):
    read = told(report(status("UNDELIVERABLE", "UNDELIVERABLE_NOT_DELIVERED"), error(name)))
    assert isinstance(read, Reported)
    assert (read.status, read.reason, read.vendor_code) == ("undelivered", reason, name)
    assert read.detail.endswith(".")


@pytest.mark.parametrize("name", CODES)
async def test_every_code_of_the_table_comes_to_its_reason_in_a_report_and_in_an_answer(name):
    read = told(report(status("UNDELIVERABLE", "UNDELIVERABLE_OF_TOMORROW"), error(name)))
    assert isinstance(read, Reported)
    assert (read.reason, read.detail) == CODES[name][:2]
    assert CODES[name].reason in REASONS
    assert CODES[name].sentence[0].isupper()
    assert CODES[name].sentence.endswith(".")
    assert CODES[name].setting in ("", "api_key", "api_url", "sender")


def test_every_status_and_every_violation_has_its_sentence():
    assert all(code.reason in REASONS and code.sentence.endswith(".") for code in VIOLATIONS.values())
    assert set(STATUSES.values()) | set(GROUPS.values()) == {"accepted", "sent", "delivered", "undelivered", "failed"}


def test_a_group_is_known_by_its_number_too_and_what_is_not_known_moves_nothing():
    by_number = told(report({"groupId": 5, "name": "REJECTED_NETWORK"}))
    assert isinstance(by_number, Reported)
    assert (by_number.status, by_number.reason) == ("failed", "country_not_permitted")
    for strange in ({"groupId": 77, "name": "X"}, {"groupId": -1, "groupName": "X"}, {"groupName": ["X"], "id": 1}):
        read = told(report(strange))
        assert isinstance(read, Reported)
        assert (read.status, read.reason) == ("accepted", None)


def test_all_reports_of_a_call_are_read_each_on_the_attempt_that_it_names():
    own = "AT" + "0" * 32
    others: list[object] = [entry("AT0191", FAILED), entry(own, FAILED)]
    read = infobip.read_report(SETTINGS, report(TOLD["delivered"], more=others), {"": [Secret(KEY)]})
    assert not isinstance(read, NotProven)
    assert sorted((one.vendor_sid, one.status, one.attempt or "") for one in read) == [
        (own, "failed", own),
        ("AT0190", "delivered", ""),
        ("AT0191", "failed", ""),
    ]


def test_a_call_with_one_report_that_cannot_be_read_is_refused_whole():
    for wrong in (1, {}, {"messageId": "AT0191"}, entry("a b", FAILED)):
        assert told(report(TOLD["delivered"], more=[wrong])) == NotProven("1 of the call's 2 reports can be read")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b"\xff",
        b"[" * 5000,
        b"{}",
        b'{"results": 1}',
        b'{"results": []}',
        b'{"results": [1, null, "x"]}',
        b'{"results": [{"messageId": "AT0190"}]}',
        b'{"results": [{"status": {"groupId": 3}}]}',
        report(TOLD["delivered"], sid=None).body,
        report(TOLD["delivered"], sid="a b").body,
        report(TOLD["delivered"], sid="x" * 65).body,
        report("DELIVERED").body,
    ],
)
def test_what_is_no_report_on_a_message_is_not_believed(body):
    assert isinstance(told(ReportRequest(CALLBACK, body, {})), NotProven)
