from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import re
import socket
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from sqlalchemy import func, literal, select, update

import postgres
from installation import LOOPBACK, until
from messaging.through_twilio import accounts, policy
from otpost import config, doctor
from otpost.app import App, first_user_link, lacks_user, running
from otpost.config import Config, Listen
from otpost.domain.phone import trusted
from otpost.installation import InUse, NotReady, migrated, opened, store_of
from otpost.server import Asgi, Message, bound, listening
from otpost.services.audit import command_line_actor
from otpost.services.messages.send import send_message
from otpost.services.policy import draft, revisions
from otpost.services.policy.plan import Plans
from otpost.services.tenants.keys import make_key
from otpost.services.tenants.tenants import make_default_tenant
from otpost.services.tenants.users import make_user
from otpost.store import tables
from otpost.store.base import rows_of
from otpost.store.clocks import DatabaseClock, wall
from otpost.store.kinds import API_KEYS, ATTEMPTS, TENANTS
from standins.receiver import receiving
from standins.twilio import TwilioStandIn


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
async def chosen(request: pytest.FixtureRequest, tmp_path: Path, free_port: int) -> Config:
    environment = {"OTPOST_DATA": str(tmp_path / "data"), "OTPOST_LISTEN": f"127.0.0.1:{free_port}"}
    if request.param == "postgresql":
        environment["OTPOST_DATABASE_URL"] = request.getfixturevalue("postgres_url")
    made = config.read(environment)
    if request.param == "postgresql":
        await migrated(made)
    return made


@pytest.fixture
def embedded(tmp_path: Path, free_port: int) -> Config:
    return config.read({"OTPOST_DATA": str(tmp_path / "data"), "OTPOST_LISTEN": f"127.0.0.1:{free_port}"})


@contextlib.asynccontextmanager
async def serving(chosen: Config) -> AsyncIterator[App]:
    async with contextlib.AsyncExitStack() as held:
        here = await held.enter_async_context(opened(chosen, serving=True))
        own = held.enter_context(bound(chosen.listen, "OTPOST_LISTEN"))
        app = await held.enter_async_context(running(here))
        await held.enter_async_context(listening(app.asgi, own))
        yield app


async def test_a_running_service_answers_and_is_ready(chosen: Config) -> None:
    async with serving(chosen) as app, aiohttp.ClientSession(chosen.listen.url) as http:
        assert app.messaging is not None
        assert await app.ready() == {}
        for path, status in (("/healthz", 200), ("/readyz", 200), ("/openapi.json", 200), ("/v1/sender-policy", 401)):
            async with http.get(path) as answer:
                assert answer.status == status, path
                assert "server" not in answer.headers


async def test_a_running_service_posts_to_webhooks(chosen: Config) -> None:
    chosen = dataclasses.replace(chosen, outbound_allow=tuple(LOOPBACK))
    async with serving(chosen) as app, receiving() as receiver, aiohttp.ClientSession(chosen.listen.url) as http:
        (tenant,) = await rows_of(app.context.store, TENANTS, select(tables.tenants))
        made = await app.context.store.run(
            make_key(app.context, command_line_actor(tenant.sid), "admin", tenant.default_application, "")
        )
        http.headers["Authorization"] = f"Bearer {made.key.sid}.{made.secret}"
        async with http.put("/v1/sender-policy", json={"sender_service": "sandbox"}) as saved:
            assert saved.status == 200
        webhook = {"url": receiver.url, "events": ["verification.canceled"]}
        async with http.post(f"/v1/applications/{tenant.default_application}/webhooks", json=webhook) as answer:
            secret = (await answer.json())["secret"]
        async with http.post("/v1/verifications", json={"to": "+15005550006"}) as answer:
            sid = (await answer.json())["sid"]
        async with http.post(f"/v1/verifications/{sid}/cancel"):
            pass
        (got,) = await receiver.wait_for(1)
        assert got.proven(secret)["data"]["sid"] == sid


async def test_a_service_that_stops_has_written_down_when_its_keys_were_used(chosen: Config) -> None:
    async with serving(chosen) as app, aiohttp.ClientSession(chosen.listen.url) as http:
        tenant = await app.context.store.run(make_default_tenant(app.context))
        made = await app.context.store.run(make_key(app.context, command_line_actor(tenant.sid), "admin", None, ""))
        async with http.get("/v1/keys", headers={"Authorization": f"Bearer {made.key.sid}.{made.secret}"}) as answer:
            assert answer.status == 200
    async with opened(chosen) as here:
        row = await here.context.store.get(API_KEYS, made.key.sid)
        assert row is not None
        assert row.last_used_at is not None
        assert row.last_used_at % 60_000 == 0


