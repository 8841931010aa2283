"""Status callbacks: who is believed, and what a report makes of its message."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

import pytest
import uvicorn
from twilio.request_validator import RequestValidator

from asgi import Answered, ask
from installation import TO, Installation, installed, until
from messaging.through_twilio import (
    INDIA,
    MAIN,
    MAIN_TOKEN,
    accounts,
    attempts,
    attempts_when,
    choose_twilio,
    is_right_in_twilios_eyes,
    send,
    start,
)
from otpost.store.base import Store
from otpost.store.kinds import SECRETS
from standins.twilio import Step, TwilioStandIn

PUBLIC_URL = "https://otp.example:8443/verify"
"""Of an installation behind a proxy that has a port of its own, and takes the path's first part away."""


@pytest.fixture
async def twilio() -> AsyncIterator[TwilioStandIn]:
    async with TwilioStandIn(accounts()) as standin:
        yield standin


@pytest.fixture
async def behind_proxy(store: Store, twilio: TwilioStandIn) -> AsyncIterator[Installation]:
    """An installation whose texts are accepted, with no report on them until a test makes one."""
    await twilio.plan()
    async with installed(store, PUBLIC_URL) as otpost:
        await choose_twilio(otpost, twilio, [INDIA])
        yield otpost


class Sent(NamedTuple):
    """An accepted message: its SID, its attempt's, Twilio's, and the callback address that Twilio was given."""

    message: str
    attempt: str
    vendor_sid: str
    callback: str


async def accepted(otpost: Installation, twilio: TwilioStandIn, to: str = "+919191919191") -> Sent:
    sid = (await send(otpost, to))["sid"]
    await otpost.message(sid)
    (attempt,) = await attempts(otpost, sid)
    text = next(text for text in await twilio.messages() if text.sid == attempt.vendor_sid)
    address = f"{PUBLIC_URL}/callbacks/twilio/{attempt.sid}"
    assert text.status_callback == f"{address}#rc=5&rp=5xx,ct,rt"
    return Sent(sid, attempt.sid, text.sid, address)


def fields(sent: Sent, status: str = "delivered", **more: str) -> dict[str, str]:
    return {
        "AccountSid": INDIA.account,
        "ApiVersion": "2010-04-01",
        "From": INDIA.origin,
        "MessageSid": sent.vendor_sid,
        "MessageStatus": status,
        "SmsSid": sent.vendor_sid,
        "SmsStatus": status,
        "To": "+919191919191",
        **more,
    }


async def call_back(
    otpost: Installation,
    url: str,
    form: dict[str, str],
    token: str = INDIA.token,
    *,
    signature: str | None = None,
    method: str = "POST",
) -> Answered:
    """A callback as it comes out of the proxy: signed for the public address, asked for at the inner one."""
    signed = RequestValidator(token).compute_signature(url, form) if signature is None else signature
    headers = {"content-type": "application/x-www-form-urlencoded", "host": "10.0.0.5:8080"}
    if signed:
        headers["x-twilio-signature"] = signed
    parts = urlsplit(url)
    target = parts.path.removeprefix("/verify") + (f"?{parts.query}" if parts.query else "")
    return await ask(otpost.app, method, target, headers=headers, body=urlencode(form).encode())


async def status_of(otpost: Installation, sent: Sent) -> tuple[str, int]:
    """The message's status and how many reports are kept on it."""
    message = await otpost.ok("GET", f"/v1/messages/{sent.message}")
    return message["status"], len(message["reports"])


