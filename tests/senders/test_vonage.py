"""Vonage: the request as a whole, what each answer comes to, and delivery receipts, signed and not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlencode

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from vonage_http_client.auth import Auth  # type: ignore[import-untyped]  # the SDK has no types
from vonage_sms import SmsMessage  # type: ignore[import-untyped]  # the SDK has no types

from otpost.domain.outcome import REASONS, Accepted, Outcome, Refused, Unavailable, Unknown, Vendor
from otpost.domain.phone import trusted
from otpost.domain.policy import Route
from otpost.domain.secret import Secret
from otpost.senders import vonage
from otpost.senders.registry import capabilities, find_services, list_problems
from otpost.senders.service import (
    FallsBack,
    HasAccounts,
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
from otpost.senders.vonage import (
    API_PAGE,
    ERR_CODES,
    MAYBE_SENT,
    PARAMETERS,
    RECEIPTS_PAGE,
    STATUSES,
    Settings,
)
from senders.contract import LOOPBACK, Answer, Case, Example, StandIn, outbound, standing_in, the_one

CHECKED_BY_MYPY: SenderService = vonage

KEY = "abcd1234"
SECRET = "the-api-secret"
SIGNATURE = "the-signature-secret"
ID = "0A0000000123ABCD1"
OURS = {"api_key": KEY, "api_secret": SECRET, "sender": "+447700900000"}
RECEIPT_OF = {"sent": ("accepted", "0"), "delivered": ("delivered", "0"), "failed": ("rejected", "6")}


def taken(*ids: str) -> dict[str, object]:
    parts = [{"to": "4915112345678", "message-id": sid, "status": "0", "network": "26201"} for sid in ids]
    return {"message-count": str(len(parts)), "messages": parts}


def report(address: str, sid: str | None, status: str) -> ReportRequest:
    said, code = RECEIPT_OF[status]
    attempt = address.partition("?")[0].rpartition("/")[2]
    fields = {"messageId": sid or ID, "status": said, "err-code": code, "api-key": KEY, "client-ref": attempt}
    return ReportRequest(address, msgspec.json.encode(fields), {"Content-Type": "application/json"})


EXAMPLE = Example(
    section=lambda url: {**OURS, "api_url": url},
    cases={
        "accepted": Case(Answer(200, msgspec.json.encode(taken(ID))), Accepted),
        "refused": Case(Answer(200, b'{"messages": [{"status": "6"}]}'), Refused, "invalid_number"),
        "credentials": Case(
            Answer(200, b'{"messages": [{"status": "4"}]}'), Refused, "credentials_refused", "api_secret"
        ),
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
URL = "https://otp.example.com/callbacks/vonage/AT01900000000000000000000000000000"
TEXT = Text("AT01900000000000000000000000000000", trusted("+4915112345678"), BODY, 290, f"{URL}?proof=abc")


def settings_of(**section: Any) -> Settings:
    submission = read_section(Settings, section, "vonage")
    assert submission.errors == []
    return fill(submission.settings, submission.typed)


async def send(stand_in: StandIn, text: Text = TEXT, **section: Any) -> Outcome:
    settings = settings_of(**{**OURS, "api_url": stand_in.url, **section})
    route = vonage.route(settings, text.to)
    assert isinstance(route, Route)
    async with outbound(LOOPBACK) as http:
        return await vonage.send(http, settings, route, text)


# --- settings and routes ---


def test_the_api_form_has_these_names_in_this_order():
    shown = answer(settings_of(**OURS), lambda ref: ref.field == "api_secret")
    assert list(shown.items()) == [
        ("api_key", KEY),
        ("api_secret", None),
        ("api_secret_set", True),
        ("sender", "+447700900000"),
        ("signature_secret", None),
        ("signature_secret_set", False),
        ("signature_method", "md5hash"),
        ("dlt_entity_id", ""),
        ("dlt_template_id", ""),
        ("api_url", "https://rest.nexmo.com"),
    ]


def test_the_secrets_belong_to_the_api_key_and_only_one_is_sent_anywhere():
    assert read_section(Settings, OURS, "vonage").slots == [
        (SecretRef("api_secret", KEY, "https://rest.nexmo.com:443"), "vonage.api_secret"),
        (SecretRef("signature_secret", KEY, ""), "vonage.signature_secret"),
    ]


@pytest.mark.parametrize("section", [{"api_key": "abcd123"}, {"api_key": "abcd 234"}, {"signature_method": "sha3"}])
def test_what_is_written_in_another_form_is_refused(section):
    (error,) = read_section(Settings, section, "vonage").errors
    assert (error.field, error.code) == (f"vonage.{next(iter(section))}", "invalid")


def test_the_api_key_and_the_sender_are_needed():
    problems = list_problems(vonage, settings_of(), "vonage")
    assert [(error.field, error.code) for error in problems] == [
        ("vonage.api_key", "required"),
        ("vonage.sender", "required"),
    ]
    assert list_problems(vonage, settings_of(**OURS), "vonage") == []


def test_every_number_takes_the_account_that_the_api_key_names():
    reason = "Vonage's account sends from its sender to every number."
    assert vonage.route(settings_of(**OURS), TEXT.to) == Route("vonage", KEY, "+447700900000", reason)


def test_vonage_reads_receipts_which_their_address_proves_and_cannot_be_asked():
    service = find_services()["vonage"]
    assert isinstance(service, ReadsReports)
    assert capabilities(service).proven_by_address
    assert not isinstance(service, HasAccounts | FallsBack | SendsAgain)
    assert (service.TITLE, service.PLACE, service.may_be_fallback) == ("Vonage", 40, True)


# --- the request ---


async def test_the_request_is_this_and_nothing_else():
    async with standing_in(EXAMPLE.accepting) as stand_in:
        await send(stand_in)
    (request,) = stand_in.received
    assert (request.method, request.target) == ("POST", "/sms/json")
    assert request.body == (
        b"from=447700900000&to=4915112345678&text=123456+is+your+Acme+code.&type=text&ttl=290000&client-ref=AT01900000000000000000000000000000"
        b"&callback=https%3A%2F%2Fotp.example.com%2Fcallbacks%2Fvonage%2FAT01900000000000000000000000000000%3Fproof%3Dabc"
    )
    headers = {name: request.headers[name] for name in ("Authorization", "Accept", "Content-Type")}
    assert headers == {
        "Authorization": Auth(KEY, SECRET).create_basic_auth_string(),
        "Accept": "application/json",
        "Content-Type": "application/x-www-form-urlencoded",
    }


@pytest.mark.parametrize("sender", ["+447700900000", "MyBrand", "12345"])
@pytest.mark.parametrize("body", [BODY, "123456 – код", "1" * 400])
@pytest.mark.parametrize("valid_for_s", [10, 290, 36_000])
async def test_the_vendor_s_library_takes_the_request_for_one_of_its_own(sender, body, valid_for_s):
    text = Text("AT" + "0" * 32, TEXT.to, body, valid_for_s, TEXT.callback_url)
    async with standing_in(EXAMPLE.accepting) as stand_in:
        await send(stand_in, text, sender=sender)
    form = dict(parse_qsl(stand_in.received[0].body.decode(), strict_parsing=True))
    names = {"from": "from_", "client-ref": "client_ref"}
    judged = SmsMessage(**{names.get(name, name): value for name, value in form.items()})
    written = judged.model_dump(by_alias=True, exclude_none=True)
    assert {name: str(value) for name, value in written.items()} == form


@pytest.mark.parametrize(
    ("body", "kind"),
    [(BODY, b"text"), ("123456 €[]", b"text"), ("123456 – x", b"unicode"), ("1 \U0001f511", b"unicode")],
)
async def test_a_text_that_gsm_cannot_write_is_sent_as_unicode(body, kind):
    async with standing_in(EXAMPLE.accepting) as stand_in:
        await send(stand_in, Text("AT01900000000000000000000000000000", TEXT.to, body, 290))
    assert b"type=" + kind in stand_in.received[0].body.split(b"&")
    assert b"callback" not in stand_in.received[0].body


@pytest.mark.parametrize(
    ("valid_for_s", "sent"), [(0, b"20000"), (20, b"20000"), (21, b"21000"), (10_000_000, b"604800000")]
)
async def test_the_time_to_live_is_one_that_vonage_takes(valid_for_s, sent):
    async with standing_in(EXAMPLE.accepting) as stand_in:
        await send(stand_in, Text("AT01900000000000000000000000000000", TEXT.to, BODY, valid_for_s))
    assert b"ttl=" + sent in stand_in.received[0].body.split(b"&")


async def test_an_api_url_with_a_path_and_a_slash_at_the_end_is_the_root():
    async with standing_in(EXAMPLE.accepting) as stand_in:
        await send(stand_in, api_url=f"{stand_in.url}/eu/")
    assert stand_in.received[0].target == "/eu/sms/json"


async def test_without_an_api_secret_nothing_is_sent():
    settings = settings_of(api_key=KEY, sender="MyBrand")
    route = vonage.route(settings, TEXT.to)
    assert isinstance(route, Route)
    async with outbound() as http:
        outcome = await vonage.send(http, settings, route, TEXT)
    detail = "The API secret of the account that sends is not stored; type it in the settings."
    assert outcome == Refused("credentials_refused", detail, field="api_secret")


# --- what each answer comes to ---


def said(status: object, words: str = "Vonage's words") -> bytes:
    return msgspec.json.encode({"message-count": "1", "messages": [{"status": status, "error-text": words}]})


def vendor(http_status: int, code: int | None = None, words: str = "Vonage's words") -> Vendor:
    return Vendor(http_status, str(code), words) if code is not None else Vendor(http_status)


MAYBE = "Vonage answered {}. The text may or may not have gone out."
INTERNAL = "Vonage had an error of its own. The text may or may not have gone out."
UNNAMED = "Vonage took the text, but its answer does not name the message."
NOT_THEIRS = "The API URL answered {} and none of Vonage's statuses. Check that it is Vonage's."
BAD_KEY = "Vonage did not accept the API key and secret."
BUSY = "Vonage is getting too many texts of this account at once."
HALF = {"message-count": "2", "messages": [taken(ID)["messages"][0], {"status": "1", "error-text": "Throughput"}]}  # type: ignore[index]  # a literal

ANSWERS: list[tuple[Answer, Outcome]] = [
    (Answer(200, msgspec.json.encode(taken(ID))), Accepted(Vendor(200, sid=ID))),
    (Answer(200, msgspec.json.encode(taken(ID, "0A2"))), Accepted(Vendor(200, sid=ID))),
    (Answer(200, b"<html>"), Unknown(UNNAMED, Vendor(200), answered=True)),
    (Answer(200, b'{"message-count": "0", "messages": []}'), Unknown(UNNAMED, Vendor(200), answered=True)),
    (Answer(200, b'{"messages": [{"status": "0"}]}'), Unknown(UNNAMED, Vendor(200), answered=True)),
    (Answer(200, b'{"messages": [{"message-id": "1"}]}'), Unknown(UNNAMED, Vendor(200), answered=True)),
    (
        Answer(200, msgspec.json.encode(HALF)),
        Unknown("Vonage took 1 of the 2 parts of the text.", Vendor(200, "1", "Throughput", ID), answered=True),
    ),
    (Answer(400, msgspec.json.encode(taken(ID))), Unknown(UNNAMED, Vendor(400, sid=ID), answered=True)),
    (
        Answer(302, b"", {"Location": "https://api.example.com"}),
        Refused(
            "wrong_settings",
            "The API URL answers with a redirect, which is not followed.",
            vendor(302),
            field="api_url",
        ),
    ),
    (Answer(200, said("1")), Unavailable("throttled", BUSY, vendor(200, 1), None, API_PAGE)),
    (
        Answer(200, said("10"), {"Retry-After": "3"}),
        Unavailable(
            "throttled", "The Vonage account has too many connections at once.", vendor(200, 10), 3.0, API_PAGE
        ),
    ),
    (Answer(429, b"", {"Retry-After": "7"}), Unavailable("throttled", BUSY, vendor(429), 7.0)),
    (
        Answer(200, said("2", "Missing to param")),
        Refused(
            "invalid_number",
            "Vonage does not accept the recipient's number.",
            vendor(200, 2, "Missing to param"),
            API_PAGE,
        ),
    ),
    (
        Answer(200, said("3", "Invalid from param")),
        Refused(
            "sender_not_allowed",
            "Vonage does not accept the sender.",
            vendor(200, 3, "Invalid from param"),
            API_PAGE,
            "sender",
        ),
    ),
    (Answer(200, said("3")), Refused("unknown", "Vonage does not accept a parameter.", vendor(200, 3), API_PAGE)),
    (Answer(200, said("4")), Refused("credentials_refused", BAD_KEY, vendor(200, 4), API_PAGE, "api_secret")),
    (Answer(401, b""), Refused("credentials_refused", BAD_KEY, vendor(401), None, "api_secret")),
    (
        Answer(402, b""),
        Refused("account_trouble", "The Vonage account is out of funds.", vendor(402), None, "api_key"),
    ),
    (
        Answer(403, said("8")),
        Refused("account_trouble", "The Vonage account is suspended.", vendor(403, 8), API_PAGE, "api_key"),
    ),
    (
        Answer(200, said("15")),
        Refused(
            "sender_not_allowed",
            "The Vonage account may not use this sender for this country.",
            vendor(200, 15),
            API_PAGE,
            "sender",
        ),
    ),
    (
        Answer(200, said("23")),
        Refused(
            "callback_refused",
            "The address for receipts is too long for Vonage, or has signs that it refuses.",
            vendor(200, 23),
            API_PAGE,
        ),
    ),
    (
        Answer(200, said("777")),
        Refused(
            "unknown",
            "Vonage refused the text with status 777, which Otpost does not know.",
            vendor(200, 777),
            API_PAGE,
        ),
    ),
    (Answer(404, b"<html>"), Refused("wrong_settings", NOT_THEIRS.format(404), vendor(404), field="api_url")),
    (Answer(200, said(5)), Unknown(INTERNAL, vendor(200, 5), answered=True)),
    (Answer(408, b""), Unknown(MAYBE.format(408), vendor(408), answered=True)),
    (Answer(500, said("4")), Unknown(MAYBE.format(500), vendor(500, 4), answered=True)),
    (Answer(503, b""), Unknown(MAYBE.format(503), vendor(503), answered=True)),
]


@pytest.mark.parametrize(("given_answer", "expected"), ANSWERS, ids=lambda value: getattr(value, "status", ""))
async def test_each_answer_comes_to(given_answer, expected):
    async with standing_in(given_answer) as stand_in:
        assert await send(stand_in) == expected
    assert len(stand_in.received) == 1


@pytest.mark.parametrize("named", [None, *PARAMETERS])
@pytest.mark.parametrize("code", [*range(1, 40), 99, 999_999])
async def test_every_status_has_a_reason_and_a_sentence_and_none_is_taken_for_success(code, named):
    async with standing_in(Answer(200, said(str(code), f"Invalid {named} param" if named else "No"))) as stand_in:
        outcome = await send(stand_in)
    assert not isinstance(outcome, Accepted)
    assert isinstance(outcome, Unknown) == (code in MAYBE_SENT)
    assert isinstance(outcome, Unavailable) == (code in (1, 10))
    assert outcome.reason in REASONS
    assert outcome.detail.endswith(".")
    assert outcome.vendor.code == str(code)
    if isinstance(outcome, Refused):
        assert outcome.link == API_PAGE
        assert outcome.field in {None, "api_key", "api_secret", "sender"}
        assert (outcome.reason == "unknown") <= (code not in STATUSES or code in (2, 3, 22))


async def test_what_vonage_says_back_is_shown_without_number_text_and_secret():
    words = f"Illegal 4915112345678: {BODY} {SECRET}"
    async with standing_in(Answer(200, said("6", words))) as stand_in:
        outcome = await send(stand_in)
    assert outcome.vendor.message == f"Illegal {TEXT.to.masked[1:]}: … …"


# --- receipts ---

FIELDS = {
    "msisdn": "4915112345678",
    "to": "447700900000",
    "messageId": ID,
    "status": "delivered",
    "err-code": "0",
    "api-key": KEY,
    "client-ref": "AT01900000000000000000000000000000",
    "message-timestamp": "2020-01-01 12:00:00",
}
TOKENS = {KEY: [Secret(SECRET), Secret("new-signature"), Secret(SIGNATURE)]}
UNSIGNED = settings_of(**OURS)
REFERENCE = FIELDS["client-ref"]
DELIVERED = Reported("delivered", "delivered", None, ID, KEY, attempt=REFERENCE)


def in_query(fields: Mapping[str, str]) -> ReportRequest:
    return ReportRequest(f"{URL}?proof=abc&{urlencode(fields)}", b"", {})


def in_form(fields: Mapping[str, str]) -> ReportRequest:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    return ReportRequest(f"{URL}?proof=abc", urlencode(fields).encode(), headers)


def in_json(fields: Mapping[str, str]) -> ReportRequest:
    return ReportRequest(f"{URL}?proof=abc", msgspec.json.encode(fields), {"content-type": "application/json"})


WAYS = (in_query, in_form, in_json)


@pytest.mark.parametrize("way", WAYS)
def test_a_receipt_comes_in_a_query_a_form_or_a_json_object(way):
    assert the_one(vonage.read_report(UNSIGNED, way(FIELDS), TOKENS)) == DELIVERED


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        ("accepted", "0", ("sent", None, None)),
        ("buffered", "0", ("sent", None, None)),
        ("buffered", "2", ("sent", "2", "not_reachable")),
        ("delivered", "0", ("delivered", None, None)),
        ("expired", "0", ("undelivered", None, "not_reachable")),
        ("expired", "1", ("undelivered", "1", "not_delivered")),
        ("failed", "9", ("undelivered", "9", "opted_out")),
        ("failed", "", ("undelivered", None, "not_delivered")),
        ("undelivered", "6", ("undelivered", "6", "filtered")),
        ("rejected", "77", ("failed", "77", "not_delivered")),
        ("deleted", "0", ("failed", None, "not_delivered")),
        ("unknown", "0", ("accepted", None, None)),
        ("a status of tomorrow", "nonsense", ("accepted", None, None)),
    ],
)
def test_each_status_of_a_receipt_is_one_of_ours(status, code, expected):
    receipt = the_one(vonage.read_report(UNSIGNED, in_json({**FIELDS, "status": status, "err-code": code}), TOKENS))
    assert isinstance(receipt, Reported)
    assert (receipt.status, receipt.vendor_code, receipt.reason) == expected
    assert (receipt.vendor_status, receipt.vendor_sid, receipt.account_sid) == (status, ID, KEY)
    assert bool(receipt.detail) == (receipt.reason is not None)
    assert receipt.link == (RECEIPTS_PAGE if receipt.vendor_code else None)


@pytest.mark.parametrize("code", ERR_CODES)
def test_every_error_code_is_told_in_a_sentence_and_linked(code):
    request = in_form({**FIELDS, "status": "failed", "err-code": str(code)})
    receipt = the_one(vonage.read_report(UNSIGNED, request, TOKENS))
    known = ERR_CODES[code]
    assert receipt == Reported(
        *("undelivered", "failed", str(code), ID, KEY, known.reason, known.sentence, RECEIPTS_PAGE, REFERENCE)
    )


def test_a_receipt_that_does_not_name_its_account_is_the_one_account_s():
    fields = {name: value for name, value in FIELDS.items() if name not in ("api-key", "client-ref")}
    assert the_one(vonage.read_report(UNSIGNED, in_json(fields), TOKENS)) == replace(DELIVERED, attempt=None)
    other = the_one(vonage.read_report(UNSIGNED, in_json({**FIELDS, "api-key": "other123"}), TOKENS))
    assert isinstance(other, Reported)
    assert other.account_sid == "other123"


@pytest.mark.parametrize(
    "request_",
    [
        in_json({**FIELDS, "client-ref": "AT01910000000000000000000000000000"}),
        in_json({**FIELDS, "messageId": "a b"}),
        in_json({**FIELDS, "messageId": ""}),
        in_json({**FIELDS, "status": ""}),
        in_query({}),
        ReportRequest(URL, b"", {}),
        ReportRequest(URL, b"\xff", {}),
        ReportRequest(URL, b"[", {"Content-Type": "application/json"}),
        ReportRequest(URL, b"[]", {"Content-Type": "application/json"}),
        ReportRequest(URL, b"{" * 5000, {}),
        ReportRequest(URL, b"a=1&" * 200, {}),
    ],
)
def test_what_is_no_receipt_on_the_attempt_is_not_believed(request_):
    assert isinstance(the_one(vonage.read_report(UNSIGNED, request_, TOKENS)), NotProven)


def test_a_receipt_at_an_address_for_all_attempts_needs_no_reference_of_the_address():
    fixed = ReportRequest("https://otp.example.com/callbacks/vonage", in_json(FIELDS).body, {})
    assert the_one(vonage.read_report(UNSIGNED, fixed, TOKENS)) == DELIVERED


METHODS = ("md5", "sha1", "sha256", "sha512")


def signing(method: str) -> Settings:
    return settings_of(**OURS, signature_secret=SIGNATURE, signature_method=method)


def signed(fields: Mapping[str, str], method: str = "sha256", secret: str = SIGNATURE) -> dict[str, str]:
    """The fields with the signature that the vendor's own library makes."""
    full = {**fields, "timestamp": "1578787200", "nonce": "aaaaaaaa-bbbb"}
    made = Auth(KEY, signature_secret=secret, signature_method=method).sign_params(dict(full))
    return {**full, "sig": made.upper()}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("secret", [SIGNATURE, "new-signature"])
