"""One Otpost that is measured: how it is started and told to send, and the CPU that it takes."""

from __future__ import annotations

import base64
import contextlib
import json
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg

from bench.load import put_load, request
from bench.processes import command, cpu_s, free_port, otpost
from otpost.services.keyring import KeyRing

PUBLIC = "https://otpost.example"
Figures = dict[str, list[float]]


@dataclass
class Meter:
    """CPU of the processes that take part, by name."""

    pids: dict[str, int]
    before: dict[str, float] = field(default_factory=dict)

    def start(self) -> None:
        self.before = {name: cpu_s(pid) for name, pid in self.pids.items()}

    def each_us(self, count: int) -> dict[str, float]:
        """Microseconds of CPU for each of `count` operations since `start`, by process."""
        return {name: (cpu_s(pid) - self.before[name]) / count * 1e6 for name, pid in self.pids.items()}


@dataclass
class Server:
    """One Otpost with its database, kept over all rounds; `query` runs SQL that answers rows."""

    name: str
    port: int
    pid: int
    database_pid: int | None
    authorization: str
    ring: KeyRing
    query: Callable[[str], Awaitable[list[tuple[Any, ...]]]]


@contextlib.asynccontextmanager
async def server(
    name: str,
    folder: Path,
    twilio: dict[str, Any],
    url: str | None = None,
    database_pid: int | None = None,
    roles: str = "api,console,messaging",
) -> AsyncIterator[Server]:
    """A running Otpost whose policy has this Twilio section."""
    data = folder / name.replace(" ", "-")
    data.mkdir()
    if url is not None:
        command(data, url, "migrate")
    port = free_port()
    with otpost(data, url, port, PUBLIC, roles) as pid:
        key_sid, secret = command(data, url, "key", "create", "--scope", "admin").split()
        authorization = "Basic " + base64.b64encode(f"{key_sid}:{secret}".encode()).decode()
        policy = {"sender_service": "twilio", "twilio": twilio}
        saved = await put_load(port, [posted(authorization, "/v1/sender-policy", policy, "PUT")], 1)
        if saved.answers[0][0] != 200:
            raise RuntimeError(f"the policy was refused: {saved.answers[0][1].decode()}")
        ring = KeyRing.read((data / "keyring").read_text())
        if url is None:
            reader = sqlite3.connect(f"file:{data / 'otpost.db'}?mode=ro", uri=True)

            async def query(sql: str) -> list[tuple[Any, ...]]:
                return reader.execute(sql).fetchall()

            yield Server(name, port, pid, None, authorization, ring, query)
            reader.close()
            return
        connection = await asyncpg.connect(url)

        async def ask(sql: str) -> list[tuple[Any, ...]]:
            return [tuple(row) for row in await connection.fetch(sql)]

        yield Server(name, port, pid, database_pid, authorization, ring, ask)
        await connection.close()


def posted(authorization: str, path: str, body: object, method: str = "POST") -> bytes:
    """A request with a JSON body, ready to be sent."""
    headers = f"Authorization: {authorization}\r\nContent-Type: application/json\r\n"
    return request(method, path, headers, json.dumps(body).encode())
