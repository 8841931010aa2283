"""The API reference as a page."""

from __future__ import annotations

from otpost.api.native.routes import ENDPOINTS
from web.browsing import Console


async def test_the_reference_has_every_call_of_the_api(small_console: Console):
    seen = await (await small_console.signed_in()).get("/docs")
    text = seen.text.replace("’", "'")
    for endpoint in ENDPOINTS:
        assert endpoint.summary in text
        assert f'<span class="mono">{endpoint.path}</span>' in seen.html
    assert "number_checks_reached" in seen.text
    assert "verification.sid" not in seen.text
