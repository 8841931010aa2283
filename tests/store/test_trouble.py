"""A disk that is full and a server that is gone: nothing is kept, the caller is told, and it heals by itself."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
import time

import pytest
from sqlalchemy import func, select

import postgres
from otpost.domain import errors
from otpost.domain.message import Node, SandboxText
from otpost.store import tables
from otpost.store.base import MESSAGES_DUE
from otpost.store.kinds import NODES, SANDBOX_TEXTS
from otpost.store.migrate import upgrade
from otpost.store.sqlite import SqliteStore
from otpost.store.units import Unit, lock

# Runs where no file may grow past a limit: the parent cannot lower its own for the sake of one test.
FULL_DISK = """
import asyncio, json, os, resource, sys
from pathlib import Path
from otpost.domain import errors
from otpost.domain.message import SandboxText
from otpost.store.kinds import SANDBOX_TEXTS
from otpost.store.sqlite import SqliteStore
from otpost.store.units import Unit

def keep(sid, size):
    return Unit(lambda rows: rows.put(SANDBOX_TEXTS, SandboxText(sid, "AC1", "+1", "x" * size, 1)))

async def told(store, names, size=20_000):
    answers = await asyncio.gather(*(store.run(keep(name, size)) for name in names), return_exceptions=True)
    return {name: type(answer).__name__ for name, answer in zip(names, answers)}

async def main(path):
    store = SqliteStore(path)
    await store.open()
    first = await told(store, ["before"])
    size = os.path.getsize(f"{path}-wal")
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 40_000, hard))
    during = await told(store, [f"during {n}" for n in range(20)])
    again = await told(store, ["again"], 60_000)
    readable = await store.get(SANDBOX_TEXTS, "before") is not None
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    after = await told(store, [f"after {n}" for n in range(20)])
    await store.close()
    print(json.dumps({"first": first, "during": during, "again": again, "readable": readable, "after": after}))

asyncio.run(main(Path(sys.argv[1])))
"""


def put(kind, row):
    return Unit(lambda rows: rows.put(kind, row))


def text_of(sid, size=100):
    # Random digits: the server would press anything simpler together.
    return put(SANDBOX_TEXTS, SandboxText(sid, "AC1", "+1", os.urandom(size // 2).hex(), 1))


async def told(store, units):
    answers = await asyncio.gather(*(store.run(unit) for unit in units), return_exceptions=True)
    return [type(answer) for answer in answers]


def test_a_full_disk_answers_unavailable_and_keeps_nothing_and_then_all_is_well_on_sqlite(sqlite_template, tmp_path):
    path = tmp_path / "otpost.sqlite"
    path.write_bytes(sqlite_template.read_bytes())
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, path], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    what = json.loads(done.stdout)
    assert what["first"] == {"before": "NoneType"}
    assert set(what["during"].values()) <= {"Unavailable", "NoneType"}
    assert "Unavailable" in what["during"].values()
    assert what["again"] == {"again": "Unavailable"}
    assert what["readable"]
    assert set(what["after"].values()) == {"NoneType"}
    answered = {
        sid for told in what.values() if isinstance(told, dict) for sid, kept in told.items() if kept == "NoneType"
    }
    connection = sqlite3.connect(path)
    assert {sid for (sid,) in connection.execute("SELECT sid FROM sandbox_texts")} == answered
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()


async def test_a_database_that_is_locked_too_long_is_unavailable_once_for_the_whole_batch(sqlite_template, tmp_path):
    path = tmp_path / "otpost.sqlite"
    path.write_bytes(sqlite_template.read_bytes())
    store = SqliteStore(path, gather_s=0.1, busy_s=0.2)
    await store.open()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    began = time.monotonic()
    answers = await told(store, [put(NODES, Node(f"ND{n}", 1, 1)) for n in range(100)])
    assert set(answers) == {errors.Unavailable}
    # One wait, or two where the units came as two batches, but not a hundred.
    assert time.monotonic() - began < 10
    other.execute("ROLLBACK")
    other.close()
    assert await told(store, [put(NODES, Node("ND1", 1, 1))]) == [type(None)]
    assert await store.select(select(tables.nodes.c.sid)) == [("ND1",)]
    await store.close()


async def test_a_file_that_is_no_database_cannot_be_opened(tmp_path, open_store):
    (tmp_path / "letter.txt").write_text("Dear Ada, " * 500)
    with pytest.raises(errors.Unavailable):
        await open_store(f"sqlite:///{tmp_path / 'letter.txt'}")


def limit_files(pids, limit):
    """How long a file these processes may write, as the user that owns them: even root may lack the right."""
    for pid in pids:
        owner = os.stat(f"/proc/{pid}")
        ids = [f"--reuid={owner.st_uid}", f"--regid={owner.st_gid}", "--clear-groups"]
        as_owner = ["setpriv", *ids] if os.geteuid() == 0 else []
        subprocess.run([*as_owner, "prlimit", f"--pid={pid}", f"--fsize={limit}:"], check=True)


@pytest.fixture(scope="module")
def own_server():
    """A server that a test may cripple."""
    with postgres.cluster(durable=True, settings=("autovacuum=off",)) as server:
        yield server


@pytest.fixture
def own_url(own_server):
    own_server.run("CREATE DATABASE otpost")
    url = own_server.url("otpost")
    upgrade(url)
    yield url
    own_server.run("DROP DATABASE otpost WITH (FORCE)")


@pytest.mark.postgres
async def test_a_table_that_cannot_grow_keeps_nothing_and_then_all_is_well_on_postgresql(
    own_server, own_url, open_store
):
    """The server's process may write no file past 16 MB: its log has such files, so only the table meets the limit."""
    store = await open_store(own_url)
    assert await told(store, [text_of(f"first {n}", 600_000) for n in range(26)]) == [type(None)] * 26
    pids = [int(pid) for pid in own_server.run("SELECT pid FROM pg_stat_activity WHERE datname = 'otpost'").split()]
    limit_files(pids, str(16 * 1024 * 1024))
    failed = await told(store, [text_of(f"second {n}", 900_000) for n in range(8)])
    assert errors.Unavailable in failed
    assert set(failed) <= {errors.Unavailable, type(None)}
    assert await store.get(SANDBOX_TEXTS, "first 0") is not None
    limit_files(pids, "unlimited")
    assert await told(store, [text_of(f"third {n}", 900_000) for n in range(8)]) == [type(None)] * 8
    kept = failed.count(type(None))
    assert await store.select(select(func.count()).select_from(tables.sandbox_texts)) == [(26 + kept + 8,)]


