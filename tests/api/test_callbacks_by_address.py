"""Callbacks of services that sign nothing: the address itself is the proof, an attempt's or the tenant's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import msgspec
import pytest
from sqlalchemy import select

from asgi import Answered, ask
from installation import Installation, installed, until
from messaging.through_gateway import section, taking
from messaging.through_twilio import attempts, send
from otpost.api import application
from otpost.outbound import AnswerLost, NotConnected, Outbound, OutboundRefused, Response
from otpost.services.policy.callbacks import make_proof
from otpost.services.tenants.tenants import make_tenant
from otpost.store import tables
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
    return f"{PUBLIC_URL}/callbacks/generic/{whose}?proof={make_proof(otpost.context, 'generic', whose)}"


@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_a_report_is_believed_at_the_address_that_the_service_was_given(
    otpost: Installation, gateway: StandIn, method: str
) -> None:
    sid, vendor_sid, address = await accepted(otpost, gateway)
    answer = await call_back(otpost, address, method=method, id=vendor_sid, state="delivered")
    assert (answer.status, answer.body) == (204, b"")
    assert await status_of(otpost, sid) == "delivered"


@pytest.mark.parametrize(("status", "words"), [(200, "ACK/Jasmin"), (202, "OK"), (200, "")])
async def test_a_report_is_answered_as_the_gateway_wants_it(
    otpost: Installation, gateway: StandIn, status: int, words: str
) -> None:
    wanted = {"report_answer_status": status, "report_answer_body": words}
    body = {"sender_service": "generic", "generic": {**section(gateway.url), **wanted}}
    await otpost.ok("PUT", "/v1/sender-policy", body)
    _, vendor_sid, address = await accepted(otpost, gateway)
    for where in (address, fixed(otpost)):
        answer = await call_back(otpost, where, id=vendor_sid, state="delivered")
        assert (answer.status, answer.body) == (status, words.encode())
        assert answer.headers["content-type"].startswith("text/plain")
    refused = await call_back(otpost, fixed(otpost), id="m-999", state="delivered")
    assert (refused.status, refused.json()["code"]) == (404, "not_found")


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
        "of another service": f"{bare}?proof={make_proof(otpost.context, 'vonage', bare.rpartition('/')[2])}",
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


async def in_json(otpost: Installation, address: str, *reports_: dict[str, str]) -> Answered:
    parts = urlsplit(address)
    body = msgspec.json.encode(reports_)
    headers = {"content-type": "application/json"}
    return await ask(otpost.app, "POST", f"{parts.path}?{parts.query}", headers=headers, body=body)


LISTED = {"report_id_path": "0.id", "report_status_path": "0.state"}


async def test_all_reports_of_one_call_are_taken(otpost: Installation, gateway: StandIn) -> None:
    body = {"sender_service": "generic", "generic": {**section(gateway.url), **LISTED}}
    await otpost.ok("PUT", "/v1/sender-policy", body)
    sent = [await accepted(otpost, gateway) for _ in range(3)]
    told = [
        {"id": name, "state": state} for (_, name, _), state in zip(sent, ("sent", "delivered", "failed"), strict=True)
    ]
    assert (await in_json(otpost, fixed(otpost), *told)).status == 204
    assert [await status_of(otpost, sid) for sid, _, _ in sent] == ["sent", "delivered", "failed"]
    elsewhere = {"id": "m-999", "state": "delivered"}
    assert (await in_json(otpost, fixed(otpost), {"id": sent[0][1], "state": "delivered"}, elsewhere)).status == 204
    assert await status_of(otpost, sent[0][0]) == "delivered"
    assert (await in_json(otpost, fixed(otpost), elsewhere, elsewhere)).status == 404


async def test_a_call_with_one_report_that_cannot_be_read_is_refused_whole(
    otpost: Installation, gateway: StandIn
) -> None:
    body = {"sender_service": "generic", "generic": {**section(gateway.url), **LISTED}}
    await otpost.ok("PUT", "/v1/sender-policy", body)
    sid, vendor_sid, _ = await accepted(otpost, gateway)
    answer = await in_json(otpost, fixed(otpost), {"id": vendor_sid, "state": "delivered"}, {"id": "m-999"})
    assert (answer.status, answer.json()["code"]) == (403, "not_proven")
    assert await status_of(otpost, sid) == "accepted"


async def test_at_the_address_of_one_attempt_reports_on_other_messages_are_refused_whole(
    otpost: Installation, gateway: StandIn
) -> None:
    body = {"sender_service": "generic", "generic": {**section(gateway.url), **LISTED}}
    await otpost.ok("PUT", "/v1/sender-policy", body)
    (first, name, address), (second, other, _) = [await accepted(otpost, gateway) for _ in range(2)]
    both = [{"id": name, "state": "delivered"}, {"id": other, "state": "delivered"}]
    assert (await in_json(otpost, address, *both)).status == 403
    assert [await status_of(otpost, sid) for sid in (first, second)] == ["accepted", "accepted"]
    steps = [{"id": name, "state": "sent"}, {"id": name, "state": "delivered"}]
    assert (await in_json(otpost, address, *steps)).status == 204
    assert await status_of(otpost, first) == "delivered"


async def test_a_report_that_names_our_attempt_is_its_own(otpost: Installation, gateway: StandIn) -> None:
    (first, _, address), (second, _, of_other) = [await accepted(otpost, gateway) for _ in range(2)]
    other = urlsplit(of_other).path.rpartition("/")[2]
    assert (await call_back(otpost, fixed(otpost), id=other, state="sent")).status == 204
    assert [await status_of(otpost, sid) for sid in (first, second)] == ["accepted", "sent"]
    assert (await call_back(otpost, address, id=other, state="delivered")).status == 204
    assert [await status_of(otpost, sid) for sid in (first, second)] == ["accepted", "delivered"]
    nobody = "AT" + "0" * 32
    assert (await call_back(otpost, fixed(otpost), id=nobody, state="sent")).status == 404
    assert (await call_back(otpost, address, id=nobody, state="sent")).status == 403


class Slow(StandIn):
    """A gateway whose answer to a text comes once `answering` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.answering = asyncio.Event(), asyncio.Event()

    async def before_answer(self) -> None:
        self.asked.set()
        await self.answering.wait()


