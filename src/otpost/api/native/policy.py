"""`/v1/sender-policy`: read, save, revisions, restore, test, route and accounts."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from otpost.api.endpoint import Reply
from otpost.api.lists import ListQuery, read_number
from otpost.api.native import shapes
from otpost.api.native.endpoint import Call, Endpoint
from otpost.domain.errors import NotFound, invalid, refusal
from otpost.domain.moments import format_moment
from otpost.domain.outcome import OutcomeName, ReasonName
from otpost.domain.policy import NoRoute, Route
from otpost.domain.views import RouteShape
from otpost.senders.registry import find_services
from otpost.senders.settings import Field, form
from otpost.services.idempotency import Answer
from otpost.services.policy import draft
from otpost.services.policy import revisions as policy
from otpost.services.policy.accounts import AccountState, list_accounts
from otpost.services.policy.read import list_revisions
from otpost.services.policy.routes import explain_saved_route
from otpost.services.policy.test_send import send_test

REVISION_DIGITS = 10


class RevisionShape(msgspec.Struct):
    """One Save: who, when and what changed, in words."""

    revision: int
    at: str
    who: str
    changes: list[str]
    sender_service: str | None


class VendorWords(msgspec.Struct):
    http_status: int | None
    code: str | None
    message: str | None
    sid: str | None
    status: str | None


class TestShape(msgspec.Struct):
    """What a test came to; `link` is the vendor's page on its code, `field` the setting at fault."""

    outcome: OutcomeName
    service: str
    account_sid: str
    origin: str
    reason: str
    vendor: VendorWords
    link: str | None
    field: str | None
    duration_ms: int


class RouteQuery(msgspec.Struct):
    """With an application: the route of its verifications' texts."""

    to: str
    application: str | None = None


class ExplainedShape(RouteShape):
    """The route of a number; `fallback` are the ways that a text may go where this one fails, in their order."""

    fallback: list[RouteShape]


class AccountShape(msgspec.Struct):
    """An account that some route uses, and its circuit breaker: closed, or open since when and why.

    While it is open the account gets nothing until `probe_at`; one text then tries it.
    """

    service: str
    account_sid: str
    state: Literal["open", "closed"]
    reason: ReasonName | None
    detail: str | None
    since: str | None
    probe_at: str | None


class AccountsShape(msgspec.Struct):
    items: list[AccountShape]


async def read(call: Call[None]) -> Reply:
    return Reply(200, await policy.shown(call.context, call.tenant))


async def save(call: Call[dict[str, Any]]) -> Reply | Answer:
    submitted = draft.read(call.body)
    if errors := await draft.url_errors(call.surroundings.http, submitted):
        raise refusal(errors)
    return await _kept(call, submitted)


async def revisions(call: Call[None]) -> Reply:
    query: ListQuery = call.query
    page = await list_revisions(call.context, call.tenant, limit=query.limit, cursor=query.cursor or None)
    items = [
        RevisionShape(
            revision=row.number,
            at=format_moment(row.at),
            who=row.who,
            changes=list(row.changes),
            sender_service=row.sender_service,
        )
        for row in page.rows
    ]
    return Reply(200, shapes.Page(items, page.next))


async def restore(call: Call[dict[str, Any]]) -> Reply | Answer:
    named = call.path["revision"]
    if not (named.isascii() and named.isdigit() and len(named) <= REVISION_DIGITS):
        raise NotFound("There is no such revision.")
    old = await draft.restored(call.context, call.tenant, int(named), call.body)
    if errors := await draft.url_errors(call.surroundings.http, old):
        raise refusal(errors)
    return await _kept(call, old)


async def _kept(call: Call[dict[str, Any]], submitted: draft.Draft) -> Reply | Answer:
    made: list[policy.Saved] = []

    def shown(saved: policy.Saved) -> Reply:
        made[:] = [saved]
        return Reply(200, saved.shown)

    answer = await call.run(policy.save(call.context, call.actor, submitted), shown)
    # A repeated call gets its first answer again and saves nothing.
    for saved in made:
        policy.tell(call.actor, saved)
    return answer


async def test(call: Call[dict[str, Any]]) -> Reply | Answer:
    async def tried() -> Reply:
        done = await send_test(call.context, call.surroundings.http, call.actor, call.body)
        said = done.vendor
        return Reply(
            200,
            TestShape(
                outcome=done.outcome,
                service=done.service,
                account_sid=done.account_sid,
                origin=done.origin,
                reason=done.reason,
                vendor=VendorWords(
                    http_status=said.http_status, code=said.code, message=said.message, sid=said.sid, status=said.status
                ),
                link=done.link,
                field=done.field,
                duration_ms=done.duration_ms,
            ),
        )

    return await call.run_outside(tried)


async def route(call: Call[None]) -> Reply:
    query: RouteQuery = call.query
    to = read_number(query.to, "to")
    taken, others = await explain_saved_route(call.context, call.tenant, to, query.application)
    if isinstance(taken, NoRoute):
        raise invalid("to", "dialing_code_refused", taken.reason)
    return Reply(200, ExplainedShape(*_route(taken), [RouteShape(*_route(way.route)) for way in others]))


def _route(taken: Route) -> tuple[str, str, str, str]:
    return taken.service, taken.account_sid, taken.origin, taken.reason


async def accounts(call: Call[None]) -> Reply:
    return Reply(200, AccountsShape([_account(one) for one in await list_accounts(call.context, call.tenant)]))


