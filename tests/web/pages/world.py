"""Verifications that the pages show, and how their lists are read."""

from __future__ import annotations

from typing import Any

from installation import TO
from web.browsing import Console, Seen

OTHER = "+919191919191"


async def verified(console: Console, to: str = TO) -> Any:
    """A verification with a wrong check and then the right one."""
    here = console.here
    started = await here.ok("POST", "/v1/verifications", {"to": to})
    await here.message(started["message"]["sid"])
    await here.ok("POST", f"/v1/verifications/{started['sid']}/check", {"code": here.wrong_code(started)})
    await here.ok("POST", f"/v1/verifications/{started['sid']}/check", {"code": here.code(started)})
    return started


async def started(console: Console, to: str = OTHER) -> Any:
    begun = await console.here.ok("POST", "/v1/verifications", {"to": to})
    await console.here.message(begun["message"]["sid"])
    return begun


def rows(seen: Seen) -> int:
    return seen.html.count("<tr>") - seen.html.count("<thead>")
