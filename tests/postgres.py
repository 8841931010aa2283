"""PostgreSQL for tests; the only module that knows how to start a throwaway server and to make databases in it."""

from __future__ import annotations

import asyncio
import os
import pwd
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import asyncpg

OLDEST_VERSION = 15
START_TIMEOUT_S = 60
# Below the ports that the kernel gives to outgoing connections, so that none of those can take one in between.
PORTS = range(20_000, 32_000)
CARELESS = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "autovacuum=off")

# What a test may leave behind beside rows; a database of another shape than its template's is not given out again.
SHAPE = """
SELECT md5(concat(
    (SELECT string_agg(format('%s %s %s %s', attrelid::regclass, attname, atttypid, attnotnull), E'\\n'
                       ORDER BY attrelid::regclass::text, attnum)
     FROM pg_attribute WHERE attrelid >= 16384),
    (SELECT string_agg(version_num, ' ') FROM alembic_version),
    (SELECT count(*) FROM pg_constraint), ' ',
    (SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal), ' ',
    (SELECT count(*) FROM pg_proc WHERE oid >= 16384), ' ',
    (SELECT count(*) FROM pg_statistic WHERE starelid >= 16384), ' ',
    (SELECT count(*) FROM pg_db_role_setting)))
"""

# Rows go by DELETE, for TRUNCATE makes new files for the table and each of its indexes; and by TRUNCATE once dead rows
# have piled up. The role of a replica passes over foreign keys.
WIPE = """
DO $wipe$
DECLARE one regclass;
BEGIN
    PERFORM pg_terminate_backend(pid, 5000) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend';
    SET LOCAL session_replication_role = replica;
    FOR one IN
        SELECT oid FROM pg_class
        WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND relname <> 'alembic_version'
    LOOP
        IF pg_relation_size(one) > 500000 THEN
            EXECUTE format('TRUNCATE %s CASCADE', one);
        ELSIF pg_relation_size(one) > 0 THEN
            EXECUTE format('DELETE FROM %s', one);
        END IF;
    END LOOP;
END
$wipe$
"""

T = TypeVar("T")

