"""The commands that serve until they are told to end."""

from __future__ import annotations

import os
import sys

from otpost import telemetry
from otpost.cli.work import read_config, run, say


def serve() -> None:
    from otpost.app import serve as run_service

    chosen = read_config()
    telemetry.configure(chosen.log_level)
    run(run_service(chosen, say, terminal=sys.stdout.isatty()))


def demo(*, exit: bool) -> None:
    from otpost.demo import show

    telemetry.configure("warning")
    run(show(os.environ, stay=not exit))
