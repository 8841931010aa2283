"""India's DLT ids: under the names of each service, and with texts to India alone."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

import msgspec
import pytest

from otpost.domain.phone import trusted
from otpost.domain.policy import Route
from otpost.senders.registry import find_services
from otpost.senders.service import Text
from otpost.senders.settings import fill
from otpost.senders.submission import read_section
from senders.contract import LOOPBACK, Answer, outbound, standing_in

ENTITY, TEMPLATE = "1101456324675322134", "1107160000000012345"
SECTIONS: dict[str, dict[str, Any]] = {
    "aws": {"access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": "s", "region": "ap-south-1"},
    "vonage": {"api_key": "abcd1234", "api_secret": "s", "sender": "MyBrand"},
    "infobip": {"api_key": "s", "sender": "MyBrand"},
}


async def sent(name: str, to: str, **ids: str) -> Any:
    """What the service was asked, as an object, with these ids in the settings."""
    async with standing_in(Answer(500)) as vendor, outbound(LOOPBACK) as http:
        service = find_services()[name]
        submission = read_section(service.Settings, {**SECTIONS[name], "api_url": vendor.url, **ids}, name)
        assert submission.errors == []
        settings = fill(submission.settings, submission.typed)
        route = service.route(settings, trusted(to))
        assert isinstance(route, Route)
        await service.send(http, settings, route, Text("AT0190", trusted(to), "123456 is your code.", 290))
        body = vendor.received[0].body
    return msgspec.json.decode(body) if body.startswith(b"{") else dict(parse_qsl(body.decode()))


def registered(name: str, asked: Any) -> dict[str, str]:
    match name:
        case "aws":
            named = asked.get("DestinationCountryParameters", {})
            return {"entity": named.get("IN_ENTITY_ID", ""), "template": named.get("IN_TEMPLATE_ID", "")}
        case "vonage":
            return {"entity": asked.get("entity-id", ""), "template": asked.get("content-id", "")}
        case _:
            regional = asked["messages"][0]["options"].get("regional", {})
            named = regional.get("indiaDlt", {})
            return {"entity": named.get("principalEntityId", ""), "template": named.get("contentTemplateId", "")}


@pytest.mark.parametrize("name", SECTIONS)
async def test_the_ids_go_with_texts_to_india_alone(name: str) -> None:
    both = {"dlt_entity_id": ENTITY, "dlt_template_id": TEMPLATE}
    asked = await sent(name, "+919191919191", **both)
    assert registered(name, asked) == {"entity": ENTITY, "template": TEMPLATE}
    for to in ("+4915112345678", "+9647901234567"):
        assert ENTITY not in str(await sent(name, to, **both))
    assert registered(name, await sent(name, "+919191919191")) == {"entity": "", "template": ""}
    only = await sent(name, "+919191919191", dlt_entity_id=ENTITY)
    assert registered(name, only) == {"entity": ENTITY, "template": ""}


@pytest.mark.parametrize("name", SECTIONS)
def test_an_id_of_another_form_is_refused(name: str) -> None:
    section = {**SECTIONS[name], "api_url": "https://sms.example.com", "dlt_entity_id": "ABC", "dlt_template_id": "1 2"}
    errors = read_section(find_services()[name].Settings, section, name).errors
    assert [error.field for error in errors] == [f"{name}.dlt_entity_id", f"{name}.dlt_template_id"]
