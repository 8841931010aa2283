"""`/v2/Templates`: the tenant's templates, which it makes through `/v1/templates`, and our own built-in one."""

from __future__ import annotations

from typing import Any

import msgspec

from otpost.api.endpoint import Reply
from otpost.api.twilio import paging
from otpost.api.twilio.endpoint import Call, Endpoint
from otpost.domain.locale import Template, twilio_translations
from otpost.domain.moments import format_second
from otpost.services.verifications.templates import every_template


class TemplateShape(msgspec.Struct):
    sid: str
    account_sid: str
    friendly_name: str
    channels: list[str]
    translations: dict[str, dict[str, Any]]


def shape(row: Template) -> TemplateShape:
    return TemplateShape(
        sid=row.sid,
        account_sid=row.tenant,
        friendly_name=row.friendly_name,
        channels=list(row.channels),
        translations=twilio_translations(row, format_second),
    )


async def listing(call: Call) -> Reply:
    named = call.query.get("FriendlyName")
    rows = await every_template(call.context, call.tenant)
    page = paging.slice_page(call, [row for row in rows if named in (None, row.friendly_name)], lambda row: row.sid)
    return paging.reply_page(call, "templates", page, [shape(row) for row in page.rows])


ENDPOINTS = (Endpoint("GET", "/v2/Templates", listing),)
