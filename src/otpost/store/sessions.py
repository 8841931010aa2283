"""Sessions with a PostgreSQL server: how each is set up, what its errors mean, and that none is shared with others."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Callable
from typing import Any

import asyncpg

from otpost.domain import errors
from otpost.store.base import FULL, OUT_OF_ORDER

_log = logging.getLogger(__name__)

COMMAND_TIMEOUT_S = 15.0
LOCK_WAIT_MS = 250
"""How long one statement waits for a row that another session holds: longer than the batches of other nodes take."""
IDLE_IN_TRANSACTION_MS = 5_000
"""After this the server ends the transaction of a node that was frozen in the middle of it."""
UP_WITHIN_S = 60.0
UP_AGAIN_S = 1.0
HEARD_WITHIN_S = 2.0

TRANSACTION_POOLING = (
    "The database is reached through a pooler that hands out another session for each transaction, which Otpost "
    "cannot work with: set pool_mode = session for Otpost's database (PgBouncer's word), or name the server itself "
    "in OTPOST_DATABASE_URL."
)

# SQLSTATE classes of a server that serves nobody: connection, resources, an operator's doing, its system.
_OUT_OF_ORDER = frozenset({"08", "53", "57", "58"})
# Those of a statement that may succeed another time: a transaction lost against another, an error inside the server.
_ANOTHER_TIME = frozenset({"40", "XX"})
# A row that another session holds, and a session that the server has ended because it stood still in a transaction.
_OTHERS = (asyncpg.LockNotAvailableError, asyncpg.IdleInTransactionSessionTimeoutError)


class Pooled(Exception):
    """The sessions of this database are not ours alone; the message says what to do."""

    def __init__(self) -> None:
        super().__init__(TRANSACTION_POOLING)


async def connect(url: str) -> asyncpg.Connection[Any]:
    """A session of our own, set up."""
    connection = await asyncpg.connect(url, command_timeout=COMMAND_TIMEOUT_S, timeout=COMMAND_TIMEOUT_S)
    await _set_up(connection)
    return connection


async def pool(url: str, size: int) -> asyncpg.Pool[Any]:
    """Sessions to read with: each plan is made for its values, as a list's filters are too different to share one."""

    async def set_up(connection: Any) -> None:
        await _set_up(connection, plan_cache_mode="force_custom_plan")

    return await asyncpg.create_pool(
        url,
        min_size=1,
        max_size=size,
        command_timeout=COMMAND_TIMEOUT_S,
        timeout=COMMAND_TIMEOUT_S,
        init=set_up,
        reset=_leave_as_it_is,
    )


async def _set_up(connection: asyncpg.Connection[Any], **settings: str) -> None:
    """Set once connected: poolers refuse most settings in the message that opens a session."""
    chosen = {
        "lock_timeout": f"{LOCK_WAIT_MS}ms",
        "idle_in_transaction_session_timeout": f"{IDLE_IN_TRANSACTION_MS}ms",
        **settings,
    }
    names = ", ".join(f"set_config('{name}', '{value}', false)" for name, value in chosen.items())
    await connection.execute(f"SELECT {names}")


async def _leave_as_it_is(connection: Any) -> None:
    """Nothing that is read leaves anything behind in its session; asyncpg's own reset would undo the settings."""


async def left(connection: asyncpg.Connection[Any]) -> None:
    """End a session, whatever state it is in."""
    try:
        await connection.close(timeout=1)
    except Exception:
        connection.terminate()


async def ready(url: str, *, wait_s: float, say: Callable[[str], None] | None = None) -> None:
    """Wait until the server is up, and make sure that its sessions are ours alone.

    A server that is not up is told by one line to `say` and asked again for `wait_s`. Raises what stands in the way at
    the end: Pooled, or the error of the connection.
    """
    loop = asyncio.get_running_loop()
    deadline, told = loop.time() + wait_s, False
    while True:
        try:
            await _judge(url)
            return
        except (OSError, asyncpg.CannotConnectNowError, asyncpg.ConnectionDoesNotExistError) as error:
            if loop.time() + UP_AGAIN_S > deadline:
                raise
            if say is not None and not told:
                say(f"The database is not up yet ({words(error)}): it is waited for, {wait_s:.0f} s at most.")
                told = True
        await asyncio.sleep(UP_AGAIN_S)


async def _judge(url: str) -> None:
    """Raise Pooled unless a session hears what it listens to: behind a pooler of transactions another one listens."""
    async with contextlib.AsyncExitStack() as held:
        listener = await asyncpg.connect(url, timeout=COMMAND_TIMEOUT_S, command_timeout=COMMAND_TIMEOUT_S)
        held.push_async_callback(left, listener)
        channel, heard = f"otpost_{secrets.token_hex(8)}", asyncio.Event()
        try:
            await listener.add_listener(channel, lambda *_: heard.set())
            teller = await asyncpg.connect(url, timeout=COMMAND_TIMEOUT_S, command_timeout=COMMAND_TIMEOUT_S)
            held.push_async_callback(left, teller)
            await teller.execute(f"NOTIFY {channel}")
        except (asyncpg.DuplicatePreparedStatementError, asyncpg.InvalidSQLStatementNameError):
            raise Pooled from None
        try:
            await asyncio.wait_for(heard.wait(), HEARD_WITHIN_S)
        except TimeoutError:
            raise Pooled from None


def _class(error: BaseException) -> str:
    """The class of the SQLSTATE, for what the server said."""
    return str(error.sqlstate)[:2] if isinstance(error, asyncpg.PostgresError) else ""


def out_of_order(error: BaseException) -> bool:
    """Whether it ails server or session and not the statement: nobody in the batch can be served."""
    if isinstance(error, asyncpg.PostgresError):
        return _class(error) in _OUT_OF_ORDER or isinstance(error, asyncpg.IdleInTransactionSessionTimeoutError)
    # asyncpg's complaint about a value that fits no column is an InterfaceError and a ValueError.
    return isinstance(error, OSError | asyncpg.InterfaceError) and not isinstance(error, ValueError)


def another_time(error: BaseException) -> bool:
    """Whether the same statement may succeed later."""
    return out_of_order(error) or _class(error) in _ANOTHER_TIME or isinstance(error, _OTHERS)


def words(error: BaseException) -> str:
    """What may be logged of an error: without its detail, which quotes the row."""
    told = str(error.args[0]) if error.args and not isinstance(error, ValueError) else ""
    return f"{type(error).__name__}: {told}"


def unavailable(error: BaseException) -> errors.Unavailable:
    """What a caller is told of a database that cannot take this right now."""
    _log.error("the database is out of order: %s", words(error))
    return errors.Unavailable(FULL if isinstance(error, asyncpg.DiskFullError) else OUT_OF_ORDER)
