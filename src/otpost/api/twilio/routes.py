"""Every endpoint of the Twilio-shaped API, and which addresses are answered in Twilio's shape."""

from __future__ import annotations

from otpost.api.twilio import (
    attempts,
    messages,
    messaging_configurations,
    rate_limits,
    safe_list,
    services,
    templates,
    verifications,
)
from otpost.api.twilio.endpoint import Endpoint

PREFIXES = ("/v2/", "/2010-04-01/")

ENDPOINTS: tuple[Endpoint, ...] = (
    *services.ENDPOINTS,
    *verifications.ENDPOINTS,
    *rate_limits.ENDPOINTS,
    *messaging_configurations.ENDPOINTS,
    *templates.ENDPOINTS,
    *attempts.ENDPOINTS,
    *safe_list.ENDPOINTS,
    *messages.ENDPOINTS,
)

_ROOTS = frozenset({"/v2", "/2010-04-01", "/2010-04-01.json"})


def is_shaped(path: str) -> bool:
    """Whether an address is Twilio's, known or not: then it is answered in Twilio's shape."""
    return path.startswith(PREFIXES) or path in _ROOTS
