"""What every test can ask for, and the rules of a run: nothing is skipped, nothing of the caller's set-up leaks in."""

from __future__ import annotations

import gc
import logging
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Literal, TypeAlias

import hypothesis
import pytest

import bytecode  # noqa: F401  # before all that is to be kept
import postgres
from installation import Installation, installed
from otpost.store.base import Store
from otpost.store.migrate import upgrade
from otpost.store.postgresql import PostgresStore
from otpost.store.sqlite import SqliteStore

PostgresTemplate: TypeAlias = Callable[[str, Callable[[str], None]], str]
PostgresDatabase: TypeAlias = Callable[..., str]
OpenStore: TypeAlias = Callable[[str], Awaitable[Store]]

# Two busy cores make any single example slow now and then.
hypothesis.settings.register_profile("otpost", deadline=None, print_blob=True)
hypothesis.settings.load_profile("otpost")


def pytest_configure() -> None:
    for name in [name for name in os.environ if name.startswith("OTPOST_") and not name.startswith("OTPOST_PROVE_")]:
        del os.environ[name]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "postgres_server" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.postgres)


class LoopErrors(logging.Filter):
    """What event loops complain of where nobody hears it: exceptions never retrieved, tasks destroyed while pending.

    A filter and no handler, for `telemetry.configure` takes the handlers away.
    """

    def __init__(self) -> None:
        super().__init__()
        self.told: list[str] = []

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno >= logging.ERROR:
            self.told.append(logging.Formatter().format(record))
        return True

    def raise_if_told(self) -> None:
        told, self.told = self.told, []
        if told:
            pytest.fail("the event loop logged an error:\n" + "\n".join(told), pytrace=False)


_loop_errors = LoopErrors()
logging.getLogger("asyncio").addFilter(_loop_errors)


def pytest_runtest_setup() -> None:
    # A test before this one may have told the program's own commands to be quiet.
    logging.getLogger().setLevel(logging.WARNING)
    logging.getLogger("asyncio").setLevel(logging.NOTSET)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None]:
    """Fails the test that has made an event loop complain, also while its fixtures end."""
    yield
    if nextitem is None:
        gc.collect()
    _loop_errors.raise_if_told()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped:
        reason = getattr(report, "wasxfail", None) or report.longrepr
        report.__dict__.pop("wasxfail", None)
        report.outcome = "failed"
        report.longrepr = f"No test is skipped or expected to fail here: {reason}"
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if report.skipped:
        report.outcome = "failed"
        report.longrepr = f"No test module is skipped here: {report.longrepr}"
    return report


@pytest.fixture
def free_port() -> int:
    """A TCP port of 127.0.0.1 that nothing listens on."""
    return postgres.free_port()


@pytest.fixture(scope="session")
def prove_scale() -> Literal["small", "large"]:
    """How much a proof does: `small` in the gate, `large` under `make prove`."""
    return "large" if os.environ.get("OTPOST_PROVE_SCALE") == "large" else "small"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[postgres.Cluster]:
    """The session's PostgreSQL server, started by the first test that asks; fast, and not durable.

    A test of crashes makes its own: `with postgres.cluster(durable=True) as server`.
    """
    with postgres.cluster() as server:
        yield server


@pytest.fixture(scope="session")
def _postgres_databases(postgres_server: postgres.Cluster) -> Iterator[postgres.Databases]:
    with closing(postgres.Databases(postgres_server)) as databases:
        yield databases


@pytest.fixture(scope="session")
def postgres_template(_postgres_databases: postgres.Databases) -> PostgresTemplate:
    """`postgres_template(name, initialise)` names a template whose tables `initialise(url)` makes once in the session.

    Pass what it answers to `postgres_database`; `initialise` must leave no connection open.
    """
    return _postgres_databases.template


@pytest.fixture
def postgres_database(_postgres_databases: postgres.Databases) -> Iterator[PostgresDatabase]:
    """`postgres_database(template)` answers the URL of a copy without rows, `postgres_database()` of an empty database.

    All are given back after the test: copies are wiped for the next, the others dropped.
    """
    made: list[str] = []

    def create(*template: str) -> str:
        url = _postgres_databases.create(*template)
        made.append(url)
        return url

    yield create
    for url in made:
        _postgres_databases.give_back(url)


@pytest.fixture
def postgres_url(postgres_database: PostgresDatabase) -> str:
    """`postgresql://…` of a new, empty database, dropped after the test."""
    return postgres_database()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file of this program's schema and nothing else, to be copied."""
    path = tmp_path_factory.mktemp("template") / "otpost.sqlite"
    upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """`sqlite:///…` or `postgresql://…` of a database of this program's schema, without a row."""
    if request.param == "sqlite":
        path = tmp_path / "otpost.sqlite"
        shutil.copyfile(request.getfixturevalue("sqlite_template"), path)
        return f"sqlite:///{path}"
    template = request.getfixturevalue("postgres_template")("otpost", upgrade)
    return str(request.getfixturevalue("postgres_database")(template))


@pytest.fixture
async def open_store() -> AsyncIterator[OpenStore]:
    """`await open_store(url)` opens a store on a database that may have others; all are closed after the test."""
    opened: list[Store] = []

    async def open_one(url: str) -> Store:
        path = url.removeprefix("sqlite:///")
        store = PostgresStore(url) if path == url else SqliteStore(Path(path))
        await store.open()
        opened.append(store)
        return store

    yield open_one
    for store in opened:
        await store.close()


@pytest.fixture
async def store(database_url: str, open_store: OpenStore) -> Store:
    """A new database of this program's schema, opened; each test runs once on SQLite and once on PostgreSQL."""
    return await open_store(database_url)


@pytest.fixture
async def otpost(store: Store) -> AsyncIterator[Installation]:
    """A running installation, once on SQLite and once on PostgreSQL."""
    async with installed(store) as made:
        yield made
