"""What a service's codes and statuses stand for: the values of which its tables are made."""

from __future__ import annotations

from typing import Literal, NamedTuple

from otpost.domain.outcome import ReasonName

Status = Literal["accepted", "sent", "delivered", "undelivered", "failed"]
"""Where a message stands, in our words."""


class Code(NamedTuple):
    """What one code of a service means: its reason, our sentence, and the setting at fault, if it is one."""

    reason: ReasonName
    sentence: str
    setting: str = ""
