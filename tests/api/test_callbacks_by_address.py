"""Callbacks of services that sign nothing: the address itself is the proof, an attempt's or the tenant's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from asgi import Answered, ask
from installation import Installation, installed
from messaging.through_gateway import section, taking
from messaging.through_twilio import attempts, send
from otpost.services import access, reports
from otpost.store.base import Store
from senders.contract import StandIn, standing_in

PUBLIC_URL = "https://otp.example"


@pytest.fixture
async def gateway() -> AsyncIterator[StandIn]:
    async with standing_in(taking()) as stand_in:
        yield stand_in


@pytest.fixture
async def otpost(store: Store, gateway: StandIn) -> AsyncIterator[Installation]:
    """An installation that sends through a gateway which signs nothing."""
    async with installed(store, PUBLIC_URL) as made:
        await made.ok("PUT", "/v1/sender-policy", {"sender_service": "generic", "generic": section(gateway.url)})
        yield made


async def accepted(otpost: Installation, gateway: StandIn) -> tuple[str, str, str]:
    """A text that was taken: its SID, the gateway's id of it, and the callback address that the gateway was given."""
    sid = (await send(otpost))["sid"]
    await otpost.message(sid)
    (attempt,) = await attempts(otpost, sid)
    (address,) = parse_qs(gateway.received[-1].body.decode())["dlr"]
    assert address.startswith(f"{PUBLIC_URL}/callbacks/generic/{attempt.sid}?proof=")
    assert attempt.vendor_sid is not None
    return sid, attempt.vendor_sid, address


async def call_back(otpost: Installation, address: str, *, method: str = "POST", **fields: str) -> Answered:
    parts = urlsplit(address)
    query = f"{parts.query}&{urlencode(fields)}" if method == "GET" else parts.query
    headers = {"content-type": "application/x-www-form-urlencoded"}
    body = b"" if method == "GET" else urlencode(fields).encode()
    return await ask(otpost.app, method, f"{parts.path}?{query}", headers=headers, body=body)


async def status_of(otpost: Installation, sid: str) -> str:
    return str((await otpost.ok("GET", f"/v1/messages/{sid}"))["status"])


def fixed(otpost: Installation, subject: str | None = None) -> str:
    """The address that the gateway may call for all messages of a tenant."""
    whose = subject or otpost.tenant.sid
    return f"{PUBLIC_URL}/callbacks/generic/{whose}?proof={reports.proof(otpost.house, 'generic', whose)}"


@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_a_report_is_believed_at_the_address_that_the_service_was_given(
    otpost: Installation, gateway: StandIn, method: str
) -> None:
    sid, vendor_sid, address = await accepted(otpost, gateway)
    answer = await call_back(otpost, address, method=method, id=vendor_sid, state="delivered")
    assert (answer.status, answer.body) == (204, b"")
    assert await status_of(otpost, sid) == "delivered"


async def test_another_proof_is_not_believed(otpost: Installation, gateway: StandIn) -> None:
    sid, vendor_sid, address = await accepted(otpost, gateway)
    _, _, of_another = await accepted(otpost, gateway)
    bare, _, proof = address.partition("?proof=")
    for case, wrong in {
        "none": bare,
        "empty": f"{bare}?proof=",
        "made up": f"{bare}?proof={'0' * len(proof)}",
        "a letter less": f"{bare}?proof={proof[:-1]}",
        "of another attempt": f"{bare}?proof={of_another.partition('?proof=')[2]}",
        "of the tenant": f"{bare}?proof={fixed(otpost).partition('?proof=')[2]}",
        "of another service": f"{bare}?proof={reports.proof(otpost.house, 'vonage', bare.rpartition('/')[2])}",
        "not ASCII": f"{bare}?proof=%C3%BF%C3%BF",
        "huge": f"{bare}?proof={'a' * 4000}",
    }.items():
        answer = await call_back(otpost, wrong, id=vendor_sid, state="delivered")
        assert (answer.status, answer.json()["code"]) == (403, "not_proven"), case
    assert await status_of(otpost, sid) == "accepted"


async def test_nonsense_at_the_right_address_changes_nothing(otpost: Installation, gateway: StandIn) -> None:
    sid, vendor_sid, address = await accepted(otpost, gateway)
    for fields in ({}, {"id": vendor_sid}, {"state": "delivered"}, {"id": "a b", "state": "delivered"}):
        answer = await call_back(otpost, address, **fields)
        assert (answer.status, answer.json()["code"]) == (403, "not_proven"), fields
    assert await status_of(otpost, sid) == "accepted"


async def test_one_address_takes_the_reports_on_all_messages_of_a_tenant(
    otpost: Installation, gateway: StandIn
) -> None:
    sent = [await accepted(otpost, gateway) for _ in range(3)]
    for (sid, vendor_sid, _), state in zip(sent, ("sent", "delivered", "failed"), strict=True):
        answer = await call_back(otpost, fixed(otpost), id=vendor_sid, state=state)
        assert answer.status == 204
        assert await status_of(otpost, sid) == state
    unknown = await call_back(otpost, fixed(otpost), id="m-999", state="delivered")
    assert (unknown.status, unknown.json()["code"]) == (404, "not_found")


async def test_a_tenants_address_tells_nothing_of_anothers_messages(otpost: Installation, gateway: StandIn) -> None:
    sid, vendor_sid, _ = await accepted(otpost, gateway)
    other = await otpost.store.run(access.make_tenant(otpost.house, "other"))
    body = {"sender_service": "generic", "generic": section(gateway.url)}
    await otpost.ok("PUT", "/v1/sender-policy", body, key=await otpost.key("admin", tenant=other.sid))
    answer = await call_back(otpost, fixed(otpost, other.sid), id=vendor_sid, state="delivered")
    assert (answer.status, answer.json()["code"]) == (404, "not_found")
    proof = fixed(otpost, other.sid).partition("?proof=")[2]
    forged = f"{PUBLIC_URL}/callbacks/generic/{otpost.tenant.sid}?proof={proof}"
    assert (await call_back(otpost, forged, id=vendor_sid, state="delivered")).status == 403
    assert await status_of(otpost, sid) == "accepted"


async def test_a_service_that_signs_has_no_address_for_all_messages(otpost: Installation, gateway: StandIn) -> None:
    proof = reports.proof(otpost.house, "twilio", otpost.tenant.sid)
    address = f"{PUBLIC_URL}/callbacks/twilio/{otpost.tenant.sid}?proof={proof}"
    answer = await call_back(otpost, address, MessageSid="SM1", MessageStatus="delivered")
    assert (answer.status, answer.json()["code"]) == (404, "not_found")


async def test_without_a_public_address_the_service_is_given_none(store: Store, gateway: StandIn) -> None:
    async with installed(store) as otpost:
        await otpost.ok("PUT", "/v1/sender-policy", {"sender_service": "generic", "generic": section(gateway.url)})
        await otpost.message((await send(otpost))["sid"])
    assert b"dlr" not in gateway.received[-1].body
