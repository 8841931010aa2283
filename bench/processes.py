"""The processes that are measured, and the CPU time that each has used."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
TICKS = os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    """User and system time of a process and its living children, in seconds."""
    total = 0.0
    pending = [pid]
    while pending:
        one = pending.pop()
        try:
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
            children = Path(f"/proc/{one}/task/{one}/children").read_text().split()
        except FileNotFoundError:
            continue
        total += (int(fields[11]) + int(fields[12]) + int(fields[13]) + int(fields[14])) / TICKS
        pending += [int(child) for child in children]
    return total


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_listening(port: int, process: subprocess.Popen[bytes], timeout_s: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended with {process.returncode}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.5):
            return
        time.sleep(0.05)
    raise RuntimeError(f"{process.args!r} does not listen on port {port}")


@contextlib.contextmanager
def running(arguments: list[str], port: int, environment: dict[str, str], log: Path) -> Iterator[int]:
    """A process that listens on the port; its process id. Ended at the end."""
    with log.open("ab") as output:
        process = subprocess.Popen(arguments, env={**os.environ, **environment}, stdout=output, stderr=output, cwd=ROOT)
    try:
        wait_until_listening(port, process)
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def otpost(data: Path, database: str | None, port: int, public_url: str, roles: str) -> Iterator[int]:
    """A server as an operator runs it; its process id."""
    own = {"OTPOST_LISTEN": f"127.0.0.1:{port}", "OTPOST_PUBLIC_URL": public_url, "OTPOST_ROLES": roles}
    environment = installation(data, database) | own
    with running([sys.executable, "-m", "otpost", "serve"], port, environment, data / "serve.log") as pid:
        yield pid


def installation(data: Path, database: str | None) -> dict[str, str]:
    environment = {"OTPOST_DATA": str(data), "OTPOST_OUTBOUND_ALLOW": "127.0.0.0/8", "OTPOST_LOG_LEVEL": "warning"}
    return environment if database is None else {**environment, "OTPOST_DATABASE_URL": database}


def command(data: Path, database: str | None, *arguments: str) -> str:
    """What an `otpost` command prints."""
    done = subprocess.run(
        [sys.executable, "-m", "otpost", *arguments],
        env={**os.environ, **installation(data, database)},
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    return done.stdout.strip()


@contextlib.contextmanager
def twilio_stand_in(config: dict[str, object], folder: Path) -> Iterator[tuple[int, int]]:
    """The tests' stand-in for Twilio as a process of its own: its process id and port."""
    path, port = folder / "stand-in.json", free_port()
    path.write_text(json.dumps(config))
    arguments = [sys.executable, "-m", "standins.twilio", "--port", str(port), "--config", str(path)]
    with running(arguments, port, {"PYTHONPATH": str(ROOT / "tests")}, folder / "stand-in.log") as pid:
        yield pid, port
