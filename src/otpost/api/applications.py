"""`/v1/applications` and their keys."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType

from otpost.api import shapes
from otpost.api.http import Call, Endpoint, Reply
from otpost.api.lists import ListQuery
from otpost.api.reading import refusal
from otpost.domain.application import NAME_LENGTH, Rules, out_of_range
from otpost.domain.errors import FieldError
from otpost.domain.phone import NumberRefused, parse_dialing_code, region_known
from otpost.domain.sid import APPLICATION, KEY
from otpost.domain.text import TemplateRefused, check_template
from otpost.services import access, reading
from otpost.services.once import Answer

_DEFAULTS = Rules()
MAX_DIALING_CODES = 300


class ApplicationBody(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What an application may set; what is left out takes its default."""

    name: str
    code_length: int | UnsetType = UNSET
    lifetime_s: int | UnsetType = UNSET
    max_checks: int | UnsetType = UNSET
    max_sends: int | UnsetType = UNSET
    resend_after_s: int | UnsetType = UNSET
    body: str | UnsetType = UNSET
    default_region: str | UnsetType | None = UNSET
    allowed_dialing_codes: list[str] | UnsetType = UNSET
    number_sends_per_hour: int | UnsetType = UNSET
    number_sends_per_day: int | UnsetType = UNSET
    number_checks_per_hour: int | UnsetType = UNSET
    max_sends_per_hour: int | UnsetType | None = UNSET
    max_sends_per_client_ip: int | UnsetType | None = UNSET
    max_segments: int | UnsetType = UNSET


class ApplicationPatch(ApplicationBody, kw_only=True):
    """What is left out stays as it is."""

    name: str | UnsetType = UNSET  # type: ignore[assignment]  # a change may leave the name out, a start may not


class KeyBody(msgspec.Struct, forbid_unknown_fields=True):
    name: Annotated[str, msgspec.Meta(max_length=NAME_LENGTH)] = ""


async def listing(call: Call[None]) -> Reply:
    query: ListQuery = call.query
    page = await reading.applications(
        call.house, call.principal.tenant.sid, limit=query.limit, cursor=query.at(APPLICATION)
    )
    return Reply(200, shapes.Page([shapes.application(row) for row in page.rows], page.next))


async def create(call: Call[ApplicationBody]) -> Reply | Answer:
    wrong = _name_errors(call.body.name)
    rules, more = _rules(call.body)
    made = msgspec.structs.replace(_DEFAULTS, **rules)
    wrong += more + [error for error in out_of_range(made) if error.field not in {known.field for known in more}]
    if wrong:
        raise refusal(wrong)
    unit = access.make_application(call.house, call.principal.actor, call.body.name.strip(), made)
    return await call.run(unit, lambda application: Reply(201, shapes.application(application)))


async def read(call: Call[None]) -> Reply:
    application = await reading.application(call.house, call.principal.tenant.sid, call.path["sid"])
    return Reply(200, shapes.application(application))


async def change(call: Call[ApplicationPatch]) -> Reply | Answer:
    name = None if call.body.name is UNSET else call.body.name
    wrong = [] if name is None else _name_errors(name)
    rules, more = _rules(call.body)
    wrong += more
    if wrong:
        raise refusal(wrong)
    unit = access.change_application(
        call.house,
        call.principal.actor,
        call.path["sid"],
        name.strip() if name is not None else None,
        rules,
        _judge,
    )
    return await call.run(unit, lambda application: Reply(200, shapes.application(application)))


async def keys(call: Call[None]) -> Reply:
    query: ListQuery = call.query
    tenant = call.principal.tenant.sid
    await reading.application(call.house, tenant, call.path["sid"])
    page = await reading.keys(call.house, tenant, call.path["sid"], limit=query.limit, cursor=query.at(KEY))
    return Reply(200, shapes.Page([shapes.key(row) for row in page.rows], page.next))


async def create_key(call: Call[KeyBody]) -> Reply | Answer:
    name = call.body.name.strip()
    if not name.isprintable():
        raise refusal([FieldError("name", "invalid", "The name is one line without control characters.")])
    unit = access.make_key(call.house, call.principal.actor, "verify", call.path["sid"], name)
    return await call.run(unit, lambda made: Reply(201, shapes.new_key(made.key, made.secret)))


