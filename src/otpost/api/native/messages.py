"""`/v1/messages`, the sandbox phone and the locks of numbers."""

from __future__ import annotations

from typing import Annotated

import msgspec

from otpost.api.endpoint import Reply
from otpost.api.lists import ListQuery, SearchQuery, read_moment_at, read_number
from otpost.api.native import shapes
from otpost.api.native.endpoint import Call, Endpoint
from otpost.domain.errors import invalid
from otpost.domain.message import MessageStatus
from otpost.domain.moments import format_moment
from otpost.domain.outcome import REASONS
from otpost.domain.sid import ATTEMPT, MESSAGE
from otpost.domain.views import MessageShape, view_message
from otpost.senders.registry import find_services
from otpost.services.idempotency import Answer
from otpost.services.messages.read import list_messages, read_message
from otpost.services.messages.send import DEFAULT_S, LONGEST_S, SHORTEST_S, send_message
from otpost.services.policy.sandbox import empty_sandbox, list_inbox
from otpost.services.tenants.applications import read_application
from otpost.services.verifications.number_limits import unlock_number


class MessageBody(msgspec.Struct, forbid_unknown_fields=True):
    to: str
    body: str
    valid_for_s: Annotated[int, msgspec.Meta(ge=SHORTEST_S, le=LONGEST_S)] = DEFAULT_S


class MessageQuery(SearchQuery):
    status: MessageStatus | None = None
    after: str | None = None
    account: Annotated[str, msgspec.Meta(max_length=100)] | None = None
    service: str | None = None
    reason: str | None = None


class InboxQuery(ListQuery):
    to: str | None = None


class InboxShape(msgspec.Struct):
    sid: str
    to: str
    body: str
    received_at: str


async def send(call: Call[MessageBody]) -> Reply | Answer:
    app = await read_application(call.context, call.tenant, call.principal.application)
    unit = send_message(
        call.context,
        call.surroundings.plans,
        call.tenant,
        app.sid,
        read_number(call.body.to, "to", app.rules.default_region),
        call.body.body,
        call.body.valid_for_s,
    )
    return await call.run(unit, lambda message: Reply(202, view_message(message, [], [])))


async def read(call: Call[None]) -> Reply:
    story = await read_message(call.context, call.tenancy, call.path["sid"])
    return Reply(200, view_message(*story))


async def listing(call: Call[None]) -> Reply:
    query: MessageQuery = call.query
    if query.service is not None and query.service not in find_services():
        raise invalid("service", "invalid", f"Send one of {', '.join(sorted(find_services()))}.")
    if query.reason is not None and query.reason not in REASONS:
        raise invalid("reason", "invalid", f"Send one of {', '.join(sorted(REASONS))}.")
    after = None if query.after is None else read_moment_at(query.after, "after")
    search = query.search(call.tenancy)._replace(
        status=query.status, after=after, account=query.account, service=query.service, reason=query.reason
    )
    page = await list_messages(call.context, call.tenancy, search, limit=query.limit, cursor=query.at(MESSAGE))
    return Reply(200, shapes.Page([view_message(*story) for story in page.rows], page.next))


async def inbox(call: Call[None]) -> Reply:
    query: InboxQuery = call.query
    to = None if query.to is None else read_number(query.to, "to").e164
    page = await list_inbox(call.context, call.tenant, to=to, limit=query.limit, cursor=query.at(ATTEMPT))
    items = [
        InboxShape(sid=text.sid, to=text.to, body=body, received_at=format_moment(text.received_at))
        for text, body in page.rows
    ]
    return Reply(200, shapes.Page(items, page.next))


async def empty_inbox(call: Call[None]) -> Reply:
    await empty_sandbox(call.context, call.tenant)
    return Reply(204)


async def unlock(call: Call[None]) -> Reply:
    named = call.path["number"]
    to = read_number(f"+{named.lstrip()}" if named.startswith(" ") else named, "number")
    await call.decide(unlock_number(call.context, call.actor, to.e164))
    return Reply(204)


ENDPOINTS = (
    Endpoint(
        "POST",
        "/v1/messages",
        send,
        "admin",
        "Send a text of your own through the same policy, queue and reports",
        {202: MessageShape},
        body=MessageBody,
        refuses=("sender_policy_incomplete",),
    ),
    Endpoint(
        "GET",
        "/v1/messages",
        listing,
        "verify",
        "List messages, newest first",
        {200: shapes.Page[MessageShape]},
        query=MessageQuery,
    ),
    Endpoint(
        "GET",
        "/v1/messages/{sid}",
        read,
        "verify",
        "Read a message with its attempts and reports",
        {200: MessageShape},
        refuses=("not_found",),
    ),
    Endpoint(
        "GET",
        "/v1/sandbox/messages",
        inbox,
        "admin",
        "The sandbox phone's texts, newest first",
        {200: shapes.Page[InboxShape]},
        query=InboxQuery,
        refuses=("not_found",),
    ),
    Endpoint(
        "DELETE",
        "/v1/sandbox/messages",
        empty_inbox,
        "admin",
        "Empty the sandbox phone",
        {204: None},
        refuses=("not_found",),
    ),
    Endpoint(
        "DELETE",
        "/v1/numbers/{number}/lock",
        unlock,
        "admin",
        "Lift the lock of a number",
        {204: None},
        refuses=("not_found",),
    ),
)