async def test_a_report_is_believed_by_the_token_of_the_account_that_sent_alone(
    behind_proxy: Installation, twilio: TwilioStandIn
) -> None:
    sent = await accepted(behind_proxy, twilio)
    right = fields(sent)
    for case, answer in {
        "forged": await call_back(behind_proxy, sent.callback, right, signature="Zm9yZ2VkIGZvcmdlZCBmb3JnZWQ="),
        "no signature": await call_back(behind_proxy, sent.callback, right, signature=""),
        "not ASCII": await call_back(behind_proxy, sent.callback, right, signature="ÿÿÿÿ"),
        "the main account's token": await call_back(behind_proxy, sent.callback, right, MAIN_TOKEN),
        "another account with its own token": await call_back(
            behind_proxy, sent.callback, {**right, "AccountSid": MAIN}, MAIN_TOKEN
        ),
        "an account that nobody knows": await call_back(
            behind_proxy, sent.callback, {**right, "AccountSid": "AC" + "0" * 32}, ""
        ),
        "signed for another address": await call_back(
            behind_proxy,
            sent.callback,
            right,
            signature=RequestValidator(INDIA.token).compute_signature("https://otp.example/callbacks", right),
        ),
        "changed on its way": await call_back(
            behind_proxy,
            sent.callback,
            {**right, "MessageStatus": "failed"},
            signature=RequestValidator(INDIA.token).compute_signature(sent.callback, right),
        ),
        "no status": await call_back(behind_proxy, sent.callback, {"AccountSid": INDIA.account, "MessageSid": "SM1"}),
    }.items():
        assert (answer.status, answer.json()["code"]) == (403, "not_proven"), case
        assert await status_of(behind_proxy, sent) == ("accepted", 0), case
    taken = await call_back(behind_proxy, sent.callback, right)
    assert (taken.status, taken.body) == (204, b"")
    assert await status_of(behind_proxy, sent) == ("delivered", 1)


async def test_what_is_no_attempt_is_not_found(behind_proxy: Installation, twilio: TwilioStandIn) -> None:
    sent = await accepted(behind_proxy, twilio)
    for path in (
        "/callbacks/twilio/AT" + "0" * 32,
        "/callbacks/twilio/" + sent.message,
        "/callbacks/twilio/nothing",
        "/callbacks/sandbox/" + sent.attempt,
        "/callbacks/nobodys/" + sent.attempt,
    ):
        answer = await call_back(behind_proxy, PUBLIC_URL + path, fields(sent))
        assert (answer.status, answer.json()["code"]) == (404, "not_found"), path
    for method in ("PUT", "PATCH", "DELETE"):
        answer = await call_back(behind_proxy, sent.callback, fields(sent), method=method)
        assert (answer.status, answer.json()["code"]) == (405, "method_not_allowed")
    too_large = await call_back(behind_proxy, sent.callback, fields(sent, Padding="x" * 70_000))
    assert (too_large.status, too_large.json()["code"]) == (413, "too_large")
    assert await status_of(behind_proxy, sent) == ("accepted", 0)


async def test_reports_move_a_message_forward_only_whatever_their_order(
    behind_proxy: Installation, twilio: TwilioStandIn
) -> None:
    for order, end, kept in (
        (["queued", "sending", "sent", "delivered"], "delivered", 4),
        (["delivered", "sent", "queued"], "delivered", 3),
        (["delivered", "delivered", "delivered"], "delivered", 1),
        (["sent", "sent"], "sent", 1),
        (["undelivered", "sent"], "undelivered", 2),
        (["read"], "delivered", 1),
        (["canceled", "delivered"], "delivered", 2),
        (["undelivered", "delivered"], "delivered", 2),
        (["delivered", "undelivered"], "delivered", 2),
        (["something new"], "accepted", 1),
    ):
        sent = await accepted(behind_proxy, twilio)
        for status in order:
            assert (await call_back(behind_proxy, sent.callback, fields(sent, status))).status == 204
        assert await status_of(behind_proxy, sent) == (end, kept), order


