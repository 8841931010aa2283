"""Brings a database to this program's schema, and tells how the two stand to each other."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Final, Literal

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, event
from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

MIGRATIONS = Path(__file__).parent / "migrations"

FAILURES: Final = (SQLAlchemyError, sqlite3.Error, asyncpg.PostgresError, asyncpg.InterfaceError, OSError, ValueError)
"""What stands in the way of a database that cannot be reached or used."""

State = Literal["empty", "behind", "current", "newer"]


def upgrade(url: str, migrations: Path = MIGRATIONS) -> None:
    """Bring the database to this program's schema; all migrations of a call share one transaction.

    Not to be called from a running event loop. `url` is `sqlite:///…` or `postgresql://…`. Raises
    `DatabaseNewer` where the database is ahead of the program.
    """
    _run(url, lambda connection: _upgrade(connection, migrations))


def state(url: str) -> State:
    """How the database stands to this program: `newer` must not be written to."""
    found: list[State] = []
    _run(url, lambda connection: found.append(_state(connection, MIGRATIONS)))
    return found[0]


class DatabaseNewer(Exception):
    """The database was written by a newer Otpost; install that version, or restore an older backup."""

    def __init__(self) -> None:
        super().__init__((type(self).__doc__ or "").strip())


def _run(url: str, work: object) -> None:
    assert callable(work)
    if url.startswith("sqlite"):
        engine = create_engine(url, poolclass=NullPool)
        _transactional(engine)
        with engine.begin() as connection:
            work(connection)
        engine.dispose()
        return

    async def on_server() -> None:
        # asyncpg reads the URL as it does for the store; SQLAlchemy would not know all of its parameters.
        asynchronous = create_async_engine(
            "postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(url), poolclass=NullPool
        )
        async with asynchronous.begin() as connection:
            await connection.run_sync(work)
        await asynchronous.dispose()

    asyncio.run(on_server())


def _transactional(engine: Engine) -> None:
    """Let SQLite's schema changes be part of the transaction, so that a failed migration leaves nothing behind."""

    @event.listens_for(engine, "connect")
    def connected(connection: object, record: object) -> None:
        connection.isolation_level = None  # type: ignore[attr-defined]  # the sqlite3 connection below SQLAlchemy

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _config(migrations: Path, connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(migrations).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def _upgrade(connection: Connection, migrations: Path) -> None:
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7075647374)")
    if _state(connection, migrations) == "newer":
        raise DatabaseNewer
    command.upgrade(_config(migrations, connection), "head")


def _state(connection: Connection, migrations: Path) -> State:
    script = ScriptDirectory.from_config(_config(migrations))
    current = MigrationContext.configure(connection).get_current_revision()
    if current is None:
        return "empty"
    if current == script.get_current_head():
        return "current"
    known = {revision.revision for revision in script.walk_revisions()}
    return "behind" if current in known else "newer"
