"""What every sender service that is found keeps to; each brings an `EXAMPLE` in its own test file."""

from __future__ import annotations

import asyncio
import importlib
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, get_args
from urllib.parse import unquote_plus

import msgspec
import pytest

from otpost.domain.outcome import REASONS, Accepted, Outcome, Refused, Unavailable, Unknown
from otpost.domain.phone import trusted
from otpost.domain.policy import Route
from otpost.domain.secret import Secret
from otpost.outbound import AnswerLost, Response
from otpost.senders import sandbox, twilio
from otpost.senders.registry import capabilities, find_services, list_problems
from otpost.senders.service import Http, NotProven, ReadsReports, Reported, ReportRequest, SenderService, Text
from otpost.senders.settings import Field, SecretRef, answer, changes, fill, form, load, needed, plain, slots
from otpost.senders.submission import Submission, read_section
from senders.contract import (
    LOOPBACK,
    RESET,
    SILENCE,
    Answer,
    CaseName,
    Example,
    Received,
    outbound,
    standing_in,
    the_one,
)

CHECKED_BY_MYPY: tuple[SenderService, ...] = (twilio, sandbox)

EVERY = list(find_services())
CALLING = [name for name in EVERY if any(field.kind == "url" for field in form(find_services()[name].Settings))]
PROVEN_BY_ADDRESS = {name for name in EVERY if capabilities(find_services()[name]).proven_by_address}
REPORTING = [name for name in EVERY if capabilities(find_services()[name]).reads_reports]
TO = trusted("+919191919191")
TEXT = Text("AT0190", TO, "Acme: 9081726354 is your code.", 290)


def service_of(name: str) -> SenderService:
    return find_services()[name]


def example_of(name: str) -> Example:
    example = importlib.import_module(f"senders.test_{name}").EXAMPLE
    assert isinstance(example, Example)
    return example


def submission_of(name: str, url: str = "https://sms.example.com") -> Submission[Any]:
    submission = read_section(service_of(name).Settings, example_of(name).section(url), name)
    assert submission.errors == []
    return submission


def ready(name: str, url: str = "https://sms.example.com") -> tuple[Any, Route]:
    submission = submission_of(name, url)
    settings = fill(submission.settings, submission.typed)
    route = service_of(name).route(settings, TO)
    assert isinstance(route, Route)
    return settings, route


async def send(name: str, url: str, http: Http) -> Outcome:
    settings, route = ready(name, url)
    return await service_of(name).send(http, settings, route, TEXT)


def secrets_of(name: str) -> list[str]:
    return [secret.reveal() for secret in submission_of(name).typed.values()]


@pytest.mark.parametrize("name", EVERY)
def test_the_example_is_complete(name):
    submission = submission_of(name)
    assert list_problems(service_of(name), submission.settings, name) == []
    assert {ref for ref, _ in needed(submission.settings, name)} <= submission.typed.keys()


@pytest.mark.parametrize("name", EVERY)
def test_an_answer_can_be_sent_back_as_it_is(name):
    submission = submission_of(name)
    shown = answer(submission.settings, lambda ref: True)
    again = read_section(service_of(name).Settings, msgspec.json.decode(msgspec.json.encode(shown)), name)
    assert (again.errors, again.settings, again.typed, again.cleared) == ([], submission.settings, {}, set())
    assert again.claimed == {path for _, path in slots(submission.settings, name)}


@pytest.mark.parametrize("name", EVERY)
def test_what_is_stored_is_loaded_again(name):
    settings = submission_of(name).settings
    stored = msgspec.json.decode(msgspec.json.encode(plain(settings)))
    assert load(service_of(name).Settings, stored) == settings


@pytest.mark.parametrize("name", EVERY)
def test_a_secret_is_in_nothing_that_is_stored_shown_or_printed(name):
    settings, _ = ready(name)
    shown = [
        repr(settings),
        repr(plain(settings)),
        repr(answer(settings, lambda ref: True)),
        repr(changes(type(settings), {}, plain(settings))),
        repr(changes(type(settings), plain(settings), {})),
        repr(submission_of(name)),
        repr(slots(settings, name)),
    ]
    assert [secret for secret in secrets_of(name) for text in shown if secret in text] == []


@pytest.mark.parametrize("name", EVERY)
def test_a_secret_names_an_owner_and_a_destination_that_exist(name):
    top = form(service_of(name).Settings)
    for fields in (top, *(form(field.row) for field in top if field.row)):
        names = {field.name for field in fields} | {""}
        for field in fields:
            assert field.label
            assert field.owner in names
            assert field.destination in {other.name for other in top if other.kind == "url"} | {""}
            assert sum(field.key for field in fields) <= 1


