"""The pretended Twilio, running, and a taker of its callbacks."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from standins.twilio import TwilioStandIn
from standins.twilio_asking import Receiver, accounts


@pytest.fixture(params=["in_process", pytest.param("own_process", marks=pytest.mark.process)])
async def twilio(request: pytest.FixtureRequest) -> AsyncIterator[TwilioStandIn]:
    async with TwilioStandIn(accounts(), process=request.param == "own_process") as standin:
        yield standin


@pytest.fixture
async def inner() -> AsyncIterator[TwilioStandIn]:
    async with TwilioStandIn(accounts()) as standin:
        yield standin


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    runner = web.ServerRunner(web.Server(receiver.handle))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield receiver
    await runner.cleanup()
