"""Unknown outcomes as units of work: which listed text is the attempt's, and when the account is asked again."""

from __future__ import annotations

from typing import Any

from installation import Installation
from messaging.through_twilio import TEXT, start
from otpost.domain.message import Message
from otpost.domain.outcome import Accepted, Vendor
from otpost.services import delivery
from otpost.store.kinds import MESSAGES
from otpost.store.units import Unit, lock
from services.by_hand import LOST, answer, claim, listed, sent

MATCHES: tuple[tuple[str, list[tuple[str, int | None, str]], str | None], ...] = (
    ("nothing is listed", [], None),
    ("the text itself", [("SM1", 0, TEXT)], "SM1"),
    ("a trial account's words before it", [("SM1", 0, f"Sent from a trial account - {TEXT}")], "SM1"),
    ("words after it", [("SM1", 0, f"{TEXT}!")], None),
    ("another's text", [("SM1", 0, "Your parcel comes today.")], None),
    ("a redacted text", [("SM1", 0, "")], "SM1"),
    ("created 5 s before the intent", [("SM1", -5_000, TEXT)], "SM1"),
    ("created longer before it", [("SM1", -5_001, TEXT)], None),
    ("created at an unreadable time", [("SM1", None, TEXT)], None),
    ("the oldest of several", [("SM3", 3_000, TEXT), ("SM2", 1_000, ""), ("SM1", 2_000, TEXT)], "SM2"),
    ("one that another attempt owns", [("SM99", 0, TEXT)], None),
    ("the oldest that nobody owns", [("SM99", 0, TEXT), ("SM1", 1_000, TEXT)], "SM1"),
)


async def test_a_listed_text_matches_by_time_words_and_owner(still: Installation) -> None:
    await sent(still, Accepted(Vendor(sid="SM99", http_status=201)))
    for case, rows, wanted in MATCHES:
        sid, attempt_sid = await sent(still, LOST)
        begun = still.clock()
        still.clock.advance(2)
        shown = [
            listed(vendor if vendor == "SM99" else f"{vendor}{sid}", None if after is None else begun + after, body)
            for vendor, after, body in rows
        ]
        row, attempt = await answer(still, attempt_sid, *shown)
        if wanted is None:
            assert (attempt.outcome, attempt.vendor_sid, row.status) == ("unknown", None, "sending"), case
            assert (attempt.looked_at, attempt.look_at) == (still.clock(), begun + 10_000), case
        else:
            assert (attempt.outcome, attempt.vendor_sid, row.status) == ("accepted", f"{wanted}{sid}", "delivered"), (
                case
            )
            assert attempt.look_at is None, case


async def test_a_code_matches_wherever_it_stands_in_the_text(still: Installation) -> None:
    for place, (body, is_found) in enumerate(
        (
            ("Sent from a trial account - {code} is your code. Thanks!", True),
            ("{wrong} is your code.", False),
            ("", True),
        )
    ):
        verification = await start(still, f"+1415555330{place}")
        (handover,) = await claim(still)
        await still.store.run(delivery.settle(still.house, handover, LOST))
        words = body.format(code=still.code(verification), wrong=still.wrong_code(verification))
        _, attempt = await answer(still, handover.attempt.sid, listed(f"SM{place}", still.clock(), words))
        assert (attempt.outcome == "accepted") is is_found


async def test_a_text_that_was_erased_matches_nobody_elses(still: Installation) -> None:
    sid, attempt_sid = await sent(still, LOST)

    def erase(rows: Any) -> None:
        row = rows.get(MESSAGES, sid)
        rows.put(MESSAGES, Message(**{name: getattr(row, name) for name in row.__struct_fields__} | {"body": None}))

    await still.store.run(Unit(erase, [lock(MESSAGES, sid)]))
    _, attempt = await answer(still, attempt_sid, listed("SM1", still.clock(), "Your parcel comes today."))
    assert (attempt.outcome, attempt.vendor_sid) == ("unknown", None)
