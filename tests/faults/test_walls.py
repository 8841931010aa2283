"""What a stranger sends to hold the service up is refused at the same small cost, however much it is.

At full scale the sizes are those of the attacks that once took minutes, and a second client measures what it notices.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import pytest

from faults.served import Served, until
from faults.watching import Seen, watching

MIB: Final = 1_048_576
PIECE: Final = 65_536
HOST: Final = b"host: otpost.test\r\n"
# What a refused client may push: the part of its rest that is dropped, and what the buffers of two sockets hold.
TAKEN_AT_MOST: Final = 16 * MIB
NOTICED_AT_MOST_MS: Final = 100
GROWS_BY_MIB: Final = 24
ROOM_TAKEN: Final = "connections are open, as many as Otpost takes: the longest waiting are closed"


@dataclass(frozen=True)
class Attack:
    """What is sent: `begin`, then `piece` until `size` bytes have gone; the answer that is due."""

    name: str
    begin: bytes
    piece: bytes
    size: int
    status: int


@dataclass(frozen=True)
class Result:
    status: int | None
    sent: int
    seconds: float


def attacks(large: bool) -> list[Attack]:
    header = b"x-filler: " + b"f" * 1_000 + b"\r\n"
    cookies = b"a=b; " * (PIECE // 5)
    get = b"GET /sign-in HTTP/1.1\r\n" + HOST
    huge = 30 * MIB if large else 2 * MIB
    sizes = [("64 KiB", 65_536), ("256 KiB", 262_144), ("1 MB", 1_000_000), (f"{huge // MIB} MB", huge)]
    chunked = (
        b"POST /sign-in HTTP/1.1\r\n" + HOST + b"sec-fetch-site: same-origin\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    early = b"POST /v1/verifications HTTP/1.1\r\n" + HOST + b"content-length: 1100000000\r\n\r\n"
    return [
        *(Attack(f"cookies of {name}", get + b"cookie: ", cookies, size, 431) for name, size in sizes),
        *(Attack(f"headers of {name}", get, header * 60, size + PIECE, 431) for name, size in sizes),
        Attack(f"an address of {huge // MIB} MB", b"GET /sign-in?", b"q" * PIECE, huge, 414),
        Attack(f"a chunk's extension of {huge // MIB} MB", chunked + b"1;", b"e" * PIECE, huge, 413),
        Attack(f"a trailer of {huge // MIB} MB", chunked + b"0\r\n", header * 60, huge, 413),
        Attack("a body after 401", early, b"b" * PIECE, 1_100_000_000 if large else 40 * MIB, 401),
    ]


def run(port: int, attack: Attack) -> Result:
    """Send it all, as far as it is taken, and read the answer."""
    began, sent, got = time.monotonic(), 0, b""
    with socket.create_connection(("127.0.0.1", port), 30) as own:
        with contextlib.suppress(ConnectionError):
            own.sendall(attack.begin)
            while sent < attack.size:
                own.sendall(attack.piece)
                sent += len(attack.piece)
        with contextlib.suppress(ConnectionError):
            while b"\r\n" not in got and (more := own.recv(PIECE)):
                got += more
    found = re.match(rb"HTTP/1\.1 (\d{3}) ", got)
    return Result(int(found[1]) if found else None, sent, time.monotonic() - began)


def beside(port: int, large: bool) -> contextlib.AbstractContextManager[Seen]:
    """A second client at full scale; the gate counts, and measures no time."""
    return watching(port) if large else contextlib.nullcontext(Seen())


def memory_mib(pid: int) -> float:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def cpu_s(pid: int) -> float:
    """Seconds of CPU that the process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.prove
