"""Status callbacks against a real receiver, judged by the official library's own validator."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qsl

import pytest
from twilio.request_validator import RequestValidator

from api.twilio.texting import auth_token, create, send, told
from installation import TO, Installation, until
from messaging.through_twilio import SENDER, SERVICE, TEXT, policy
from otpost.domain.outcome import Refused, Unknown, Vendor
from otpost.senders.service import LookUpFailed
from otpost.services.audit import command_line_actor
from otpost.services.messages.lookups import due_questions, keep_listing
from otpost.services.webhooks import endpoints
from otpost.store.base import rows_of
from otpost.store.kinds import MESSAGE_EXTRAS, TENANTS, WEBHOOK_DELIVERIES
from otpost.store.units import Rows, Unit, lock
from services.by_hand import NOWHERE, claim
from standins.receiver import Got, Receiver, posting, receiving


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as running:
        yield running


def proven(got: Got, token: str, url: str) -> dict[str, str]:
    """The fields, if Twilio's own validator believes them and no other token's or address's."""
    fields = dict(parse_qsl(got.body.decode(), keep_blank_values=True))
    signature = got.headers["x-twilio-signature"]
    assert RequestValidator(token).validate(url, fields, signature)
    assert not RequestValidator(token).validate(url, {**fields, "MessageStatus": "read"}, signature)
    assert not RequestValidator(token).validate(url + "x", fields, signature)
    assert not RequestValidator("other").validate(url, fields, signature)
    assert got.headers["content-type"] == "application/x-www-form-urlencoded; charset=UTF-8"
    return fields


async def queued(otpost: Installation) -> list[Any]:
    table = WEBHOOK_DELIVERIES.table
    return list(await rows_of(otpost.store, WEBHOOK_DELIVERIES, table.select().order_by(table.c.sid)))


async def test_each_status_is_posted_as_twilio_posts_it(still: Installation, receiver: Receiver) -> None:
    token, url = await auth_token(still), f"{receiver.url}?order=7&empty="
    async with posting(still):
        sid = (await create(still, {"StatusCallback": f"{url}#rc=2&rp=all"}))["sid"]
        attempt = await send(still)
        assert await queued(still) == []
        await told(still, attempt, "sent")
        await receiver.wait_for(1)
        still.clock.advance(1)
        await told(still, attempt, "delivered")
        first, second = await receiver.wait_for(2)
    for got, status in ((first, "sent"), (second, "delivered")):
        assert proven(got, token, url) == {
            "AccountSid": still.tenant.sid,
            "ApiVersion": "2010-04-01",
            "From": SENDER,
            "MessageSid": sid,
            "MessageStatus": status,
            "SmsSid": sid,
            "SmsStatus": status,
            "To": TO,
        }
    rows = await queued(still)
    assert [(row.type, row.subject, row.form, row.webhook, row.url) for row in rows] == [
        ("message.sent", sid, "twilio", None, url),
        ("message.delivered", sid, "twilio", None, url),
    ]
    assert [got.headers["i-twilio-idempotency-token"] for got in (first, second)] == [row.sid for row in rows]


async def test_failures_are_posted_with_their_number_and_a_messaging_service_with_its_sid(
    still: Installation, receiver: Receiver
) -> None:
    token = await auth_token(still)
    async with posting(still):
        await create(still, {"StatusCallback": receiver.url})
        await send(still, Refused("opted_out", "STOP.", Vendor(http_status=400, code="21610")))
        await still.ok("PUT", "/v1/sender-policy", policy(NOWHERE, use_copilot=True))
        await create(still, {"StatusCallback": receiver.url})
        await told(still, await send(still), "undelivered", "30006", "cannot_receive")
        await create(still, {"StatusCallback": receiver.url, "ValidityPeriod": "30"})
        still.clock.advance(30)
        assert await claim(still) == []
        got = await receiver.wait_for(3)
    fields = sorted((proven(each, token, receiver.url) for each in got), key=lambda each: each["ErrorCode"])
    assert [(each["MessageStatus"], each["ErrorCode"]) for each in fields] == [
        ("failed", "21610"),
        ("failed", "30001"),
        ("undelivered", "30006"),
    ]
    assert fields[2]["MessagingServiceSid"] == SERVICE
    assert "From" not in fields[2]


