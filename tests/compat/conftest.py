"""A running Otpost, and each official SDK in turn to drive it: twilio-python on SQLite, twilio-node on PostgreSQL."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from compat.sdks import Node, Python, Sdk
from compat.served import Served, address, serving
from installation import Installation
from otpost.store.migrate import upgrade


@pytest.fixture(params=["python", pytest.param("node", marks=[pytest.mark.postgres, pytest.mark.process])])
def driver(request: pytest.FixtureRequest) -> str:
    """Which SDK drives; what it meets depends on the database no more than on the SDK, so each has one of its own."""
    return str(request.param)


@pytest.fixture
def database_url(driver: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if driver == "node":
        template = request.getfixturevalue("postgres_template")("otpost", upgrade)
        return str(request.getfixturevalue("postgres_database")(template))
    path = tmp_path / "otpost.sqlite"
    shutil.copyfile(request.getfixturevalue("sqlite_template"), path)
    return f"sqlite:///{path}"


@pytest.fixture(scope="session")
def node() -> Iterator[Node]:
    with Node() as sdk:
        yield sdk


@pytest.fixture
async def served(otpost: Installation) -> AsyncIterator[Served]:
    with address() as (own, url):
        async with serving(otpost, own, url) as made:
            yield made


@pytest.fixture
def unconnected(driver: str, request: pytest.FixtureRequest) -> Sdk:
    """One SDK after the other, not yet told of any address."""
    sdk: Sdk = Python() if driver == "python" else request.getfixturevalue("node")
    return sdk


@pytest.fixture
async def sdk(unconnected: Sdk, served: Served) -> Sdk:
    """The same with an API key of the tenant of `served`."""
    await unconnected.connect(served.url, served.key.key.sid, served.key.secret, served.account)
    return unconnected
