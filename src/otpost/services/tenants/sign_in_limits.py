"""The limits of tries to sign in: by name and address, by address, and by name from everywhere."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

import msgspec

from otpost.domain.errors import LimitReached
from otpost.domain.limits import Window, client_network
from otpost.services.context import Context
from otpost.store.kinds import WINDOWS
from otpost.store.units import Key, Rows, Unit, lock

WINDOW_MS: Final = 600_000
PER_NAME_AND_ADDRESS, PER_ADDRESS, PER_NAME = 5, 20, 50
SLOW_MS: Final = 10_000
"""What an address that has signed in before waits between tries, once a limit is reached."""
KNOWN_FOR_MS: Final = 180 * 86_400_000
KNOWN: Final = "sign-in known"


class SignInsReached(LimitReached):
    """There were too many tries to sign in; wait before the next."""

    code = "sign_ins_reached"


@dataclass(frozen=True, slots=True)
class SignInLimits:
    """The tries for one name from one address, and the windows in which they count.

    A stranger who knows a name can so use up his own address's tries, and those of addresses from which nobody of
    that name has signed in. For one that has, no limit closes: it only makes each try wait for the one before.
    """

    name: str
    address: str

    @property
    def windows(self) -> list[tuple[str, str, int]]:
        """Scope, key and limit of each window."""
        name, network = _sha256(self.name), client_network(self.address)
        return [
            ("sign-in name and address", f"{name} {network}", PER_NAME_AND_ADDRESS),
            ("sign-in address", network, PER_ADDRESS),
            ("sign-in name", name, PER_NAME),
        ]

    @property
    def needs(self) -> list[Key]:
        return [*(lock(WINDOWS, scope, key) for scope, key, _ in self.windows), lock(WINDOWS, KNOWN, self._pair)]

    @property
    def _pair(self) -> str:
        return self.windows[0][1]

    def take(self, context: Context) -> Unit[None]:
        """Take a place in each window. Raises SignInsReached."""
        now = context.clock()

        def decide(rows: Rows) -> None:
            known = rows.get(WINDOWS, KNOWN, self._pair)
            slow = known is not None and known.until > now
            taken = []
            for scope, key, limit in self.windows:
                window = rows.get(WINDOWS, scope, key) or Window(scope, key, until=0)
                at = window.free_at(now, WINDOW_MS, limit)
                if at is not None and slow:
                    at = min(at, self._last(rows) + SLOW_MS)
                if at is not None and at > now:
                    raise SignInsReached(retry_at=at)
                taken.append(window.hit(now, WINDOW_MS, limit))
            for window in taken:
                rows.put(WINDOWS, window)

        return Unit(decide, self.needs)

    def _last(self, rows: Rows) -> int:
        """When this name was last tried from this address."""
        own = rows.get(WINDOWS, *self.windows[0][:2])
        return own.hits[-1][0] if own is not None and own.hits else 0

    def give_back(self, rows: Rows, now: int) -> None:
        """The try was right: its place is free again, and the address is one that has signed in."""
        for scope, key, _ in self.windows:
            window = rows.get(WINDOWS, scope, key)
            if window is not None:
                rows.put(WINDOWS, msgspec.structs.replace(window, hits=window.hits[:-1]))
        rows.get(WINDOWS, KNOWN, self._pair)
        rows.put(WINDOWS, Window(KNOWN, self._pair, until=now + KNOWN_FOR_MS))

    def forget(self, rows: Rows, now: int) -> None:
        """The person came in by a link: what was tried for the name from here counts no more."""
        if rows.get(WINDOWS, *self.windows[0][:2]) is not None:
            rows.delete(WINDOWS, *self.windows[0][:2])
        rows.get(WINDOWS, KNOWN, self._pair)
        rows.put(WINDOWS, Window(KNOWN, self._pair, until=now + KNOWN_FOR_MS))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
