"""The pretended Twilio for the messaging service's tests, a gateway that stands in for it, and two nodes' stores."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from messaging.through_gateway import taking
from messaging.through_twilio import accounts
from otpost.store.base import Store
from otpost.store.migrate import upgrade
from senders.contract import StandIn, standing_in
from standins.twilio import TwilioStandIn


@pytest.fixture
async def twilio() -> AsyncIterator[TwilioStandIn]:
    """Speaks on loopback, with the accounts of `through_twilio`."""
    async with TwilioStandIn(accounts()) as standin:
        yield standin


@pytest.fixture
async def gateway() -> AsyncIterator[StandIn]:
    """Takes every text, unless a test gives it other answers."""
    async with standing_in(taking()) as stand_in:
        yield stand_in


@pytest.fixture
async def two_stores(
    postgres_template: Callable[[str, Callable[[str], None]], str],
    postgres_database: Callable[..., str],
    open_store: Callable[[str], Awaitable[Store]],
) -> tuple[Store, Store]:
    """Two nodes' stores on one PostgreSQL database."""
    url = postgres_database(postgres_template("otpost", upgrade))
    return await open_store(url), await open_store(url)
