"""The poster against a real receiver: signed, repeated, replayed; and whoever hangs or dies delays no other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from standardwebhooks.webhooks import WebhookVerificationError

from conftest import OpenStore
from installation import Clock, Installation, installed, until
from otpost.domain.webhook import EVENTS, Delivery, Webhook
from otpost.services.audit import command_line_actor
from otpost.services.webhooks import endpoints, posts
from otpost.services.webhooks.endpoints import MadeWebhook
from otpost.services.webhooks.events import announce_change, subscriptions_of
from otpost.store.base import Store
from otpost.store.kinds import MESSAGES, WEBHOOKS
from otpost.store.units import Rows, Unit
from otpost.telemetry import REGISTRY
from standins.receiver import Receiver, posting, receiving
from store import examples


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as running:
        yield running


@pytest.fixture
async def poster(otpost: Installation) -> AsyncIterator[None]:
    async with posting(otpost):
        yield


async def made(otpost: Installation, url: str) -> MadeWebhook:
    actor = command_line_actor(otpost.tenant.sid)
    own = otpost.tenant.default_application
    return await otpost.store.run(endpoints.make(otpost.context, actor, own, url, EVENTS, ""))


async def happen(otpost: Installation, status: str = "delivered") -> str:
    """A message comes to something; its SID."""
    now, sid = otpost.clock(), otpost.context.ids("SM")
    message = examples.message(
        sid, tenant=otpost.tenant.sid, application=otpost.tenant.default_application, status=status
    )

    def decide(rows: Rows) -> None:
        rows.put(MESSAGES, message)
        announce_change(rows, None, message, now)

    await otpost.store.run(Unit(decide, [subscriptions_of(message.tenant)]))
    return sid


async def deliveries(otpost: Installation, webhook: Webhook) -> list[Delivery]:
    page = await endpoints.log(otpost.context, webhook.sid, status=None, event=None, after=None, limit=200, cursor=None)
    return list(page.rows)


async def delivery_when(otpost: Installation, webhook: Webhook, **wanted: Any) -> Delivery:
    """The webhook's only delivery, once it is as wanted."""
    rows = await until(
        lambda: deliveries(otpost, webhook),
        lambda rows: rows and all(getattr(rows[0], name) == value for name, value in wanted.items()),
    )
    (row,) = rows
    assert isinstance(row, Delivery)
    return row


def counted(result: str) -> float:
    return REGISTRY.get_sample_value("otpost_webhook_posts_total", {"form": "standard", "result": result}) or 0.0


@pytest.mark.usefixtures("poster")
async def test_an_event_is_posted_at_once_and_proven_by_the_public_library(otpost: Installation, receiver: Receiver):
    before = counted("delivered")
    new = await made(otpost, receiver.url)
    sid = await happen(otpost)
    (got,) = await receiver.wait_for(1)
    told = got.proven(new.secret)
    assert (told["type"], told["data"]["sid"]) == ("message.delivered", sid)
    delivery = await delivery_when(otpost, new.webhook, status="delivered")
    assert (got.path, got.headers["content-type"], got.id) == ("/hooks", "application/json", delivery.sid)
    assert got.body == delivery.body.encode()
    assert (delivery.tries, delivery.due_at, delivery.log[0].http_status) == (1, None, 204)
    await until(_nothing, lambda _: counted("delivered") == before + 1)


@pytest.mark.usefixtures("poster")
async def test_for_a_day_after_a_rotation_the_old_secret_and_the_new_one_prove_a_post(
    otpost: Installation, receiver: Receiver
):
    old = await made(otpost, receiver.url)
    actor, own = command_line_actor(otpost.tenant.sid), otpost.tenant.default_application
    new = await otpost.store.run(endpoints.rotate(otpost.context, actor, own, old.webhook.sid))
    await happen(otpost)
    (got,) = await receiver.wait_for(1)
    for secret in (old.secret, new.secret):
        assert got.proven(secret)["type"] == "message.delivered"
    # The public library believes no post of another day, so it is the clock of the first post that is moved.
    earlier = otpost.clock.now
    otpost.clock.now -= 24 * 3_600_000
    other = await otpost.store.run(endpoints.make(otpost.context, actor, own, f"{receiver.url}/2", EVENTS, ""))
    otpost.clock.now = earlier - 24 * 3_600_000
    newer = await otpost.store.run(endpoints.rotate(otpost.context, actor, own, other.webhook.sid))
    otpost.clock.now = earlier
    await happen(otpost)
    (last,) = [got for got in await receiver.wait_for(3) if got.path == "/hooks/2"]
    assert last.proven(newer.secret)["type"] == "message.delivered"
    with pytest.raises(WebhookVerificationError):
        last.proven(other.secret)


