"""An installation whose messages move by hand alone."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from installation import Installation, installed
from messaging.through_twilio import INDIA, policy
from otpost.outbound import Outbound
from otpost.store.base import Store
from services.by_hand import NOWHERE


@pytest.fixture
async def still(store: Store) -> AsyncIterator[Installation]:
    """An installation that sends through Twilio and whose messaging service has stopped."""
    async with installed(store) as made:
        await made.ok("PUT", "/v1/sender-policy", policy(NOWHERE, [INDIA]))
        await made.messaging.stop()
        made.http = Outbound()
        yield made
