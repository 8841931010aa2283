"""A sender service for the proofs: Twilio, but for a node that is stopped at the very moment before it asks.

It is found by an entry point, as another package's sender would be, and stops its process once where `FREEZES` names
a file that is there.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any, Final

import msgspec

from otpost.domain.outcome import Outcome
from otpost.domain.phone import PhoneNumber
from otpost.domain.policy import NoRoute, Route
from otpost.senders import twilio
from otpost.senders.service import Http, Text
from otpost.senders.twilio import Settings, account, account_secret, look_up, problems

__all__ = ["NAME", "PLACE", "TITLE", "Settings", "account", "account_secret", "look_up", "may_be_fallback", "problems"]

NAME: Final = "freezing"
TITLE: Final = "Freezing"
PLACE: Final = 99
may_be_fallback: Final = False
FREEZES: Final = "TEST_FREEZES"


def install(folder: Path) -> str:
    """Make this module a sender service of processes whose PYTHONPATH holds what is returned."""
    information = folder / "freezing-1.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: freezing\nVersion: 1\n")
    (information / "entry_points.txt").write_text("[otpost.senders]\nfreezing = faults.freezing\n")
    return f"{folder}{os.pathsep}{Path(__file__).resolve().parents[1]}"


def route(settings: Any, to: PhoneNumber) -> Route | NoRoute:
    chosen = twilio.route(settings, to)
    return chosen if isinstance(chosen, NoRoute) else msgspec.structs.replace(chosen, service=NAME)


async def send(http: Http, settings: Any, route: Route, text: Text) -> Outcome:
    mark = Path(os.environ.get(FREEZES, "/nowhere"))
    if mark.exists():
        mark.unlink()
        os.kill(os.getpid(), signal.SIGSTOP)
    return await twilio.send(http, settings, route, text)
