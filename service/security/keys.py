"""Key ring: one JSON file with all keys of a deployment, read when a process starts.

`active` names the key for new tokens and secrets; the other keys stay valid for old ones:

    {"signing": {"active": "ID", "keys": {"ID": {"algorithm": "EdDSA", "private_key": "PEM"}}},
     "encryption": {"active": "ID", "keys": {"ID": "32 bytes in base64"}},
     "pepper": "32 bytes in base64"}

An exported ring has `encryption` and `mail_key`, which is derived from the pepper: notifiers
decrypt secrets and make the links of mails, but must not sign tokens.
"""

import hmac
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from msgspec import Meta

# One key type for each algorithm, so that a token cannot choose the algorithm.
ALGORITHMS: dict[str, type[Ed25519PrivateKey] | type[RSAPrivateKey]] = {
    "EdDSA": Ed25519PrivateKey,
    "RS256": RSAPrivateKey,
}
_MIN_RSA_BITS = 2048
# A mounted Kubernetes secret is readable by its group; wider permissions are refused.
_FORBIDDEN_MODE = stat.S_IRWXO | stat.S_IWGRP | stat.S_IXGRP

KeyId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
Key32 = Annotated[bytes, Meta(min_length=32, max_length=32)]


class KeyRingError(Exception):
    """The key ring cannot be used; the text is the reason."""


class SigningKey(msgspec.Struct, frozen=True, kw_only=True):
    """Key pair that signs and verifies tokens with one algorithm."""

    key_id: str
    algorithm: str
    private: Ed25519PrivateKey | RSAPrivateKey

    @property
    def public(self) -> Ed25519PublicKey | RSAPublicKey:
        return self.private.public_key()

    def __repr__(self) -> str:
        return f"SigningKey({self.key_id!r}, {self.algorithm!r})"


class KeyRing(msgspec.Struct, frozen=True, kw_only=True):
    """All keys by id, and the active ones. Its text form contains no key.

    In an exported ring, `signing`, `active_signing` and `pepper` are empty.
    """

    signing: dict[str, SigningKey]
    active_signing: str
    encryption: dict[str, bytes]
    active_encryption: str
    pepper: bytes
    mail_key: bytes

    def __repr__(self) -> str:
        return f"KeyRing(signing={list(self.signing)}, encryption={list(self.encryption)})"


class _SigningKeyFile(msgspec.Struct, forbid_unknown_fields=True):
    algorithm: str
    private_key: str


class _SigningFile(msgspec.Struct, forbid_unknown_fields=True):
    active: str
    keys: dict[KeyId, _SigningKeyFile]


class _EncryptionFile(msgspec.Struct, forbid_unknown_fields=True):
    active: str
    keys: dict[KeyId, Key32]


class _ExportedFile(msgspec.Struct, forbid_unknown_fields=True):
    encryption: _EncryptionFile
    mail_key: Key32


class _KeyRingFile(msgspec.Struct, forbid_unknown_fields=True):
    signing: _SigningFile
    encryption: _EncryptionFile
    pepper: Key32


def generate_key_ring() -> bytes:
    """Returns the file of a new ring with one Ed25519 and one AES key (mode 0600)."""
    ring = _KeyRingFile(_SigningFile("", {}), _EncryptionFile("", {}), secrets.token_bytes(32))
    _add_keys(ring)
    _activate_newest(ring)
    return _encode(ring)


def rotate_key_ring(path: Path, *, add: bool = True, activate: bool = True) -> bytes:
    """Returns the ring of `path`: `add` adds two new keys, `activate` activates the newest ones.

    Old keys stay for old tokens and secrets. The pepper stays because lookup keys depend on it.
    """
    ring = _read_complete(path)
    if add:
        _add_keys(ring)
    if activate:
        _activate_newest(ring)
    return _encode(ring)


def retire_key(path: Path, key_id: str) -> bytes:
    """Returns the ring of `path` without a key. Raises KeyRingError for an active or unknown one.

    The caller checks that no stored secret needs the key.
    """
    ring = _read_complete(path)
    if key_id in (ring.signing.active, ring.encryption.active):
        raise KeyRingError(f"Key {key_id} is active; run `aftertone keys rotate` first.")
    if key_id not in (*ring.signing.keys, *ring.encryption.keys):
        raise KeyRingError(f"The key ring {path} has no key {key_id}; see `aftertone keys list`.")
    ring.signing.keys.pop(key_id, None)
    ring.encryption.keys.pop(key_id, None)
    return _encode(ring)


