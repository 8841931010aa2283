"""`/v1/templates`: the tenant's texts in several languages, which the Twilio-shaped API lists and starts name."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from otpost.api.endpoint import Reply
from otpost.api.lists import ListQuery
from otpost.api.native import shapes
from otpost.api.native.endpoint import Call, Endpoint
from otpost.domain.locale import FALLBACK, Template
from otpost.domain.moments import format_moment
from otpost.domain.sid import TEMPLATE
from otpost.services.idempotency import Answer
from otpost.services.verifications.templates import (
    change_template,
    list_templates,
    make_template,
    read_template,
    remove_template,
)


class TemplateBody(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`translations` are texts by locale (`pt-BR`), each with `{{code}}`."""

    friendly_name: str
    translations: dict[str, str]
    default_locale: str = FALLBACK


class TemplatePatch(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What is left out stays as it is; `translations` are all of them."""

    friendly_name: str | UnsetType = UNSET
    translations: dict[str, str] | UnsetType = UNSET
    default_locale: str | UnsetType = UNSET


class TemplateShape(msgspec.Struct):
    sid: str
    friendly_name: str
    channels: list[str]
    translations: dict[str, str]
    default_locale: str
    created_at: str
    updated_at: str


def shape(row: Template) -> TemplateShape:
    return TemplateShape(
        sid=row.sid,
        friendly_name=row.friendly_name,
        channels=list(row.channels),
        translations=row.translations,
        default_locale=row.default_locale,
        created_at=format_moment(row.created_at),
        updated_at=format_moment(row.updated_at),
    )


async def listing(call: Call[None]) -> Reply:
    query: ListQuery = call.query
    page = await list_templates(call.context, call.tenant, limit=query.limit, cursor=query.at(TEMPLATE))
    return Reply(200, shapes.Page([shape(row) for row in page.rows], page.next))


async def create(call: Call[TemplateBody]) -> Reply | Answer:
    body = call.body
    unit = make_template(call.context, call.actor, body.friendly_name, body.translations, body.default_locale)
    return await call.run(unit, lambda template: Reply(201, shape(template)))


async def read(call: Call[None]) -> Reply:
    return Reply(200, shape(await read_template(call.context, call.tenant, call.path["sid"])))


async def change(call: Call[TemplatePatch]) -> Reply | Answer:
    changes: dict[str, Any] = {
        name: value for name in TemplatePatch.__struct_fields__ if (value := getattr(call.body, name)) is not UNSET
    }
    unit = change_template(call.context, call.actor, call.path["sid"], changes)
    return await call.run(unit, lambda template: Reply(200, shape(template)))


async def remove(call: Call[None]) -> Reply:
    await call.decide(remove_template(call.context, call.actor, call.path["sid"]))
    return Reply(204)


ENDPOINTS = (
    Endpoint(
        "GET",
        "/v1/templates",
        listing,
        "admin",
        "List templates, newest first",
        {200: shapes.Page[TemplateShape]},
        query=ListQuery,
    ),
    Endpoint("POST", "/v1/templates", create, "admin", "Make a template", {201: TemplateShape}, body=TemplateBody),
    Endpoint(
        "GET", "/v1/templates/{sid}", read, "admin", "Read a template", {200: TemplateShape}, refuses=("not_found",)
    ),
    Endpoint(
        "PATCH",
        "/v1/templates/{sid}",
        change,
        "admin",
        "Change a template",
        {200: TemplateShape},
        body=TemplatePatch,
        refuses=("not_found",),
    ),
    Endpoint(
        "DELETE", "/v1/templates/{sid}", remove, "admin", "Delete a template", {204: None}, refuses=("not_found",)
    ),
)
