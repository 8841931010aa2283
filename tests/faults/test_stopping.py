"""A service that is told to stop while its database is away: it ends in time and says what it leaves behind."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from faults.relay import Relay
from faults.served import Served, until
from messaging.through_twilio import accounts, policy
from standins.twilio import TwilioStandIn
from standins.twilio_world import Config

pytestmark = pytest.mark.prove

TO = "+14155550199"
LEFT = "Left behind: 1 outcomes that the database did not take; they are looked up."


@pytest.fixture
async def slow() -> AsyncIterator[TwilioStandIn]:
    async with TwilioStandIn(Config(accounts=accounts(), latency_ms=1_500)) as standin:
        yield standin


async def one_text_in_flight(service: Served, twilio: TwilioStandIn) -> None:
    """A text whose request has arrived and whose answer has not."""
    key = await service.set_up()
    await service.start()
    async with key as api:
        await api.ok("PUT", "/v1/sender-policy", policy(twilio.url))
        await api.ok("POST", "/v1/messages", {"to": TO, "body": "A text."})
        await until(twilio.requests, lambda seen: len(seen) == 1)


async def ended(service: Served, within_s: float) -> int:
    async with asyncio.timeout(within_s):
        return await service.stop()


async def test_it_ends_in_time_while_another_process_holds_the_database(tmp_path: Path, slow: TwilioStandIn) -> None:
    async with Served(tmp_path / "service") as service:
        await one_text_in_flight(service, slow)
        holder = sqlite3.connect(next(service.data.glob("*.db")), isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        try:
            assert await ended(service, 25) == 0
        finally:
            holder.close()
        assert LEFT in service.out.read_text()


@pytest.mark.postgres
async def test_it_ends_in_time_while_its_database_does_not_answer(
    postgres_url: str, tmp_path: Path, slow: TwilioStandIn
) -> None:
    async with Relay(postgres_url) as relay, Served(tmp_path / "service", database_url=relay.url) as service:
        await one_text_in_flight(service, slow)
        relay.fall_silent()
        assert await ended(service, 25) == 0
        assert LEFT in service.out.read_text()


@pytest.mark.postgres
async def test_a_second_signal_ends_it_at_once(postgres_url: str, tmp_path: Path, slow: TwilioStandIn) -> None:
    async with Relay(postgres_url) as relay, Served(tmp_path / "service", database_url=relay.url) as service:
        await one_text_in_flight(service, slow)
        relay.fall_silent()
        os.kill(service.pid, signal.SIGTERM)

        async def said() -> str:
            return service.out.read_text()

        await until(said, lambda out: "Otpost stops" in out)
        assert await ended(service, 5) == 1
        assert "Otpost was told twice to stop and ends at once." in service.out.read_text()