WRONG_VALUES: Mapping[str, list[Any]] = {
    "text": [1, [], {}, True],
    "secret": [1, [], {}, True, " \t"],
    "origin": [1, [], "+0", "a name that is far too long" * 3],
    "dialing_code": [1, [], "+0", "India"],
    "url": [1, [], "sms.example.com", "https://", "file:///etc/passwd", "https://user:password@sms.example.com"],
    "flag": [1, "true", []],
    "number": ["1", 1.5, True, []],
    "choice": [1, "nonsense", []],
    "rows": [1, {}, "rows", [1]],
}


@pytest.mark.parametrize("name", EVERY)
def test_a_wrong_value_is_reported_at_its_field(name):
    def fields(section: dict[str, Any], settings: type[Any], path: str) -> list[tuple[dict[str, Any], Field, str]]:
        places = []
        for field in form(settings):
            at = f"{path}.{field.name}"
            places.append((section, field, at))
            for index, row in enumerate(section.get(field.name, []) if field.row else []):
                assert field.row is not None
                places += fields(row, field.row, f"{at}[{index}]")
        return places

    settings = service_of(name).Settings
    section = example_of(name).section("https://sms.example.com")
    for holder, field, at in fields(section, settings, name):
        for wrong in WRONG_VALUES[field.kind]:
            kept = dict(holder)
            holder[field.name] = wrong
            errors = read_section(settings, section, name).errors
            holder.clear()
            holder.update(kept)
            assert [error for error in errors if error.field.startswith(at)], (at, wrong)
            assert all(error.message for error in errors)


@pytest.mark.parametrize("name", EVERY)
def test_an_empty_section_may_be_saved_and_says_what_it_lacks(name):
    submission: Submission[Any] = read_section(service_of(name).Settings, {}, name)
    assert submission.errors == []
    assert {error.code for error in list_problems(service_of(name), submission.settings, name)} <= {"required"}


@pytest.mark.parametrize("name", EVERY)
def test_a_route_is_a_pure_decision_that_does_not_show_the_number(name):
    settings, route = ready(name)
    assert service_of(name).route(settings, TO) == route
    assert (route.service, TO.e164 in route.reason, bool(route.reason)) == (name, False, True)


@pytest.mark.parametrize("name", EVERY)
def test_the_secret_that_a_route_needs_is_one_of_the_settings(name):
    settings, route = ready(name)
    ref = service_of(name).account_secret(settings, route)
    assert ref is None or isinstance(ref, SecretRef)
    assert ref is None or ref in {ref for ref, _ in slots(settings, name)}


@pytest.mark.parametrize("name", EVERY)
async def test_a_text_that_the_service_takes_is_accepted_and_was_handed_over_once(name):
    accepting = example_of(name).accepting
    async with standing_in(accepting) as vendor, outbound(LOOPBACK) as http:
        outcome = await send(name, vendor.url, http)
    assert isinstance(outcome, Accepted)
    assert len(vendor.received) == (0 if accepting is None else 1)


@pytest.mark.parametrize(
    "status", [300, 302, 307, 400, 401, 403, 404, 408, 418, 429, 451, 499, 500, 502, 503, 504, 599]
)
@pytest.mark.parametrize("name", CALLING)
async def test_no_other_status_is_accepted_and_each_is_asked_for_once(name, status):
    answers = Answer(status, b"<html>nonsense</html>", {"Location": "http://127.0.0.1:1/"})
    async with standing_in(answers) as vendor, outbound(LOOPBACK) as http:
        outcome = await send(name, vendor.url, http)
    assert len(vendor.received) == 1
    if status >= 500:
        assert isinstance(outcome, Unknown)
        assert outcome.answered
    elif status == 429:
        assert isinstance(outcome, Unavailable)
    else:
        assert isinstance(outcome, Refused | Unavailable | Unknown)
    assert outcome.vendor.http_status == status
    assert outcome.reason in REASONS
    assert outcome.detail.endswith(".")


@pytest.mark.parametrize("name", EVERY)
def test_the_example_has_a_case_for_each_kind_of_answer(name):
    assert example_of(name).cases.keys() == (set(get_args(CaseName)) if name in CALLING else set())


class Hurried:
    """The door to the network for somebody who waits for no answer longer than a moment."""

    def __init__(self, http: Http) -> None:
        self._http = http

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
        return await self._http.request(method, url, headers=headers, body=body, connect_s=5, total_s=0.3, ca=ca)


WIRE: Mapping[CaseName, Answer | None] = {"timed_out": SILENCE, "reset": RESET}


