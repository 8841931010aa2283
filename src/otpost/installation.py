"""What has to be in order before a database is used: its lock, its schema, its key ring, its first rows."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import SystemRandom
from typing import Final

from otpost.config import Config
from otpost.domain import errors
from otpost.domain.access import KeyCheck, Tenant
from otpost.domain.sid import Sids
from otpost.services.context import Context
from otpost.services.keyring import KeyRing, KeyRingError, judge_key_ring, make_key_ring, read_key_ring
from otpost.services.tenants.tenants import keep_key_checks, make_default_tenant
from otpost.store import clocks, migrate, sessions
from otpost.store.base import Store, list_rows
from otpost.store.clocks import DatabaseClock, Ticks
from otpost.store.kinds import KEY_CHECKS
from otpost.store.postgresql import PostgresStore
from otpost.store.sqlite import SqliteStore

CLOSES_IN_S: Final = 3.0
"""How long a database may take to let go at the end."""


class NotReady(Exception):
    """Otpost cannot work with this installation; the message is one line that says what to do."""


class InUse(NotReady):
    """Another process serves this embedded database."""


@dataclass(frozen=True, slots=True)
class Installation:
    """An open installation; `tenant` is the one that every installation has, `time` its database's clock."""

    config: Config
    context: Context
    tenant: Tenant
    time: DatabaseClock


@contextlib.asynccontextmanager
async def opened(
    config: Config,
    *,
    make: bool = True,
    serving: bool = False,
    say: Callable[[str], None] | None = None,
    wall: Ticks = clocks.wall,
) -> AsyncIterator[Installation]:
    """Open an installation, and make what a new one lacks; NotReady where something stands in the way.

    Not to `make` one, what is lacking stands in the way: a command that looks in the wrong place says where it looked.
    `serving` holds the embedded database's lock meanwhile; InUse if another process holds it. With `say`, which shows
    a line, a server that is not up yet is waited for. `wall` is the machine's own clock.
    """
    async with contextlib.AsyncExitStack() as held:
        file = config.database_file
        setting_up = contextlib.AsyncExitStack()
        if file is not None:
            if not make:
                _is_there(config, file)
            _make_folder(file.parent)
            await setting_up.enter_async_context(_only_one(file.parent))
        async with setting_up:
            if file is not None and serving:
                held.enter_context(_lock(file))
            await _bring_up_to_date(config, locked=serving, say=say)
            store = store_of(config)
            try:
                await store.open()
            except (errors.Unavailable, sqlite3.Error) as error:
                raise unreachable(config, error) from error
            held.push_async_callback(_closed, store)
            try:
                time = DatabaseClock(wall)
                await time.learn(store)
                context, tenant = await _settled(config, store, time, make=make)
            except errors.Unavailable as refusal:
                raise NotReady(refusal.detail) from refusal
        yield Installation(config, context, tenant, time)


