"""`/v1/verifications`: start, check, read, cancel."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from otpost.address import LONGEST
from otpost.api.counters import CHECKS, STARTS
from otpost.api.endpoint import Reply
from otpost.api.lists import SearchQuery, read_number
from otpost.api.native import shapes
from otpost.api.native.endpoint import Call, Endpoint
from otpost.domain.errors import FieldError, NotFound, refusal
from otpost.domain.sid import VERIFICATION
from otpost.domain.text import TextRefused, read_variable
from otpost.domain.views import (
    CheckShape,
    VerificationDetail,
    VerificationShape,
    view_check,
    view_verification,
    view_verification_detail,
)
from otpost.services.idempotency import Answer
from otpost.services.tenants.applications import read_application
from otpost.services.verifications.check import cancel_verification, check_code
from otpost.services.verifications.read import list_verifications, read_verification
from otpost.services.verifications.start import start_verification
from otpost.services.verifications.text import asked_for


class Variables(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """What the application's text may name: one line each, at most 64 characters, no link, no five digits in a row."""

    user: str = ""
    endpoint: str = ""
    event: str = ""


class StartBody(msgspec.Struct, forbid_unknown_fields=True):
    to: str
    application: str | None = None
    locale: str | None = None
    client_ip: Annotated[str, msgspec.Meta(max_length=LONGEST)] | None = None
    variables: Variables | None = None


class CheckBody(msgspec.Struct, forbid_unknown_fields=True):
    code: str


class Nothing(msgspec.Struct, forbid_unknown_fields=True):
    """No fields."""


class VerificationQuery(SearchQuery):
    status: Literal["pending", "approved", "canceled", "expired", "max_attempts_reached"] | None = None


def acts_for(call: Call[Any], named: str | None) -> str:
    """The application that a call acts for; NotFound where the key may not act for the one that it names."""
    own = call.principal.key.application
    if named is not None and own not in (None, named):
        raise NotFound("There is no such application.")
    return call.principal.application if named is None else named


async def start(call: Call[StartBody]) -> Reply | Answer:
    body = call.body
    application = acts_for(call, body.application)
    app = await read_application(call.context, call.tenant, application)
    variables = _variables(body.variables)
    unit = start_verification(
        call.context,
        call.surroundings.plans,
        call.tenant,
        application,
        read_number(body.to, "to", app.rules.default_region),
        locale=asked_for(body.locale),
        client_ip=body.client_ip,
        variables=variables,
    )
    now = call.context.clock()
    return await call.run(
        unit,
        lambda started: Reply(
            201 if started.created else 200, view_verification(started.verification, started.message, now)
        ),
        STARTS,
    )


def _variables(given: Variables | None) -> dict[str, str]:
    """The caller's variables as they are put into the text; Invalid with every one that cannot be."""
    read: dict[str, str] = {}
    wrong: list[FieldError] = []
    for name, value in {} if given is None else msgspec.structs.asdict(given).items():
        try:
            read[name] = read_variable(value, may_be_host=name == "endpoint")
        except TextRefused as refused:
            wrong.append(FieldError(f"variables.{name}", refused.code, refused.message))
    if wrong:
        raise refusal(wrong)
    return {name: value for name, value in read.items() if value}


async def check(call: Call[CheckBody]) -> Reply | Answer:
    unit = check_code(call.context, call.tenancy, call.path["sid"], call.body.code)
    now = call.context.clock()
    return await call.run(
        unit, lambda done: Reply(200, view_check(done.verification, done.message, now, valid=done.valid)), CHECKS
    )


async def read(call: Call[None]) -> Reply:
    row, stories = await read_verification(call.context, call.tenancy, call.path["sid"])
    return Reply(200, view_verification_detail(row, stories, call.context.clock()))


async def listing(call: Call[None]) -> Reply:
    query: VerificationQuery = call.query
    search = query.search(call.tenancy)._replace(status=query.status)
    page, latest = await list_verifications(
        call.context, call.tenancy, search, limit=query.limit, cursor=query.at(VERIFICATION)
    )
    now = call.context.clock()
    return Reply(
        200, shapes.Page([view_verification(row, latest.get(row.message), now) for row in page.rows], page.next)
    )


async def cancel(call: Call[Nothing]) -> Reply | Answer:
    unit = cancel_verification(call.context, call.tenancy, call.path["sid"])
    now = call.context.clock()
    return await call.run(unit, lambda done: Reply(200, view_verification(done.verification, done.message, now)))


ENDPOINTS = (
    Endpoint(
        "POST",
        "/v1/verifications",
        start,
        "verify",
        "Start a verification, or send one more text for the pending one",
        {201: VerificationShape, 200: VerificationShape},
        body=StartBody,
        refuses=(
            "not_found",
            "sender_policy_incomplete",
            "resend_too_soon",
            "max_sends_reached",
            "number_sends_reached",
            "number_checks_reached",
            "number_locked",
            "application_sends_reached",
            "client_sends_reached",
        ),
    ),
    Endpoint(
        "GET",
        "/v1/verifications",
        listing,
        "verify",
        "List verifications, newest first",
        {200: shapes.Page[VerificationShape]},
        query=VerificationQuery,
    ),
    Endpoint(
        "POST",
        "/v1/verifications/{sid}/check",
        check,
        "verify",
        "Check a code",
        {200: CheckShape},
        body=CheckBody,
        refuses=("verification_not_found", "max_checks_reached", "number_checks_reached", "number_locked"),
    ),
    Endpoint(
        "POST",
        "/v1/verifications/{sid}/cancel",
        cancel,
        "verify",
        "Cancel a verification",
        {200: VerificationShape},
        body=Nothing,
        body_optional=True,
        refuses=("verification_not_found", "verification_final"),
    ),
    Endpoint(
        "GET",
        "/v1/verifications/{sid}",
        read,
        "verify",
        "Read a verification with its messages and events",
        {200: VerificationDetail},
        refuses=("verification_not_found",),
    ),
)
