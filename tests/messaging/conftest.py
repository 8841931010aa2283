"""The pretended Twilio for the messaging service's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from messaging.through_twilio import accounts
from standins.twilio import TwilioStandIn


@pytest.fixture
async def twilio() -> AsyncIterator[TwilioStandIn]:
    """Speaks on loopback, with the accounts of `through_twilio`."""
    async with TwilioStandIn(accounts()) as standin:
        yield standin
