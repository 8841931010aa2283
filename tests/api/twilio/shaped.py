"""Calls of the Twilio-shaped API as an SDK makes them; every answer is judged by Twilio's own document."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from api.twilio.judge import judge
from asgi import Answered, ask
from installation import Installation
from otpost.services.tenants.keys import NewKey

FORM = "application/x-www-form-urlencoded"


def basic(name: str, secret: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{secret}".encode()).decode()


async def call(
    otpost: Installation,
    method: str,
    target: str,
    form: Mapping[str, str] | None = None,
    *,
    key: NewKey | None = None,
    authorization: str | None = None,
    raw: bytes | None = None,
    headers: dict[str, str] | None = None,
) -> Answered:
    """One request with a key (the admin's unless another is named); the answer has been judged."""
    made = key or otpost.admin
    body = raw if raw is not None else urlencode(form or {}).encode()
    given = {"authorization": authorization or basic(made.key.sid, made.secret), **(headers or {})}
    if method == "POST":
        given.setdefault("content-type", FORM)
    answer = await ask(otpost.app, method, target, headers=given, body=body)
    decoded = answer.json() if answer.body else None
    complaints = judge(method, target.partition("?")[0], answer.status, decoded)
    assert complaints == [], (answer.status, answer.text)
    return answer


async def ok(otpost: Installation, method: str, target: str, form: Mapping[str, str] | None = None, **more: Any) -> Any:
    """The same, for calls that must succeed; the answer's JSON."""
    answer = await call(otpost, method, target, form, **more)
    assert answer.status < 300, answer.text
    return answer.json() if answer.body else None


async def refusal(
    otpost: Installation, method: str, target: str, form: Mapping[str, str] | None = None, **more: Any
) -> tuple[int, int]:
    """The same, for calls that must not: `(status, code)`."""
    answer = await call(otpost, method, target, form, **more)
    body = answer.json()
    return answer.status, body["code"]


async def service(otpost: Installation, name: str = "Corner Shop", **form: str) -> str:
    """A new service's SID."""
    made = await ok(otpost, "POST", "/v2/Services", {"FriendlyName": name, **form})
    return str(made["sid"])
