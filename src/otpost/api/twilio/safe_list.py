"""`/v2/SafeList/Numbers`: numbers that limits against pumping do not hold back."""

from __future__ import annotations

import msgspec

from otpost.api.endpoint import Reply
from otpost.api.twilio.endpoint import Call, Endpoint
from otpost.api.twilio.errors import wrong
from otpost.domain.limits import SafeNumber
from otpost.domain.phone import NumberRefused, PhoneNumber, parse_recipient
from otpost.services.verifications.safe_numbers import add_safe_number, read_safe_number, remove_safe_number


class SafeNumberShape(msgspec.Struct):
    sid: str
    phone_number: str
    url: str


def shape(row: SafeNumber, base: str) -> SafeNumberShape:
    return SafeNumberShape(row.sid, row.to, f"{base}/v2/SafeList/Numbers/{row.to}")


async def create(call: Call) -> Reply:
    try:
        to = parse_recipient(call.require("PhoneNumber"))
    except NumberRefused as refused:
        raise wrong("PhoneNumber", refused.message) from None
    return Reply(201, shape(await call.decide(add_safe_number(call.context, call.actor, to)), call.base))


async def fetch(call: Call) -> Reply:
    return Reply(200, shape(await read_safe_number(call.context, call.tenant, _number(call)), call.base))


async def delete(call: Call) -> Reply:
    await call.decide(remove_safe_number(call.context, call.actor, _number(call)))
    return Reply(204)


def _number(call: Call) -> PhoneNumber:
    try:
        return parse_recipient(call.path["PhoneNumber"])
    except NumberRefused:
        call.refuse_path()


_ONE = "/v2/SafeList/Numbers/{PhoneNumber}"

ENDPOINTS = (
    Endpoint("POST", "/v2/SafeList/Numbers", create, "admin"),
    Endpoint("GET", _ONE, fetch, "admin"),
    Endpoint("DELETE", _ONE, delete, "admin"),
)
