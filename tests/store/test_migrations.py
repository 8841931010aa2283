"""The migrations make the schema that the code declares, whole or not at all, on both databases."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import NullPool, create_engine, inspect, text
from sqlalchemy.ext.asyncio import create_async_engine

from otpost.store.columns import metadata
from otpost.store.migrate import MIGRATIONS, DatabaseNewer, state, upgrade


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def empty_url(request, tmp_path):
    """The URL of a database without anything in it."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'new.sqlite'}"
    return request.getfixturevalue("postgres_url")


async def looked_at(url, look):
    """What `look(connection)` tells of the database."""
    if url.startswith("sqlite"):
        engine = create_engine(url, poolclass=NullPool)
        with engine.begin() as connection:
            return look(connection)
    asynchronous = create_async_engine(url.replace("postgresql:", "postgresql+asyncpg:"), poolclass=NullPool)
    async with asynchronous.begin() as connection:
        return await connection.run_sync(look)


def changed(url, *statements):
    """Run statements from outside."""

    def run(connection):
        for statement in statements:
            connection.execute(text(statement))

    asyncio.run(looked_at(url, run))


def told(url, look):
    return asyncio.run(looked_at(url, look))


def table_names(url):
    return told(url, lambda connection: set(inspect(connection).get_table_names()))


def plain(condition):
    """A condition as both databases and the declaration would write it alike."""
    return condition.replace("(", "").replace(")", "").replace("::text", "").strip()


def conditions(connection):
    """The partial indexes of the database: name to condition."""
    if connection.dialect.name == "sqlite":
        found = connection.execute(
            text("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql LIKE '% WHERE %'")
        )
    else:
        found = connection.execute(
            text("SELECT indexname, indexdef FROM pg_indexes WHERE indexdef LIKE '% WHERE %' AND schemaname = 'public'")
        )
    return {name: plain(made.partition(" WHERE ")[2]) for name, made in found}


def test_the_migrations_end_at_the_declared_schema(empty_url):
    upgrade(empty_url)
    differences = told(
        empty_url,
        lambda connection: compare_metadata(
            MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True}),
            metadata,
        ),
    )
    assert differences == []


def test_the_migrations_make_the_declared_partial_indexes(empty_url):
    upgrade(empty_url)
    for dialect in ("sqlite", "postgresql"):
        declared = {
            index.name: plain(str(index.dialect_options[dialect]["where"]))
            for table in metadata.tables.values()
            for index in table.indexes
            if index.dialect_options[dialect]["where"] is not None
        }
        assert len(declared) >= 8
        assert told(empty_url, conditions) == declared


def test_an_upgrade_of_a_current_database_changes_nothing(empty_url):
    assert state(empty_url) == "empty"
    upgrade(empty_url)
    assert state(empty_url) == "current"
    changed(empty_url, "INSERT INTO nodes VALUES ('ND1', 1, 2)")
    upgrade(empty_url)
    assert state(empty_url) == "current"
    assert told(empty_url, lambda connection: connection.execute(text("SELECT * FROM nodes")).all()) == [("ND1", 1, 2)]


def test_nodes_that_start_together_upgrade_once(empty_url):
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(upgrade, [empty_url] * 4)) == [None] * 4
    assert state(empty_url) == "current"


def test_a_database_of_a_newer_program_is_refused_and_left_as_it_is(empty_url):
    upgrade(empty_url)
    changed(empty_url, "UPDATE alembic_version SET version_num = '9999'", "DROP TABLE nodes")
    assert state(empty_url) == "newer"
    with pytest.raises(DatabaseNewer, match="newer Otpost"):
        upgrade(empty_url)
    assert "nodes" not in table_names(empty_url)


def more_migrations(folder, body):
    shutil.copytree(MIGRATIONS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "versions" / "9001_next.py").write_text(
        f'''
import sqlalchemy as sa
from alembic import op

revision = "9001"
down_revision = "{max(path.name[:4] for path in (MIGRATIONS / "versions").glob("*.py"))}"


def upgrade():
    op.create_table("additions", sa.Column("sid", sa.Text, primary_key=True))
    op.add_column("nodes", sa.Column("addition", sa.Text))
    op.execute("UPDATE nodes SET beat_at = 99")
    {body}
'''
    )
    return folder


def test_a_migration_that_fails_leaves_nothing_half_done(empty_url, tmp_path):
    upgrade(empty_url)
    changed(empty_url, "INSERT INTO nodes VALUES ('ND1', 1, 2)")
    before = table_names(empty_url)
    failing = more_migrations(tmp_path / "failing", 'op.execute("INSERT INTO nowhere VALUES (1)")')
    with pytest.raises(Exception, match="nowhere"):
        upgrade(empty_url, failing)
    assert state(empty_url) == "current"
    assert table_names(empty_url) == before
    assert told(empty_url, lambda connection: connection.execute(text("SELECT * FROM nodes")).all()) == [("ND1", 1, 2)]
    upgrade(empty_url, more_migrations(tmp_path / "repaired", "pass"))
    assert table_names(empty_url) == before | {"additions"}
    assert state(empty_url) == "newer"


def test_a_first_upgrade_that_fails_leaves_the_database_empty(empty_url, tmp_path):
    failing = more_migrations(tmp_path / "failing", 'op.execute("INSERT INTO nowhere VALUES (1)")')
    with pytest.raises(Exception, match="nowhere"):
        upgrade(empty_url, failing)
    assert state(empty_url) == "empty"
    assert table_names(empty_url) == set()


@pytest.mark.postgres
def test_the_url_may_carry_what_asyncpg_understands(postgres_url):
    upgrade(postgres_url + "?sslmode=prefer&application_name=otpost")
    assert state(postgres_url) == "current"


def test_an_embedded_database_in_use_can_be_upgraded(tmp_path):
    url = f"sqlite:///{tmp_path / 'new.sqlite'}"
    upgrade(url)
    other = sqlite3.connect(tmp_path / "new.sqlite")
    other.execute("PRAGMA journal_mode = WAL")
    upgrade(url)
    assert state(url) == "current"
    other.close()
