"""Webhooks: an application's own addresses, and how each is told of what happens, in the unit of work that does it."""

from __future__ import annotations

from otpost.services.webhooks.events import WEBHOOKS_DUE, queue, subscribed, told

__all__ = ["WEBHOOKS_DUE", "queue", "subscribed", "told"]
