"""Encryption of stored secrets: keys and contexts."""

import os
from pathlib import Path

import msgspec
import pytest

from service.security import (
    KeyRing,
    SecretBox,
    SecretUnreadable,
    generate_key_ring,
    load_key_ring,
    new_api_key,
)


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    path = tmp_path / "keys.json"
    path.write_bytes(generate_key_ring())
    path.chmod(0o600)
    return load_key_ring(path)


def rotated(ring: KeyRing) -> KeyRing:
    keys = {**ring.encryption, "next": os.urandom(32)}
    return msgspec.structs.replace(ring, encryption=keys, active_encryption="next")


def test_a_secret_is_decrypted_in_its_context(ring: KeyRing) -> None:
    box = SecretBox(ring)
    sealed = box.seal("1234 ü", b"pin:box")
    assert b"1234" not in sealed
    assert box.open(sealed, b"pin:box") == "1234 ü"


def test_each_encryption_of_a_secret_differs(ring: KeyRing) -> None:
    box = SecretBox(ring)
    assert box.seal("1234", b"pin") != box.seal("1234", b"pin")


def test_a_secret_is_not_decrypted_in_another_context(ring: KeyRing) -> None:
    box = SecretBox(ring)
    with pytest.raises(SecretUnreadable):
        box.open(box.seal("1234", b"pin:box 1"), b"pin:box 2")


def test_after_rotation_old_secrets_are_decrypted_and_new_ones_need_the_new_key(
    ring: KeyRing,
) -> None:
    before, after = SecretBox(ring), SecretBox(rotated(ring))
    assert after.open(before.seal("1234", b"pin"), b"pin") == "1234"
    with pytest.raises(SecretUnreadable):
        before.open(after.seal("1234", b"pin"), b"pin")


def test_a_changed_or_shortened_secret_is_not_decrypted(ring: KeyRing) -> None:
    box = SecretBox(ring)
    sealed = box.seal("1234", b"pin")
    for place in range(len(sealed)):
        changed = sealed[:place] + bytes([sealed[place] ^ 1]) + sealed[place + 1 :]
        with pytest.raises(SecretUnreadable):
            box.open(changed, b"pin")
    for length in range(len(sealed)):
        with pytest.raises(SecretUnreadable):
            box.open(sealed[:length], b"pin")


def test_a_fingerprint_depends_on_text_purpose_and_pepper(ring: KeyRing) -> None:
    box = SecretBox(ring)
    other = SecretBox(msgspec.structs.replace(ring, pepper=os.urandom(32)))
    fingerprints = [
        box.fingerprint("api_key", "a"),
        box.fingerprint("api_key", "b"),
        box.fingerprint("user", "a"),
        other.fingerprint("api_key", "a"),
    ]
    assert len({*fingerprints}) == 4
    assert box.fingerprint("api_key", "a") == fingerprints[0]
    assert len(fingerprints[0]) == 32


def test_api_keys_are_64_hex_digits_and_differ() -> None:
    keys = {new_api_key() for _ in range(10)}
    assert len(keys) == 10
    assert all(len(key) == 64 and set(key) <= set("0123456789abcdef") for key in keys)
