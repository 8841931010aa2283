"""A generic gateway that stands in for Twilio, and what came there."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any
from urllib.parse import parse_qs

from installation import Installation
from messaging.through_twilio import Row, policy
from senders.contract import Answer, Received, StandIn
from standins.twilio import TwilioStandIn


def taking() -> Answer:
    """The gateway's answer to a text that it takes: an id, another one each time."""
    numbers = count(1)

    def said(request: Received) -> bytes:
        return f'{{"id": "m-{next(numbers)}"}}'.encode()

    return Answer(200, said)


def section(url: str) -> dict[str, Any]:
    """The settings of a gateway that says its id of each text and reports on it under that id."""
    return {
        "service_url": f"{url}/send",
        "parameters": [
            {"name": "to", "value": "{phone}"},
            {"name": "text", "value": "{message}"},
            {"name": "dlr", "value": "{callback_url}"},
        ],
        "refusals": [{"pattern": "no such number", "reason": "invalid_number"}],
        "message_id_path": "id",
        "report_id_path": "id",
        "report_status_path": "state",
        "report_sent": "sent",
        "report_delivered": "delivered",
        "report_failed": "failed",
    }


async def choose_both(
    otpost: Installation,
    twilio: TwilioStandIn,
    gateway: StandIn,
    rows: Sequence[Row] = (),
    *,
    failover_after_s: int | None = None,
    **changed: Any,
) -> None:
    """Twilio sends, and the gateway stands in."""
    body = {
        **policy(twilio.url, rows, **changed),
        "fallback": ["generic"],
        "failover_after_s": failover_after_s,
        "generic": section(gateway.url),
    }
    await otpost.ok("PUT", "/v1/sender-policy", body)


def texts(gateway: StandIn) -> list[tuple[str, str]]:
    """Number and words of each text that the gateway was asked to send."""
    forms = [parse_qs(request.body.decode(), keep_blank_values=True) for request in gateway.received]
    return [(form["to"][0], form["text"][0]) for form in forms]