async def test_a_messaging_service_that_stands_still_is_not_ready(chosen: Config) -> None:
    async with serving(chosen) as app:
        assert app.messaging is not None
        clock = DatabaseClock(monotonic=lambda: app.context.clock.monotonic() + 60_000)
        later = dataclasses.replace(app.context, clock=clock)
        late = dataclasses.replace(app, context=later)
        assert await late.ready() == {"messaging": "The messaging service has not come round for 15 s."}


async def test_two_nodes_whose_clocks_differ_by_a_minute_send_each_text_once(postgres_url: str, tmp_path: Path) -> None:
    chosen = config.read(
        {
            "OTPOST_DATA": str(tmp_path / "data"),
            "OTPOST_DATABASE_URL": postgres_url,
            "OTPOST_OUTBOUND_ALLOW": "127.0.0.0/8",
        }
    )
    await migrated(chosen)
    async with (
        TwilioStandIn(accounts()) as twilio,
        opened(chosen, serving=True) as here,
        opened(chosen, serving=True, wall=lambda: wall() + 60_000) as there,
        running(here) as one,
        running(there) as other,
    ):
        context, tenant = here.context, here.tenant
        await context.store.run(revisions.save(context, command_line_actor(tenant.sid), draft.read(policy(twilio.url))))
        for place in range(30):
            to = trusted(f"+1415555{place + 600:04d}")
            await context.store.run(
                send_message(context, Plans(context), tenant.sid, tenant.default_application, to, "A text.", 600)
            )
        rows = await until(
            lambda: rows_of(context.store, ATTEMPTS, select(tables.attempts)),
            lambda rows: len(rows) >= 30 and all(row.outcome is not None for row in rows),
        )
        assert Counter(row.outcome for row in rows) == {"accepted": 30}
        assert len(await twilio.messages()) == 30
        assert await one.ready() == {}
        ((part, told),) = (await other.ready()).items()
        assert part == "clock"
        environment = {"OTPOST_DATA": str(tmp_path / "data"), "OTPOST_DATABASE_URL": postgres_url}
        found = await doctor.examine(environment, wall=lambda: wall() + 60_000)
        (clock,) = [finding for finding in found if finding.what.startswith("clock")]
        assert clock.level == "warn"
        assert clock.what.startswith("clock: the clock of this machine is ")
        assert re.fullmatch(r"The clock of this machine is (59|60)\.\d s ahead of the database's\.", told)


async def test_a_key_ring_that_does_not_fit_is_not_ready(chosen: Config) -> None:
    async with serving(chosen) as app:
        await app.context.store.sweep(update(tables.key_checks).values(check_value="0" * 32))
        assert list(await app.ready()) == ["key_ring"]


async def test_a_database_that_is_gone_is_not_ready(postgres_url: str, tmp_path: Path, free_port: int) -> None:
    chosen = config.read(
        {
            "OTPOST_DATA": str(tmp_path / "data"),
            "OTPOST_LISTEN": f"127.0.0.1:{free_port}",
            "OTPOST_DATABASE_URL": postgres_url,
            "OTPOST_ROLES": "api",
        }
    )
    await migrated(chosen)
    async with serving(chosen) as app:
        assert app.messaging is None
        assert await app.ready() == {}
        closed = store_of(chosen)
        await closed.open()
        await closed.close()
        gone = dataclasses.replace(app, context=dataclasses.replace(app.context, store=closed))
        assert await gone.ready() == {"database": "The database cannot take this right now."}


async def test_a_node_without_the_api_has_nothing_but_its_health(embedded: Config) -> None:
    chosen = dataclasses.replace(embedded, roles=frozenset({"messaging"}))
    async with serving(chosen), aiohttp.ClientSession(chosen.listen.url) as http:
        for path, status in (("/healthz", 200), ("/readyz", 200), ("/v1/verifications", 404), ("/openapi.json", 404)):
            async with http.get(path) as answer:
                assert answer.status == status, path


async def test_one_process_serves_an_embedded_database_and_commands_work_beside_it(embedded: Config) -> None:
    async with opened(embedded, serving=True):
        with pytest.raises(InUse, match="Another otpost is serving"):
            async with opened(embedded, serving=True):
                pass
        async with opened(embedded) as beside:
            unit = make_key(beside.context, command_line_actor(beside.tenant.sid), "admin", None, "")
            assert (await beside.context.store.run(unit)).secret
    async with opened(embedded, serving=True):
        pass


