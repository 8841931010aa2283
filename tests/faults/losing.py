"""A wire between Otpost and PostgreSQL that can lose the answer to a commit, which is when nobody knows what holds."""

from __future__ import annotations

import asyncio
import re
from types import TracebackType
from typing import Self

_BEGIN, _COMMIT = b"BEGIN;", b"COMMIT;"
_ATTEMPT = re.compile(rb"AT[0-9a-f]{32}")


class LosingWire:
    """Passes bytes on between a port of its own and the server's.

    After `lose_next_intent` the next transaction that writes an attempt commits, and its connection breaks before
    Otpost hears of it; `lost` is set then.
    """

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._armed = False
        self._connections: set[asyncio.Task[None]] = set()
        self.lost = asyncio.Event()
        self.port = 0

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self._listener.wait_closed()

    def lose_next_intent(self) -> None:
        self._armed = True

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._server_port)
            back = asyncio.create_task(self._pass_back(server_reader, writer))
            try:
                await self._pass_on(reader, server_reader, server_writer, back)
            finally:
                back.cancel()
                await asyncio.gather(back, return_exceptions=True)
                server_writer.close()
        except OSError:
            pass
        finally:
            writer.close()
            self._connections.discard(task)

    async def _pass_on(
        self,
        reader: asyncio.StreamReader,
        server_reader: asyncio.StreamReader,
        server_writer: asyncio.StreamWriter,
        back: asyncio.Task[None],
    ) -> None:
        writes_attempt = False
        while chunk := await reader.read(65_536):
            if _BEGIN in chunk:
                writes_attempt = False
            writes_attempt = writes_attempt or bool(_ATTEMPT.search(chunk))
            loses = self._armed and writes_attempt and _COMMIT in chunk
            if loses:
                self._armed = False
                back.cancel()
                await asyncio.gather(back, return_exceptions=True)
            server_writer.write(chunk)
            await server_writer.drain()
            if loses:
                await server_reader.read(65_536)
                self.lost.set()
                return

    async def _pass_back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(65_536):
            writer.write(chunk)
            await writer.drain()
        writer.close()
