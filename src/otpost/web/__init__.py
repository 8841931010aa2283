"""The console: pages rendered on the server, which work as plain forms.

A page is added in three places: a module in `pages` with its handlers and `PAGES`, that tuple in `routes.PAGES`, and
its templates, which extend `layout.html` and take their fields from `forms.html`. Each sentence that people read passes
the one function of `translation`: `_()` in a module, `{{ _() }}` or `{% trans %}` in a template. After a template has
used a class of Tabler's for the first time, `npm ci && npm run build` in scripts/console-css brings the CSS along.
"""

from __future__ import annotations

from otpost.web.request import Surroundings
from otpost.web.routes import make_routes

__all__ = ["Surroundings", "make_routes"]