_given_ports: set[int] = set()


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nothing listens on, never the same twice in one process."""
    while True:
        port = random.choice(PORTS)
        if port in _given_ports:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _given_ports.add(port)
        return port


def server_programs() -> Path:
    """The folder of `initdb`, `postgres` and `psql`: what the path names, else the newest of Debian's.

    Raises RuntimeError where there is none of version 15 or newer.
    """
    on_path = [Path(found).resolve()] if (found := shutil.which("initdb")) else []
    debian = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    for initdb in on_path + sorted(debian, key=lambda path: int(path.parts[-3]), reverse=True):
        told = subprocess.run([initdb, "--version"], capture_output=True, text=True, check=True).stdout
        version = re.search(r"\d+", told)
        if version and int(version[0]) >= OLDEST_VERSION:
            return initdb.parent
    raise RuntimeError(
        f"no PostgreSQL server of version {OLDEST_VERSION} or newer; `scripts/test-tools` installs what the tests need"
    )


class Cluster:
    """One PostgreSQL server of its own, with its data in a folder that `remove` takes away.

    `durable=False` trades every guarantee across a crash for speed; `durable=True` keeps PostgreSQL's own defaults,
    and is what a test of crashes needs. The server ends with the process that started it, however that process ends.
    """

    def __init__(self, *, durable: bool = False, settings: tuple[str, ...] = ()) -> None:
        self.programs = server_programs()
        self.port = free_port()
        self.settings = (() if durable else CARELESS) + settings
        self._server: subprocess.Popen[bytes] | None = None
        # PostgreSQL refuses to run as root; a socket's path has room for about 100 characters.
        self._user = unprivileged_user() if os.geteuid() == 0 else None
        self.directory = Path(tempfile.mkdtemp(prefix="otpost-pg-", dir="/tmp"))
        self.data = self.directory / "data"
        self.log = self.directory / "server.log"
        if self._user:
            os.chown(self.directory, self._user.pw_uid, self._user.pw_gid)
        try:
            self._initialise()
        except BaseException:
            self.remove()
            raise

    @property
    def pid(self) -> int:
        """The server's process id; RuntimeError while it does not run."""
        if self._server is None:
            raise RuntimeError("the PostgreSQL server does not run")
        return self._server.pid

    def url(self, database: str = "postgres") -> str:
        """`postgresql://…` of a database in this server."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Starts the server, also after `stop` or `crash`, and returns once it takes connections."""
        settings = [
            f"port={self.port}",
            "listen_addresses=127.0.0.1",
            f"unix_socket_directories={self.directory}",
            "max_connections=200",
            "timezone=UTC",
            *self.settings,
        ]
        command = [str(self.programs / "postgres"), "-D", str(self.data)]
        for setting in settings:
            command += ["-c", setting]
        with self.log.open("ab") as log:
            self._server = subprocess.Popen(
                [*self._as_user(dies_with_us=True), *command],
                cwd=self.directory,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._is_ready():
            if self._server.poll() is not None or time.monotonic() > deadline:
                self.crash()
                raise RuntimeError(f"the PostgreSQL server did not start:\n{self.log.read_text()[-2000:]}")
            time.sleep(0.01)

    def stop(self) -> None:
        """Ends the server in order: sessions are cut off, what they committed is on disk."""
        self._end(signal.SIGINT)

    def crash(self) -> None:
        """Ends the server as if the power had failed: nothing is flushed, the next start recovers from the log."""
        self._end(signal.SIGQUIT)

    def remove(self) -> None:
        """Ends the server and deletes its data."""
        self.crash()
        shutil.rmtree(self.directory)

    def run(self, statement: str, database: str = "postgres") -> str:
        """Runs one statement through psql and answers its rows, unaligned and without a head."""
        done = subprocess.run(
            [self.programs / "psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-d", self.url(database), "-c", statement],
            env=_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{statement}\n{done.stderr}")
        return done.stdout.strip()

    def _initialise(self) -> None:
        subprocess.run(
            [
                *self._as_user(),
                self.programs / "initdb",
                *("--pgdata", self.data, "--username", "postgres", "--auth", "trust"),
                *("--encoding", "UTF8", "--locale", "C", "--no-sync"),
            ],
            cwd=self.directory,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            check=True,
        )

    def _is_ready(self) -> bool:
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= 8 and lines[0] == str(self.pid) and lines[7].strip() == "ready"

    def _end(self, how: signal.Signals) -> None:
        server, self._server = self._server, None
        if server is None:
            return
        server.send_signal(how)
        try:
            server.wait(timeout=30)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()

    def _as_user(self, *, dies_with_us: bool = False) -> list[str]:
        options = ["--pdeathsig", "QUIT"] if dies_with_us else []
        if self._user:
            options += [f"--reuid={self._user.pw_uid}", f"--regid={self._user.pw_gid}", "--clear-groups"]
        return ["setpriv", *options] if options else []


@contextmanager
def cluster(*, durable: bool = False, settings: tuple[str, ...] = ()) -> Iterator[Cluster]:
    """A server that runs for the length of the block; `settings` are `name=value` of PostgreSQL's configuration."""
    server = Cluster(durable=durable, settings=settings)
    try:
        server.start()
        yield server
    finally:
        server.remove()


class Databases:
    """Databases of one server, each empty or a copy of a template that is filled once.

    A copy that is given back is wiped and given out again, for making one costs twenty times as much: it is dropped
    only where a test has left more behind than rows. All statements run on a thread of their own, so that a test may
    ask from within its event loop.
    """

    def __init__(self, server: Cluster, prefix: str = "test") -> None:
        self._server = server
        self._prefix = prefix
        self._made = 0
        self._templates: dict[str, str] = {}
        self._shape: dict[str, str] = {}
        self._copied_from: dict[str, str] = {}
        self._kept: dict[str, list[str]] = {}
        self._connections: dict[str, asyncpg.Connection] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Drops all that was made."""
        kept = [database for databases in self._kept.values() for database in databases]
        for database in [*kept, *self._templates.values()]:
            self._wait(self._drop(database))
        self._wait(self._disconnect(*self._connections))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def template(self, name: str, initialise: Callable[[str], None]) -> str:
        """The template called `name`; at the first call it is made and `initialise` gets its URL to make its tables.

        `initialise` must leave no connection open, and no rows except Alembic's version. Where it fails, the template
        is not kept.
        """
        if name not in self._templates:
            database = f"{self._prefix}_template_{name}"
            self._wait(self._execute("postgres", f'CREATE DATABASE "{database}"'))
            try:
                with ThreadPoolExecutor(1) as outside_of_any_loop:
                    outside_of_any_loop.submit(initialise, self._server.url(database)).result()
                self._shape[database] = self._wait(self._value(database, SHAPE))
                self._wait(self._disconnect(database))
            except BaseException:
                self._wait(self._drop(database))
                raise
            self._wait(self._execute("postgres", f'ALTER DATABASE "{database}" ALLOW_CONNECTIONS false'))
            self._templates[name] = database
        return self._templates[name]

    def create(self, template: str = "template0") -> str:
        """The URL of a database like what `template` answered, else of an empty one."""
        if kept := self._kept.get(template):
            return self._server.url(kept.pop())
        self._made += 1
        database = f"{self._prefix}_{self._made}"
        self._copied_from[database] = template
        self._wait(self._execute("postgres", f'CREATE DATABASE "{database}" TEMPLATE "{template}"'))
        return self._server.url(database)

    def give_back(self, url: str) -> None:
        """Takes back a database that `create` made, whoever is still connected."""
        database = url.rpartition("/")[2]
        template = self._copied_from[database]
        if template in self._shape and self._wait(self._wiped(database, self._shape[template])):
            self._kept.setdefault(template, []).append(database)
        else:
            self._wait(self._drop(database))

    async def _wiped(self, database: str, shape: str) -> bool:
        try:
            await self._execute(database, WIPE)
            return bool(await self._value(database, SHAPE) == shape)
        except (asyncpg.PostgresError, OSError):
            return False

    async def _drop(self, database: str) -> None:
        await self._disconnect(database)
        await self._execute("postgres", f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')

    async def _execute(self, database: str, statement: str) -> None:
        await (await self._connected(database)).execute(statement)

    async def _value(self, database: str, query: str) -> Any:
        return await (await self._connected(database)).fetchval(query)

    async def _connected(self, database: str) -> asyncpg.Connection:
        connection = self._connections.get(database)
        if connection is None or connection.is_closed():
            connection = self._connections[database] = await asyncpg.connect(self._server.url(database))
        return connection

    async def _disconnect(self, *databases: str) -> None:
        for database in databases:
            if connection := self._connections.pop(database, None):
                await connection.close()

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)


def unprivileged_user() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
    return kept | {"LC_ALL": "C"}
