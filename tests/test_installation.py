"""What has to be in order before a database is used: a server that is up, and sessions that are ours alone."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

import postgres
from otpost import config
from otpost.config import Config
from otpost.domain.message import Node
from otpost.installation import NotReady, migrated, opened, state_of
from otpost.store import sessions
from otpost.store.kinds import NODES
from otpost.store.units import Rows, Unit, lock
from pooler import pooler

pytestmark = pytest.mark.postgres


def on(url: str, folder: Path) -> Config:
    return config.read({"OTPOST_DATA": str(folder / "data"), "OTPOST_DATABASE_URL": url})


def seen(sid: str) -> Unit[None]:
    """A unit that writes down a node, whether it is known or not."""

    def decide(rows: Rows) -> None:
        rows.put(NODES, Node(sid, 1, 1))

    return Unit(decide, [lock(NODES, sid)])


@pytest.fixture
def late_server() -> Iterator[postgres.Cluster]:
    """A server with an empty database `otpost` that is not running."""
    with postgres.cluster() as server:
        server.run("CREATE DATABASE otpost")
        server.stop()
        yield server


async def migrate(chosen: Config, say: Callable[[str], None]) -> None:
    await migrated(chosen, say)


async def serve(chosen: Config, say: Callable[[str], None]) -> None:
    async with opened(chosen, serving=True, say=say):
        pass


async def test_a_server_that_is_not_up_yet_is_waited_for_and_a_line_says_so(
    late_server: postgres.Cluster, tmp_path: Path
) -> None:
    chosen = on(late_server.url("otpost"), tmp_path)
    starts: tuple[Callable[[Config, Callable[[str], None]], Awaitable[None]], ...] = (migrate, serve)
    for start in starts:
        said: asyncio.Queue[str] = asyncio.Queue()
        starting = asyncio.ensure_future(start(chosen, said.put_nowait))
        line = await asyncio.wait_for(said.get(), 20)
        assert line.startswith("The database is not up yet (")
        assert line.endswith("): it is waited for, 60 s at most.")
        assert not starting.done()
        late_server.start()
        await asyncio.wait_for(starting, 20)
        assert said.empty()
        late_server.stop()


async def test_a_server_that_does_not_come_up_is_told_in_the_end(free_port: int) -> None:
    said: list[str] = []
    with pytest.raises(OSError, match="Connect call failed"):
        await sessions.ready(f"postgresql://postgres@127.0.0.1:{free_port}/otpost", wait_s=1.5, say=said.append)
    assert len(said) == 1


async def test_what_no_waiting_mends_is_told_at_once(postgres_url: str, tmp_path: Path) -> None:
    said: list[str] = []
    with pytest.raises(NotReady, match=r'database "nowhere" does not exist.*check OTPOST_DATABASE_URL'):
        await state_of(on(f"{postgres_url.rpartition('/')[0]}/nowhere", tmp_path), said.append)
    assert said == []


async def test_a_pooler_in_session_mode_serves_as_the_server_itself(postgres_url: str, tmp_path: Path) -> None:
    with pooler(postgres_url, "session") as url:
        chosen = on(url, tmp_path)
        await migrated(chosen)
        # Nodes come and go: nothing that one has set for its sessions is left to the next.
        for _ in range(2):
            async with opened(chosen, serving=True) as one, opened(chosen, serving=True) as other:
                heard: asyncio.Queue[str] = asyncio.Queue()
                other.context.store.on_signal = heard.put_nowait
                await one.context.store.run(Unit(lambda rows: rows.signal("told")))
                assert await asyncio.wait_for(heard.get(), 10) == "told"
                await asyncio.gather(
                    *(here.context.store.run(seen(f"ND{n}")) for here in (one, other) for n in range(40))
                )
                assert await one.context.store.get(NODES, "ND7") == Node("ND7", 1, 1)
                await other.context.store.ping()


async def test_a_pooler_in_transaction_mode_is_refused_with_the_remedy(postgres_url: str, tmp_path: Path) -> None:
    direct = on(postgres_url, tmp_path)
    await migrated(direct)
    with pooler(postgres_url, "transaction") as url:
        chosen = dataclasses.replace(direct, database_url=url)
        for attempt in (serve(chosen, print), migrate(chosen, print), state_of(chosen)):
            with pytest.raises(NotReady, match="set pool_mode = session for Otpost's database"):
                await attempt
