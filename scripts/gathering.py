"""A plugin of pytest for `mutants.py`: which lines of `src` each test runs, and how long it takes."""

from __future__ import annotations

import json
import os
from collections.abc import Generator
from pathlib import Path

import coverage
import pytest

FOLDER = Path(os.environ["OTPOST_PROVE_GATHER"])
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")
_seconds: dict[str, float] = {}
_failed: set[str] = set()
_coverage = coverage.Coverage(
    data_file=str(FOLDER / f"coverage.{WORKER}"), include=[f"{os.getcwd()}/src/otpost/*"], config_file=False
)
if WORKER:
    _coverage.start()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """On PostgreSQL only where the database is the subject: the lines of everything else are the same."""
    items[:] = [one for one in items if "[postgresql" not in one.nodeid or one.nodeid.startswith("tests/store/")]


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    if WORKER:
        _coverage.switch_context(item.nodeid)
    done = yield
    if WORKER:
        _coverage.switch_context("")
    return done


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    _seconds[report.nodeid] = _seconds.get(report.nodeid, 0) + report.duration
    if report.failed:
        _failed.add(report.nodeid)


def pytest_sessionfinish() -> None:
    if WORKER:
        _coverage.stop()
        _coverage.save()
        kept = {test: took_s for test, took_s in _seconds.items() if test not in _failed}
        (FOLDER / f"seconds.{WORKER}.json").write_text(json.dumps(kept))
