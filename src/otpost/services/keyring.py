"""The key ring and what is derived from it: codes, sealed values, keyed hashes."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from collections.abc import Sequence
from pathlib import Path
from random import Random, SystemRandom

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from otpost.domain.access import KeyCheck
from otpost.domain.secret import Secret
from otpost.domain.verification import derive

KEY_BYTES = 32
NONCE_BYTES = 12


class KeyRingError(Exception):
    """The key ring cannot be used; the message says what to do."""


class KeyRing:
    """Keys by id, the first for new values. Each purpose has keys of its own, derived from them.

    A line is `id:base64 of 32 bytes`; ids are 1 to 32 letters, digits, `-` and `_`. `random` makes what is sealed
    different each time.
    """

    def __init__(self, keys: dict[str, bytes], random: Random | None = None) -> None:
        self._keys = keys
        self._random = random or SystemRandom()
        self._derived: dict[tuple[str, str], bytes] = {}
        self._ciphers: dict[tuple[str, str], AESGCM] = {}
        self.current = next(iter(keys))

    def __repr__(self) -> str:
        return f"KeyRing({', '.join(self._keys)})"

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(self._keys)

    @classmethod
    def read(cls, text: str) -> KeyRing:
        """From lines, or from the same divided by commas."""
        keys: dict[str, bytes] = {}
        for entry in text.replace(",", "\n").splitlines():
            line = entry.strip()
            if not line or line.startswith("#"):
                continue
            key_id, _, encoded = line.partition(":")
            try:
                key = base64.b64decode(encoded.strip(), validate=True)
            except binascii.Error:
                key = b""
            if not _is_id(key_id):
                raise KeyRingError("A line of the key ring is not `id:base64 of 32 bytes`.")
            if len(key) != KEY_BYTES:
                raise KeyRingError(f"The key {key_id!r} of the key ring is not 32 bytes in base64.")
            if key_id in keys:
                raise KeyRingError(f"The key ring has two keys with the id {key_id!r}.")
            keys[key_id] = key
        if not keys:
            raise KeyRingError("The key ring is empty.")
        return cls(keys)

    def derived(self, purpose: str, key_id: str) -> bytes:
        """32 bytes for one purpose, from one key of the ring; KeyRingError if the ring lacks the key."""
        place = (purpose, key_id)
        key = self._derived.get(place)
        if key is None:
            if key_id not in self._keys:
                raise KeyRingError(f"The key ring lacks the key {key_id!r}.")
            hkdf = HKDF(SHA256(), KEY_BYTES, None, f"otpost/{purpose}".encode())
            key = self._derived[place] = hkdf.derive(self._keys[key_id])
        return key

    def code(self, verification_sid: str, key_id: str, length: int) -> str:
        """The code of a verification that started under this key."""
        return derive(self.derived("codes", key_id), verification_sid, length)

    def seal(self, purpose: str, text: str, place: str) -> str:
        """Encrypt; `place` (the SID of the row, say) binds the value to where it stands."""
        nonce = self._random.randbytes(NONCE_BYTES)
        sealed = self._cipher(purpose, self.current).encrypt(nonce, text.encode(), place.encode())
        return f"{self.current}:{base64.b64encode(nonce + sealed).decode()}"

    def open(self, purpose: str, sealed: str, place: str) -> Secret:
        """Decrypt what `seal` made for the same purpose and place."""
        key_id, _, encoded = sealed.partition(":")
        raw = base64.b64decode(encoded)
        try:
            plain = self._cipher(purpose, key_id).decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], place.encode())
        except InvalidTag:
            raise KeyRingError("A value does not open with the key that sealed it.") from None
        return Secret(plain.decode())

    def hash(self, purpose: str, data: bytes) -> str:
        """A keyed hash, so that what was hashed cannot be guessed from the database alone."""
        return f"{self.current}:{self._digest(purpose, self.current, data)}"

    def hashes_to(self, purpose: str, data: bytes, hashed: str) -> bool:
        key_id, _, digest = hashed.partition(":")
        return hmac.compare_digest(self._digest(purpose, key_id, data), digest)

    def check_values(self) -> dict[str, str]:
        """A value for each key id by which a wrong key is known; it tells nothing of the key."""
        return {key_id: self.derived("check", key_id).hex()[:32] for key_id in self._keys}

    def _digest(self, purpose: str, key_id: str, data: bytes) -> str:
        return hmac.new(self.derived(purpose, key_id), data, hashlib.sha256).hexdigest()

    def _cipher(self, purpose: str, key_id: str) -> AESGCM:
        place = (purpose, key_id)
        cipher = self._ciphers.get(place)
        if cipher is None:
            cipher = self._ciphers[place] = AESGCM(self.derived(purpose, key_id))
        return cipher


def _is_id(text: str) -> bool:
    return 1 <= len(text) <= 32 and text.isascii() and text.replace("-", "").replace("_", "").isalnum()


def make_key_ring(path: Path, random: Random) -> KeyRing:
    """Make a ring with one new key in a file that only its owner reads; an existing file is left alone."""
    line = f"k1:{base64.b64encode(random.randbytes(KEY_BYTES)).decode()}\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(line)
        file.flush()
        os.fsync(file.fileno())
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return KeyRing.read(line)


def read_key_ring(path: Path) -> KeyRing:
    """The ring of a file; KeyRingError if others than its owner may read it."""
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        raise KeyRingError(f"{path} can be read by others (mode {mode:o}): run `chmod 600 {path}`.")
    try:
        return KeyRing.read(path.read_text())
    except UnicodeDecodeError:
        raise KeyRingError(f"{path} is not a key ring: it holds no text.") from None


def judge_key_ring(ring: KeyRing, checks: Sequence[KeyCheck]) -> list[str]:
    """What is wrong between the ring and the check values in the database: a sentence each, empty if nothing."""
    own = ring.check_values()
    found = []
    for check in checks:
        if check.key_id not in own:
            found.append(
                f"The database uses the key {check.key_id!r}, which the key ring lacks: copy its line from where "
                "Otpost ran before."
            )
        elif own[check.key_id] != check.check_value:
            found.append(
                f"The key {check.key_id!r} is not the one that the database was written with: put the former line back."
            )
    return found
