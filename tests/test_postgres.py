"""Databases that are given out again know nothing of the test before."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import asyncpg
import pytest

import postgres
from otpost.store.migrate import upgrade

pytestmark = pytest.mark.postgres


@pytest.fixture
def databases(postgres_server: postgres.Cluster) -> Iterator[postgres.Databases]:
    with closing(postgres.Databases(postgres_server, "kept")) as made:
        yield made


async def test_a_database_is_given_out_again_without_its_rows_and_sessions(databases: postgres.Databases) -> None:
    template = databases.template("kept", upgrade)
    url = databases.create(template)
    left_open = await asyncpg.connect(url)
    await left_open.execute("INSERT INTO nodes (sid, started_at, beat_at) VALUES ('ND1', 1, 1)")
    await left_open.execute("BEGIN; UPDATE nodes SET beat_at = 2")
    databases.give_back(url)
    assert databases.create(template) == url
    with pytest.raises((asyncpg.PostgresError, OSError)):
        await left_open.execute("COMMIT")
    connection = await asyncpg.connect(url)
    assert await connection.fetchval("SELECT count(*) FROM nodes") == 0
    await connection.close()
    databases.give_back(url)


@pytest.mark.parametrize(
    "change",
    [
        "CREATE TABLE more (sid text)",
        "ALTER TABLE nodes ADD COLUMN more text",
        "DROP INDEX messages_due",
        "UPDATE alembic_version SET version_num = '9999'",
        "ANALYZE",
    ],
)
async def test_a_database_of_another_shape_is_not_given_out_again(databases: postgres.Databases, change: str) -> None:
    template = databases.template("kept", upgrade)
    url = databases.create(template)
    connection = await asyncpg.connect(url)
    await connection.execute(change)
    await connection.close()
    databases.give_back(url)
    another = databases.create(template)
    assert another != url
    databases.give_back(another)