async def outcome_of(name: str, case: CaseName, headers: Mapping[str, str]) -> Outcome:
    """What the service makes of its case, the answer of which has these headers besides."""
    answer = WIRE.get(case, example_of(name).cases[case].answer)
    if answer is not None and case not in WIRE:
        answer = replace(answer, headers={**answer.headers, **headers})
    async with standing_in(answer) as vendor, outbound(LOOPBACK) as http:
        if case != "not_connected":
            return await send(name, vendor.url, Hurried(http) if case == "timed_out" else http)
    async with outbound(LOOPBACK) as http:
        return await send(name, vendor.url, http)


@pytest.mark.parametrize("case", get_args(CaseName))
@pytest.mark.parametrize("name", CALLING)
async def test_each_case_has_the_outcome_that_its_example_names(name, case):
    expected = example_of(name).cases[case]
    assert (expected.answer is None) is (case in ("not_connected", "timed_out", "reset"))
    outcome = await outcome_of(name, case, {})
    assert type(outcome) is expected.outcome
    assert outcome.reason == expected.reason if not isinstance(outcome, Accepted) else expected.reason is None
    assert getattr(outcome, "field", None) == expected.field
    if case == "throttled":
        assert isinstance(outcome, Unavailable)
        assert outcome.retry_after_s is None
        later = await outcome_of(name, case, {"Retry-After": "7"})
        assert later == msgspec.structs.replace(outcome, retry_after_s=7.0)


@pytest.mark.parametrize("case", get_args(CaseName))
@pytest.mark.parametrize("name", CALLING)
def test_no_case_is_taken_for_another_kind_of_outcome(name, case):
    allowed: Mapping[CaseName, tuple[type, ...]] = {
        "accepted": (Accepted,),
        "refused": (Refused,),
        "credentials": (Refused,),
        "throttled": (Unavailable,),
        "server_error": (Unknown,),
        "not_connected": (Unavailable,),
        "timed_out": (Unknown,),
        "reset": (Unknown,),
        "unreadable": (Unknown, Accepted),
    }
    assert example_of(name).cases[case].outcome in allowed[case]


def test_an_example_without_cases_cannot_be_made():
    with pytest.raises(TypeError, match="cases"):
        Example(lambda url: {})  # type: ignore[call-arg]


@pytest.mark.parametrize("name", CALLING)
async def test_an_answer_that_is_lost_leaves_the_fate_of_the_text_unknown(name):
    async with standing_in(None) as vendor, outbound(LOOPBACK) as http:
        outcome = await send(name, vendor.url, http)
    assert isinstance(outcome, Unknown)
    assert not outcome.answered
    assert len(vendor.received) == 1


@pytest.mark.parametrize("name", CALLING)
async def test_a_server_that_cannot_be_reached_has_sent_nothing(name):
    async with standing_in(None) as vendor:
        pass
    async with outbound(LOOPBACK) as http:
        outcome = await send(name, vendor.url, http)
    assert isinstance(outcome, Unavailable)
    assert outcome.reason == "network_trouble"


@pytest.mark.parametrize("name", CALLING)
async def test_an_address_that_the_guard_refuses_is_a_mistake_in_the_settings(name):
    async with standing_in(None) as vendor, outbound() as http:
        outcome = await send(name, vendor.url, http)
    assert isinstance(outcome, Refused)
    assert (outcome.reason, vendor.connections) == ("wrong_settings", 0)
    assert outcome.field in {field.name for field in form(service_of(name).Settings) if field.kind == "url"}


@pytest.mark.parametrize("name", CALLING)
async def test_every_request_has_time_outs(name):
    asked: list[tuple[float, float]] = []

    class Waiting:
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
            asked.append((connect_s, total_s))
            raise AnswerLost("The answer took too long.")

    outcome = await send(name, "https://sms.example.com", Waiting())
    assert isinstance(outcome, Unknown)
    assert asked == [(5.0, 10.0)]


def everything(request: Received) -> bytes:
    """All that the service was given, as it came and as it can be read."""
    said = [request.target, request.body.decode(), *request.headers.values(), TEXT.body]
    said += [unquote_plus(text) for text in said]
    if (basic := request.headers.get("Authorization", "")).startswith("Basic "):
        said.append(b64decode(basic.removeprefix("Basic ")).decode())
    names = ("sid", "id", "status", "code", "message", "error_message", "detail", "more_info", "description")
    return msgspec.json.encode(dict.fromkeys(names, " ".join(said[::-1])))


@pytest.mark.parametrize("status", [200, 201, 400, 401, 422, 429, 500])
@pytest.mark.parametrize("name", CALLING)
async def test_a_service_that_says_everything_back_gives_nothing_away(name, status):
    async with standing_in(Answer(status, everything)) as vendor, outbound(LOOPBACK) as http:
        outcome = await send(name, vendor.url, http)
    for hidden in (*secrets_of(name), TEXT.body, "9081726354"):
        assert hidden not in repr(outcome)