@pytest.mark.postgres
@pytest.mark.parametrize("end", ["crash", "stop"])
async def test_a_server_that_goes_away_is_unavailable_and_is_found_again_when_it_is_back(
    own_server, own_url, open_store, end
):
    store, other = await open_store(own_url), await open_store(own_url)
    heard: asyncio.Queue[str] = asyncio.Queue()
    other.on_signal = heard.put_nowait
    await store.run(put(NODES, Node("ND1", 1, 1)))
    getattr(own_server, end)()
    assert set(await told(store, [put(NODES, Node(f"ND{n}", 2, 2)) for n in range(2, 30)])) == {errors.Unavailable}
    for read in (store.ping(), store.get(NODES, "ND1"), store.select(select(tables.nodes))):
        with pytest.raises(errors.Unavailable):
            await read
    own_server.start()
    assert await told(store, [put(NODES, Node("ND30", 3, 3))]) == [type(None)]
    await store.ping()
    assert await store.select(select(tables.nodes.c.sid).order_by(tables.nodes.c.sid)) == [("ND1",), ("ND30",)]
    # The other store has missed what was told meanwhile, and looks for itself.
    assert await heard.get() == MESSAGES_DUE
    await store.run(Unit(lambda rows: rows.signal("after")))
    assert await heard.get() == "after"


@pytest.mark.postgres
async def test_a_session_that_is_ended_in_the_middle_of_a_unit_is_unavailable_and_keeps_nothing(
    own_server, own_url, open_store
):
    store = await open_store(own_url)
    await store.run(put(NODES, Node("ND1", 1, 1)))

    def decide(rows):
        row = rows.get(NODES, "ND1")
        own_server.run("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE relation = 'nodes'::regclass", "otpost")
        rows.put(NODES, Node(row.sid, 9, 9))

    with pytest.raises(errors.Unavailable):
        await store.run(Unit(decide, [lock(NODES, "ND1")]))
    assert await store.get(NODES, "ND1") == Node("ND1", 1, 1)
    await store.run(put(NODES, Node("ND2", 2, 2)))


@pytest.mark.postgres
async def test_a_server_that_is_not_there_cannot_be_opened(free_port, open_store):
    with pytest.raises(errors.Unavailable):
        await open_store(f"postgresql://postgres@127.0.0.1:{free_port}/otpost")
