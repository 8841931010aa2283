"""Webhooks: an application's own addresses, and how each is told of what happens, in the unit of work that does it."""
