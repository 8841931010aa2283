"""`/v1/tenant` and its auth token."""

from __future__ import annotations

from sqlalchemy import select

from api.twilio.shaped import basic, refusal
from api.twilio.shaped import ok as shaped
from api.world import everything, neighbour, told
from installation import Installation
from otpost.domain.moments import format_moment
from otpost.store import tables

TOKEN = "/v1/tenant/auth-token"


async def test_a_new_tenant_has_no_token_and_the_first_one_is_shown_once(otpost: Installation) -> None:
    tenant = otpost.tenant
    new = {"sid": tenant.sid, "name": tenant.name, "default_application": tenant.default_application}
    assert await otpost.ok("GET", "/v1/tenant") == {**new, "auth_token_set": False, "auth_token_at": None}
    answer = await otpost.call("POST", TOKEN)
    made = answer.json()
    token = made.pop("auth_token")
    assert answer.status == 201
    assert len(token) == 32
    assert made == {**new, "auth_token_set": True, "auth_token_at": format_moment(otpost.clock())}
    assert await otpost.ok("GET", "/v1/tenant") == made
    assert token not in await everything(otpost)
    lines = await otpost.store.select(select(tables.audit.c.what, tables.audit.c.who))
    assert ("auth token made", "key test") in lines


async def test_the_old_token_opens_the_twilio_shaped_api_for_a_day_more(otpost: Installation) -> None:
    first = (await otpost.ok("POST", TOKEN))["auth_token"]
    second = (await otpost.ok("POST", TOKEN))["auth_token"]
    old, new = (basic(otpost.tenant.sid, token) for token in (first, second))
    otpost.clock.advance(24 * 3600 - 1)
    for authorization in (old, new):
        await shaped(otpost, "GET", "/v2/Services", authorization=authorization)
    otpost.clock.advance(1)
    assert await refusal(otpost, "GET", "/v2/Services", authorization=old) == (401, 20003)
    await shaped(otpost, "GET", "/v2/Services", authorization=new)


async def test_the_same_idempotency_key_gets_the_same_token_again(otpost: Installation) -> None:
    first, again = [await otpost.call("POST", TOKEN, headers={"idempotency-key": "once"}) for _ in range(2)]
    assert first.json() == again.json()
    assert again.headers["idempotent-replayed"] == "true"
    assert first.json()["auth_token"] not in await everything(otpost)


async def test_a_key_reads_and_renews_its_own_tenants_token_alone(otpost: Installation) -> None:
    other = await neighbour(otpost)
    await otpost.ok("POST", TOKEN, key=other.admin)
    assert (await otpost.ok("GET", "/v1/tenant"))["auth_token_set"] is False
    assert (await otpost.ok("GET", "/v1/tenant", key=other.admin))["sid"] == other.tenant.sid
    for method, path in (("GET", "/v1/tenant"), ("POST", TOKEN)):
        assert told(await otpost.call(method, path, key=otpost.verify)) == (403, "scope_missing", [])
