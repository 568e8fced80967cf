"""The key ring: generation, rotation, refused files."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from service.domain.account import Method
from service.security import (
    KeyRingError,
    SecretBox,
    SecretUnreadable,
    Tokens,
    generate_key_ring,
    load_key_ring,
    rotate_key_ring,
)

NOW = datetime(2026, 7, 1, tzinfo=UTC)
Change = Callable[[dict[str, Any]], object]


def pem_of(private: Any) -> str:
    text: bytes = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return text.decode()


def only_signing_key(ring: dict[str, Any]) -> dict[str, Any]:
    (key,) = ring["signing"]["keys"].values()
    result: dict[str, Any] = key
    return result


def written(folder: Path, content: bytes, mode: int = 0o600) -> Path:
    path = folder / "keys.json"
    path.write_bytes(content)
    path.chmod(mode)
    return path


def changed(folder: Path, change: Change) -> Path:
    ring = json.loads(generate_key_ring())
    change(ring)
    return written(folder, json.dumps(ring).encode())


def test_a_generated_ring_loads_and_two_share_no_key(tmp_path: Path) -> None:
    first = load_key_ring(written(tmp_path, generate_key_ring()))
    other = load_key_ring(written(tmp_path, generate_key_ring()))
    assert first.signing[first.active_signing].algorithm == "EdDSA"
    assert first.encryption[first.active_encryption] != other.encryption[other.active_encryption]
    assert first.pepper != other.pepper


def test_an_rsa_key_is_accepted(tmp_path: Path) -> None:
    pem = pem_of(generate_rsa(65537, 2048))

    def add(ring: dict[str, Any]) -> None:
        ring["signing"]["keys"]["rsa"] = {"algorithm": "RS256", "private_key": pem}
        ring["signing"]["active"] = "rsa"

    ring = load_key_ring(changed(tmp_path, add))
    assert ring.signing[ring.active_signing].algorithm == "RS256"


def test_the_text_of_a_ring_contains_no_key(tmp_path: Path) -> None:
    content = generate_key_ring()
    output = repr(load_key_ring(written(tmp_path, content)))
    ring = json.loads(content)
    assert "PRIVATE" not in output
    assert ring["pepper"] not in output
    assert "pepper" not in output


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o660, 0o602])
def test_a_file_with_permissions_for_other_users_is_refused(tmp_path: Path, mode: int) -> None:
    path = written(tmp_path, generate_key_ring(), mode)
    with pytest.raises(KeyRingError, match=r"has permissions for other users; run `chmod 600`"):
        load_key_ring(path)


def test_a_mounted_secret_may_be_readable_by_its_group(tmp_path: Path) -> None:
    assert load_key_ring(written(tmp_path, generate_key_ring(), 0o440)).signing


def test_the_error_names_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(KeyRingError, match=r"nowhere\.json cannot be read: No such file"):
        load_key_ring(tmp_path / "nowhere.json")


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"{", b'{"signing": 1}'])
def test_a_malformed_file_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(KeyRingError, match=r"is malformed: "):
        load_key_ring(written(tmp_path, content))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda ring: only_signing_key(ring).update(algorithm="HS256"), "is for 'HS256' instead"),
        (lambda ring: only_signing_key(ring).update(algorithm="none"), "is for 'none' instead"),
        (lambda ring: only_signing_key(ring).update(algorithm="RS256"), "is not a key for RS256"),
        (
            lambda ring: only_signing_key(ring).update(private_key="secret"),
            "not a private key in PEM",
        ),
        (lambda ring: ring["signing"].update(active="gone"), "active signing key 'gone' is not"),
        (lambda ring: ring["encryption"].update(active="gone"), "active encryption key 'gone'"),
        (lambda ring: ring["signing"].update(keys={}), "active signing key"),
        (lambda ring: ring.update(pepper="c2hvcnQ="), "is malformed"),
        (lambda ring: ring.update(peper="x"), "is malformed"),
        (lambda ring: ring["encryption"]["keys"].update(short="c2hvcnQ="), "is malformed"),
    ],
)
def test_an_unusable_ring_is_refused_with_a_reason(
    tmp_path: Path, change: Change, sentence: str
) -> None:
    path = changed(tmp_path, change)
    with pytest.raises(KeyRingError, match=sentence) as refusal:
        load_key_ring(path)
    assert str(path) in str(refusal.value)
    assert str(refusal.value).endswith(".")


@pytest.mark.parametrize(
    ("private", "algorithm", "sentence"),
    [
        (generate_private_key(SECP256R1()), "EdDSA", "is not a key for EdDSA"),
        # Weak on purpose: this is the one that must be refused.
        (generate_rsa(65537, 1024), "RS256", "has fewer than 2048 bits"),  # noqa: S505
    ],
)
def test_a_key_of_the_wrong_type_or_size_is_refused(
    tmp_path: Path, private: Any, algorithm: str, sentence: str
) -> None:
    fields = {"algorithm": algorithm, "private_key": pem_of(private)}
    path = changed(tmp_path, lambda ring: only_signing_key(ring).update(fields))
    with pytest.raises(KeyRingError, match=sentence):
        load_key_ring(path)


def test_a_rotated_ring_uses_new_keys_and_keeps_the_old_ones(
    tmp_path: Path,
) -> None:
    path = written(tmp_path, generate_key_ring())
    before = load_key_ring(path)
    sealed = SecretBox(before).seal("1234", b"pin")
    token, claims = Tokens(before, 60).issue(
        UUID(int=1), auth_epoch=1, method=Method.API_KEY, now=NOW
    )

    after = load_key_ring(written(tmp_path, rotate_key_ring(path)))

    assert after.active_signing not in before.signing
    assert after.active_encryption not in before.encryption
    assert SecretBox(after).open(sealed, b"pin") == "1234"
    assert Tokens(after, 60).verify(token, NOW) == claims
    assert SecretBox(after).fingerprint("x", "y") == SecretBox(before).fingerprint("x", "y")
    with pytest.raises(SecretUnreadable):
        SecretBox(before).open(SecretBox(after).seal("1234", b"pin"), b"pin")


def test_keys_can_be_added_before_they_become_active(tmp_path: Path) -> None:
    path = written(tmp_path, generate_key_ring())
    before = load_key_ring(path)
    prepared = load_key_ring(written(tmp_path, rotate_key_ring(path, activate=False)))
    assert prepared.active_signing == before.active_signing
    assert len(prepared.signing) == len(prepared.encryption) == 2
    activated = load_key_ring(written(tmp_path, rotate_key_ring(path, add=False)))
    assert activated.signing.keys() == prepared.signing.keys()
    assert activated.active_signing != before.active_signing
    newest = Tokens(activated, 60).issue(UUID(int=1), auth_epoch=1, method=Method.USER, now=NOW)
    assert Tokens(prepared, 60).verify(newest[0], NOW) == newest[1]