@pytest.mark.parametrize("name", CALLING)
async def test_nonsense_in_an_answer_is_an_outcome_like_others(name):
    bodies = [b"", b"[", b"[]", b"null", b"\xff\xfe", b"[" * 5000, b'{"sid": 1, "code": {}, "message": []}', b"{}" * 9]
    for status in (200, 201, 204, 400, 500):
        for body in bodies if status != 204 else [b""]:
            async with standing_in(Answer(status, body)) as vendor, outbound(LOOPBACK) as http:
                outcome = await send(name, vendor.url, http)
            assert isinstance(outcome, Accepted | Refused | Unavailable | Unknown)


@pytest.mark.parametrize("name", CALLING)
async def test_a_send_that_is_canceled_is_canceled(name):
    asked = asyncio.Event()

    class Never:
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
            asked.set()
            await asyncio.Event().wait()
            raise AssertionError

    sending = asyncio.create_task(send(name, "https://sms.example.com", Never()))
    await asked.wait()
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending


ADDRESS = "https://otp.example.com/callbacks/{}/AT" + "0" * 32


def read_report(name: str, request: ReportRequest) -> Reported | NotProven:
    """What the service makes of a call with one report to its callback address, with the secrets of its example."""
    settings, _ = ready(name)
    tokens: dict[str, list[Secret]] = {}
    for ref, secret in submission_of(name).typed.items():
        tokens.setdefault(ref.owner, []).append(secret)
    service = service_of(name)
    assert isinstance(service, ReadsReports)
    return the_one(service.read_report(settings, request, tokens))


async def called(name: str, status: str) -> ReportRequest:
    """The service's own call about a message that it has accepted."""
    example = example_of(name)
    assert example.report is not None, f"the example of {name} lacks its report"
    async with standing_in(example.accepting) as vendor, outbound(LOOPBACK) as http:
        outcome = await send(name, vendor.url, http)
    assert isinstance(outcome, Accepted)
    proof = "?proof=abc" if capabilities(service_of(name)).proven_by_address else ""
    return example.report(ADDRESS.format(name) + proof, outcome.vendor.sid, status)


@pytest.mark.parametrize("name", EVERY)
def test_a_service_brings_a_report_where_it_reads_them(name):
    assert (example_of(name).report is not None) is (name in REPORTING)


@pytest.mark.parametrize("status", ["sent", "delivered", "failed"])
@pytest.mark.parametrize("name", REPORTING)
async def test_a_report_is_read_and_one_of_a_failure_says_why(name, status):
    told = read_report(name, await called(name, status))
    assert isinstance(told, Reported)
    assert told.status in (("failed", "undelivered") if status == "failed" else (status, "accepted"))
    assert told.vendor_status
    assert len(told.vendor_status) <= 32
    if status == "failed":
        assert told.reason in REASONS
    else:
        assert (told.reason, told.detail, told.link) == (None, "", None)


@pytest.mark.parametrize("name", [name for name in REPORTING if name not in PROVEN_BY_ADDRESS])
async def test_a_report_that_somebody_else_may_have_made_is_not_believed(name):
    good = await called(name, "delivered")
    unsigned = {key: value for key, value in good.headers.items() if key.lower() == "content-type"}
    wrong = [
        ReportRequest(good.url.partition("?")[0], good.body, unsigned),
        ReportRequest(good.url, good.body.replace(b"delivered", b"failed!!!") + b" ", good.headers),
        ReportRequest(good.url.replace("otp.", "evil."), good.body, {**unsigned, "X-Signature": "abc"}),
    ]
    for request in wrong:
        assert isinstance(read_report(name, request), NotProven)


@pytest.mark.parametrize("name", REPORTING)
async def test_nonsense_in_a_report_is_not_believed_and_breaks_nothing(name):
    good = await called(name, "delivered")
    for body in (b"", b"[", b"[]", b"null", b"\xff\xfe", b"[" * 5000, b"{}" * 9, b"a=1&" * 500, b'{"status": {}}'):
        for headers in (good.headers, {}, {"Content-Type": "application/json"}):
            assert isinstance(read_report(name, ReportRequest(ADDRESS.format(name), body, headers)), NotProven)


def test_the_text_and_the_number_are_not_printed():
    assert repr(TEXT) == f"Text(attempt='AT0190', to={TO!r}, valid_for_s=290, callback_url=None)"
    assert TO.e164 not in repr(TEXT)


def test_a_secret_is_told_from_another_by_name_owner_and_destination():
    one = SecretRef("auth_token", "AC1", "https://a:443")
    assert {one: Secret("x")}[SecretRef("auth_token", "AC1", "https://a:443")] == Secret("x")
    assert one not in {SecretRef("auth_token", "AC1", "https://b:443"), SecretRef("auth_token", "AC2", "https://a:443")}