async def test_what_is_beyond_the_bounds_is_refused_at_the_same_small_cost(
    tmp_path: Path, prove_scale: Literal["small", "large"], tell: Callable[[str], None]
) -> None:
    large = prove_scale == "large"
    async with Served(tmp_path) as served:
        api = await served.set_up()
        await served.start()
        loop = asyncio.get_running_loop()
        for attack in attacks(False):
            await loop.run_in_executor(None, run, served.port, attack)
        before = memory_mib(served.pid)
        for attack in attacks(large):
            used = cpu_s(served.pid)
            with beside(served.port, large) as watcher:
                times = 10 if large else 1
                results = [await loop.run_in_executor(None, run, served.port, attack) for _ in range(times)]
            used = cpu_s(served.pid) - used
            assert watcher.wrong == []
            # A reset may overtake the answer where the client does not look at it while it sends.
            assert {result.status for result in results} <= {attack.status, None}, attack.name
            most = max(result.sent for result in results)
            assert most < min(TAKEN_AT_MOST, attack.size + MIB), attack.name
            slowest = max(result.seconds for result in results)
            tell(
                f"{attack.name}, {times} times: {', '.join(sorted({str(each.status) for each in results}))} after "
                f"{slowest * 1000:.0f} ms at most, {most / MIB:.1f} MiB of it sent, {used:.2f} s of CPU in all; "
                f"a second client's slowest of {watcher.count} answers: {watcher.slowest_ms:.0f} ms"
            )
            if large:
                assert watcher.slowest_ms < NOTICED_AT_MOST_MS, attack.name
        await nothing_held(served)
        after = memory_mib(served.pid)
        tell(f"memory before: {before:.0f} MiB, after: {after:.0f} MiB")
        assert after - before < GROWS_BY_MIB
        async with api:
            page = (await api.call("GET", "/metrics")).text
        refused = {
            reason: float(value)
            for reason, value in re.findall(r'otpost_http_refused_total\{reason="(\w+)"\} ([0-9.]+)', page)
        }
        assert set(refused) == {"head_too_large", "address_too_long", "too_large"}
        tell("refused: " + ", ".join(f"{reason} {count:.0f}" for reason, count in sorted(refused.items())))


@pytest.mark.prove
async def test_many_who_begin_and_do_not_go_on_are_ended_and_hold_nobody_up(
    tmp_path: Path, prove_scale: Literal["small", "large"], tell: Callable[[str], None]
) -> None:
    """Three times as many connections as are taken, each with half a head."""
    large = prove_scale == "large"
    count = 900 if large else 30
    async with Served(tmp_path, before=("prlimit", f"--nofile={256 + count // 3}")) as served:
        await served.set_up()
        await served.start()
        before = memory_mib(served.pid)

        async def log() -> str:
            return served.err.read_text()

        with beside(served.port, large) as watcher, contextlib.ExitStack() as held:
            began = time.monotonic()
            for _ in range(count):
                own = held.enter_context(socket.create_connection(("127.0.0.1", served.port), 30))
                with contextlib.suppress(ConnectionError):
                    own.sendall(b"GET / HTTP/1.1\r\nx-filler: " + b"f" * 10_000)
                await asyncio.sleep(0)
            opened_s = time.monotonic() - began
            if large:
                await nothing_held(served, 1, 30.0)
            took_s = time.monotonic() - began
        assert watcher.wrong == []
        tell(
            f"{count} connections with half a head, {count // 3} taken at once: opened in {opened_s:.1f} s, all ended "
            f"after {took_s:.1f} s; a second client's slowest of {watcher.count} answers: {watcher.slowest_ms:.0f} ms; "
            f"memory before: {before:.0f} MiB, after: {memory_mib(served.pid):.0f} MiB"
        )
        if large:
            assert watcher.slowest_ms < NOTICED_AT_MOST_MS


async def nothing_held(served: Served, own: int = 0, within_s: float = 10.0) -> None:
    """Wait until the service has no more than so many connections of clients."""

    async def count() -> int:
        inodes = set()
        for entry in Path(f"/proc/{served.pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                inodes.add(entry.readlink().name)
        port, ours = f":{served.port:04X}", 0
        for line in Path(f"/proc/{served.pid}/net/tcp").read_text().splitlines()[1:]:
            parts = line.split()
            ours += parts[1].endswith(port) and parts[3] != "0A" and f"socket:[{parts[9]}]" in inodes
        return ours

    await until(count, lambda found: found <= own, within_s)
