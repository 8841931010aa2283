"""What every use case is given: the database, the key ring, a clock and dice."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

import uuid_utils

from otpost.services.vault import KeyRing
from otpost.store.base import Store

if TYPE_CHECKING:
    from otpost.services.plan import Plan, Tokens


def clock() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def sid(prefix: str) -> str:
    """A new string identifier."""
    return prefix + uuid_utils.uuid7().hex


@dataclass(frozen=True, slots=True)
class House:
    """The parts that use cases work with; tests bring a clock that they move and dice that they know.

    `lane_wait_ms` is how long a message handed to a lane now would wait before it is sent. `plans` and
    `tokens` are the sender policies and their secrets as last seen, by tenant.
    """

    store: Store
    ring: KeyRing
    clock: Callable[[], int] = clock
    sid: Callable[[str], str] = sid
    chance: Callable[[], float] = field(default=Random().random)  # noqa: S311  # spreads retries; nothing secret hangs on it
    lane_wait_ms: Callable[[str], int] = lambda lane: 0
    plans: dict[str, Plan] = field(default_factory=dict)
    tokens: dict[str, Tokens] = field(default_factory=dict)
