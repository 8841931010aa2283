"""Every endpoint of the native API."""

from __future__ import annotations

from otpost.api.native import applications, messages, policy, templates, verifications, webhooks
from otpost.api.native.endpoint import Endpoint

ENDPOINTS: tuple[Endpoint, ...] = (
    *verifications.ENDPOINTS,
    *messages.ENDPOINTS,
    *applications.ENDPOINTS,
    *webhooks.ENDPOINTS,
    *templates.ENDPOINTS,
    *policy.ENDPOINTS,
)
