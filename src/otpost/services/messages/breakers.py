"""What the database keeps of circuit breakers, so that all nodes leave the same accounts alone."""

from __future__ import annotations

from typing import Final

import msgspec

from otpost.domain.policy import Breaker
from otpost.services.context import Context
from otpost.store.kinds import BREAKERS
from otpost.store.units import Rows, Unit, lock

FIRST_REST_MS: Final = 5_000
LONGEST_REST_MS: Final = 60_000


def keep_breaker(context: Context, lane: str, own: Breaker | None) -> Unit[None]:
    """Write down that a breaker opened (or how long it rests now), or that it closed."""
    ahead, breaker = context.clock() - context.clock.monotonic(), own
    if breaker is not None:
        moments = {"opened_at": breaker.opened_at + ahead, "probe_at": breaker.probe_at + ahead}
        breaker = msgspec.structs.replace(breaker, **moments)

    def decide(rows: Rows) -> None:
        stored = rows.get(BREAKERS, lane)
        if breaker is not None:
            since = stored.opened_at if stored is not None else breaker.opened_at
            rows.put(BREAKERS, msgspec.structs.replace(breaker, opened_at=min(since, breaker.opened_at)))
        elif stored is not None:
            rows.delete(BREAKERS, lane)

    return Unit(decide, [lock(BREAKERS, lane)])
