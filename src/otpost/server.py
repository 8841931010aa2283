"""The listening sockets, and the HTTP server on them."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping
from typing import Any, Final

import uvicorn

from otpost.config import DEFAULT_KEEP_ALIVE_S, Listen
from otpost.connection import CONNECTIONS, Connection, Walls
from otpost.installation import NotReady

STOPS_IN_S: Final = 13
"""How long requests under way may take to end once the service stops."""
BACKLOG: Final = 2_048
OWN_FILES: Final = 256
"""File descriptors that are kept for what is no client: databases, outgoing connections, files."""

Message = MutableMapping[str, Any]
Asgi = Callable[[Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]


@contextlib.contextmanager
def bound(listen: Listen, name: str) -> Iterator[socket.socket]:
    """A socket on the address; NotReady, naming the variable, if it cannot be had."""
    try:
        found = socket.getaddrinfo(*listen, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        own = socket.socket(family, kind, protocol)
    except OSError as error:
        raise NotReady(f"{name}: {listen.host} is no address of this machine ({error.strerror}).") from error
    with own:
        own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            own.bind(address)
            own.listen(BACKLOG)
        except OSError as error:
            raise NotReady(
                f"{name}: {listen} cannot be listened on ({error.strerror}): choose another address or port."
            ) from error
        own.setblocking(False)
        yield own


class Server(uvicorn.Server):
    """Tells when it answers, and leaves signals to the composition, which has more to stop than the server."""

    def __init__(self, config: uvicorn.Config, walls: Walls) -> None:
        super().__init__(config)
        self.answers = asyncio.Event()
        self.walls = self.server_state = walls

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.answers.set()

    async def on_tick(self, counter: int) -> bool:
        if counter % 10 == 0:
            self.walls.sweep()
        return await super().on_tick(counter)


@contextlib.asynccontextmanager
async def listening(
    asgi: Asgi,
    own: socket.socket,
    *,
    keep_alive_s: int = DEFAULT_KEEP_ALIVE_S,
    connections: int | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> AsyncIterator[Server]:
    """Answer HTTP on a socket; at the end accept nothing more, and let requests under way come to their end.

    `connections` may be open at once, as many as the process can hold unless told otherwise.
    """
    server = Server(
        uvicorn.Config(
            asgi,
            loop="uvloop",
            http=Connection,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=BACKLOG,
            timeout_keep_alive=keep_alive_s,
            timeout_graceful_shutdown=STOPS_IN_S,
        ),
        Walls(room() if connections is None else connections, clock),
    )
    task = asyncio.create_task(server.serve(sockets=[own]))
    answers = asyncio.create_task(server.answers.wait())
    await asyncio.wait({task, answers}, return_when=asyncio.FIRST_COMPLETED)
    try:
        if task.done():
            answers.cancel()
            task.result()
            raise NotReady("The HTTP server ended before it began.")
        yield server
    finally:
        server.should_exit = True
        await task


def room() -> int:
    """How many connections may be open at once; the process's bound of open files is raised for it where it may be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS + OWN_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return CONNECTIONS if soft == resource.RLIM_INFINITY else max(min(CONNECTIONS, soft - OWN_FILES), 16)
