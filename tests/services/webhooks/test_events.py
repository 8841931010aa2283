"""Events: which changes are queued, what their posts say, and what becomes of the queue."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import msgspec
import pytest
from sqlalchemy import update

from installation import TO, Installation
from otpost.domain.errors import Invalid, NotFound
from otpost.domain.message import Message
from otpost.domain.outcome import REASONS
from otpost.domain.sid import DELIVERY, is_sid
from otpost.domain.verification import Verification
from otpost.domain.webhook import EVENTS, KEPT_MS, LEASE_MS, MOST_WEBHOOKS, Answer, Delivery, Webhook
from otpost.services.audit import command_line_actor
from otpost.services.webhooks import endpoints, posts
from otpost.services.webhooks.events import announce_change, subscriptions_of
from otpost.services.webhooks.posts import Post
from otpost.services.webhooks.retention import sweep_webhooks
from otpost.store.base import Store, rows_of
from otpost.store.kinds import AUDIT, MESSAGES, VERIFICATIONS, WEBHOOK_DELIVERIES, WEBHOOKS
from otpost.store.units import Rows, Unit, lock
from store import examples

URL = "https://shop.example/hooks"
DAY_MS = 24 * 3_600_000
REASON = next(iter(REASONS))


def actor(otpost: Installation) -> Any:
    return command_line_actor(otpost.tenant.sid)


async def made(otpost: Installation, *events: str, url: str = URL, application: str | None = None) -> Webhook:
    own = application or otpost.tenant.default_application
    unit = endpoints.make(otpost.context, actor(otpost), own, url, events or EVENTS, "")  # type: ignore[arg-type]  # names of events
    return (await otpost.store.run(unit)).webhook


async def a_verification(otpost: Installation, to: str = TO, **fields: Any) -> Verification:
    """A pending one with its message, both in the database."""
    now, sid, message_sid = otpost.clock(), otpost.context.ids("VE"), otpost.context.ids("SM")
    owner = {"tenant": otpost.tenant.sid, "application": otpost.tenant.default_application, "to": to}
    message = examples.message(message_sid, verification=sid, created_at=now, valid_until=now + 300_000, **owner)
    row = examples.verification(
        sid, message=message_sid, created_at=now, expires_at=now + 300_000, resend_at=now + 30_000, **owner, **fields
    )

    def decide(rows: Rows) -> None:
        rows.put(MESSAGES, message)
        rows.put(VERIFICATIONS, row)

    await otpost.store.run(Unit(decide))
    return row


async def end(otpost: Installation, row: Verification, status: str) -> Verification:
    """Change its status in a unit that tells of it."""
    now = otpost.clock()

    def decide(rows: Rows) -> Verification:
        before = rows.get(VERIFICATIONS, row.sid)
        assert before is not None
        after = msgspec.structs.replace(before, status=status)
        rows.put(VERIFICATIONS, after)
        announce_change(rows, before, after, now)
        return after

    return await otpost.store.run(Unit(decide, [lock(VERIFICATIONS, row.sid), subscriptions_of(row.tenant)]))


async def move(otpost: Installation, message_sid: str, status: str) -> Message:
    now = otpost.clock()

    def decide(rows: Rows) -> Message:
        before = rows.get(MESSAGES, message_sid)
        assert before is not None
        after = msgspec.structs.replace(before, status=status, reason=REASON)
        rows.put(MESSAGES, after)
        announce_change(rows, before, after, now)
        return after

    return await otpost.store.run(Unit(decide, [lock(MESSAGES, message_sid)]))


async def queued(otpost: Installation) -> list[Delivery]:
    table = WEBHOOK_DELIVERIES.table
    return list(await rows_of(otpost.store, WEBHOOK_DELIVERIES, table.select().order_by(table.c.sid)))


async def claim(otpost: Installation, at_once: int = 4, full: tuple[str, ...] = ()) -> list[Post]:
    return (await otpost.store.run(posts.claim(otpost.context, lambda lane: at_once, full))).posts


async def settle(otpost: Installation, post: Post, answer: Answer) -> Delivery | None:
    return await otpost.store.run(posts.settle(otpost.context, post.delivery, answer))


async def test_a_verification_that_ends_is_told_as_the_api_answers_it(otpost: Installation):
    webhook = await made(otpost)
    row = await a_verification(otpost, checks=1)
    await end(otpost, row, "approved")
    (delivery,) = await queued(otpost)
    assert is_sid(delivery.sid, DELIVERY)
    assert (delivery.webhook, delivery.lane, delivery.form, delivery.url) == (
        webhook.sid,
        webhook.sid,
        "standard",
        None,
    )
    assert (delivery.type, delivery.subject, delivery.status) == ("verification.approved", row.sid, "waiting")
    told = json.loads(delivery.body)
    assert set(told) == {"type", "timestamp", "data"}
    assert told["type"] == "verification.approved"
    answered = await otpost.ok("GET", f"/v1/verifications/{row.sid}")
    assert told["data"] == {name: answered[name] for name in answered if name not in ("messages", "events")}
    assert told["data"]["to"] == TO
    assert told["data"]["message"]["sid"] == row.message


async def test_a_message_is_told_as_the_api_answers_it_but_for_its_story(otpost: Installation):
    await made(otpost)
    row = await a_verification(otpost)
    await move(otpost, row.message, "delivered")
    (delivery,) = await queued(otpost)
    told = json.loads(delivery.body)
    answered = await otpost.ok("GET", f"/v1/messages/{row.message}")
    assert (told["type"], told["data"]["status"]) == ("message.delivered", "delivered")
    assert told["data"] == {name: answered[name] for name in answered if name not in ("attempts", "reports", "events")}
    assert set(told["data"]["explanation"]) == {"for_application", "for_administrator", "help"}


@pytest.mark.parametrize("event", EVENTS)
async def test_every_event_is_told_once_to_those_who_want_it(otpost: Installation, event: str):
    wants, _ = await made(otpost, event), await made(otpost, *(set(EVENTS) - {event}), url=f"{URL}/2")
    row = await a_verification(otpost)
    of, _, status = event.partition(".")
    for _ in range(2):
        if of == "verification":
            await end(otpost, row, status)
        else:
            await move(otpost, row.message, status)
        otpost.clock.advance(1)
    assert [(delivery.webhook, delivery.type) for delivery in await queued(otpost)] == [(wants.sid, event)]


async def test_what_is_no_event_and_what_belongs_to_others_is_not_told(otpost: Installation):
    second = await otpost.ok("POST", "/v1/applications", {"name": "Second"})
    await made(otpost, application=second["sid"])
    off = await made(otpost)
    await otpost.store.run(endpoints.change(otpost.context, actor(otpost), off.application, off.sid, enabled=False))
    row = await a_verification(otpost)
    for status in ("sending", "accepted", "delivered"):
        await move(otpost, row.message, status)
    await end(otpost, row, "approved")
    assert await queued(otpost) == []


async def test_a_change_that_is_not_kept_is_not_told(otpost: Installation):
    await made(otpost)
    row = await a_verification(otpost)

    def decide(rows: Rows) -> None:
        before = rows.get(VERIFICATIONS, row.sid)
        assert before is not None
        after = msgspec.structs.replace(before, status="canceled")
        rows.put(VERIFICATIONS, after)
        announce_change(rows, before, after, otpost.clock())
        raise Invalid("no")

    with pytest.raises(Invalid):
        await otpost.store.run(Unit(decide))
    assert await queued(otpost) == []


async def test_a_claimed_delivery_is_nobody_elses_until_its_lease_is_over(otpost: Installation):
    await made(otpost)
    await end(otpost, await a_verification(otpost), "approved")
    (post,) = await claim(otpost)
    assert post.request.url == URL
    assert post.request.body == post.delivery.body.encode()
    assert post.request.headers["webhook-id"] == post.delivery.sid
    otpost.clock.now += LEASE_MS - 1
    assert await claim(otpost) == []
    otpost.clock.now += 1
    (again,) = await claim(otpost)
    assert (again.delivery.sid, again.delivery.tries) == (post.delivery.sid, 2)
    assert await settle(otpost, post, Answer(http_status=200)) is None
    settled = await settle(otpost, again, Answer(http_status=200))
    assert settled is not None
    assert (settled.status, len(settled.log)) == ("delivered", 1)
    assert await settle(otpost, again, Answer(http_status=500)) is None


async def test_a_lane_that_is_full_keeps_no_other_from_being_claimed(otpost: Installation):
    one, two = await made(otpost), await made(otpost, "message.failed", url=f"{URL}/2")
    rows = [await a_verification(otpost, f"+1500555000{place}") for place in range(6)]
    for row in rows:
        await end(otpost, row, "approved")
    await move(otpost, rows[0].message, "failed")
    lanes = [post.delivery.lane for post in await claim(otpost, 2)]
    assert sorted(lanes) == sorted([one.sid, one.sid, two.sid])
    assert await claim(otpost, 2, (one.sid,)) == []


async def test_what_was_disabled_or_removed_meanwhile_is_not_posted(otpost: Installation):
    webhook = await made(otpost)
    await end(otpost, await a_verification(otpost), "approved")
    context, own = otpost.context, webhook.application
    await otpost.store.run(endpoints.change(context, actor(otpost), own, webhook.sid, enabled=False))
    assert await claim(otpost) == []
    (delivery,) = await queued(otpost)
    assert (delivery.status, delivery.log[0].error) == (
        "failed",
        "The webhook was disabled before this could be delivered; enable it and replay.",
    )
    with pytest.raises(Invalid):
        await endpoints.replay_failed(context, actor(otpost), own, webhook.sid, 0)
    await otpost.store.run(endpoints.change(context, actor(otpost), own, webhook.sid, enabled=True))
    assert await endpoints.replay_failed(context, actor(otpost), own, webhook.sid, 0) == 1
    assert len(await claim(otpost)) == 1
    await endpoints.remove(context, actor(otpost), own, webhook.sid)
    assert await queued(otpost) == []
    with pytest.raises(NotFound):
        await endpoints.one(context, otpost.tenant.sid, own, webhook.sid)


class FailingAtOnce:
    """The store of a service whose receiver fails whatever is put back into the queue, before anything else happens."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.replays = 0

    async def get(self, *key: Any) -> Any:
        return await self._store.get(*key)

    async def run(self, unit: Unit[Any]) -> Any:
        answer = await self._store.run(unit)
        if unit.query is not None:
            self.replays += 1
            assert self.replays < 9, "the same deliveries are put back again and again"
            await self._store.sweep(update(WEBHOOK_DELIVERIES.table).values(status="failed", due_at=None))
        return answer


