"""What has expired is erased at its moment, and nothing before: each sweep deletes what it is for."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import select

from installation import Installation, until
from otpost.domain.message import BODY_KEPT_MS
from otpost.domain.policy import StoredSecret
from otpost.domain.webhook import KEPT_MS as DELIVERIES_KEPT_MS
from otpost.services.messages.retention import BREAKER_FORGOTTEN_MS
from otpost.services.policy.plan import KEPT_MS as SECRETS_KEPT_MS
from otpost.services.webhooks.retention import sweep_webhooks
from otpost.store import kinds
from otpost.store.units import Kind, Unit
from store.examples import EVERY_KIND, delivery, message

EXAMPLES = {kind: rows[0] for kind, rows in EVERY_KIND}


def pairs(now: int) -> list[tuple[Kind[Any], str, Any, Any]]:
    """A kind, its name for a row, a row whose moment has just come, and one that has a millisecond left."""

    def two(kind: Kind[Any], name: str, moment: str, at: int) -> tuple[Kind[Any], str, Any, Any]:
        row = EXAMPLES[kind]
        over, left = (msgspec.structs.replace(row, **{name: f"{word}", moment: at + extra}) for word, extra in WORDS)
        return kind, name, over, left

    secret = StoredSecret("SE1", "AC1", "twilio", "auth_token", "AC9", "https://x.example", "sealed", 1, "ada")
    retired = [msgspec.structs.replace(secret, sid=w, retired_at=now - SECRETS_KEPT_MS + extra) for w, extra in WORDS]
    return [
        two(kinds.FIRST_ANSWERS, "key", "until", now),
        two(kinds.EARLY_REPORTS, "vendor_sid", "until", now),
        two(kinds.WINDOWS, "key", "until", now),
        two(kinds.SIGN_IN_LINKS, "token_sha256", "expires_at", now),
        two(kinds.SESSIONS, "token_sha256", "expires_at", now),
        two(kinds.BREAKERS, "lane", "probe_at", now - BREAKER_FORGOTTEN_MS),
        (kinds.SECRETS, "sid", retired[0], retired[1]),
    ]


WORDS = (("over", 0), ("left", 1))


async def names(otpost: Installation, kind: Kind[Any], column: str) -> set[str]:
    found = await otpost.store.select(select(kind.table.c[column]).where(kind.table.c[column].in_(["over", "left"])))
    return {name for (name,) in found}


async def test_rows_are_erased_when_their_moment_has_come_and_not_before(otpost: Installation) -> None:
    rows_of_each = pairs(otpost.clock())

    def decide(rows: Any) -> None:
        for kind, _, over, left in rows_of_each:
            rows.put(kind, over)
            rows.put(kind, left)

    await otpost.store.run(Unit(decide))
    for kind, column, _, _ in rows_of_each:

        async def look(kind: Kind[Any] = kind, column: str = column) -> set[str]:
            return await names(otpost, kind, column)

        assert await until(look, lambda found: "over" not in found) == {"left"}, kind
    otpost.clock.advance(1)
    for kind, column, _, _ in rows_of_each:

        async def look_again(kind: Kind[Any] = kind, column: str = column) -> set[str]:
            return await names(otpost, kind, column)

        assert await until(look_again, lambda found: not found) == set(), kind


async def test_a_text_that_is_kept_is_erased_an_hour_after_its_life_and_not_before(otpost: Installation) -> None:
    ends = otpost.clock() - BODY_KEPT_MS

    def decide(rows: Any) -> None:
        for sid, extra in WORDS:
            rows.put(kinds.MESSAGES, message(sid, status="delivered", body="sealed", valid_until=ends + extra))

    await otpost.store.run(Unit(decide))

    async def bodies() -> list[str | None]:
        rows = [await otpost.store.get(kinds.MESSAGES, sid) for sid, _ in WORDS]
        return [row.body for row in rows if row is not None]

    assert await until(bodies, lambda found: found[0] is None) == [None, "sealed"]
    otpost.clock.advance(1)
    assert await until(bodies, lambda found: found[1] is None) == [None, None]


async def test_deliveries_of_webhooks_are_erased_after_thirty_days_and_not_before(otpost: Installation) -> None:
    ended = otpost.clock() - DELIVERIES_KEPT_MS

    def decide(rows: Any) -> None:
        for sid, extra in WORDS:
            rows.put(kinds.WEBHOOK_DELIVERIES, delivery(sid, status="delivered", finished_at=ended + extra))
        rows.put(kinds.WEBHOOK_DELIVERIES, delivery("under way"))

    await otpost.store.run(Unit(decide))
    table = kinds.WEBHOOK_DELIVERIES.table
    for kept in ({"left", "under way"}, {"under way"}):
        await sweep_webhooks(otpost.context)
        assert {sid for (sid,) in await otpost.store.select(select(table.c.sid))} == kept
        otpost.clock.advance(1)
