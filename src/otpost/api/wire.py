"""Requests and answers as bytes: the same limits, headers and problems for every dialect and page."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from starlette.types import Receive, Send

from otpost.api.problems import TooLarge, problem, retry_after_s, status_of
from otpost.domain.errors import Malformed, Refusal, Unauthenticated
from otpost.services.idempotency import Answer
from otpost.telemetry import REQUEST_ID

MAX_BODY: Final = 65_536

Header = tuple[bytes, bytes]
Headers = list[Header]
JSON: Final[Header] = (b"content-type", b"application/json")
PROBLEM: Final[Header] = (b"content-type", b"application/problem+json")
NO_STORE: Final[Header] = (b"cache-control", b"no-store")

_CHALLENGE: Final = (b"www-authenticate", b'Basic realm="otpost", Bearer realm="otpost"')

encode_json = msgspec.json.Encoder().encode


async def read_body(receive: Receive) -> bytes:
    """The whole body; TooLarge beyond 64 KiB."""
    chunks: list[bytes] = []
    size = 0
    while True:
        event = await receive()
        if event["type"] == "http.disconnect":
            raise Malformed("The connection ended before the body did.")
        chunk = event.get("body", b"")
        size += len(chunk)
        if size > MAX_BODY:
            raise TooLarge
        if not event.get("more_body"):
            return b"".join([*chunks, chunk]) if chunks else chunk
        chunks.append(chunk)


async def respond(send: Send, answer: Answer, headers: Headers) -> None:
    length = (b"content-length", str(len(answer.body)).encode())
    if answer.status == 204:
        headers = [header for header in headers if header[0] != b"content-type"]
    else:
        headers = [*headers, length]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


def write_json(status: int, value: Any) -> tuple[Answer, Headers]:
    return Answer(status, encode_json(value)), [JSON, NO_STORE]


def write_problem(refusal: Refusal, now: int) -> tuple[Answer, Headers]:
    """A refusal as a problem, with the headers that belong to it."""
    headers = [PROBLEM, NO_STORE]
    wait_s = retry_after_s(refusal, now)
    if wait_s is not None:
        headers.append((b"retry-after", str(wait_s).encode()))
    if isinstance(refusal, Unauthenticated):
        headers.append(_CHALLENGE)
    return encode_problem(refusal, REQUEST_ID.get()), headers


def encode_problem(refusal: Refusal, request_id: str | None) -> Answer:
    return Answer(status_of(refusal), encode_json(problem(refusal, request_id)))