async def test_a_replay_puts_each_delivery_back_once_however_fast_it_fails_again(otpost: Installation):
    webhook = await made(otpost)
    for place in range(3):
        await end(otpost, await a_verification(otpost, f"+1500555000{place}"), "approved")
    count = len(await queued(otpost))
    await otpost.store.sweep(update(WEBHOOK_DELIVERIES.table).values(status="failed", due_at=None))
    failing: Any = FailingAtOnce(otpost.store)
    context = dataclasses.replace(otpost.context, store=failing)
    assert await endpoints.replay_failed(context, actor(otpost), webhook.application, webhook.sid, 0) == count == 3
    assert failing.replays == 2


async def test_both_secrets_sign_for_a_day_after_a_rotation_and_the_old_one_is_erased(otpost: Installation):
    webhook = await made(otpost)
    own = webhook.application
    await otpost.store.run(endpoints.rotate(otpost.context, actor(otpost), own, webhook.sid))
    await end(otpost, await a_verification(otpost), "approved")
    (post,) = await claim(otpost)
    assert len(post.request.headers["webhook-signature"].split()) == 2
    otpost.clock.now += DAY_MS
    (post,) = await claim(otpost)
    assert len(post.request.headers["webhook-signature"].split()) == 1
    assert len((await endpoints.one(otpost.context, otpost.tenant.sid, own, webhook.sid)).secrets) == 2
    await sweep_webhooks(otpost.context)
    assert len((await endpoints.one(otpost.context, otpost.tenant.sid, own, webhook.sid)).secrets) == 1