async def test_what_nobody_can_tell_is_posted_as_failed(still: Installation, receiver: Receiver) -> None:
    token = await auth_token(still)
    async with posting(still):
        for _ in range(2):
            await create(still, {"StatusCallback": receiver.url, "ValidityPeriod": "60"})
            attempt = await send(still, Unknown("Lost."))
            still.clock.advance(90)
            (question,) = await still.store.run(due_questions(still.context))
            assert question.attempt.sid == attempt
            silent = LookUpFailed("Twilio does not answer.")
            await still.store.run(
                keep_listing(still.context, still.plans, still.wording, question.attempt, silent, still.clock())
            )
        got = await receiver.wait_for(2)
    assert [proven(each, token, receiver.url)["ErrorCode"] for each in got] == ["30410", "30410"]


async def test_a_message_without_the_parameter_is_told_to_nobody(still: Installation, receiver: Receiver) -> None:
    await auth_token(still)
    async with posting(still):
        await create(still)
        await told(still, await send(still), "delivered")
        await still.ok("POST", "/v1/messages", {"to": TO, "body": TEXT})
        await send(still, Refused("opted_out", "STOP."))
        await still.ok("POST", "/v1/verifications", {"to": TO})
        await send(still, Refused("opted_out", "STOP."))
    assert await queued(still) == []
    assert receiver.got == []


async def test_the_sandbox_tells_that_a_text_is_sent(otpost: Installation, receiver: Receiver) -> None:
    await otpost.choose_sandbox()
    token = await auth_token(otpost)
    async with posting(otpost):
        sid = (await create(otpost, {"StatusCallback": receiver.url}))["sid"]
        (got,) = await receiver.wait_for(1)
    fields = proven(got, token, receiver.url)
    assert (fields["MessageSid"], fields["MessageStatus"], fields["From"]) == (sid, "sent", "Sandbox")


async def test_the_newest_token_signs_and_a_post_that_is_refused_is_repeated_with_it(
    still: Installation, receiver: Receiver
) -> None:
    await auth_token(still)
    receiver.status = 500
    async with posting(still):
        await create(still, {"StatusCallback": receiver.url})
        await told(still, await send(still), "delivered")
        (first,) = await receiver.wait_for(1)
        await until(lambda: queued(still), lambda rows: rows[0].status == "waiting")
        newest = await auth_token(still)
        receiver.status = 204
        still.clock.advance(6)
        second = (await receiver.wait_for(2))[1]
        await until(lambda: queued(still), lambda rows: rows[0].status == "delivered")
    assert proven(second, newest, receiver.url)["MessageStatus"] == "delivered"
    assert first.headers["i-twilio-idempotency-token"] == second.headers["i-twilio-idempotency-token"]
    assert first.headers["x-twilio-signature"] != second.headers["x-twilio-signature"]


async def test_without_a_token_there_is_no_callback_and_what_cannot_be_signed_is_not_posted(
    still: Installation, receiver: Receiver
) -> None:
    await auth_token(still)
    await create(still, {"StatusCallback": receiver.url})
    await told(still, await send(still), "delivered")
    tenant = still.tenant

    def forget(rows: Rows) -> None:
        rows.get(TENANTS, tenant.sid)
        rows.put(TENANTS, tenant)

    await still.store.run(Unit(forget, [lock(TENANTS, tenant.sid)]))
    async with posting(still):
        (row,) = await until(lambda: queued(still), lambda rows: rows[0].status == "failed")
    assert row.log[0].error == "It cannot be signed: the tenant has no auth token."
    assert receiver.got == []


async def test_webhooks_and_a_status_callback_are_told_side_by_side(still: Installation, receiver: Receiver) -> None:
    token = await auth_token(still)
    own = still.tenant.default_application
    actor = command_line_actor(still.tenant.sid)
    url = f"{receiver.url}/standard"
    made = await still.store.run(endpoints.make(still.context, actor, own, url, ("message.delivered",), ""))
    async with posting(still):
        sid = (await create(still, {"StatusCallback": receiver.url}))["sid"]
        await told(still, await send(still), "delivered")
        got = await receiver.wait_for(2)
    by_path = {each.path: each for each in got}
    assert proven(by_path["/hooks"], token, receiver.url)["MessageSid"] == sid
    assert by_path["/hooks/standard"].proven(made.secret)["data"]["sid"] == sid


async def test_only_a_message_with_the_parameter_has_a_row_beside_it(still: Installation) -> None:
    await auth_token(still)
    await create(still)
    sid = (await create(still, {"StatusCallback": "http://127.0.0.1:9/told"}))["sid"]
    rows = await rows_of(still.store, MESSAGE_EXTRAS, MESSAGE_EXTRAS.table.select())
    assert [(row.sid, row.status_callback) for row in rows] == [(sid, "http://127.0.0.1:9/told")]
