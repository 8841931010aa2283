"""Starts and checks as units of work: over several nodes, across a rotation of keys, leaving no trace of the code."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
from typing import Any, NamedTuple

import pytest
from sqlalchemy import select

from conftest import OpenStore
from installation import RING, TO, Installation, until
from otpost.domain.errors import (
    Invalid,
    MaxSendsReached,
    NotFound,
    ResendTooSoon,
    SenderPolicyIncomplete,
    Unavailable,
    VerificationNotFound,
)
from otpost.domain.limits import client_network
from otpost.domain.phone import parse_recipient
from otpost.domain.verification import Verification
from otpost.services.context import Context
from otpost.services.keyring import KeyRing
from otpost.services.paging import Tenancy
from otpost.services.policy.plan import Plans
from otpost.services.verifications.check import Checked, check_code
from otpost.services.verifications.start import Started, start_verification
from otpost.store import columns, tables

NUMBER = parse_recipient(TO)


class Full(NamedTuple):
    """Every lane is full for so long."""

    ms: int

    def wait_ms(self, name: str, application: str, plain: bool) -> int:
        return self.ms


@pytest.fixture
async def nodes(otpost: Installation, database_url: str, open_store: OpenStore) -> list[Context]:
    """Two nodes on one database."""
    await otpost.choose_sandbox()
    second = await open_store(database_url)
    return [otpost.context, dataclasses.replace(otpost.context, store=second)]


async def start(otpost: Installation, context: Context | None = None, **more: Any) -> Started:
    context = context or otpost.context
    unit = start_verification(
        context, Plans(context), otpost.tenant.sid, otpost.tenant.default_application, NUMBER, **more
    )
    return await context.store.run(unit)


async def check(otpost: Installation, row: Verification, code: str, context: Context | None = None) -> Checked:
    context = context or otpost.context
    return await context.store.run(check_code(context, Tenancy(otpost.tenant.sid), row.sid, code))


def code_of(row: Verification, ring: KeyRing = RING) -> str:
    return ring.code(row.sid, row.key_id, row.code_length)


async def test_on_two_nodes_one_of_many_right_codes_wins(otpost: Installation, nodes: list[Context]) -> None:
    row = (await start(otpost)).verification
    answers = await asyncio.gather(
        *(check(otpost, row, code_of(row), nodes[number % 2]) for number in range(32)), return_exceptions=True
    )
    assert [answer.valid for answer in answers if isinstance(answer, Checked)] == [True]
    assert {type(answer) for answer in answers if not isinstance(answer, Checked)} == {VerificationNotFound}


async def test_on_two_nodes_many_starts_are_one_verification_with_one_text(
    otpost: Installation, nodes: list[Context]
) -> None:
    answers = await asyncio.gather(*(start(otpost, nodes[number % 2]) for number in range(32)), return_exceptions=True)
    assert [answer.created for answer in answers if isinstance(answer, Started)] == [True]
    assert {type(answer) for answer in answers if not isinstance(answer, Started)} == {ResendTooSoon}
    for table in (tables.verifications, tables.messages):
        assert len(await otpost.store.select(select(table.c.sid))) == 1


async def test_on_two_nodes_no_more_wrong_codes_are_judged_than_there_are_checks(
    otpost: Installation, nodes: list[Context]
) -> None:
    row = (await start(otpost)).verification
    wrong = f"{(int(code_of(row)) + 1) % 1_000_000:06d}"
    answers = await asyncio.gather(
        *(check(otpost, row, wrong, nodes[number % 2]) for number in range(20)), return_exceptions=True
    )
    left = [answer.verification.checks_left for answer in answers if isinstance(answer, Checked)]
    assert sorted(left) == [0, 1, 2, 3, 4]


async def test_a_rotation_of_the_key_ring_leaves_live_codes_valid(otpost: Installation) -> None:
    await otpost.choose_sandbox()
    row = (await start(otpost)).verification
    old = base64.b64encode(bytes(range(32))).decode()
    new = base64.b64encode(bytes(range(1, 33))).decode()
    rotated = dataclasses.replace(otpost.context, keyring=KeyRing.read(f"k2:{new},k1:{old}"))
    checked = await check(otpost, row, code_of(row), rotated)
    assert (checked.valid, checked.verification.key_id) == (True, "k1")
    second = (await start(otpost, rotated)).verification
    assert second.key_id == "k2"
    assert (await check(otpost, second, code_of(second, rotated.keyring), rotated)).valid


async def test_no_row_holds_the_code_or_the_text_with_it(otpost: Installation) -> None:
    await otpost.choose_sandbox()
    await otpost.ok("PATCH", f"/v1/applications/{otpost.tenant.default_application}", {"code_length": 10})
    started = await start(otpost)
    await otpost.message(started.message.sid)
    code = code_of(started.verification)
    await check(otpost, started.verification, code)
    for table in columns.metadata.sorted_tables:
        assert code not in repr(await otpost.store.select(select(*table.columns))), table.name


async def test_a_start_that_fails_for_any_reason_leaves_nothing(otpost: Installation) -> None:
    with pytest.raises(SenderPolicyIncomplete):
        await start(otpost)
    await otpost.choose_sandbox()
    hopeless = dataclasses.replace(otpost.context, lanes=Full(290_001))
    with pytest.raises(Unavailable) as told:
        await start(otpost, hopeless)
    assert told.value.retry_at == otpost.clock.now + 290_001
    with pytest.raises(Invalid):
        await start(otpost, client_ip="nonsense")
    with pytest.raises(NotFound):
        await otpost.store.run(
            start_verification(otpost.context, otpost.plans, "AC0", otpost.tenant.default_application, NUMBER)
        )
    for table in (tables.verifications, tables.messages, tables.number_limits, tables.windows):
        assert await otpost.store.select(select(*table.columns)) == [], table.name
    just_in_time = dataclasses.replace(otpost.context, lanes=Full(290_000))
    assert (await start(otpost, just_in_time)).created


async def test_a_verification_that_expired_long_ago_is_closed_with_the_moment_of_its_end(otpost: Installation) -> None:
    await otpost.choose_sandbox()
    first = (await start(otpost)).verification
    otpost.clock.advance(7_200)
    second = (await start(otpost)).verification
    assert second.sid != first.sid

    async def look() -> Any:
        return await otpost.ok("GET", f"/v1/verifications/{first.sid}")

    seen = await until(look, lambda seen: seen["status"] == "expired")
    own = [event for event in seen["events"] if event["message"] is None]
    assert [event["what"] for event in own] == ["started", "expired"]
    assert own[-1]["at"] == seen["expires_at"]


async def test_used_up_sends_are_told_before_the_cooldown(otpost: Installation) -> None:
    await otpost.choose_sandbox()
    await otpost.ok("PATCH", f"/v1/applications/{otpost.tenant.default_application}", {"max_sends": 1})
    first = (await start(otpost)).verification
    with pytest.raises(MaxSendsReached) as told:
        await start(otpost)
    assert told.value.retry_at == first.expires_at - 60_000 + 1


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("203.0.113.7:4711", "203.0.113.7"),
        ("[2001:db8:1:2::7]:443", "2001:db8:1:2::/64"),
        ("64:ff9b::203.0.113.7", "203.0.113.7"),
        ("::1", "::/64"),
    ],
)
def test_a_client_is_an_address_or_a_network_of_64_bits(address: str, network: str) -> None:
    assert client_network(address) == network


@pytest.mark.parametrize("address", ["", "1.2.3", "1.2.3.4/32", "host", "01.2.3.4", "1.2.3.4:x", "::g", "١.٢.٣.٤"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(Invalid):
        client_network(address)