@pytest.fixture
async def slow(store: Store) -> AsyncIterator[tuple[Installation, Slow]]:
    async with standing_in(taking(), stand_in=Slow()) as gateway, installed(store, PUBLIC_URL) as otpost:
        assert isinstance(gateway, Slow)
        await otpost.ok("PUT", "/v1/sender-policy", {"sender_service": "generic", "generic": section(gateway.url)})
        yield otpost, gateway
        gateway.answering.set()


@pytest.mark.parametrize("states", [["delivered"], ["sent", "delivered"], ["delivered", "sent"], ["sent", "sent"]])
async def test_a_report_that_is_faster_than_the_answer_counts_once_that_has_come(
    slow: tuple[Installation, Slow], states: list[str]
) -> None:
    otpost, gateway = slow
    sid = (await send(otpost))["sid"]
    await gateway.asked.wait()
    for state in states:
        assert (await call_back(otpost, fixed(otpost), id="m-1", state=state)).status == 204
    assert await status_of(otpost, sid) == "sending"
    gateway.answering.set()
    told = await otpost.message(sid)
    assert told["status"] == ("delivered" if "delivered" in states else "sent")
    assert await otpost.store.select(select(tables.early_reports)) == []


async def test_an_early_failure_sends_the_text_another_way_at_once(slow: tuple[Installation, Slow]) -> None:
    otpost, gateway = slow
    sid = (await send(otpost))["sid"]
    await gateway.asked.wait()
    assert (await call_back(otpost, fixed(otpost), id="m-1", state="failed")).status == 204
    gateway.answering.set()
    told = await otpost.message(sid)
    assert (told["status"], told["reason"]) == ("failed", "not_delivered")


async def test_early_reports_are_kept_for_ten_minutes_and_only_while_a_text_is_in_flight(
    slow: tuple[Installation, Slow],
) -> None:
    otpost, gateway = slow
    assert (await call_back(otpost, fixed(otpost), id="m-1", state="sent")).status == 404
    await send(otpost)
    await gateway.asked.wait()
    assert (await call_back(otpost, fixed(otpost), id="m-2", state="sent")).status == 204
    other = await otpost.store.run(make_tenant(otpost.context, "other"))
    body = {"sender_service": "generic", "generic": section(gateway.url)}
    await otpost.ok("PUT", "/v1/sender-policy", body, key=await otpost.key("admin", tenant=other.sid))
    assert (await call_back(otpost, fixed(otpost, other.sid), id="m-2", state="sent")).status == 404
    kept = select(tables.early_reports.c.tenant, tables.early_reports.c.vendor_sid)
    assert [tuple(row) for row in await otpost.store.select(kept)] == [(otpost.tenant.sid, "m-2")]
    (until_,) = (await otpost.store.select(select(tables.early_reports.c.until)))[0]
    assert until_ == otpost.clock() + 600_000
    otpost.clock.advance(600)
    await until(lambda: otpost.store.select(kept), lambda rows: rows == [])


async def test_no_more_than_a_thousand_early_reports_are_kept(slow: tuple[Installation, Slow]) -> None:
    otpost, gateway = slow
    body = {"sender_service": "generic", "generic": {**section(gateway.url), **LISTED}}
    await otpost.ok("PUT", "/v1/sender-policy", body)
    await send(otpost)
    await gateway.asked.wait()
    many = [{"id": f"x-{number}", "state": "sent"} for number in range(990)]
    for _ in range(2):
        assert (await in_json(otpost, fixed(otpost), *many)).status == 204
    few = [{"id": f"y-{number}", "state": "sent"} for number in range(20)]
    assert (await in_json(otpost, fixed(otpost), *few)).status == 204
    assert len(await otpost.store.select(select(tables.early_reports))) == 1000
    assert (await in_json(otpost, fixed(otpost), {"id": "z", "state": "sent"})).status == 404


