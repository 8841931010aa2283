"""Otpost as an operator runs it: processes of their own on a data directory, and the calls of a client."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

from otpost import config
from otpost.installation import migrated, opened
from otpost.services.audit import command_line_actor
from otpost.services.tenants.keys import make_key
from postgres import free_port

ROOT = Path(__file__).resolve().parents[2]
STARTS_IN_S = 60.0
LOG_SHOWN = 4_000
EVERY_S, RARELY_S = 0.05, 1.0
# A service must not outlive the test run, however that ends.
DIES_WITH_US = ("setpriv", "--pdeathsig", "KILL")


@dataclass(frozen=True)
class Ended:
    """A command that has come to its end."""

    code: int
    out: str
    err: str


class NotStarted(Exception):
    """The service ended instead of serving; the message is what it wrote to stderr."""


async def until(
    look: Callable[[], Coroutine[Any, Any, Any]], wanted: Callable[[Any], object], timeout_s: float = 10.0
) -> Any:
    """What `look` answers, as soon as it is as wanted."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    while True:
        seen = await look()
        if wanted(seen):
            return seen
        left_s = deadline - loop.time()
        if left_s < 0:
            raise AssertionError(f"not within {timeout_s} s: {str(seen)[:2000]}")
        # What takes long is looked at less often: a tenth of the time that has gone by.
        await asyncio.sleep(min(max(EVERY_S, (timeout_s - left_s) / 10), RARELY_S))


class Served:
    """`otpost serve` with its own data directory and port; its output is kept over all its lives.

    `database_url` None is the embedded database. `public`: callbacks come home. `before` are commands that run the
    program in their place (`strace …`). `pid` is the process's.
    """

    def __init__(
        self,
        folder: Path,
        *,
        database_url: str | None = None,
        public: bool = False,
        log_level: str = "info",
        before: Sequence[str] = (),
        port: int | None = None,
    ) -> None:
        folder.mkdir(exist_ok=True)
        self.data = folder / "data"
        self.out, self.err = folder / "stdout.log", folder / "stderr.log"
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.before = tuple(before)
        self.environment = {
            "OTPOST_DATA": str(self.data),
            "OTPOST_LISTEN": f"127.0.0.1:{self.port}",
            "OTPOST_OUTBOUND_ALLOW": "127.0.0.0/8",
            "OTPOST_LOG_LEVEL": log_level,
        }
        if database_url is not None:
            self.environment["OTPOST_DATABASE_URL"] = database_url
        if public:
            self.environment["OTPOST_PUBLIC_URL"] = self.url
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            await self.kill()
        if error is not None and self.err.exists():
            print(f"{self.err} ends with:\n{self.err.read_text()[-LOG_SHOWN:]}")

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def command(self, *arguments: str, stdin: str = "", **environment: str) -> Ended:
        """Runs a command of the program to its end."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "otpost", *arguments),
            env=self._environment(environment),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate(stdin.encode())
        assert process.returncode is not None
        return Ended(process.returncode, out.decode(), err.decode())

    async def ok(self, *arguments: str, stdin: str = "") -> str:
        """The same for a command that must succeed; what it printed."""
        ended = await self.command(*arguments, stdin=stdin)
        assert ended.code == 0, ended.err
        return ended.out

    async def set_up(self) -> Api:
        """Makes the tables and an admin key as the commands do, without a process for each; the calls of that key."""
        chosen = config.read(self.environment)
        if chosen.database_file is None:
            await migrated(chosen)
        async with opened(chosen) as here:
            made = await here.context.store.run(
                make_key(here.context, command_line_actor(here.tenant.sid), "admin", None, "")
            )
        return Api(self.url, made.key.sid, made.secret)

    async def start(self) -> None:
        """Starts the service and returns once it is ready. NotStarted where it ends instead."""
        with self.out.open("ab") as out, self.err.open("ab") as err:
            self._process = await asyncio.create_subprocess_exec(
                *(*DIES_WITH_US, *self.before, sys.executable, "-m", "otpost", "serve"),
                env=self._environment({}),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )

        async def ready() -> int | None:
            if not self.runs:
                raise NotStarted(self.err.read_text())
            return await self.ready()

        await until(ready, lambda status: status == 200, STARTS_IN_S)

    async def ready(self) -> int | None:
        """The status of `/readyz`; None where nothing answers."""
        try:
            async with aiohttp.ClientSession() as session, session.get(f"{self.url}/readyz") as response:
                return response.status
        except aiohttp.ClientError:
            return None

    async def kill(self) -> None:
        """`kill -9`."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> int:
        """Ends the service in order; its exit code."""
        return await self._end(signal.SIGTERM)

    async def _end(self, how: signal.Signals) -> int:
        process, self._process = self._process, None
        assert process is not None
        if process.returncode is None:
            process.send_signal(how)
        return await process.wait()

    def _environment(self, more: dict[str, str]) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(ROOT / "src"), **self.environment, **more}


@dataclass(frozen=True)
class Answered:
    """An answer; the names of its headers are in small letters."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


class Api:
    """The calls of one key. Every answer passes `heard`, if it is set, before it is given on."""

    def __init__(self, url: str, key_sid: str, secret: str) -> None:
        self.url = url
        self.headers = {"Authorization": f"Bearer {key_sid}.{secret}"}
        self.key_sid, self.secret = key_sid, secret
        self.heard: Callable[[str, Answered], None] | None = None
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(headers=self.headers, timeout=aiohttp.ClientTimeout(total=30))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._session is not None
        await self._session.close()

    async def call(self, method: str, path: str, body: Any = None, **headers: str) -> Answered:
        """One request; raises aiohttp.ClientError or TimeoutError where the answer did not come."""
        assert self._session is not None
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self._session.request(method, self.url + path, json=body, headers=named) as response:
            told = {name.lower(): value for name, value in response.headers.items()}
            answer = Answered(response.status, told, await response.text())
        if self.heard is not None:
            self.heard(f"{method} {path}", answer)
        return answer

    async def ok(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """The same for a call that must succeed; the answer's JSON."""
        answer = await self.call(method, path, body, **headers)
        assert answer.status < 300, answer.text
        return answer.json if answer.text else None

    async def everything(self, path: str) -> list[Any]:
        """All items of a list."""
        items: list[Any] = []
        cursor = ""
        divider = "&" if "?" in path else "?"
        while True:
            page = await self.ok("GET", f"{path}{divider}limit=200{cursor}")
            items += page["items"]
            if page["next"] is None:
                return items
            cursor = f"&cursor={page['next']}"
