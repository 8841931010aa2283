"""What every request is given and every answer carries: the id, in answer, problem and log, and HSTS over https."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Awaitable, Callable, Iterator
from ipaddress import ip_network

import pytest
import structlog

from asgi import ask
from installation import Installation
from otpost import telemetry
from otpost.front import Front
from otpost.server import Message
from otpost.telemetry import REQUEST_ID

PROXIES = (ip_network("127.0.0.0/8"),)
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_log = logging.getLogger("otpost.here")


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What is logged; the session's own logging comes back afterwards."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    stream = io.StringIO()
    telemetry.configure("info", stream=stream)
    yield stream
    root.handlers[:], root.level = before[0], before[1]
    logging.captureWarnings(False)
    logging.raiseExceptions = True
    structlog.reset_defaults()


async def fine(scope: Message, receive: Receive, send: Send) -> None:
    _log.warning("asked for %s", scope["path"])
    structlog.get_logger("otpost.there").warning("asked as well")
    await send({"type": "http.response.start", "status": 204, "headers": [(b"x-own", b"kept")]})
    await send({"type": "http.response.body"})


async def broken(scope: Message, receive: Receive, send: Send) -> None:
    raise RuntimeError("the cupboard is bare")


async def half(scope: Message, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    raise RuntimeError("the cupboard is bare")


def front(asgi: Callable[[Message, Receive, Send], Awaitable[None]], public_url: str | None = None) -> Front:
    return Front(asgi, public_url, PROXIES, lambda: "made-here")


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (None, "made-here"),
        ("7f3a", "7f3a"),
        ("Root=1-67891233-abcdef012345678912345678", "Root=1-67891233-abcdef012345678912345678"),
        ("a" * 128, "a" * 128),
        ("a" * 129, "made-here"),
        ("", "made-here"),
        ("two words", "made-here"),
        ("<script>", "made-here"),
        ("é", "made-here"),
    ],
)
async def test_a_request_keeps_its_id_in_answer_and_log_or_gets_one(
    log: io.StringIO, given: str | None, kept: str
) -> None:
    headers = {} if given is None else {"X-Request-Id": given}
    answer = await ask(front(fine), "GET", "/here", headers=headers)
    assert (answer.status, answer.headers) == (204, {"x-own": "kept", "x-request-id": kept})
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    assert [(line["event"], line["request_id"]) for line in lines] == [
        ("asked for /here", kept),
        ("asked as well", kept),
    ]


async def test_outside_of_a_request_there_is_no_id(log: io.StringIO) -> None:
    REQUEST_ID.set(None)
    _log.warning("by itself")
    assert "request_id" not in json.loads(log.getvalue())


async def test_ids_that_are_made_are_told_apart() -> None:
    made = Front(fine, None, ())
    ids = {(await ask(made, "GET", "/")).headers["x-request-id"] for _ in range(20)}
    assert len(ids) == 20
    assert all(len(each) == 16 for each in ids)


@pytest.mark.parametrize("public", [None, "http://otp.example", "https://otp.example"])
@pytest.mark.parametrize(
    ("peer", "headers", "scheme", "secure"),
    [
        ("192.0.2.1", {}, "http", False),
        ("192.0.2.1", {}, "https", True),
        ("192.0.2.1", {"x-forwarded-proto": "https"}, "http", False),
        ("127.0.0.1", {"x-forwarded-proto": "https"}, "http", True),
        ("127.0.0.1", {"x-forwarded-proto": "http"}, "http", False),
        ("::ffff:127.0.0.1", {"x-forwarded-proto": "https"}, "http", True),
    ],
)
async def test_an_answer_over_https_says_that_it_stays_so_where_the_public_address_is_https(
    public: str | None, peer: str, headers: dict[str, str], scheme: str, secure: bool
) -> None:
    for asgi, status in ((fine, 204), (broken, 500)):
        answer = await ask(front(asgi, public), "GET", "/", headers=headers, client=(peer, 1), scheme=scheme)
        expected = "max-age=31536000" if secure and public == "https://otp.example" else None
        assert (answer.status, answer.headers.get("strict-transport-security")) == (status, expected)


async def test_the_public_host_is_https_by_itself() -> None:
    for host, expected in (("otp.example", True), ("OTP.EXAMPLE", True), ("10.0.0.7:8080", False)):
        answer = await ask(front(fine, "https://otp.example"), "GET", "/", headers={"host": host})
        assert ("strict-transport-security" in answer.headers) is expected, host


async def test_what_nothing_else_caught_is_a_problem_and_a_line_with_its_traceback(log: io.StringIO) -> None:
    answer = await ask(front(broken), "PUT", "/metrics", headers={"x-request-id": "abc"})
    problem = answer.json()
    assert (answer.status, problem["code"], problem["request_id"]) == (500, "internal", "abc")
    assert answer.headers["content-type"] == "application/problem+json"
    (line,) = [json.loads(line) for line in log.getvalue().splitlines()]
    assert (line["event"], line["level"], line["request_id"]) == (
        "PUT failed before it was answered",
        "error",
        "abc",
    )
    assert "RuntimeError: the cupboard is bare" in line["exception"]
    with pytest.raises(RuntimeError):
        await ask(front(half), "GET", "/")


async def test_a_problem_names_the_request_and_an_unknown_verification_names_none(otpost: Installation) -> None:
    app = Front(otpost.app, None, ())
    admin = {"authorization": f"Bearer {otpost.admin.key.sid}.{otpost.admin.secret}", "x-request-id": "r-1"}
    for headers in (admin, {"x-request-id": "r-1"}, {**admin, "idempotency-key": "k"}):
        answer = await ask(app, "POST", "/v1/messages", headers={**headers, "content-type": "text/plain"}, body=b"x")
        assert (answer.json()["request_id"], answer.headers["x-request-id"]) == ("r-1", "r-1")
    json_ = {**admin, "content-type": "application/json", "idempotency-key": "in a unit"}
    json_["idempotency-key"] = "unit"
    body = b'{"to": "+15005550006"}'
    answer = await ask(app, "POST", "/v1/verifications", headers=json_, body=body)
    assert (answer.json()["code"], answer.json()["request_id"]) == ("sender_policy_incomplete", "r-1")
    again = await ask(app, "POST", "/v1/verifications", headers={**json_, "x-request-id": "r-2"}, body=body)
    assert (again.body, again.headers["x-request-id"]) == (answer.body, "r-2")
    check = f"/v1/verifications/VE{'0' * 32}/check"
    unknown = await ask(app, "POST", check, headers={**json_, "idempotency-key": "c"}, body=b'{"code": "123456"}')
    assert (unknown.json()["code"], unknown.headers["x-request-id"]) == ("verification_not_found", "r-1")
    assert "request_id" not in unknown.json()
