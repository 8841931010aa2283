"""What stands between a node and its database, and can fall silent."""

from __future__ import annotations

import asyncio
import contextlib
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit, urlunsplit


class Relay:
    """Hands bytes on, both ways, until it is told to be `silent`: then connections stay and nothing comes any more."""

    def __init__(self, url: str) -> None:
        self._there = urlsplit(url)
        self._hands_on = asyncio.Event()
        self._hands_on.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.url = ""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        user, _, _ = self._there.netloc.rpartition("@")
        self.url = urlunsplit(self._there._replace(netloc=f"{user}@127.0.0.1:{port}"))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def fall_silent(self) -> None:
        self._hands_on.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        there_reader, there_writer = await asyncio.open_connection(self._there.hostname, self._there.port)
        try:
            await asyncio.gather(self._hand_on(reader, there_writer), self._hand_on(there_reader, writer))
        except asyncio.CancelledError:
            pass
        finally:
            self._tasks.discard(task)
            writer.close()
            there_writer.close()

    async def _hand_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65_536):
                await self._hands_on.wait()
                writer.write(data)
                await writer.drain()
        writer.close()