@pytest.mark.usefixtures("poster")
async def test_a_post_that_failed_is_repeated_with_the_same_id_and_body_until_it_is_taken(
    otpost: Installation, receiver: Receiver
):
    failed, given_up = counted("failed"), counted("given_up")
    new = await made(otpost, receiver.url)
    receiver.status, receiver.said = 500, "oh no"
    await happen(otpost)
    await delivery_when(otpost, new.webhook, status="waiting", tries=1)
    await asyncio.sleep(0.1)
    assert len(receiver.got) == 1
    otpost.clock.advance(5.5)
    waiting = await delivery_when(otpost, new.webhook, status="waiting", tries=2)
    receiver.status = 200
    otpost.clock.advance(330)
    done = await delivery_when(otpost, new.webhook, status="delivered", tries=3)
    assert [(line.http_status, line.said) for line in done.log] == [(500, "oh no"), (500, "oh no"), (200, "oh no")]
    assert waiting.due_at is not None
    assert len({got.id for got in receiver.got}) == len({got.body for got in receiver.got}) == 1
    assert counted("failed") == failed + 2
    assert counted("given_up") == given_up
    assert (await row_of(otpost, new)).failing_since is None


@pytest.mark.usefixtures("poster")
async def test_after_eight_tries_a_delivery_is_given_up_and_can_be_replayed(otpost: Installation, receiver: Receiver):
    given_up = counted("given_up")
    new = await made(otpost, receiver.url)
    receiver.status = 503
    await happen(otpost)
    for tries, wait_s in enumerate((5, 300, 1_800, 7_200, 18_000, 36_000, 36_000), 1):
        await delivery_when(otpost, new.webhook, status="waiting", tries=tries)
        otpost.clock.advance(wait_s * 1.1)
    failed = await delivery_when(otpost, new.webhook, status="failed", tries=8)
    await until(_nothing, lambda _: counted("given_up") == given_up + 1)
    receiver.status = 204
    actor, own = command_line_actor(otpost.tenant.sid), otpost.tenant.default_application
    assert await endpoints.replay_failed(otpost.context, actor, own, new.webhook.sid, failed.created_at) == 1
    done = await delivery_when(otpost, new.webhook, status="delivered", tries=1)
    assert len(done.log) == 9
    assert len({got.id for got in receiver.got}) == 1


@pytest.mark.usefixtures("poster")
async def test_a_receiver_that_says_410_gets_nothing_more(otpost: Installation, receiver: Receiver):
    new = await made(otpost, receiver.url)
    receiver.status = 410
    await happen(otpost)
    await delivery_when(otpost, new.webhook, status="failed", tries=1)
    row = await row_of(otpost, new)
    assert (row.enabled, row.disabled) == (False, "gone")
    await happen(otpost)
    assert len(await deliveries(otpost, new.webhook)) == 1
    assert len(receiver.got) == 1


@pytest.mark.usefixtures("poster")
async def test_a_receiver_that_hangs_delays_no_other_and_is_asked_four_at_a_time(
    otpost: Installation, receiver: Receiver
):
    slow = await made(otpost, receiver.url)
    receiver.hold.clear()
    async with receiving() as other:
        for _ in range(70):
            await happen(otpost)
        await receiver.wait_for(4)
        quick = await made(otpost, other.url)
        sid = await happen(otpost)
        (got,) = await other.wait_for(1)
        assert got.proven(quick.secret)["data"]["sid"] == sid
        assert (receiver.hanging, len(receiver.got)) == (4, 4)
        assert len(await deliveries(otpost, slow.webhook)) == 71
        receiver.hold.set()
        await receiver.wait_for(71)
        assert {got.id for got in receiver.got} == {row.sid for row in await deliveries(otpost, slow.webhook)}


