"""Why a command cannot be run as it was typed."""

from __future__ import annotations


class Mistake(Exception):
    """A command cannot do what it was asked; the message is one line that says what to do."""


class WrongUse(Exception):
    """There is no such command, or it is not called like this; the message is one line."""