async def test_twilios_code_becomes_a_reason_and_a_sentence(behind_proxy: Installation, twilio: TwilioStandIn) -> None:
    for status, code, reason, detail in (
        ("undelivered", "30003", "not_reachable", "The phone is switched off or out of reach."),
        ("undelivered", "30005", "invalid_number", "The number is unknown or no longer in use."),
        ("failed", "30034", "sender_not_allowed", "The sender phone is not registered for US 10DLC."),
        ("failed", "39999", "unknown", "Twilio gives its code 39999, which Otpost does not know."),
    ):
        sent = await accepted(behind_proxy, twilio)
        await call_back(behind_proxy, sent.callback, fields(sent, status, ErrorCode=code))
        message = await behind_proxy.ok("GET", f"/v1/messages/{sent.message}")
        assert (message["status"], message["reason"]) == (status, reason)
        (report,) = message["reports"]
        assert (report["status"], report["vendor_status"], report["vendor_code"]) == (status, status, code)
        (tried,) = message["attempts"]
        assert (tried["vendor"]["code"], tried["reason"], tried["detail"]) == (code, reason, detail)
        last = message["events"][-1]
        assert (last["who"], last["what"], last["reason"]) == ("twilio", status, reason)
        page = f"https://www.twilio.com/docs/api/errors/{code}"
        assert (last["detail"], last["vendor_code"], last["link"]) == (detail, code, page)


async def test_blank_parameters_are_signed_too(behind_proxy: Installation, twilio: TwilioStandIn) -> None:
    sent = await accepted(behind_proxy, twilio)
    form = fields(sent, ErrorCode="", ErrorMessage="", RawDlrDoneDate="2601011200", Words="ü & = +")
    assert (await call_back(behind_proxy, sent.callback, form)).status == 204
    message = await behind_proxy.ok("GET", f"/v1/messages/{sent.message}")
    assert (message["status"], message["reason"], message["reports"][0]["vendor_code"]) == ("delivered", None, None)


async def test_an_address_may_be_signed_with_its_port_or_without(
    behind_proxy: Installation, twilio: TwilioStandIn
) -> None:
    for signed_for in (PUBLIC_URL, "https://otp.example/verify"):
        sent = await accepted(behind_proxy, twilio)
        url = sent.callback.replace(PUBLIC_URL, signed_for)
        signature = RequestValidator(INDIA.token).compute_signature(url, fields(sent))
        answer = await call_back(behind_proxy, sent.callback, fields(sent), signature=signature)
        assert answer.status == 204, signed_for


async def test_a_query_that_was_added_to_the_address_is_part_of_it(
    behind_proxy: Installation, twilio: TwilioStandIn
) -> None:
    sent = await accepted(behind_proxy, twilio)
    assert (await call_back(behind_proxy, f"{sent.callback}?a=%2B1&b=", fields(sent))).status == 204


async def test_a_replaced_token_proves_reports_for_48_hours(behind_proxy: Installation, twilio: TwilioStandIn) -> None:
    replaced, removed = await accepted(behind_proxy, twilio), await accepted(behind_proxy, twilio, TO)
    changed = INDIA._replace(token="a new token")
    await choose_twilio(behind_proxy, twilio, [changed], account_sid="AC" + "c" * 32)
    of_main = {"AccountSid": MAIN, "From": "+14155550100", "To": TO}
    behind_proxy.clock.advance(47.9 * 3600)
    assert (await call_back(behind_proxy, replaced.callback, fields(replaced, "sent"))).status == 204
    assert (
        await call_back(behind_proxy, removed.callback, fields(removed, "sent", **of_main), MAIN_TOKEN)
    ).status == 204
    behind_proxy.clock.advance(0.2 * 3600)
    await until(
        lambda: behind_proxy.store.find(SECRETS, "tenant", behind_proxy.tenant.sid),
        lambda kept: all(secret.retired_at is None for secret in kept),
    )
    assert (await call_back(behind_proxy, replaced.callback, fields(replaced))).status == 403
    assert (await call_back(behind_proxy, removed.callback, fields(removed, **of_main), MAIN_TOKEN)).status == 403
    assert (await call_back(behind_proxy, replaced.callback, fields(replaced), "a new token")).status == 204
    assert await status_of(behind_proxy, replaced) == ("delivered", 2)
    assert await status_of(behind_proxy, removed) == ("sent", 1)


