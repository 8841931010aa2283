"""An installation whose messages move by hand alone."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from installation import Installation, installed
from messaging.through_twilio import INDIA, RUSSIA, policy
from otpost.store.base import Store
from services.by_hand import NOWHERE


@pytest.fixture
async def still(store: Store) -> AsyncIterator[Installation]:
    """It sends through Twilio, and its messaging service has stopped."""
    async with installed(store) as made:
        await made.ok("PUT", "/v1/sender-policy", policy(NOWHERE, [INDIA, RUSSIA]))
        await made.messaging.stop()
        yield made
