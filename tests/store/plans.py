"""Questions to a database from outside the store, for tests that look at its plans."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any

import asyncpg


async def asked(url: str, statement: str, *values: Any) -> str:
    """The answer of the database as one text, asked for from outside the store."""
    if url.startswith("sqlite"):
        connection = sqlite3.connect(url.removeprefix("sqlite:///"))
        named = values[0] if values and isinstance(values[0], Mapping) else values
        lines = [str(row[-1]) for row in connection.execute(statement, named)]
        connection.close()
    else:
        session = await asyncpg.connect(url)
        lines = [str(row[0]) for row in await session.fetch(statement, *values)]
        await session.close()
    return "\n".join(lines)