async def test_a_tenants_address_tells_nothing_of_anothers_messages(otpost: Installation, gateway: StandIn) -> None:
    sid, vendor_sid, _ = await accepted(otpost, gateway)
    other = await otpost.store.run(make_tenant(otpost.context, "other"))
    body = {"sender_service": "generic", "generic": section(gateway.url)}
    await otpost.ok("PUT", "/v1/sender-policy", body, key=await otpost.key("admin", tenant=other.sid))
    answer = await call_back(otpost, fixed(otpost, other.sid), id=vendor_sid, state="delivered")
    assert (answer.status, answer.json()["code"]) == (404, "not_found")
    proof = fixed(otpost, other.sid).partition("?proof=")[2]
    forged = f"{PUBLIC_URL}/callbacks/generic/{otpost.tenant.sid}?proof={proof}"
    assert (await call_back(otpost, forged, id=vendor_sid, state="delivered")).status == 403
    assert await status_of(otpost, sid) == "accepted"


async def test_a_service_that_signs_has_no_address_for_all_messages(otpost: Installation, gateway: StandIn) -> None:
    proof = make_proof(otpost.context, "twilio", otpost.tenant.sid)
    address = f"{PUBLIC_URL}/callbacks/twilio/{otpost.tenant.sid}?proof={proof}"
    answer = await call_back(otpost, address, MessageSid="SM1", MessageStatus="delivered")
    assert (answer.status, answer.json()["code"]) == (404, "not_found")


async def test_without_a_public_address_the_service_is_given_none(store: Store, gateway: StandIn) -> None:
    async with installed(store) as otpost:
        await otpost.ok("PUT", "/v1/sender-policy", {"sender_service": "generic", "generic": section(gateway.url)})
        await otpost.message((await send(otpost))["sid"])
    assert b"dlr" not in gateway.received[-1].body


SNS = "https://sns.eu-central-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn=arn:aws:sns:x&Token=2336412f37"
AWS = {
    "access_key_id": "AKIAIOSFODNN7EXAMPLE",
    "secret_access_key": "a-secret",
    "region": "eu-central-1",
    "api_url": "https://sms.example.com",
}


class Sns(Outbound):
    """The door to the network, behind which SNS alone stands and answers with a status, or not at all."""

    def __init__(self, answer: int | Exception) -> None:
        super().__init__(allow=())
        self.answer, self.asked = answer, list[tuple[str, str]]()

    async def request(self, method: str, url: str, **given: Any) -> Response:
        self.asked.append((method, url))
        if isinstance(self.answer, Exception):
            raise self.answer
        return Response(self.answer, {}, b"")


@pytest.mark.parametrize("of_attempt", [True, False])
@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (200, 204),
        (403, 503),
        (NotConnected("No connection."), 503),
        (AnswerLost("No answer."), 503),
        (OutboundRefused("The address is private."), 503),
    ],
)
async def test_a_subscription_is_confirmed_by_calling_sns_and_503_lets_it_ask_again(
    otpost: Installation, gateway: StandIn, answer: int | Exception, status: int, of_attempt: bool
) -> None:
    await otpost.ok("PUT", "/v1/sender-policy", {"sender_service": "aws", "aws": {**AWS, "api_url": gateway.url}})
    sns = Sns(answer)
    app = application(otpost.surroundings(http=sns))
    subject = otpost.tenant.sid
    if of_attempt:
        message = await send(otpost)
        (attempt,) = await until(lambda: attempts(otpost, message["sid"]), bool)
        subject = attempt.sid
    address = f"/callbacks/aws/{subject}?proof={make_proof(otpost.context, 'aws', subject)}"
    body = msgspec.json.encode({"Type": "SubscriptionConfirmation", "SubscribeURL": SNS})
    answered = await ask(app, "POST", address, headers={"content-type": "text/plain"}, body=body)
    assert (answered.status, sns.asked) == (status, [("GET", SNS)])
    if status == 503:
        assert answered.json()["code"] == "unavailable"


async def test_no_address_but_one_of_sns_is_called_to_confirm(otpost: Installation) -> None:
    await otpost.ok("PUT", "/v1/sender-policy", {"sender_service": "aws", "aws": AWS})
    sns = Sns(200)
    subject = otpost.tenant.sid
    address = f"/callbacks/aws/{subject}?proof={make_proof(otpost.context, 'aws', subject)}"
    for url in ("https://evil.example.com/?Action=ConfirmSubscription&Token=1", SNS.replace("https", "http"), None):
        body = msgspec.json.encode({"Type": "SubscriptionConfirmation", "SubscribeURL": url})
        answered = await ask(application(otpost.surroundings(http=sns)), "POST", address, headers={}, body=body)
        assert (answered.status, sns.asked) == (403, []), url
