"""`kill -9`, lost connections and a crashed database server, in the middle of load: what was accepted is kept."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest

import postgres
from faults.load import Load, judge, kill_three_times, recipients, sender_policy, settled, stand_in, tale
from faults.losing import LosingWire
from faults.served import Api, Served, until

pytestmark = [pytest.mark.prove, pytest.mark.postgres]

Scale = Literal["small", "large"]
Tell = Callable[[str], None]
TOTAL = {"small": 160, "large": 4_000}
CRASHES = {"small": 2, "large": 12}


async def _load_with_kills(
    service: Served, name: str, total: int, *, drop_every: int | None, tell: Tell, setting_up: asyncio.Lock
) -> None:
    async def set_up() -> Api:
        # Alembic keeps the upgrade that runs in globals of the process: two at once would mix them up.
        async with setting_up:
            return await service.set_up()

    async with stand_in() as twilio, service, await set_up() as api:
        await service.start()
        await api.ok("PUT", "/v1/sender-policy", sender_policy(twilio))
        if drop_every is not None:
            await twilio.fault("close", "after", every=drop_every)
        load = Load(api, total, name)
        async with asyncio.TaskGroup() as both:
            both.create_task(load.run())
            both.create_task(kill_three_times(service, load))
        ended = time.monotonic()
        await settled(api)
        took_s = time.monotonic() - ended
        messages = await judge(load, twilio)
        assert load.lost > 0
        tell(await tale(load, api, messages, took_s))


@pytest.mark.parametrize("drop_every", [None, 10], ids=["answers_come", "every_tenth_answer_is_lost"])
async def test_three_kills_in_mid_load_lose_nothing_and_send_nothing_twice(
    tmp_path: Path, durable_url: str, prove_scale: Scale, tell: Tell, drop_every: int | None
):
    calm = drop_every is None
    how = "kill -9 three times" + ("" if calm else ", every tenth answer of Twilio lost")
    embedded = Served(tmp_path / "sqlite", public=not calm)
    shared = Served(tmp_path / "postgresql", database_url=durable_url, public=calm)
    total = TOTAL[prove_scale]
    setting_up = asyncio.Lock()
    async with asyncio.TaskGroup() as both:
        for name, service in (("SQLite", embedded), ("PostgreSQL", shared)):
            load = _load_with_kills(
                service, f"{name}, {how}", total, drop_every=drop_every, tell=tell, setting_up=setting_up
            )
            both.create_task(load)


async def test_a_crash_of_the_database_server_in_mid_load_loses_nothing(tmp_path: Path, prove_scale: Scale, tell: Tell):
    with postgres.cluster(durable=True) as server:
        service = Served(tmp_path / "service", database_url=server.url())
        async with stand_in() as twilio, service, await service.set_up() as api:
            await service.start()
            await api.ok("PUT", "/v1/sender-policy", sender_policy(twilio))
            crashes = CRASHES[prove_scale]
            load = Load(api, TOTAL[prove_scale], f"PostgreSQL's server crashed {crashes} times")
            async with asyncio.TaskGroup() as both:
                both.create_task(load.run())
                both.create_task(_crash(server, service, api, load, crashes))
            ended = time.monotonic()
            await settled(api)
            took_s = time.monotonic() - ended
            messages = await judge(load, twilio)
            tell(await tale(load, api, messages, took_s))


async def _crash(server: postgres.Cluster, service: Served, api: Api, load: Load, times: int) -> None:
    life = service.pid
    for nth in range(1, times + 1):
        await load.reached(nth / (times + 1))
        server.crash()
        await until(service.ready, lambda status: status == 503)
        refused = await api.call("POST", "/v1/verifications", {"to": next(recipients())})
        assert (refused.status, refused.json["code"]) == (503, "unavailable"), refused.text
        await asyncio.to_thread(server.start)
        await until(service.ready, lambda status: status == 200)
    assert (service.runs, service.pid) == (True, life)


async def test_an_intent_whose_commit_was_not_heard_of_is_settled_while_the_service_runs_on(
    tmp_path: Path, durable_server: postgres.Cluster, durable_url: str
):
    async with LosingWire(durable_server.port) as wire:
        through = durable_url.replace(f":{durable_server.port}/", f":{wire.port}/")
        service = Served(tmp_path / "service", database_url=through)
        async with stand_in() as twilio, service, await service.set_up() as api:
            await service.start()
            await api.ok("PUT", "/v1/sender-policy", sender_policy(twilio))
            wire.lose_next_intent()
            load = Load(api, 1, "one intent")
            await load.run()
            async with asyncio.timeout(10):
                await wire.lost.wait()
            await settled(api)
            await judge(load, twilio)
            (story,) = await api.everything("/v1/messages")
            assert [attempt["outcome"] for attempt in story["attempts"]] == ["unknown", "accepted"]
