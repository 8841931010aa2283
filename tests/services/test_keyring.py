"""The key ring: what is derived from it, what opens with it, and what it refuses."""

from __future__ import annotations

import base64
from pathlib import Path
from random import SystemRandom

import pytest

from otpost.domain.access import KeyCheck
from otpost.services.keyring import KeyRing, KeyRingError, judge_key_ring, make_key_ring, read_key_ring


def line(key_id: str, byte: int) -> str:
    return f"{key_id}:{base64.b64encode(bytes([byte]) * 32).decode()}"


OLD = KeyRing.read(line("k1", 1))
ROTATED = KeyRing.read(f"# the newest first\n{line('k2', 2)}\n\n  {line('k1', 1)}  \n")
SID = "VE" + "0" * 32


def test_a_ring_is_lines_or_the_same_divided_by_commas_and_the_first_key_is_for_new_values() -> None:
    assert (OLD.ids, OLD.current) == (("k1",), "k1")
    assert (ROTATED.ids, ROTATED.current) == (("k2", "k1"), "k2")
    commas = KeyRing.read(f"{line('k2', 2)},{line('k1', 1)}")
    assert commas.check_values() == ROTATED.check_values()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        ("# nothing\n", "empty"),
        ("k1", "not 32 bytes"),
        ("k1:!!!", "not 32 bytes"),
        ("k1:" + base64.b64encode(b"x" * 31).decode(), "not 32 bytes"),
        (line("", 1), "not `id:base64"),
        (line("a b", 1), "not `id:base64"),
        (line("x" * 33, 1), "not `id:base64"),
        (line("é", 1), "not `id:base64"),
        (f"{line('k1', 1)}\n{line('k1', 2)}", "two keys"),
    ],
)
def test_what_is_no_ring_is_refused_without_showing_it(text: str, words: str) -> None:
    with pytest.raises(KeyRingError, match=words) as told:
        KeyRing.read(text)
    assert "AQEB" not in str(told.value)


def test_after_a_rotation_the_codes_values_and_hashes_of_the_old_key_hold() -> None:
    assert ROTATED.code(SID, "k1", 6) == OLD.code(SID, "k1", 6)
    assert ROTATED.code(SID, "k2", 10) != OLD.code(SID, "k1", 10)
    assert ROTATED.open("secrets", OLD.seal("secrets", "s3cret", "SE1"), "SE1").reveal() == "s3cret"
    assert ROTATED.hashes_to("bodies", b"body", OLD.hash("bodies", b"body"))
    assert not ROTATED.hashes_to("bodies", b"Body", OLD.hash("bodies", b"body"))
    assert ROTATED.seal("secrets", "s3cret", "SE1").startswith("k2:")


def test_a_value_opens_only_for_its_purpose_at_its_place_and_unchanged() -> None:
    sealed = OLD.seal("secrets", "s3cret", "SE1")
    assert "s3cret" not in sealed
    assert OLD.seal("secrets", "s3cret", "SE1") != sealed
    flipped = sealed[:-6] + ("A" if sealed[-6] != "A" else "B") + sealed[-5:]
    for purpose, value, place in (
        ("bodies", sealed, "SE1"),
        ("secrets", sealed, "SE2"),
        ("secrets", flipped, "SE1"),
    ):
        with pytest.raises(KeyRingError, match="does not open"):
            OLD.open(purpose, value, place)
    with pytest.raises(KeyRingError, match="lacks the key 'k2'"):
        OLD.open("secrets", ROTATED.seal("secrets", "s3cret", "SE1"), "SE1")


def test_each_purpose_has_keys_of_its_own() -> None:
    derived = {OLD.derived(purpose, "k1") for purpose in ("codes", "secrets", "sessions", "bodies", "check")}
    assert len(derived) == 5
    assert bytes([1]) * 32 not in derived
    assert OLD.hash("codes", b"x") != OLD.hash("bodies", b"x")


def test_a_ring_does_not_print_its_keys() -> None:
    assert repr(ROTATED) == "KeyRing(k2, k1)"


def test_a_new_ring_is_a_file_of_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "data" / "key-ring"
    made = make_key_ring(path, SystemRandom())
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_key_ring(path).check_values() == made.check_values()
    with pytest.raises(FileExistsError):
        make_key_ring(path, SystemRandom())
    assert make_key_ring(tmp_path / "another", SystemRandom()).check_values() != made.check_values()
    for mode in (0o640, 0o604, 0o660):
        path.chmod(mode)
        with pytest.raises(KeyRingError, match=f"mode {mode:o}.*chmod 600"):
            read_key_ring(path)


def test_a_ring_that_lacks_a_key_in_use_or_has_another_under_its_id_is_told_which() -> None:
    checks = [KeyCheck(key_id, value, 0) for key_id, value in ROTATED.check_values().items()]
    assert judge_key_ring(ROTATED, checks) == []
    (lacks,) = judge_key_ring(OLD, checks)
    assert "'k2'" in lacks
    (wrong,) = judge_key_ring(KeyRing.read(f"{line('k2', 2)}\n{line('k1', 9)}"), checks)
    assert "'k1'" in wrong
    assert not any(value in "".join(judge_key_ring(OLD, checks)) for value in ROTATED.check_values().values())