@asynccontextmanager
async def served(store: Store) -> AsyncIterator[Installation]:
    """An installation whose API listens on loopback, at its public address."""
    listening = socket.create_server(("127.0.0.1", 0))
    async with installed(store, f"http://127.0.0.1:{listening.getsockname()[1]}") as otpost:
        server = uvicorn.Server(uvicorn.Config(otpost.app, log_config=None, lifespan="off"))
        serving = asyncio.create_task(server.serve(sockets=[listening]))

        async def started() -> bool:
            return server.started

        await until(started, bool)
        try:
            yield otpost
        finally:
            server.should_exit = True
            await serving


async def finally_is(otpost: Installation, sid: str, status: str, reports: int) -> Any:
    return await otpost.message(sid, lambda seen: seen["status"] == status and len(seen["reports"]) == reports)


async def test_twilios_own_callbacks_come_home(store: Store, twilio: TwilioStandIn) -> None:
    async with served(store) as otpost:
        await choose_twilio(otpost, twilio, [INDIA])
        plain = await finally_is(otpost, (await start(otpost))["message"]["sid"], "delivered", 2)
        assert [report["vendor_status"] for report in plain["reports"]] == ["sent", "delivered"]
        await finally_is(otpost, (await start(otpost, "+919191919191"))["message"]["sid"], "delivered", 2)
        await choose_twilio(otpost, twilio, [INDIA], use_copilot=True)
        await finally_is(otpost, (await send(otpost, "+14155550501"))["sid"], "delivered", 3)

        await twilio.plan("delivered", "sent", to="+14155550502")
        await finally_is(otpost, (await send(otpost, "+14155550502"))["sid"], "delivered", 2)

        await twilio.plan("sent", Step("undelivered", 30003), to="+14155550503")
        failed = await finally_is(otpost, (await send(otpost, "+14155550503"))["sid"], "undelivered", 2)
        assert failed["reason"] == "not_reachable"
        assert failed["attempts"][0]["detail"] == "The phone is switched off or out of reach."

        await twilio.plan("queued", "sent", "delivered", to="+14155550504", before_answer=True)
        early = await finally_is(otpost, (await send(otpost, "+14155550504"))["sid"], "delivered", 3)
        (attempt,) = await attempts_when(otpost, early["sid"], lambda rows: rows[0].duration_ms is not None)
        assert (attempt.outcome, attempt.status, attempt.vendor_status) == ("accepted", "delivered", "delivered")
        assert attempt.vendor_http_status == 201
        records = await twilio.wait_for(lambda records: all(callback.finished for callback in records.callbacks))
        assert {callback.answered for callback in records.callbacks} == {204}
        assert len(records.callbacks) == 2 + 2 + 3 + 2 + 2 + 3
        assert len(records.messages) == 6
        await is_right_in_twilios_eyes(twilio)


async def test_a_callback_settles_a_lost_answer_without_any_look_up(store: Store, twilio: TwilioStandIn) -> None:
    async with served(store) as otpost:
        await choose_twilio(otpost, twilio)
        for place, fault in enumerate(("close", "reset", "cut")):
            to = f"+1415555051{place}"
            await twilio.fault(fault, "after", to=to, times=1)  # type: ignore[arg-type]  # one of its actions
            settled = await finally_is(otpost, (await start(otpost, to))["message"]["sid"], "delivered", 2)
            (attempt,) = await attempts_when(otpost, settled["sid"], lambda rows: rows[0].duration_ms is not None)
            (text,) = await twilio.messages(to)
            assert (attempt.outcome, attempt.vendor_sid, attempt.look_at) == ("accepted", text.sid, None)
        otpost.clock.advance(30)
        last = await finally_is(otpost, (await send(otpost, "+14155550520"))["sid"], "delivered", 2)
        assert last["status"] == "delivered"
        assert await twilio.requests("list") == []
        assert len(await twilio.messages()) == 4
