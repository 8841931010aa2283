"""`/callbacks/{service}/{attempt}`: what sender services report later."""

from __future__ import annotations

import logging
from typing import cast
from urllib.parse import quote

from starlette.types import Receive, Scope, Send

from otpost.api import problems
from otpost.api.http import Surroundings, read_all, refused, respond
from otpost.api.problems import Internal, MethodNotAllowed
from otpost.domain.errors import NotFound, Refusal
from otpost.domain.message import Attempt
from otpost.domain.sid import ATTEMPT, is_sid
from otpost.senders.base import NotProven, ReadsReports, Reported, ReportRequest, found, reads_reports
from otpost.services import delivery, plan
from otpost.services.once import Answer
from otpost.store.units import Rows
from otpost.telemetry import REPORTS

_log = logging.getLogger(__name__)


class Callbacks:
    """404 for an attempt that is not there, 403 for what is not proven, 204 for what was taken."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings = surroundings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        now = self._surroundings.house.clock()
        if scope["method"] != "POST":
            await respond(send, *refused(MethodNotAllowed(), now))
            return
        try:
            await self._take(scope, receive)
        except Refusal as refusal:
            await respond(send, *refused(refusal, now))
        except Exception:
            _log.exception("a callback failed")
            await respond(send, *refused(Internal(), now))
        else:
            await respond(send, Answer(204, b""), [])

    async def _take(self, scope: Scope, receive: Receive) -> None:
        house = self._surroundings.house
        name, attempt_sid = scope["path_params"]["service"], scope["path_params"]["attempt"]
        body = await read_all(scope, receive)
        service = found().get(name)
        if service is None or not reads_reports(service) or not is_sid(attempt_sid, ATTEMPT):
            raise NotFound("There is no attempt with this SID.")
        reader = cast(ReadsReports, service)
        headers = {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]}
        request = ReportRequest(self._url(scope), body, headers)

        def prove(rows: Rows, attempt: Attempt) -> Reported | NotProven:
            return reader.read_report(request, plan.tokens(house, rows, attempt.tenant, name))

        told = await house.store.run(delivery.report(house, name, attempt_sid, prove))
        if told is None:
            raise NotFound("There is no attempt with this SID.")
        if isinstance(told, NotProven):
            _log.warning("a report on %s was not proven: %s", attempt_sid, told.reason)
            REPORTS.labels(name, "not_proven").inc()
            raise problems.NotProven
        REPORTS.labels(name, told.status).inc()

    def _url(self, scope: Scope) -> str:
        """The address as the service was given it: made from configuration, not from what a proxy made of it."""
        base = self._surroundings.public_url or ""
        query = scope["query_string"].decode("latin-1")
        return base + quote(scope["path"]) + (f"?{query}" if query else "")