async def revoke_key(call: Call[None]) -> Reply:
    unit = access.revoke_key(call.house, call.principal.actor, call.path["key"], call.path["sid"])
    await call.house.store.run(unit)
    return Reply(204)


def _judge(rules: Rules) -> None:
    wrong = out_of_range(rules)
    if wrong:
        raise refusal(wrong)


def _name_errors(name: str) -> list[FieldError]:
    if not name.strip():
        return [FieldError("name", "required", "The name is what recipients read in the text.")]
    if len(name.strip()) > NAME_LENGTH:
        return [FieldError("name", "text_too_long", f"The name has at most {NAME_LENGTH} characters.")]
    if not name.strip().isprintable():
        return [FieldError("name", "invalid", "The name is one line without control characters.")]
    return []


def _rules(body: ApplicationBody) -> tuple[dict[str, Any], list[FieldError]]:
    """The rules that were given, in their stored form, and what is wrong with them."""
    given = {name: value for name in Rules.__struct_fields__ if (value := getattr(body, name)) is not UNSET}
    wrong: list[FieldError] = []
    if "body" in given:
        try:
            check_template(given["body"])
        except TemplateRefused as refused:
            wrong.append(FieldError("body", refused.code, refused.message))
    region = given.get("default_region")
    if region is not None:
        given["default_region"] = region.strip().upper() or None
        if given["default_region"] and not region_known(given["default_region"]):
            wrong.append(FieldError("default_region", "invalid", "A region is two ISO 3166 letters, as in IN."))
    if "allowed_dialing_codes" in given:
        codes, more = _dialing_codes(given["allowed_dialing_codes"])
        given["allowed_dialing_codes"] = codes
        wrong += more
    return given, wrong


def _dialing_codes(texts: list[str]) -> tuple[tuple[str, ...], list[FieldError]]:
    wrong, codes = [], []
    if len(texts) > MAX_DIALING_CODES:
        return (), [FieldError("allowed_dialing_codes", "out_of_range", f"At most {MAX_DIALING_CODES} entries.")]
    for place, text in enumerate(texts):
        field = f"allowed_dialing_codes[{place}]"
        try:
            code = parse_dialing_code(text)
        except NumberRefused as refused:
            wrong.append(FieldError(field, refused.code, refused.message))
            continue
        if code in codes:
            wrong.append(FieldError(field, "duplicate", f"{code} stands in the list already."))
        codes.append(code)
    return tuple(codes), wrong


ENDPOINTS = (
    Endpoint(
        "GET",
        "/v1/applications",
        listing,
        "List applications, newest first",
        "admin",
        {200: shapes.Page[shapes.ApplicationShape]},
        query=ListQuery,
    ),
    Endpoint(
        "POST",
        "/v1/applications",
        create,
        "Make an application",
        "admin",
        {201: shapes.ApplicationShape},
        body=ApplicationBody,
    ),
    Endpoint(
        "GET",
        "/v1/applications/{sid}",
        read,
        "Read an application",
        "admin",
        {200: shapes.ApplicationShape},
        refuses=("not_found",),
    ),
    Endpoint(
        "PATCH",
        "/v1/applications/{sid}",
        change,
        "Change an application",
        "admin",
        {200: shapes.ApplicationShape},
        body=ApplicationPatch,
        refuses=("not_found",),
    ),
    Endpoint(
        "GET",
        "/v1/applications/{sid}/keys",
        keys,
        "List an application's keys",
        "admin",
        {200: shapes.Page[shapes.KeyShape]},
        query=ListQuery,
        refuses=("not_found",),
    ),
    Endpoint(
        "POST",
        "/v1/applications/{sid}/keys",
        create_key,
        "Make a key of scope verify; its secret is shown this once",
        "admin",
        {201: shapes.NewKeyShape},
        body=KeyBody,
        body_optional=True,
        refuses=("not_found",),
    ),
    Endpoint(
        "DELETE",
        "/v1/applications/{sid}/keys/{key}",
        revoke_key,
        "Revoke a key at once",
        "admin",
        {204: None},
        refuses=("not_found",),
    ),
)
