"""A service that gives one ID to several texts: each is kept and told, none is held up, and it is said once."""

from __future__ import annotations

import logging

import pytest

from installation import installed
from messaging.through_gateway import section
from messaging.through_twilio import attempts, send
from otpost.store.base import Store
from senders.contract import Answer, standing_in

DETAIL = (
    "Generic HTTP gateway gave the text an ID that another text has, so that a report that names it is taken for the "
    "other's."
)


async def test_texts_of_one_id_are_all_kept_as_accepted_and_it_is_said_once(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    async with standing_in(Answer(200, b'{"id": "ok"}')) as gateway, installed(store, "https://otp.example") as otpost:
        await otpost.ok("PUT", "/v1/sender-policy", {"sender_service": "generic", "generic": section(gateway.url)})
        sids = [(await send(otpost, f"+4915112345{number}"))["sid"] for number in range(100, 120)]
        told = [await otpost.message(sid) for sid in sids]
        assert {message["status"] for message in told} == {"accepted"}
        (named,) = [sid for sid in sids if (await attempts(otpost, sid))[0].vendor_sid == "ok"]
        others = [(await attempts(otpost, sid))[0] for sid in sids if sid != named]
        assert {(attempt.vendor_sid, attempt.detail) for attempt in others} == {(None, DETAIL)}
        assert len(gateway.received) == 20
    host = gateway.url.removeprefix("http://")
    assert [record.getMessage() for record in caplog.records] == [
        f"Generic HTTP gateway gives texts of {host} IDs that others had before: reports on them cannot be told apart"
    ]