async def _closed(store: Store) -> None:
    """Close the store; one whose database is away is left as it is."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(CLOSES_IN_S):
            await store.close()


def _is_there(config: Config, file: Path) -> None:
    try:
        file.stat()
    except FileNotFoundError:
        raise NotReady(_nothing_in(config, file.parent)) from None
    except OSError as error:
        raise NotReady(
            f"{file} cannot be looked at ({error.strerror}): run this as the user of the service."
        ) from error


def _nothing_in(config: Config, folder: Path) -> str:
    where = "OTPOST_DATA" if folder == config.data else "OTPOST_DATABASE_URL"
    return (
        f"There is no installation in {folder}: `otpost serve` makes one. If yours lies elsewhere, "
        f"name its place in {where}."
    )


def store_of(config: Config) -> Store:
    """The database that the configuration names, not opened yet."""
    file = config.database_file
    return PostgresStore(config.database_url) if file is None else SqliteStore(file)


def unreachable(config: Config, error: BaseException) -> NotReady:
    """A database that cannot be used, as a sentence without credentials."""
    inner = error
    while (deeper := getattr(inner, "orig", None) or inner.__cause__) is not None:
        inner = deeper
    words = (str(inner).strip() or type(inner).__name__).splitlines()[0].rstrip(".")
    if (file := config.database_file) is not None:
        return NotReady(
            f"The database {file} cannot be used ({words}): check its owner and its disk, and that it is Otpost's."
        )
    return NotReady(f"The database cannot be used ({words}): check OTPOST_DATABASE_URL, and that it is running.")


async def state_of(config: Config, say: Callable[[str], None] | None = None) -> migrate.State:
    """How the schema stands to this program; NotReady if the database cannot be asked.

    With `say`, which shows a line, a server that is not up yet is waited for.
    """
    try:
        if config.database_file is None:
            await sessions.ready(config.database_url, wait_s=sessions.UP_WITHIN_S if say is not None else 0, say=say)
        return await asyncio.to_thread(migrate.state, config.database_url)
    except sessions.Pooled as error:
        raise NotReady(str(error)) from error
    except migrate.FAILURES as error:
        raise unreachable(config, error) from error


async def migrated(config: Config, say: Callable[[str], None] | None = None) -> migrate.State:
    """Bring the schema to this program's; what it was before. NotReady where that is not possible.

    With `say`, which shows a line, a server that is not up yet is waited for.
    """
    async with contextlib.AsyncExitStack() as held:
        file = config.database_file
        if file is not None:
            _is_there(config, file)
            await held.enter_async_context(_only_one(file.parent))
        before = await state_of(config, say)
        if before != "current":
            if file is not None and before != "newer":
                held.enter_context(_lock(file))
            await _upgrade(config)
        return before


async def key_checks(store: Store) -> Sequence[KeyCheck]:
    """The check values of all keys that the database was written with; health answers ask for them."""
    return await list_rows(store, KEY_CHECKS, at_once=True)


def read_ring(config: Config) -> KeyRing | None:
    """The key ring of the environment or of its file; None where there is none. NotReady if it cannot be used."""
    if config.master_key is not None:
        return config.master_key
    try:
        return read_key_ring(config.key_ring_file)
    except FileNotFoundError:
        return None
    except KeyRingError as error:
        raise NotReady(str(error)) from error
    except OSError as error:
        raise NotReady(f"{config.key_ring_file} cannot be read ({error.strerror}): check its owner.") from error


def lacks_ring(config: Config, checks: Sequence[KeyCheck]) -> str:
    """What to do where the database has been written with keys and there is no ring."""
    ids = ", ".join(check.key_id for check in checks)
    return (
        f"There is no key ring, but the database was written with the key {ids}: copy the key ring from where "
        f"Otpost ran before to {config.key_ring_file} (mode 0600), or set OTPOST_MASTER_KEY."
    )


def sign_in_address(config: Config, token: str) -> str:
    """Where a one-time link leads to."""
    return f"{config.public_url or config.listen.url}/sign-in?link={token}"


async def _settled(config: Config, store: Store, time: DatabaseClock, *, make: bool) -> tuple[Context, Tenant]:
    checks, random = await key_checks(store), SystemRandom()
    ring, made = read_ring(config), False
    if ring is None:
        if checks:
            raise NotReady(lacks_ring(config, checks))
        if not make:
            raise NotReady(_nothing_in(config, config.data))
        _make_folder(config.data)
        try:
            ring, made = make_key_ring(config.key_ring_file, random), True
        except OSError as error:
            raise NotReady(
                f"{config.key_ring_file} cannot be written ({error.strerror}): check OTPOST_DATA."
            ) from error
    _judge(ring, checks)
    context = Context(store, ring, time, Sids(time, random.randbytes), random)
    tenant = await store.run(make_default_tenant(context))
    if {check.key_id for check in checks} != set(ring.ids):
        await store.run(keep_key_checks(context))
        try:
            # Two nodes that start on a new server at the same time make a ring each: the first to write wins.
            _judge(ring, await key_checks(store))
        except NotReady:
            if made:
                config.key_ring_file.unlink()
            raise
    return context, tenant


def _judge(ring: KeyRing, checks: Sequence[KeyCheck]) -> None:
    if wrong := judge_key_ring(ring, checks):
        raise NotReady(" ".join(wrong))


async def _bring_up_to_date(config: Config, *, locked: bool, say: Callable[[str], None] | None) -> None:
    state = await state_of(config, say)
    if state == "current":
        return
    if state == "newer":
        raise NotReady(str(migrate.DatabaseNewer()))
    file = config.database_file
    if file is None:
        what = "has no tables yet" if state == "empty" else "was written by an older Otpost"
        raise NotReady(f"The database {what}: run `otpost migrate`.")
    with contextlib.nullcontext() if locked else _lock(file):
        await _upgrade(config)


async def _upgrade(config: Config) -> None:
    try:
        await asyncio.to_thread(migrate.upgrade, config.database_url)
    except migrate.DatabaseNewer as error:
        raise NotReady(str(error)) from error
    except migrate.FAILURES as error:
        raise unreachable(config, error) from error


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise NotReady(f"{folder} cannot be made ({error.strerror}): check OTPOST_DATA and its owner.") from error


@contextlib.asynccontextmanager
async def _only_one(folder: Path) -> AsyncIterator[None]:
    """Set up one at a time: a command that comes while a service starts waits for it."""
    descriptor = _open(folder, os.O_RDONLY)
    try:
        await asyncio.to_thread(fcntl.flock, descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _lock(file: Path) -> Iterator[None]:
    """The right to serve an embedded database; InUse if another process has it."""
    descriptor = _open(file.with_suffix(".lock"), os.O_RDWR | os.O_CREAT)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InUse(
                f"Another otpost is serving {file}: stop it first, or give this one another OTPOST_DATA."
            ) from None
        yield
    finally:
        os.close(descriptor)


def _open(path: Path, flags: int) -> int:
    try:
        return os.open(path, flags, 0o600)
    except OSError as error:
        raise NotReady(f"{path} cannot be opened ({error.strerror}): check OTPOST_DATA and its owner.") from error