def export_key_ring(path: Path) -> bytes:
    """Returns the part of the ring of `path` that notifiers need. Raises KeyRingError."""
    ring = _read_complete(path)
    return _encode(_ExportedFile(ring.encryption, _mail_key_of(ring.pepper)))


def load_key_ring(path: Path) -> KeyRing:
    """Returns the ring of the file `path`. Raises KeyRingError."""
    return _read_ring(path)[0]


def _read_complete(path: Path) -> _KeyRingFile:
    file = _read_ring(path)[1]
    if isinstance(file, _ExportedFile):
        raise KeyRingError(f"The key ring {path} was exported; use the complete key ring.")
    return file


def _read_ring(path: Path) -> tuple[KeyRing, _KeyRingFile | _ExportedFile]:
    """Returns the ring of a file, and the content of the file."""
    try:
        mode = path.stat().st_mode
        content = path.read_bytes()
    except OSError as error:
        raise KeyRingError(f"The key ring {path} cannot be read: {error.strerror}.") from None
    if mode & _FORBIDDEN_MODE:
        raise KeyRingError(f"The key ring {path} has permissions for other users; run `chmod 600`.")
    try:
        file = _decode(content)
        return _ring_of(file), file
    except msgspec.MsgspecError as error:
        raise KeyRingError(f"The key ring {path} is malformed: {error}.") from None
    except KeyRingError as error:
        raise KeyRingError(f"The key ring {path} is not usable: {error}") from None


def _add_keys(ring: _KeyRingFile) -> None:
    """Appends new keys; the keys in a file are ordered by age."""
    pem = Ed25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    ring.signing.keys[secrets.token_hex(8)] = _SigningKeyFile("EdDSA", pem.decode())
    ring.encryption.keys[secrets.token_hex(8)] = secrets.token_bytes(32)


def _activate_newest(ring: _KeyRingFile) -> None:
    *_, ring.signing.active = ring.signing.keys
    *_, ring.encryption.active = ring.encryption.keys


def _decode(content: bytes) -> _KeyRingFile | _ExportedFile:
    fields = msgspec.json.decode(content)
    if isinstance(fields, dict) and fields.keys() == {"encryption", "mail_key"}:
        return msgspec.convert(fields, _ExportedFile)
    return msgspec.convert(fields, _KeyRingFile)


def _encode(ring: _KeyRingFile | _ExportedFile) -> bytes:
    return msgspec.json.format(msgspec.json.encode(ring)) + b"\n"


def _ring_of(file: _KeyRingFile | _ExportedFile) -> KeyRing:
    _check_active("encryption", file.encryption.active, file.encryption.keys)
    if isinstance(file, _ExportedFile):
        return KeyRing(
            signing={},
            active_signing="",
            encryption=dict(file.encryption.keys),
            active_encryption=file.encryption.active,
            pepper=b"",
            mail_key=file.mail_key,
        )
    _check_active("signing", file.signing.active, file.signing.keys)
    return KeyRing(
        signing={key_id: _signing_key(key_id, key) for key_id, key in file.signing.keys.items()},
        active_signing=file.signing.active,
        encryption=dict(file.encryption.keys),
        active_encryption=file.encryption.active,
        pepper=file.pepper,
        mail_key=_mail_key_of(file.pepper),
    )


def _mail_key_of(pepper: bytes) -> bytes:
    """Returns the key of links in mails, from which the pepper cannot be computed."""
    return hmac.digest(pepper, b"mail-key", "sha256")


def _check_active(use: str, active: str, keys: Mapping[str, object]) -> None:
    if active not in keys:
        raise KeyRingError(f"its active {use} key {active!r} is not among its keys.")


def _signing_key(key_id: str, key: _SigningKeyFile) -> SigningKey:
    if key.algorithm not in ALGORITHMS:
        expected = " or ".join(ALGORITHMS)
        raise KeyRingError(f"key {key_id!r} is for {key.algorithm!r} instead of {expected}.")
    private = _private_key(key_id, key.private_key)
    if not isinstance(private, ALGORITHMS[key.algorithm]):
        raise KeyRingError(f"key {key_id!r} is not a key for {key.algorithm}.")
    if isinstance(private, RSAPrivateKey) and private.key_size < _MIN_RSA_BITS:
        raise KeyRingError(f"key {key_id!r} has fewer than {_MIN_RSA_BITS} bits.")
    return SigningKey(key_id=key_id, algorithm=key.algorithm, private=private)


def _private_key(key_id: str, pem: str) -> Any:
    try:
        return load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise KeyRingError(f"key {key_id!r} is not a private key in PEM form.") from None
