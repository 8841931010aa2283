"""How a request may fail: refused by the guard, not written at all, or written and not answered."""

from __future__ import annotations


class _WithReason(Exception):
    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class OutboundRefused(_WithReason):
    """The guard's refusal: a mistake in the settings, never retried. `reason` is a sentence with the remedy."""


class NotConnected(_WithReason):
    """Nothing of the request was written: no address, no connection, no TLS, or no free connection in time."""


class AnswerLost(_WithReason):
    """The request may have been read, and no whole answer came: time-out, reset, short or oversized body."""
