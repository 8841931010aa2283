"""What went wrong in a command, as one line and an exit code."""

from __future__ import annotations

import asyncio
import os
import traceback

from otpost import telemetry
from otpost.config import ConfigError
from otpost.domain.errors import Refusal
from otpost.installation import NotReady
from otpost.services.keyring import KeyRingError


def describe_failure(error: BaseException) -> tuple[str, int]:
    """One line that says what to do, and the exit code; no line where somebody ended the command."""
    match error:
        case asyncio.CancelledError():
            return "", 130
        case Refusal():
            return " ".join(dict.fromkeys([wrong.message for wrong in error.errors] or [error.detail])), 1
        case ConfigError() | NotReady() | KeyRingError():
            return " ".join(str(error).split()), 1
    from otpost.outbound import OutboundRefused

    if isinstance(error, OutboundRefused):
        return error.reason, 1
    if os.environ.get("OTPOST_LOG_LEVEL", "").lower() == "debug":
        traceback.print_exception(error)
    what = f"{type(error).__name__}: {telemetry.mask(' '.join(str(error).split()))}"
    return f"Otpost failed inside ({what}): please report it, with what OTPOST_LOG_LEVEL=debug shows.", 70