@pytest.mark.usefixtures("poster")
async def test_a_receiver_in_trouble_is_asked_one_at_a_time(otpost: Installation, receiver: Receiver):
    new = await made(otpost, receiver.url)
    receiver.status = 500
    await happen(otpost)
    await delivery_when(otpost, new.webhook, status="waiting", tries=1)
    receiver.hold.clear()
    for _ in range(5):
        await happen(otpost)
    await receiver.wait_for(2)
    await asyncio.sleep(0.1)
    assert receiver.hanging == 1
    receiver.status = 200
    receiver.hold.set()
    await receiver.wait_for(6)


@pytest.mark.parametrize(("status", "words"), [(0, "was lost before the whole answer had come"), (302, "")])
@pytest.mark.usefixtures("poster")
async def test_a_lost_connection_and_a_redirect_are_no_success(
    otpost: Installation, receiver: Receiver, status: int, words: str
):
    new = await made(otpost, receiver.url)
    receiver.status, receiver.headers = status, {"location": f"{receiver.url}/elsewhere"}
    await happen(otpost)
    delivery = await delivery_when(otpost, new.webhook, status="waiting", tries=1)
    assert words in delivery.log[0].error
    assert delivery.log[0].http_status == (status or None)
    assert [got.path for got in receiver.got] == ["/hooks"]


@pytest.mark.usefixtures("poster")
async def test_what_the_outbound_guard_refuses_is_not_tried_again(otpost: Installation):
    new = await made(otpost, "https://10.0.0.1/hooks")
    await happen(otpost)
    delivery = await delivery_when(otpost, new.webhook, status="failed", tries=1)
    assert "is not a public address" in delivery.log[0].error


async def test_what_a_dead_node_was_posting_is_posted_again_by_another_once_its_lease_is_over(
    store: Store, receiver: Receiver
):
    now = Clock()
    async with installed(store, now=now, alone=False) as dead:
        new = await made(dead, receiver.url)
        await happen(dead)
        claimed = await dead.store.run(posts.claim(dead.context, lambda lane: 4, []))
        (first,) = claimed.posts
        assert (await posts.ask(dead.context, dead.http, first.request)).taken
        async with posting(dead):
            await asyncio.sleep(0.1)
            assert len(receiver.got) == 1
            now.advance(60)
            await receiver.wait_for(2)
            await delivery_when(dead, new.webhook, status="delivered", tries=2)
        assert len({got.id for got in receiver.got}) == 1


@pytest.mark.parametrize("nodes", [1, 2], ids=["two posters of one node", "two nodes"])
async def test_posters_beside_each_other_post_each_delivery_once(
    otpost: Installation, receiver: Receiver, open_store: OpenStore, database_url: str, nodes: int
):
    new = await made(otpost, receiver.url)
    other = otpost.store if nodes == 1 else await open_store(database_url)
    async with posting(otpost), posting(otpost, other):
        for _ in range(40):
            await happen(otpost)
        await until(lambda: deliveries(otpost, new.webhook), lambda rows: {row.status for row in rows} == {"delivered"})
    assert len(receiver.got) == len({got.id for got in receiver.got}) == 40


async def test_a_post_that_hangs_does_not_keep_the_service_from_stopping(otpost: Installation, receiver: Receiver):
    new = await made(otpost, receiver.url)
    receiver.hold.clear()
    async with posting(otpost) as poster:
        await happen(otpost)
        await receiver.wait_for(1)
        stopping = asyncio.create_task(poster.stop(0.05))
        await asyncio.wait_for(stopping, 5)
    (delivery,) = await deliveries(otpost, new.webhook)
    assert (delivery.status, delivery.due_at) == ("posting", otpost.clock() + 60_000)


async def row_of(otpost: Installation, new: MadeWebhook) -> Webhook:
    row = await otpost.store.get(WEBHOOKS, new.webhook.sid)
    assert row is not None
    return row


async def _nothing() -> None:
    """What `until` looks at where it is a counter that changes."""
