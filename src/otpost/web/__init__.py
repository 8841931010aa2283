"""The console: pages rendered on the server, which work as plain forms.

A room is added in three places: a module in `rooms` with its handlers and `ROOMS`, that tuple in `routes.ROOMS`, and
its templates, which extend `layout.html` and take their fields from `forms.html`. After a template has used a class of
Tabler's for the first time, `npm ci && npm run build` in scripts/console-css brings the CSS along.
"""

from __future__ import annotations

from otpost.web.routes import routes
from otpost.web.visit import Surroundings

__all__ = ["Surroundings", "routes"]
