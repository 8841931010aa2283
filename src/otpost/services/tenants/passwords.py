"""Passwords: hashed and compared by argon2, in threads of its own and with a short queue before them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Final, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from otpost.domain.errors import Refusal

R = TypeVar("R")

PLACES: Final = 12
"""So many take about two seconds: each costs 0.2 to 0.4 s on one of two threads."""


class PasswordsBusy(Refusal):
    """Too many people sign in at this moment. Nothing was looked at; try again in a few seconds."""

    code = "passwords_busy"


class Passwords:
    """Hashes and verifies passwords in threads of its own, so that nobody else waits for them.

    Whoever wants one looked at takes a place first; there are `places`, a few seconds' work, and no longer queue.
    """

    def __init__(self, hasher: PasswordHasher | None = None, workers: int = 2, places: int = PLACES) -> None:
        self._hasher = hasher or PasswordHasher()
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="otpost-passwords")
        self._free = places
        self._decoy = cache(lambda: self._hasher.hash("nobody's password"))

    @contextlib.contextmanager
    def place(self) -> Iterator[None]:
        """A place in the queue. Raises PasswordsBusy where all are taken."""
        if not self._free:
            raise PasswordsBusy
        self._free -= 1
        try:
            yield
        finally:
            self._free += 1

    async def hash(self, password: str) -> str:
        return await self._run(lambda: self._hasher.hash(password))

    async def verify(self, hashed: str | None, password: str) -> bool:
        """Whether the password is the hashed one; without a hash False, after the same time."""
        return await self._run(lambda: self._verify(hashed, password))

    def close(self) -> None:
        self._pool.shutdown()

    def _verify(self, hashed: str | None, password: str) -> bool:
        decoy = self._decoy()
        try:
            self._hasher.verify(hashed or decoy, password)
        except (VerificationError, InvalidHashError):
            return False
        return hashed is not None

    async def _run(self, work: Callable[[], R]) -> R:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)