async def test_five_days_of_failures_disable_a_webhook_with_an_audit_line(otpost: Installation):
    webhook = await made(otpost)
    begun = otpost.clock()
    await end(otpost, await a_verification(otpost), "approved")
    for error in ("no connection", "no answer"):
        (post,) = await claim(otpost)
        await settle(otpost, post, Answer(error=error))
        row = await otpost.store.get(WEBHOOKS, webhook.sid)
        assert row is not None
        assert (row.enabled, row.failing_since) == (error == "no connection", begun)
        otpost.clock.now += 5 * DAY_MS
    assert [found.sid for found in await endpoints.disabled(otpost.context, otpost.tenant.sid)] == [webhook.sid]
    lines = await rows_of(otpost.store, AUDIT, AUDIT.table.select())
    assert [line.detail for line in lines if line.what == "webhook disabled"] == [
        f"The webhook {URL} is disabled: for five days nothing could be delivered to it."
    ]


async def test_deliveries_are_erased_thirty_days_after_they_ended(otpost: Installation):
    await made(otpost)
    for status in (200, 410):
        await end(otpost, await a_verification(otpost), "approved")
        (post,) = await claim(otpost)
        await settle(otpost, post, Answer(http_status=status))
        otpost.clock.now += DAY_MS
    otpost.clock.now += KEPT_MS - 2 * DAY_MS - 1
    await sweep_webhooks(otpost.context)
    assert [delivery.status for delivery in await queued(otpost)] == ["delivered", "failed"]
    otpost.clock.now += 1
    await sweep_webhooks(otpost.context)
    assert [delivery.status for delivery in await queued(otpost)] == ["failed"]


async def test_an_application_has_at_most_ten_webhooks(otpost: Installation):
    for place in range(MOST_WEBHOOKS):
        await made(otpost, url=f"{URL}/{place}")
    with pytest.raises(Invalid, match="at most 10 webhooks"):
        await made(otpost, url=f"{URL}/one-more")


async def test_secrets_lie_in_the_database_sealed(otpost: Installation):
    unit = endpoints.make(otpost.context, actor(otpost), otpost.tenant.default_application, URL, EVENTS, "")
    new = await otpost.store.run(unit)
    assert new.secret.startswith("whsec_")
    table = WEBHOOKS.table
    assert new.secret.removeprefix("whsec_") not in repr(await otpost.store.select(table.select()))
    assert await otpost.store.find(WEBHOOKS, "application", new.webhook.application) == [new.webhook]


async def test_a_unit_that_names_what_told_reads_is_not_run_again_for_it(otpost: Installation):
    row = await a_verification(otpost)
    runs: list[int] = []

    def decide(rows: Rows) -> None:
        runs.append(1)
        before = rows.get(VERIFICATIONS, row.sid)
        assert before is not None
        announce_change(rows, before, msgspec.structs.replace(before, status="approved"), otpost.clock())

    await otpost.store.run(Unit(decide, [lock(VERIFICATIONS, row.sid), subscriptions_of(row.tenant)]))
    assert runs == [1]