def _account(one: AccountState) -> AccountShape:
    if (breaker := one.breaker) is None:
        return AccountShape(
            service=one.service,
            account_sid=one.account_sid,
            state="closed",
            reason=None,
            detail=None,
            since=None,
            probe_at=None,
        )
    since, probe_at = format_moment(breaker.opened_at), format_moment(breaker.probe_at)
    return AccountShape(
        service=one.service,
        account_sid=one.account_sid,
        state="open",
        reason=breaker.reason,
        detail=breaker.detail,
        since=since,
        probe_at=probe_at,
    )


def describe(*, sent: bool) -> dict[str, Any]:
    """The JSON schema of a sender policy, made from the services' own settings; `sent` as a PUT brings it."""
    services = {name: _section(service.Settings, sent=sent) for name, service in find_services().items()}
    names = list(find_services())
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {
            "sender_service": {"anyOf": [{"type": "string", "enum": names}, {"type": "null"}]},
            "revision": {"type": "integer"} if not sent else {"anyOf": [{"type": "integer"}, {"type": "null"}]},
            "fallback": {"type": "array", "items": {"type": "string"}},
            "failover_after_s": _FAILOVER,
            "rates": {"type": "array", "items": _RATE, "maxItems": draft.MOST_RATES},
            **services,
        },
        "additionalProperties": False,
    }
    if not sent:
        schema["required"] = list(schema["properties"])
    return schema


def _section(settings: type[Any], *, sent: bool) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    for field in form(settings):
        properties[field.name] = _property(field, sent=sent)
        if field.kind == "secret":
            properties[f"{field.name}_set"] = {"type": "boolean"}
    section: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    if not sent:
        section["required"] = list(properties)
    return section


def _property(field: Field, *, sent: bool) -> dict[str, Any]:
    described: dict[str, Any] = {"title": field.label}
    if field.help:
        described["description"] = field.help
    if field.kind == "rows" and field.row is not None:
        kind: dict[str, Any] = {"type": "array", "items": _section(field.row, sent=sent)}
    elif field.kind == "flag":
        kind = {"type": "boolean"}
    elif field.kind == "number":
        kind = {"type": "integer"}
    elif field.kind == "secret":
        kind = {"type": "string", "writeOnly": True} if sent else {"type": "null"}
    else:
        kind = {"type": "string"}
    if sent:
        kind = {"anyOf": [kind, {"type": "null"}]}
    return {**described, **kind}


_FAILOVER = {
    "title": "Failover after",
    "description": "Seconds after which a text goes the next way, unless a report says that it was delivered; null: "
    "never. It takes a fallback or subaccount_falls_back to have an effect.",
    "anyOf": [{"type": "integer", "minimum": draft.FAILOVER_S[0], "maximum": draft.FAILOVER_S[1]}, {"type": "null"}],
}
_RATE = {
    "type": "object",
    "description": "How many messages a second an origin may send.",
    "properties": {
        "origin": {"type": "string"},
        "messages_per_second": {
            "type": "number",
            "minimum": draft.MESSAGES_PER_SECOND[0],
            "maximum": draft.MESSAGES_PER_SECOND[1],
        },
    },
    "required": ["origin", "messages_per_second"],
    "additionalProperties": False,
}
_POLICY = describe(sent=False)
_SENT = describe(sent=True)
_TEST = {
    "type": "object",
    "properties": {"policy": _SENT, "to": {"type": "string"}, "message": {"type": "string", "maxLength": 1600}},
    "required": ["policy", "to", "message"],
    "additionalProperties": False,
}
_SECRETS = {"type": "object", "description": "The sections, with only the secrets in them that are to be brought."}

ENDPOINTS = (
    Endpoint(
        "GET",
        "/v1/sender-policy",
        read,
        "admin",
        "Read the sender policy; secrets are null, with …_set",
        {200: dict[str, Any]},
        schemas={200: _POLICY},
    ),
    Endpoint(
        "PUT",
        "/v1/sender-policy",
        save,
        "admin",
        "Save the sender policy as a new revision",
        {200: dict[str, Any]},
        body=dict[str, Any],
        schemas={0: _SENT, 200: _POLICY},
        refuses=("revision_conflict",),
    ),
    Endpoint(
        "GET",
        "/v1/sender-policy/revisions",
        revisions,
        "admin",
        "List the policy's revisions, newest first",
        {200: shapes.Page[RevisionShape]},
        query=ListQuery,
    ),
    Endpoint(
        "POST",
        "/v1/sender-policy/revisions/{revision}/restore",
        restore,
        "admin",
        "Save the values of an old revision again",
        {200: dict[str, Any]},
        body=dict[str, Any],
        body_optional=True,
        schemas={0: _SECRETS, 200: _POLICY},
        refuses=("not_found", "revision_conflict"),
    ),
    Endpoint(
        "POST",
        "/v1/sender-policy/test",
        test,
        "admin",
        "Send a text now with nothing but the submitted values",
        {200: TestShape},
        body=dict[str, Any],
        schemas={0: _TEST},
        refuses=("tests_reached",),
    ),
    Endpoint(
        "GET",
        "/v1/sender-policy/route",
        route,
        "admin",
        "What production would do with a number, and why",
        {200: ExplainedShape},
        query=RouteQuery,
        refuses=("not_found", "sender_policy_incomplete"),
    ),
    Endpoint(
        "GET",
        "/v1/sender-policy/accounts",
        accounts,
        "admin",
        "List the accounts that the policy's routes use, and their circuit breakers",
        {200: AccountsShape},
    ),
)
