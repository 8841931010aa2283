"""The promise: however many answers are lost and however late the service shows its texts, no one gets a third."""

from __future__ import annotations

import pytest

from installation import Installation
from matrix.driving import start, state, the_message, through, to_the_end
from matrix.vendors import LISTING, Fault, Vendor
from otpost.domain.message import Message
from otpost.store.base import Store
from senders.contract import Answer

PLACES = [
    *(pytest.param(("sqlite", name), id=f"{name}-sqlite") for name in LISTING),
    pytest.param(("postgresql", "twilio"), id="twilio-postgresql", marks=pytest.mark.postgres),
]
LAGS_S = (0, 24, 30, 60, 120)
LOSSES = (1, 3, 9)
BROKEN, TROUBLED = Fault("reset", makes=True), Fault("answer", makes=True, answer=Answer(503, b"<html>"))
"""The text goes out, and no answer comes, or one that tells nothing of it."""


async def goes_well(otpost: Installation, vendor: Vendor) -> None:
    """A text that is taken, so that the failures before it are no longer in a row."""
    vendor.faults = []
    told = await otpost.ok("POST", "/v1/messages", {"to": "+14155550199", "body": "All is well."})
    assert (await otpost.message(told["sid"]))["status"] == "accepted"


async def to_its_last_second(otpost: Installation, sid: str) -> Message:
    """The message once its life is over, and whatever was to be done about it is done."""
    message, _ = await to_the_end(otpost, sid)
    otpost.clock.now = max(otpost.clock(), message.valid_until)
    message, _ = await to_the_end(otpost, sid)
    return message


@pytest.mark.parametrize(("fault", "last_look_s"), [(BROKEN, 25), (TROUBLED, 6)], ids=["no_answer", "answered_503"])
@pytest.mark.parametrize("place", PLACES, indirect=True)
async def test_a_message_leads_to_two_texts_at_most_and_to_one_where_the_last_look_shows_it(
    store: Store, name: str, fault: Fault, last_look_s: int
) -> None:
    told = {}
    async with through(store, name) as (otpost, vendor):
        for place, (losses, lag_s) in enumerate((losses, lag_s) for losses in LOSSES for lag_s in LAGS_S):
            await goes_well(otpost, vendor)
            vendor.made.clear()
            vendor.lag_ms, vendor.faults = lag_s * 1000, [fault] * losses
            verification = await start(otpost, f"+141555506{place:02d}")
            sid = (await the_message(otpost, verification))["sid"]
            message = await to_its_last_second(otpost, sid)
            _, attempts = await state(otpost, sid)
            assert len(attempts) == len(vendor.made), (losses, lag_s)
            assert all(attempt.look_at is None for attempt in attempts)
            taken = "taken" if message.handed_over else message.status
            told[losses, lag_s] = len(vendor.made), taken, message.reason
    one, two, nobody_knows = (1, "taken", None), (2, "taken", None), (2, "unconfirmed", "answer_lost")
    expected = {}
    for losses in LOSSES:
        for lag_s in LAGS_S:
            late = lag_s > last_look_s
            # The looks for the second text come as long after it: they show the first one while it is late by less.
            shown = lag_s <= 2 * last_look_s
            expected[losses, lag_s] = one if not late else two if losses == 1 or shown else nobody_knows
    assert told == expected
