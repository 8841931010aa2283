"""A second client in a process of its own, which asks all the time and measures how long each answer takes.

`python -m faults.watching PORT` asks until its standard input ends, then prints one line of JSON.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

PATHS: Final = ("/healthz", "/sign-in")
EVERY_S: Final = 0.005


@dataclass
class Seen:
    """What the client saw; filled in at the end."""

    slowest_ms: float = 0.0
    count: int = 0
    again: int = 0
    wrong: list[str] = field(default_factory=list)


@contextlib.contextmanager
def watching(port: int) -> Iterator[Seen]:
    """A second client while the block runs, from its first answer on."""
    seen = Seen()
    process = subprocess.Popen(
        [sys.executable, "-m", "faults.watching", str(port)],
        cwd=Path(__file__).parents[1],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "asking\n"
        yield seen
        out, _ = process.communicate()
    seen.__dict__.update(json.loads(out))


def _ask(port: int) -> Seen:
    seen = Seen()
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    while not select.select([sys.stdin], [], [], EVERY_S)[0]:
        for path in PATHS:
            began = time.monotonic()
            try:
                client.request("GET", path)
                answer = client.getresponse()
            except (ConnectionError, http.client.RemoteDisconnected):
                # An idle connection may be closed at any time; clients repeat a GET on a new one.
                seen.again += 1
                client.close()
                client.request("GET", path)
                answer = client.getresponse()
            answer.read()
            # The first answer of each is made of what was not loaded yet.
            if seen.count == len(PATHS):
                print("asking", flush=True)
            if seen.count >= len(PATHS):
                seen.slowest_ms = max(seen.slowest_ms, (time.monotonic() - began) * 1000)
            seen.count += 1
            if answer.status != 200:
                seen.wrong.append(f"{path}: {answer.status}")
    return seen


if __name__ == "__main__":
    print(json.dumps(_ask(int(sys.argv[1])).__dict__))
