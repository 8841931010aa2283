"""What the proofs share: a PostgreSQL server that keeps its promises across a crash, and a voice for their numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

import pytest

import postgres


@pytest.fixture(scope="session")
def durable_server() -> Iterator[postgres.Cluster]:
    """A server that syncs its log before it answers a commit, as PostgreSQL does unless told otherwise."""
    with postgres.cluster(durable=True) as server:
        yield server


@pytest.fixture
def durable_url(durable_server: postgres.Cluster) -> Iterator[str]:
    """`postgresql://…` of a new, empty database on it."""
    databases = postgres.Databases(durable_server)
    databases._made = sum(1 for _ in durable_server.run("SELECT 1 FROM pg_database").splitlines())
    url = databases.create()
    yield url
    databases.drop(url)


@pytest.fixture
def tell(prove_scale: Literal["small", "large"], capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Prints a line that stands in the proof's evidence."""

    def told(line: str) -> None:
        if prove_scale == "large":
            with capsys.disabled():
                print(f"\n{line}", flush=True)
        else:
            print(line)

    return told