def test_any_signature_secret_that_is_kept_proves_a_receipt(way, method, secret):
    request = way(signed({**FIELDS, "text": "a=b&c"}, method, secret))
    assert the_one(vonage.read_report(signing(method), request, TOKENS)) == DELIVERED


def test_the_published_example_of_the_md5_hash_comes_out():
    # From the official library's own tests; the secret is `secret`.
    fields = {"a": "1", "b": "2", "timestamp": "1461605396"}
    assert vonage._signed({**fields, "sig": "6af838ef94998832dbfc29020b564830"}, [Secret("secret")], "md5hash")
    assert not vonage._signed({**fields, "sig": "6af838ef94998832dbfc29020b564830"}, [Secret("other")], "md5hash")


GOOD = signed(FIELDS)


@pytest.mark.parametrize(
    "fields",
    [
        FIELDS,
        {**GOOD, "sig": ""},
        {**GOOD, "sig": "é" * 64},
        {**GOOD, "status": "failed"},
        {**GOOD, "more": ""},
        {name: value for name, value in GOOD.items() if name != "to"},
        signed(FIELDS, "sha1"),
        signed(FIELDS, secret="another-secret"),
        signed(FIELDS, secret=SECRET),
        signed({**FIELDS, "api-key": "other123"}),
        signed({**FIELDS, "client-ref": "AT01910000000000000000000000000000"}),
    ],
)
@pytest.mark.parametrize("way", WAYS)
def test_where_signatures_are_asked_for_what_is_not_proven_is_not_believed(way, fields):
    assert isinstance(the_one(vonage.read_report(signing("sha256"), way(fields), TOKENS)), NotProven)


