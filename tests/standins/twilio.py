"""A pretended Twilio as a program (`python -m standins.twilio --port 0 --config FILE`) and as an object for tests.

The program prints `{"port": N}` when it listens on loopback, and obeys `POST /_control/NAME` with JSON (see
`Server.control`). `TwilioStandIn` runs it in the test's own event loop or, with `process=True`, as that program.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import aiohttp
import msgspec
import uvloop

from standins.twilio_callbacks import Plan, Step
from standins.twilio_faults import Fault
from standins.twilio_server import GATHER_S, Server
from standins.twilio_world import (
    KINDS,
    Account,
    CallbackRecord,
    Config,
    MessageRecord,
    MessagingService,
    Records,
    RequestRecord,
    Sender,
    Violation,
)

__all__ = [
    "Account",
    "CallbackRecord",
    "Config",
    "Fault",
    "MessageRecord",
    "MessagingService",
    "Plan",
    "Records",
    "RequestRecord",
    "Sender",
    "Step",
    "TwilioStandIn",
    "Violation",
]

TESTS = Path(__file__).parents[1]
LONGEST_POLL_S = 5.0


class TwilioStandIn:
    """A running pretended Twilio and its controls; `async with TwilioStandIn(accounts) as twilio: …`.

    `url` is the base URL, without a slash at its end. `records` is live; with `process=True` it is a copy, renewed by
    `wait_for`, `refresh` and the reading methods.
    """

    def __init__(self, accounts: Config | Iterable[Account], *, process: bool = False, port: int = 0) -> None:
        self.config = accounts if isinstance(accounts, Config) else Config(accounts=list(accounts))
        self.records = Records()
        self.port = port
        self._as_process = process
        self._server: Server | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._directory: tempfile.TemporaryDirectory[str] | None = None
        self._epoch = self._until = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int | None:
        """The process's id; None in the test's own process."""
        return None if self._process is None else self._process.pid

    async def start(self) -> Self:
        """Returns when it listens."""
        if not self._as_process:
            self._server = Server(self.config)
            self.records = self._server.world.records
            self.port = await self._server.listen(self.port)
            return self
        self._directory = tempfile.TemporaryDirectory(prefix="twilio-standin-")
        config = Path(self._directory.name) / "config.json"
        config.write_bytes(msgspec.json.encode(self.config))
        command = ("-m", "standins.twilio", "--port", str(self.port), "--config", str(config), "--until-stdin-closes")
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            *command,
            env={**os.environ, "PYTHONPATH": str(TESTS)},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the stand-in ended at its start with {await self._process.wait()}")
        self.port = json.loads(line)["port"]
        return self

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.close()
            self._server = None
        if self._process is not None:
            if self._process.returncode is None:
                self._process.terminate()
            await self._process.communicate()
            self._process = None
        if self._directory is not None:
            self._directory.cleanup()
            self._directory = None

    async def __aenter__(self) -> Self:
        try:
            return await self.start()
        except BaseException:
            await self.stop()
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def stop_listening(self) -> None:
        """Refuses connections from now on and keeps the state; only in the test's own process."""
        assert self._server is not None
        await self._server.stop_listening()

    async def listen_again(self) -> None:
        """Ends `stop_listening`, on the same port."""
        assert self._server is not None
        await self._server.listen(self.port)

    async def fault(
        self,
        action: Literal["hang", "close", "reset", "cut", "answer"],
        when: Literal["before", "after"] = "before",
        **fields: Any,
    ) -> int:
        """Arms a `Fault`; its number, which the records of the requests that it strikes bear."""
        fault = Fault(action=action, when=when, **fields)
        return int((await self.control("fault", msgspec.to_builtins(fault)))["fault"])

    async def clear_faults(self) -> None:
        await self.control("clear_faults")

    async def release(self, then: Literal["go_on", "close"] = "go_on", count: int | None = None) -> int:
        """Lets the oldest held requests go on, or closes their connections; how many there were."""
        return int((await self.control("release", {"then": then, "count": count}))["released"])

    async def plan(self, *steps: str | Step, **fields: Any) -> None:
        """What accepted messages go through from now on, verbatim (none: nothing); fields of `Plan`."""
        await self.control("plan", msgspec.to_builtins(Plan(steps=list(steps), **fields)))

    async def clear_plans(self) -> None:
        await self.control("clear_plans")

    async def report(self, sid: str, status: str, error_code: int | None = None) -> list[CallbackRecord]:
        """Brings a message to a status and sends its callback, retries included; the tries."""
        tries = await self.control("report", {"sid": sid, "status": status, "error_code": error_code})
        return msgspec.convert(tries, list[CallbackRecord])

    async def set_account(self, sid: str, **changes: Any) -> None:
        """Changes fields of an account (`status="suspended"`, `auth_token=…`), or adds one."""
        await self.control("account", {"sid": sid, **msgspec.to_builtins(changes)})

    async def plant(
        self, account: str, *, to: str, body: str, sender: str, created_at: int | None = None, status: str = "delivered"
    ) -> dict[str, Any]:
        """Puts a message into the account's listings that no request made; its resource."""
        fields = {"to": to, "body": body, "sender": sender, "created_at": created_at, "status": status}
        planted: dict[str, Any] = await self.control("plant", {"account": account, **fields})
        return planted

    async def set_clock(self, now: int | None) -> None:
        """Fixes the stand-in's time, in milliseconds; None lets it run again."""
        await self.control("clock", {"now": now})

    async def reset(self) -> None:
        """Forgets all records, faults and plans, and closes what is held; accounts stay as they are."""
        await self.control("reset")
        await self.refresh()

    async def counts(self) -> dict[str, Any]:
        """`requests`, `messages`, `callbacks`, `violations`, `held`, `messages_by_account`."""
        counts: dict[str, Any] = await self.control("counts")
        return counts

    async def messages(self, to: str | None = None, account: str | None = None) -> list[MessageRecord]:
        await self.refresh()
        return [m for m in self.records.messages if to in (None, m.to) and account in (None, m.account)]

    async def requests(self, operation: str | None = None, account: str | None = None) -> list[RequestRecord]:
        await self.refresh()
        return [r for r in self.records.requests if operation in (None, r.operation) and account in (None, r.account)]

    async def violations(self) -> list[Violation]:
        await self.refresh()
        return self.records.violations

    async def wait_for(self, condition: Callable[[Records], object], timeout_s: float = 5.0) -> Records:
        """Returns the records as soon as `condition` holds for them.

        Raises: TimeoutError, which says what there was.
        """
        try:
            async with asyncio.timeout(timeout_s):
                await self.refresh()
                while not condition(self.records):
                    if self._server is not None:
                        await self._server.world.change()
                        await asyncio.sleep(GATHER_S)
                    else:
                        await self.refresh(LONGEST_POLL_S)
        except TimeoutError:
            raise TimeoutError(f"not within {timeout_s} s; there were {await self.counts()}") from None
        return self.records

    async def refresh(self, wait_s: float = 0.0) -> None:
        """Renews the copy of a process's records; `wait_s`: how long a change is waited for."""
        if self._server is not None:
            return
        changes = await self.control("changes", {"epoch": self._epoch, "since": self._until, "timeout_s": wait_s})
        if changes["epoch"] != self._epoch:
            self.records = Records()
        self._epoch, self._until = changes["epoch"], changes["until"]
        for kind, of_kind in KINDS.items():
            known: list[Any] = getattr(self.records, kind)
            changed: list[Any] = msgspec.convert(changes[kind], list[of_kind])  # type: ignore[valid-type]  # a type in a variable
            for item in changed:
                if item.index < len(known):
                    known[item.index] = item
                else:
                    known.append(item)

    async def control(self, name: str, payload: dict[str, Any] | None = None) -> Any:
        """One control call, by its name in `Server.control`."""
        if self._server is not None:
            return await self._server.control(name, payload or {})
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{self.url}/_control/{name}", data=msgspec.json.encode(payload or {})) as response,
        ):
            result = msgspec.json.decode(await response.read())
            if response.status != 200:
                raise RuntimeError(f"control call {name}: {result['error']}")
            return result


async def _run(config: Config, port: int, until_stdin_closes: bool) -> None:
    gc.set_threshold(50_000, 50, 1_000)  # the records only grow; collecting among them costs and frees nothing
    server = Server(config)
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    if until_stdin_closes:

        def watch() -> None:
            while os.read(0, 1_024):
                pass
            loop.call_soon_threadsafe(stopped.set)

        threading.Thread(target=watch, daemon=True).start()
    print(json.dumps({"port": await server.listen(port)}), flush=True)
    await stopped.wait()
    await server.close()


def main() -> None:
    parser = argparse.ArgumentParser(description="A pretended Twilio Messages API on loopback.")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--config", type=Path, required=True, help="JSON: accounts, latency_ms, keep_requests")
    parser.add_argument("--until-stdin-closes", action="store_true", help="end with the program that started this one")
    given = parser.parse_args()
    uvloop.run(_run(msgspec.json.decode(given.config.read_bytes(), type=Config), given.port, given.until_stdin_closes))


if __name__ == "__main__":
    main()
