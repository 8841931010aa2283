"""Who may call: both credentials of Twilio's, both ways to set an SDK up, and the traps on the way."""

from __future__ import annotations

import pytest
from twilio.base.exceptions import TwilioRestException
from twilio.http.async_http_client import AsyncTwilioHttpClient
from twilio.rest import Client

from compat.sdks import Sdk, services, twilio
from compat.served import Served

TO = "+15005550006"
DAY_S = 24 * 3600


async def test_the_tenants_auth_token_may_do_what_an_api_key_may(unconnected: Sdk, served: Served) -> None:
    sdk = unconnected
    await sdk.connect(served.url, served.account, served.token, served.account)
    service = str((await sdk(services.create(friendly_name="Corner Shop")))["sid"])
    await sdk(services(service).verifications.create(to=TO, channel="sms"))
    checked = services(service).verification_checks.create(to=TO, code=await served.code(TO))
    assert (await sdk(checked))["status"] == "approved"
    assert (await sdk(twilio.messages.create(to=TO, body="hello")))["account_sid"] == served.account

    renewed = (await served.here.ok("POST", "/v1/tenant/auth-token"))["auth_token"]
    await sdk(services(service).fetch())
    served.here.clock.advance(DAY_S)
    assert (await sdk.refusal(services(service).fetch())).answer == (401, 20003)
    await sdk.connect(served.url, served.account, renewed, served.account)
    await sdk(services(service).fetch())


async def test_wrong_credentials_are_20003(unconnected: Sdk, served: Served) -> None:
    sdk = unconnected
    for username in (served.key.key.sid, served.account):
        for user, secret in ((username, "wrong"), (username[:2] + "0" * 32, served.token), (username, served.account)):
            await sdk.connect(served.url, user, secret, served.account)
            for call in (
                services.list(),
                services.create(friendly_name="Corner Shop"),
                twilio.messages.list(),
                twilio.messages.create(to=TO, body="hello"),
            ):
                assert (await sdk.refusal(call)).answer == (401, 20003), user[:2]


async def test_a_key_of_one_application_sees_no_other(unconnected: Sdk, served: Served) -> None:
    sdk, here = unconnected, served.here
    own = here.tenant.default_application
    other = (await here.ok("POST", "/v1/applications", {"name": "Other"}))["sid"]
    await sdk.connect(served.url, here.verify.key.sid, here.verify.secret, served.account)
    await sdk(services(own).verifications.create(to=TO, channel="sms"))
    assert (await sdk(services(own).fetch()))["sid"] == own
    for call in (services(other).fetch(), services(other).verifications.create(to=TO, channel="sms")):
        assert (await sdk.refusal(call)).answer == (404, 20404)
    for call in (services.list(), services(own).delete(), twilio.messages.create(to=TO, body="hello")):
        assert (await sdk.refusal(call)).answer == (403, 20403)


async def test_another_account_in_the_path_is_no_ones(sdk: Sdk, served: Served) -> None:
    message = await sdk(twilio.messages.create(to=TO, body="hello"))
    await sdk.connect(served.url, served.key.key.sid, served.key.secret, "AC" + "0" * 32)
    for call in (twilio.messages.list(), twilio.messages(message["sid"]).fetch()):
        assert (await sdk.refusal(call)).answer == (404, 20404)


async def test_a_clients_own_http_client_goes_where_region_and_edge_do_not_lead(
    unconnected: Sdk, served: Served
) -> None:
    sdk = unconnected
    key = served.key
    await sdk.connect(served.url, key.key.sid, key.secret, served.account, rebased=True, region="ie1", edge="dublin")
    service = str((await sdk(services.create(friendly_name="Corner Shop")))["sid"])
    await sdk(services(service).verifications.create(to=TO, channel="sms"))
    await sdk(twilio.messages.create(to=TO, body="hello"))
    assert len(await sdk(services.list(page_size=1))) == 2


async def test_pages_lead_to_the_address_that_the_caller_used(sdk: Sdk, served: Served) -> None:
    await sdk(services.create(friendly_name="Corner Shop"))
    listed = await sdk(services.list(page_size=1))
    assert [one["url"] for one in listed] == [f"{served.url}/v2/Services/{one['sid']}" for one in listed]


@pytest.mark.parametrize("driver", ["python"], indirect=True)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_twilio_pythons_asynchronous_client_is_answered_alike(served: Served) -> None:
    async with AsyncTwilioHttpClient() as http:
        client = Client(served.account, served.token, http_client=http)
        client.verify.base_url = client.api.base_url = served.url
        service = await client.verify.v2.services.create_async(friendly_name="Corner Shop")
        own = client.verify.v2.services(service.sid)
        await own.verifications.create_async(to=TO, channel="sms")
        checked = await own.verification_checks.create_async(to=TO, code=await served.code(TO))
        assert (checked.status, checked.valid) == ("approved", True)
        with pytest.raises(TwilioRestException) as refused:
            await own.verification_checks.create_async(to=TO, code="123456")
        assert (refused.value.status, refused.value.code) == (404, 20404)
        assert len(await client.verify.v2.services.list_async(page_size=1)) == 2
