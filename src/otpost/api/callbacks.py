"""`/callbacks/{service}/{attempt}`: what sender services report later."""

from __future__ import annotations

import logging
from typing import cast
from urllib.parse import parse_qs, quote

from starlette.types import Receive, Scope, Send

from otpost.api import problems
from otpost.api.endpoint import Surroundings
from otpost.api.problems import Internal, MethodNotAllowed
from otpost.api.wire import read_body, respond, write_problem
from otpost.domain.errors import NotFound, Refusal, Unavailable
from otpost.domain.sid import ATTEMPT, TENANT, is_sid, lengthened
from otpost.outbound import AnswerLost, NotConnected, OutboundRefused
from otpost.senders.registry import capabilities, find_services
from otpost.senders.service import (
    CONNECT_S,
    TOTAL_S,
    AnswersReports,
    Confirmation,
    NotProven,
    ReadsReports,
    ReportRequest,
)
from otpost.services.idempotency import Answer
from otpost.services.messages.reports import (
    Intake,
    Judgement,
    Prove,
    keep_report,
    report_by_name,
    report_early,
)
from otpost.services.policy.callbacks import is_proof
from otpost.store.units import Rows
from otpost.telemetry import REPORTS

PATH = "/callbacks/{service}/{attempt}"

_log = logging.getLogger(__name__)


class Callbacks:
    """404 for an attempt that is not there, 403 for what is not proven, 204 for what was taken.

    Where a service has no signatures, the address proves itself by its `proof`, and may name the tenant in place of
    an attempt: `/callbacks/{service}/{tenant}?proof=…`. Some services call with GET, all that they say in the query.
    """

    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings = surroundings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        now = self._surroundings.context.clock()
        if scope["method"] not in ("POST", "GET"):
            await respond(send, *write_problem(MethodNotAllowed(), now))
            return
        try:
            answer = await self._take(scope, receive)
        except Refusal as refusal:
            await respond(send, *write_problem(refusal, now))
        except Exception:
            _log.exception("%s %s failed", scope["method"], PATH)
            await respond(send, *write_problem(Internal(), now))
        else:
            await respond(send, answer, [(b"content-type", b"text/plain; charset=utf-8")])

    async def _take(self, scope: Scope, receive: Receive) -> Answer:
        context, plans = self._surroundings.context, self._surroundings.plans
        name, subject = scope["path_params"]["service"], scope["path_params"]["attempt"]
        subject = lengthened(subject, ATTEMPT) or subject
        body = await read_body(receive)
        service = find_services().get(name)
        if service is None or not capabilities(service).reads_reports:
            raise NotFound("There is no attempt with this SID.")
        by_address = capabilities(service).proven_by_address
        if not is_sid(subject, ATTEMPT) and not (by_address and is_sid(subject, TENANT)):
            raise NotFound("There is no attempt with this SID.")
        if by_address and not is_proof(context, name, subject, _proof(scope)):
            REPORTS.labels(name, "not_proven").inc()
            raise problems.NotProven
        reader = cast(ReadsReports, service)
        headers = {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]}
        request = ReportRequest(self._url(scope), body, headers)

        answer = Answer(204, b"")

        def prove(rows: Rows, tenant: str) -> Judgement:
            nonlocal answer
            settings = plans.plan_of(rows, tenant).settings[name]
            if isinstance(service, AnswersReports):
                status, words = service.report_answer(settings)
                answer = Answer(status, words.encode())
            return reader.read_report(settings, request, plans.tokens_of(rows, tenant, name))

        if is_sid(subject, ATTEMPT):
            judgement = await context.store.run(keep_report(context, plans, name, subject, prove))
        else:
            judgement = await self._take_by_name(name, subject, prove)
        if judgement is None:
            raise NotFound("There is no attempt with this SID.")
        if isinstance(judgement, NotProven):
            _log.warning("a report on %s was not proven: %s", subject, judgement.reason)
            REPORTS.labels(name, "not_proven").inc()
            raise problems.NotProven
        if isinstance(judgement, Confirmation):
            await self._confirm(name, judgement.url)
            return answer
        for report in judgement:
            REPORTS.labels(name, report.status).inc()
        return answer

    async def _take_by_name(self, service: str, tenant: str, prove: Prove) -> Judgement | None:
        """What was taken of a call to a tenant's address; None where it names no message that is or may become known.

        What others send through the same account of the service may be reported here as well.
        """
        context, plans = self._surroundings.context, self._surroundings.plans
        judgement = await context.store.run(report_by_name(context, plans, service, tenant, prove))
        if not isinstance(judgement, Intake):
            return judgement
        reports = list(judgement.reports)
        if judgement.unknown:
            early = await context.store.run(report_early(context, plans, service, tenant, judgement.unknown))
            reports += early.reports
            if early.unknown:
                _log.info(
                    "%d of %d reports by %s name no message",
                    len(early.unknown),
                    len(early.unknown) + len(reports),
                    service,
                )
        return reports or None

    async def _confirm(self, service: str, url: str) -> None:
        """Call the address by which the service learns that its reports are wanted; it asks again where that fails."""
        try:
            answer = await self._surroundings.http.request(
                "GET", url, headers={}, body=None, connect_s=CONNECT_S, total_s=TOTAL_S
            )
        except (OutboundRefused, NotConnected, AnswerLost) as error:
            _log.warning("the reports of %s could not be confirmed: %s", service, error.reason)
            raise Unavailable("The subscription could not be confirmed.") from error
        if answer.status != 200:
            _log.warning("the reports of %s could not be confirmed: the answer was %d", service, answer.status)
            raise Unavailable("The subscription could not be confirmed.")
        _log.info("the reports of %s are confirmed", service)

    def _url(self, scope: Scope) -> str:
        """The address as the service was given it: made from configuration, not from what a proxy made of it."""
        base = self._surroundings.public_url or ""
        query = scope["query_string"].decode("latin-1")
        return base + quote(scope["path"]) + (f"?{query}" if query else "")


def _proof(scope: Scope) -> str:
    query: str = scope["query_string"].decode("latin-1")
    return parse_qs(query).get("proof", [""])[-1][:200]