async def test_several_nodes_share_a_database_on_a_server(postgres_url: str, tmp_path: Path) -> None:
    chosen = config.read({"OTPOST_DATA": str(tmp_path / "data"), "OTPOST_DATABASE_URL": postgres_url})
    await migrated(chosen)
    async with opened(chosen, serving=True) as one, opened(chosen, serving=True) as other:
        assert one.tenant == other.tenant


async def test_nodes_that_start_at_once_on_a_new_server_agree_on_one_key_ring(
    postgres_url: str, tmp_path: Path
) -> None:
    nodes = [
        config.read({"OTPOST_DATA": str(tmp_path / name), "OTPOST_DATABASE_URL": postgres_url})
        for name in ("one", "two", "three")
    ]
    await migrated(nodes[0])

    async def start(chosen: Config) -> bool:
        try:
            async with opened(chosen):
                return True
        except NotReady:
            return False

    started = await asyncio.gather(*map(start, nodes))
    assert started.count(True) == 1
    assert [chosen.key_ring_file.exists() for chosen in nodes] == started


async def test_a_new_installation_is_set_up_once_however_many_come_at_once(embedded: Config) -> None:
    async def start() -> str:
        async with opened(embedded) as here:
            return here.tenant.sid

    assert len(set(await asyncio.gather(*(start() for _ in range(5))))) == 1


async def test_the_first_users_link_is_made_while_there_is_no_user(embedded: Config) -> None:
    async with opened(embedded) as here:
        assert await lacks_user(here)
        link = await first_user_link(here)
        assert link.startswith(f"{embedded.listen.url}/sign-in?link=")
        token = link.partition("link=")[2]
        (row,) = await here.context.store.select(select(*tables.sign_in_links.columns))
        assert token not in repr(row)
        without = dataclasses.replace(here, config=dataclasses.replace(embedded, roles=frozenset({"api"})))
        assert not await lacks_user(without)
        await here.context.store.run(make_user(here.context, command_line_actor(here.tenant.sid), "ada", None))
        assert not await lacks_user(here)


async def test_a_request_under_way_is_answered_before_the_service_stops() -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow(scope: Message, receive: object, send: object) -> None:
        begun.set()
        await go_on.wait()
        assert callable(send)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
        await send({"type": "http.response.body", "body": b"done"})

    listen = Listen("127.0.0.1", postgres.free_port())
    asgi: Asgi = slow
    async with aiohttp.ClientSession() as http:
        with bound(listen, "OTPOST_LISTEN") as own:
            async with listening(asgi, own):

                async def ask() -> str:
                    async with http.get(listen.url) as answer:
                        return await answer.text()

                asked = asyncio.create_task(ask())
                await begun.wait()
                asyncio.get_running_loop().call_later(0.2, go_on.set)
        assert await asked == "done"
        with pytest.raises(aiohttp.ClientConnectorError):
            await http.get(listen.url)


async def test_a_port_in_use_is_told_by_the_name_of_its_variable(free_port: int) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", free_port))
        taken.listen()
        with (
            pytest.raises(NotReady, match=rf"^OTPOST_LISTEN: 127\.0\.0\.1:{free_port} cannot be listened on"),
            bound(Listen("127.0.0.1", free_port), "OTPOST_LISTEN"),
        ):
            pass


async def test_an_address_of_another_machine_is_refused(free_port: int) -> None:
    with (
        pytest.raises(NotReady, match=r"^OTPOST_LISTEN: 192\.0\.2\.1:\d+ cannot be listened on"),
        bound(Listen("192.0.2.1", free_port), "OTPOST_LISTEN"),
    ):
        pass


async def test_health_is_told_while_lists_are_read(chosen: Config) -> None:
    """Lists that take seconds, more of them than are read at once."""
    async with serving(chosen) as app, aiohttp.ClientSession(chosen.listen.url) as http:
        series = select(literal(1).label("n")).cte("series", recursive=True)
        series = series.union_all(select(series.c.n + 1).where(series.c.n < 700_000))
        slow = [asyncio.create_task(app.context.store.select(select(func.sum(series.c.n)))) for _ in range(6)]
        await asyncio.sleep(0)
        answered = []
        while not any(task.done() for task in slow):
            began = asyncio.get_running_loop().time()
            async with http.get("/readyz") as answer:
                answered.append((answer.status, await answer.json()))
            assert asyncio.get_running_loop().time() - began < 2
        assert answered
        assert answered == [(200, {"status": "ready"})] * len(answered)
        for task in slow:
            task.cancel()
        await asyncio.gather(*slow, return_exceptions=True)
