"""`/v2/Services/{VA}/MessagingConfigurations`: the main account's Messaging Service for a country, or for `all`."""

from __future__ import annotations

import re

import msgspec

from otpost.api.endpoint import Reply
from otpost.api.twilio import paging
from otpost.api.twilio.endpoint import Call, Endpoint
from otpost.api.twilio.errors import wrong
from otpost.domain.application import Application, MessagingConfiguration
from otpost.domain.moments import format_second
from otpost.domain.text.characters import compact
from otpost.services.tenants.country_senders import (
    change_country_sender,
    country_of,
    list_country_senders,
    make_country_sender,
    remove_country_sender,
)

_SERVICE = re.compile("MG[0-9a-fA-F]{32}")


class ConfigurationShape(msgspec.Struct):
    account_sid: str
    service_sid: str
    country: str
    messaging_service_sid: str
    date_created: str
    date_updated: str
    url: str


def shape(service: Application, country: str, row: MessagingConfiguration, base: str) -> ConfigurationShape:
    return ConfigurationShape(
        account_sid=service.tenant,
        service_sid=service.sid,
        country=country,
        messaging_service_sid=row.service_sid,
        date_created=format_second(row.created_at),
        date_updated=format_second(row.updated_at),
        url=f"{base}/v2/Services/{service.sid}/MessagingConfigurations/{country}",
    )


async def listing(call: Call) -> Reply:
    service = await call.read_service()
    page = paging.slice_page(call, sorted(service.features.messaging.items()), lambda pair: pair[0])
    shapes = [shape(service, country, row, call.base) for country, row in page.rows]
    return paging.reply_page(call, "messaging_configurations", page, shapes)


async def create(call: Call) -> Reply:
    service = await call.read_service()
    country = country_of(compact(call.require("Country")))
    if country is None:
        raise wrong("Country", "Send the two letters of ISO 3166-1, as in CA, or all.")
    unit = make_country_sender(call.context, call.actor, service.sid, country, _service_sid(call))
    return Reply(201, shape(service, country, await call.decide(unit), call.base))


async def fetch(call: Call) -> Reply:
    service, country = await _found(call)
    return Reply(200, shape(service, country, list_country_senders(service, country), call.base))


async def update(call: Call) -> Reply:
    service, country = await _found(call)
    unit = change_country_sender(call.context, call.actor, service.sid, country, _service_sid(call))
    return Reply(200, shape(service, country, await call.decide(unit), call.base))


async def delete(call: Call) -> Reply:
    service, country = await _found(call)
    await call.decide(remove_country_sender(call.context, call.actor, service.sid, country))
    return Reply(204)


async def _found(call: Call) -> tuple[Application, str]:
    """The service and the country of the path; Twilio's 404 where it has nothing for that."""
    service, country = await call.read_service(), country_of(call.path["Country"])
    if country is None or country not in service.features.messaging:
        call.refuse_path()
    return service, country


def _service_sid(call: Call) -> str:
    text = compact(call.require("MessagingServiceSid"))
    if not _SERVICE.fullmatch(text):
        raise wrong("MessagingServiceSid", "A Messaging Service's SID is MG and 32 hex digits.")
    return text


_ALL = "/v2/Services/{ServiceSid}/MessagingConfigurations"

ENDPOINTS = (
    Endpoint("GET", _ALL, listing),
    Endpoint("POST", _ALL, create, "admin"),
    Endpoint("GET", _ALL + "/{Country}", fetch),
    Endpoint("POST", _ALL + "/{Country}", update, "admin"),
    Endpoint("DELETE", _ALL + "/{Country}", delete, "admin"),
)
