"""What the proofs share: a PostgreSQL server that keeps its promises across a crash, and a voice for their numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Literal

import pytest

import postgres


@pytest.fixture(scope="session")
def durable_server() -> Iterator[postgres.Cluster]:
    """A server that syncs its log before it answers a commit, as PostgreSQL does unless told otherwise."""
    with postgres.cluster(durable=True) as server:
        yield server


@pytest.fixture(scope="session")
def _durable_databases(durable_server: postgres.Cluster) -> Iterator[postgres.Databases]:
    with closing(postgres.Databases(durable_server)) as databases:
        yield databases


@pytest.fixture
def durable_url(_durable_databases: postgres.Databases) -> Iterator[str]:
    """`postgresql://…` of a new, empty database on it."""
    url = _durable_databases.create()
    yield url
    _durable_databases.give_back(url)


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
