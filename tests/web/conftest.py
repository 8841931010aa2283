"""Consoles for the tests of pages."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from installation import installed
from otpost.store.base import Store
from otpost.store.sqlite import SqliteStore
from web.browsing import Console


@pytest.fixture
async def console(store: Store) -> AsyncIterator[Console]:
    """A console on a new database of each kind, without a user."""
    async with installed(store) as here:
        yield Console(here, None)


@pytest.fixture
async def small_store(sqlite_template: Path, tmp_path: Path) -> AsyncIterator[Store]:
    """A new SQLite database, for what the database does not matter to."""
    path = tmp_path / "small.sqlite"
    shutil.copyfile(sqlite_template, path)
    store = SqliteStore(path)
    await store.open()
    yield store
    await store.close()


@pytest.fixture
async def small_console(small_store: Store) -> AsyncIterator[Console]:
    """A console on SQLite alone, without a user."""
    async with installed(small_store) as here:
        yield Console(here, None)


@pytest.fixture
async def public_small_console(small_store: Store) -> AsyncIterator[Console]:
    """The same behind https://otp.example."""
    async with installed(small_store) as here:
        yield Console(here, "https://otp.example")
