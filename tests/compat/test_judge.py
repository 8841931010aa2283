"""The judge of every answer sees what is wrong with one."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from compat.sdks import Sdk, services, twilio
from compat.served import Exchange, Served, judged

TO = "+15005550006"


@pytest.mark.parametrize("driver", ["python"], indirect=True)
async def test_an_answer_that_is_not_as_twilios_is_noticed(sdk: Sdk, served: Served) -> None:
    made = await sdk(services.create(friendly_name="Corner Shop"))
    await sdk(services(made["sid"]).verifications.create(to=TO, channel="sms"))
    await sdk(services.list())
    await sdk(twilio.messages.create(to=TO, body="hello"))
    await sdk.refusal(services("VA" + "0" * 32).fetch())
    service, verification, listed, message, refused = served.heard.exchanges
    assert [judged(each) for each in served.heard.exchanges] == [[]] * 5
    for exchange, changes in (
        (service, {"sid": "VA1"}),
        (service, {"code_length": "6"}),
        (service, {"ttl": 600}),
        (service, {"url": None, "links": {"verifications": "/v2/Services"}}),
        (verification, {"valid": "false"}),
        (verification, {"status": None, "date_created": "Thu, 24 Aug 2023 05:01:45 +0000"}),
        (listed, {"services": [{"sid": made["sid"]}]}),
        (listed, {"meta": {}}),
        (message, {"date_created": "2023-08-24T05:01:45Z"}),
        (message, {"num_segments": 1, "body": 2}),
        (message, {"tags": {}}),
        (refused, {"code": "20404"}),
        (refused, {"status": 400}),
        (refused, {"type": "about:blank", "title": "Not found"}),
        (refused, {"more_info": ""}),
    ):
        assert judged(changed(exchange, changes)) != [], changes
    for exchange, key in ((service, "tts_name"), (verification, "sna"), (message, "price"), (refused, "message")):
        assert judged(changed(exchange, {}, without=key)) != [], key
    assert judged(replace(service, status=200)) != []
    assert judged(replace(service, answered=b"<html>")) != []


def changed(exchange: Exchange, changes: dict[str, Any], without: str | None = None) -> Exchange:
    body = json.loads(exchange.answered) | changes
    body.pop(without, None)
    return replace(exchange, answered=json.dumps(body).encode())