def test_a_receipt_that_comes_again_tells_the_same():
    request = in_json(GOOD)
    assert [the_one(vonage.read_report(signing("sha256"), request, TOKENS)) for _ in range(2)] == [DELIVERED] * 2


WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@given(
    extra=st.dictionaries(WORDS.filter(lambda name: name != "sig"), WORDS, max_size=4),
    changed=st.sampled_from([{}, {"status": "failed"}, {"a": "&=_"}]),
    method=st.sampled_from(METHODS),
    secret=st.sampled_from([SIGNATURE, "another-secret"]),
)
def test_signatures_are_judged_as_the_official_library_judges_them(extra, changed, method, secret):
    fields = {**signed({**extra, **FIELDS}, method, secret), **changed}
    judge = Auth(KEY, signature_secret=SIGNATURE, signature_method=method)
    assert vonage._signed(fields, [Secret(SIGNATURE)], method) == judge.check_signature(dict(fields))


@pytest.mark.parametrize("status", RECEIPT_OF)
def test_the_example_s_reports_are_read(status):
    receipt = the_one(vonage.read_report(UNSIGNED, report(f"{URL}?proof=abc", None, status), TOKENS))
    assert isinstance(receipt, Reported)
    assert (receipt.vendor_sid, receipt.account_sid) == (ID, KEY)


@pytest.mark.parametrize("way", WAYS)
def test_a_receipt_at_the_fixed_address_names_its_attempt(way):
    own = "AT" + "0" * 32
    request = way({**FIELDS, "client-ref": own})
    fixed = replace(request, url=request.url.replace("/AT01900000000000000000000000000000", "/AC" + "0" * 32))
    assert the_one(vonage.read_report(UNSIGNED, fixed, TOKENS)) == replace(DELIVERED, attempt=own)


def test_a_call_with_two_receipts_is_refused():
    two = f"{urlencode(FIELDS)}&{urlencode({**FIELDS, 'messageId': 'other'})}"
    listed = msgspec.json.encode([FIELDS, {**FIELDS, "messageId": "other"}])
    for url, body in ((f"{URL}?proof=abc&{two}", b""), (f"{URL}?proof=abc", two.encode()), (URL, listed)):
        assert isinstance(the_one(vonage.read_report(UNSIGNED, ReportRequest(url, body, {}), TOKENS)), NotProven)
