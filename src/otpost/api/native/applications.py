"""`/v1/tenant` with its auth token, `/v1/applications` and their keys, and `/v1/keys`, which are all of the tenant."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from otpost.api.endpoint import Reply
from otpost.api.lists import ListQuery
from otpost.api.native import shapes
from otpost.api.native.endpoint import Call, Endpoint
from otpost.domain.access import Scope
from otpost.domain.application import FIELDS, NAME_LENGTH
from otpost.domain.errors import invalid, refusal
from otpost.domain.sid import APPLICATION, KEY
from otpost.domain.text import TextRefused, read_line
from otpost.services.idempotency import Answer
from otpost.services.tenants import keys as tenants_keys
from otpost.services.tenants.applications import (
    change_application,
    complete_settings,
    judge_settings,
    list_applications,
    make_application,
    read_application,
    read_settings,
)
from otpost.services.tenants.keys import list_keys, make_key
from otpost.services.tenants.tenants import renew_auth_token

ApplicationBody = msgspec.defstruct(
    "ApplicationBody",
    [("name", str), *((field.name, field.type | UnsetType, UNSET) for field in FIELDS)],
    namespace={"__doc__": "What an application may set; what is left out takes its default."},
    forbid_unknown_fields=True,
    kw_only=True,
)
ApplicationPatch = msgspec.defstruct(
    "ApplicationPatch",
    [("name", str | UnsetType, UNSET)],
    bases=(ApplicationBody,),
    namespace={"__doc__": "What is left out stays as it is."},
    kw_only=True,
)


class KeyQuery(ListQuery):
    scope: Scope | None = None
    application: str | None = None


class KeyBody(msgspec.Struct, forbid_unknown_fields=True):
    name: str = ""


async def tenant(call: Call[None]) -> Reply:
    return Reply(200, shapes.tenant(call.principal.tenant))


async def renew_token(call: Call[None]) -> Reply | Answer:
    unit = renew_auth_token(call.context, call.actor)
    return await call.run(unit, lambda made: Reply(201, shapes.new_token(made.tenant, made.token)))


async def listing(call: Call[None]) -> Reply:
    query: ListQuery = call.query
    page = await list_applications(call.context, call.tenant, limit=query.limit, cursor=query.at(APPLICATION))
    return Reply(200, shapes.Page([shapes.application(row) for row in page.rows], page.next))


async def create(call: Call[Any]) -> Reply | Answer:
    name, made, wrong = complete_settings(_given(call.body))
    if wrong:
        raise refusal(wrong)
    unit = make_application(call.context, call.actor, name, made)
    return await call.run(unit, lambda application: Reply(201, shapes.application(application)))


async def read(call: Call[None]) -> Reply:
    application = await read_application(call.context, call.tenant, call.path["sid"])
    return Reply(200, shapes.application(application))


async def change(call: Call[Any]) -> Reply | Answer:
    name, changed, wrong = read_settings(_given(call.body))
    if wrong:
        raise refusal(wrong)
    unit = change_application(
        call.context,
        call.actor,
        call.path["sid"],
        name,
        changed,
        judge_settings,
    )
    return await call.run(unit, lambda application: Reply(200, shapes.application(application)))


async def keys(call: Call[None]) -> Reply:
    query: ListQuery = call.query
    tenant = call.tenant
    await read_application(call.context, tenant, call.path["sid"])
    page = await list_keys(
        call.context,
        call.surroundings.key_uses,
        tenant,
        application=call.path["sid"],
        limit=query.limit,
        cursor=query.at(KEY),
    )
    return Reply(200, shapes.Page([shapes.key(row) for row in page.rows], page.next))


async def create_key(call: Call[KeyBody]) -> Reply | Answer:
    try:
        name = read_line(call.body.name, NAME_LENGTH)
    except TextRefused as refused:
        raise invalid("name", refused.code, refused.message) from None
    unit = make_key(call.context, call.actor, "verify", call.path["sid"], name)
    return await call.run(unit, lambda made: Reply(201, shapes.new_key(made.key, made.secret)))


async def revoke_key(call: Call[None]) -> Reply:
    unit = tenants_keys.revoke_key(call.context, call.actor, call.path["key"], call.path["sid"])
    await call.decide(unit)
    return Reply(204)


async def all_keys(call: Call[None]) -> Reply:
    query: KeyQuery = call.query
    page = await list_keys(
        call.context,
        call.surroundings.key_uses,
        call.tenant,
        scope=query.scope,
        application=query.application,
        limit=query.limit,
        cursor=query.at(KEY),
    )
    return Reply(200, shapes.Page([shapes.key(row) for row in page.rows], page.next))


async def revoke_any_key(call: Call[None]) -> Reply:
    await call.decide(tenants_keys.revoke_key(call.context, call.actor, call.path["key"]))
    return Reply(204)


def _given(body: msgspec.Struct) -> dict[str, Any]:
    return {name: value for name, value in msgspec.structs.asdict(body).items() if value is not UNSET}


ENDPOINTS = (
    Endpoint(
        "GET",
        "/v1/tenant",
        tenant,
        "admin",
        "Read the tenant: its account SID, and whether it has an auth token",
        {200: shapes.TenantShape},
    ),
    Endpoint(
        "POST",
        "/v1/tenant/auth-token",
        renew_token,
        "admin",
        "Make a new auth token, shown this once; the old one works for 24 h more",
        {201: shapes.NewTokenShape},
    ),
    Endpoint(
        "GET",
        "/v1/applications",
        listing,
        "admin",
        "List applications, newest first",
        {200: shapes.ApplicationPage},
        query=ListQuery,
    ),
    Endpoint(
        "POST",
        "/v1/applications",
        create,
        "admin",
        "Make an application",
        {201: shapes.ApplicationShape},
        body=ApplicationBody,
    ),
    Endpoint(
        "GET",
        "/v1/applications/{sid}",
        read,
        "admin",
        "Read an application",
        {200: shapes.ApplicationShape},
        refuses=("not_found",),
    ),
    Endpoint(
        "PATCH",
        "/v1/applications/{sid}",
        change,
        "admin",
        "Change an application",
        {200: shapes.ApplicationShape},
        body=ApplicationPatch,
        refuses=("not_found",),
    ),
    Endpoint(
        "GET",
        "/v1/applications/{sid}/keys",
        keys,
        "admin",
        "List an application's keys",
        {200: shapes.Page[shapes.KeyShape]},
        query=ListQuery,
        refuses=("not_found",),
    ),
    Endpoint(
        "POST",
        "/v1/applications/{sid}/keys",
        create_key,
        "admin",
        "Make a key of scope verify; its secret is shown this once",
        {201: shapes.NewKeyShape},
        body=KeyBody,
        body_optional=True,
        refuses=("not_found",),
    ),
    Endpoint(
        "DELETE",
        "/v1/applications/{sid}/keys/{key}",
        revoke_key,
        "admin",
        "Revoke a key at once",
        {204: None},
        refuses=("not_found",),
    ),
    Endpoint(
        "GET",
        "/v1/keys",
        all_keys,
        "admin",
        "List all keys of the tenant, newest first",
        {200: shapes.Page[shapes.KeyShape]},
        query=KeyQuery,
    ),
    Endpoint(
        "DELETE",
        "/v1/keys/{key}",
        revoke_any_key,
        "admin",
        "Revoke any key of the tenant at once",
        {204: None},
        refuses=("not_found",),
    ),
)
