"""What the kernel saw: the log is synced before a 201 leaves the process, and an intent before the vendor is asked."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from faults.load import sender_policy, settled, stand_in
from faults.served import Served

pytestmark = pytest.mark.prove

TRACED = "pwrite64,fsync,fdatasync,sendto,write,writev,sendmsg"
_CALL = re.compile(r"(?P<thread>\d+) +(?:<\.\.\. )?(?P<name>\w+)(?: resumed>|\()(?P<rest>.*)", re.DOTALL)
_ATTEMPT = re.compile(r"AT[0-9a-f]{32}")


@dataclass(frozen=True)
class Call:
    """A system call: the places in the trace where it was entered and where it came back, and its arguments."""

    name: str
    entered: int
    returned: int
    arguments: str


def calls(trace: str) -> list[Call]:
    """The finished calls of a trace, in the order in which they were entered."""
    found: list[Call] = []
    waiting: dict[tuple[str, str], tuple[int, str]] = {}
    for place, line in enumerate(trace.splitlines()):
        match = _CALL.match(line)
        if match is None:
            continue
        thread, name, rest = match["thread"], match["name"], match["rest"]
        if rest.endswith("<unfinished ...>"):
            waiting[thread, name] = place, rest
        elif "resumed>" in line:
            entered, arguments = waiting.pop((thread, name))
            found.append(Call(name, entered, place, arguments + rest))
        else:
            found.append(Call(name, place, place, rest))
    return sorted(found, key=lambda call: call.entered)


def synced_between(seen: list[Call], log: str, words: str, before: Call) -> bool:
    """Whether the log got these words, and was synced to its end after that, all before this call was entered."""
    written = [
        call.returned
        for call in seen
        if call.name == "pwrite64" and f"{log}>" in call.arguments and words in call.arguments
    ]
    return any(
        call.entered > min(written, default=before.entered) and call.returned < before.entered
        for call in seen
        if call.name in ("fsync", "fdatasync") and f"{log}>" in call.arguments and call.arguments.endswith("= 0")
    )


def sent(seen: list[Call], words: str) -> Call:
    """The one call that put these words on a socket."""
    (found,) = [call for call in seen if "<TCP:" in call.arguments and words in call.arguments]
    return found


async def test_a_start_is_on_disk_before_its_201_leaves_and_an_intent_before_the_vendor_is_asked(tmp_path: Path):
    trace = tmp_path / "trace"
    # -D: the service stays our own child, and strace goes when it goes.
    strace = ("strace", "-D", "-f", "-yy", "-s", "8192", "-o", str(trace), "-e", f"trace={TRACED}")
    service = Served(tmp_path / "service", public=True, before=strace)
    async with stand_in() as twilio, service, await service.set_up() as api:
        await service.start()
        await api.ok("PUT", "/v1/sender-policy", sender_policy(twilio))
        verification = await api.ok("POST", "/v1/verifications", {"to": "+447400123456"})
        await settled(api)
        await service.stop()
    seen = calls(trace.read_text(errors="replace"))
    answer = sent(seen, "HTTP/1.1 201 ")
    assert synced_between(seen, "otpost.db-wal", verification["sid"], answer)
    request = sent(seen, "POST /2010-04-01/Accounts/")
    attempt = _ATTEMPT.search(sent(seen, "StatusCallback=").arguments)
    assert attempt is not None
    assert synced_between(seen, "otpost.db-wal", attempt[0], request)
