from __future__ import annotations

import os
from itertools import pairwise
from uuid import UUID

from otpost.domain.sid import MESSAGE, Sids, is_sid


def parts(sid: str) -> tuple[int, int, int]:
    """Timestamp, counter and the random end of a SID, which has to be a UUID of version 7."""
    uuid = UUID(sid[2:])
    assert (uuid.version, uuid.variant) == (7, "specified in RFC 4122")
    return uuid.int >> 80, uuid.int >> 64 & 0xFFF, uuid.int & (1 << 60) - 1


def test_a_sid_is_a_uuid_of_version_7_made_of_the_clock_and_random_bytes():
    sids = Sids(lambda: 0x017F22E279B0, lambda count: bytes.fromhex("fedcba987654321098") * (count // 9))
    assert sids(MESSAGE) == "SM017f22e279b077ed8cba987654321098"
    assert is_sid(Sids(lambda: 1_800_000_000_000, os.urandom)(MESSAGE), MESSAGE)


def test_the_counter_begins_anew_in_each_millisecond_in_its_lower_half():
    now = iter(range(1_000, 2_000))
    counters = {parts(Sids(lambda: next(now), os.urandom)(MESSAGE))[1] for _ in range(900)}
    assert len(counters) > 300
    assert max(counters) < 0x800


def test_sids_of_one_process_are_in_order_though_the_clock_goes_back():
    clock = iter([5_000, 5_000, 4_000, 5_001, 1, 1])
    sids = Sids(lambda: next(clock), os.urandom)
    made = [sids(MESSAGE) for _ in range(6)]
    assert all(earlier < later for earlier, later in pairwise(made))
    assert [parts(sid)[0] for sid in made] == [5_000, 5_000, 5_000, 5_001, 5_001, 5_001]


def test_more_sids_than_the_counter_holds_move_the_timestamp_on():
    sids = Sids(lambda: 5_000, os.urandom)
    made = [sids(MESSAGE) for _ in range(10_000)]
    assert made == sorted(set(made))
    assert {parts(sid)[0] for sid in made} == {5_000, 5_001, 5_002}
