"""Where the matrix runs: every service on SQLite, and some, or in the long proof all, on PostgreSQL too."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from matrix.vendors import CALLING
from otpost.store.migrate import upgrade

ON_POSTGRESQL = CALLING if os.environ.get("OTPOST_PROVE_SCALE") == "large" else ["twilio", "vonage"]
"""One that lists its messages and signs its reports, and one that does neither."""

ON_IT = pytest.mark.postgres
PLACES = [
    *(pytest.param(("sqlite", name), id=f"{name}-sqlite") for name in CALLING),
    *(
        pytest.param(("postgresql", name), id=f"{name}-postgresql", marks=pytest.mark.postgres)
        for name in ON_POSTGRESQL
    ),
]


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest) -> tuple[str, str]:
    """A database and a service."""
    database, name = request.param
    return str(database), str(name)


@pytest.fixture
def name(place: tuple[str, str]) -> str:
    """The service that sends."""
    return place[1]


@pytest.fixture
def database_url(place: tuple[str, str], request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database of this program's schema, new for each test."""
    if place[0] == "sqlite":
        path = tmp_path / "otpost.sqlite"
        shutil.copyfile(request.getfixturevalue("sqlite_template"), path)
        return f"sqlite:///{path}"
    template: Any = request.getfixturevalue("postgres_template")("otpost", upgrade)
    return str(request.getfixturevalue("postgres_database")(template))
