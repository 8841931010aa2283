"""A service that must not run does not: it ends, and says in one line what to do."""

from __future__ import annotations

import asyncio
import base64
import socket
import sqlite3
from pathlib import Path

import pytest

import postgres
from faults.served import Ended, Served

pytestmark = pytest.mark.prove


async def _refused(service: Served, **environment: str) -> str:
    """What `otpost serve` says on stderr, in one line, when it refuses to start."""
    async with asyncio.timeout(60):
        ended: Ended = await service.command("serve", **environment)
    assert (ended.code, ended.out) == (1, "")
    (line,) = ended.err.splitlines()
    return line


async def test_a_second_service_on_the_same_embedded_database_is_refused_and_the_first_one_goes_on(tmp_path: Path):
    async with Served(tmp_path / "service") as service:
        await service.start()
        line = await _refused(service, OTPOST_LISTEN=f"127.0.0.1:{postgres.free_port()}")
        assert line == (
            f"otpost: Another otpost is serving {service.data / 'otpost.db'}: stop it first, or give this one another "
            "OTPOST_DATA."
        )
        assert await service.ready() == 200
        await service.kill()
        await service.start()
        assert await service.stop() == 0


async def test_a_port_in_use_is_refused_and_named(tmp_path: Path, free_port: int):
    with socket.socket() as other:
        other.bind(("127.0.0.1", free_port))
        other.listen()
        line = await _refused(Served(tmp_path / "service", port=free_port))
    assert line == (
        f"otpost: OTPOST_LISTEN: 127.0.0.1:{free_port} cannot be listened on (Address already in use): choose another "
        "address or port."
    )


NEWER = "otpost: The database was written by a newer Otpost; install that version, or restore an older backup."


async def test_an_embedded_database_newer_than_the_program_is_refused_and_left_as_it_is(tmp_path: Path):
    service = Served(tmp_path / "service")
    await service.set_up()
    database = sqlite3.connect(service.data / "otpost.db")
    database.execute("UPDATE alembic_version SET version_num = '9999'")
    database.commit()
    database.close()
    before = (service.data / "otpost.db").read_bytes()
    assert await _refused(service) == NEWER
    migrate = await service.command("migrate")
    assert (migrate.code, migrate.err.strip()) == (1, NEWER)
    assert (service.data / "otpost.db").read_bytes() == before


@pytest.mark.postgres
async def test_a_shared_database_newer_than_the_program_is_refused(
    tmp_path: Path, postgres_server: postgres.Cluster, postgres_url: str
):
    service = Served(tmp_path / "service", database_url=postgres_url)
    await service.set_up()
    postgres_server.run("UPDATE alembic_version SET version_num = '9999'", postgres_url.rpartition("/")[2])
    assert await _refused(service) == NEWER
    migrate = await service.command("migrate")
    assert (migrate.code, migrate.err.strip()) == (1, NEWER)


@pytest.mark.postgres
async def test_a_shared_database_without_tables_is_refused_and_the_command_is_named(tmp_path: Path, postgres_url: str):
    line = await _refused(Served(tmp_path / "service", database_url=postgres_url))
    assert line == "otpost: The database has no tables yet: run `otpost migrate`."


async def test_a_key_ring_without_a_key_in_use_is_refused_and_the_key_is_named(tmp_path: Path):
    service = Served(tmp_path / "service")
    await service.set_up()
    file = service.data / "keyring"
    own = file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
    other = "k2:" + base64.b64encode(bytes(32)).decode()

    file.write_text(other)
    assert await _refused(service) == (
        "otpost: The database uses the key 'k1', which the key ring lacks: copy its line from where Otpost ran before."
    )
    file.write_text(other.replace("k2", "k1"))
    assert await _refused(service) == (
        "otpost: The key 'k1' is not the one that the database was written with: put the former line back."
    )
    file.unlink()
    assert await _refused(service) == (
        "otpost: There is no key ring, but the database was written with the key k1: copy the key ring from where "
        f"Otpost ran before to {file} (mode 0600), or set OTPOST_MASTER_KEY."
    )
    assert not file.exists()

    file.touch(0o600)
    file.write_text(f"{other}\n{own}")
    async with service:
        await service.start()
        assert await service.stop() == 0
