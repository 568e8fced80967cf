"""Encryption of stored secrets, and keyed hashes to look them up."""

import hashlib
import hmac
import os
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from service.domain.errors import Unavailable
from service.security.keys import KeyRing, KeyRingError

API_KEY_LENGTH = 64
_NONCE = 12


class SecretUnreadable(Unavailable):
    """A stored secret cannot be decrypted; restore its key in the key ring."""


def new_api_key() -> str:
    """Returns 64 random hex digits."""
    return secrets.token_hex(API_KEY_LENGTH // 2)


class SecretBox:
    """AES-256-GCM with the active key of the ring, and keyed hashes with its pepper.

    A sealed secret is: length of the key id (1 byte), key id, nonce (12 bytes), ciphertext with
    tag. `open` needs the context of `seal` (purpose, account, mailbox), so a secret that is copied
    to another row cannot be decrypted there.
    """

    def __init__(self, ring: KeyRing) -> None:
        self._ciphers = {key_id: AESGCM(key) for key_id, key in ring.encryption.items()}
        self._active = ring.active_encryption
        self._pepper = ring.pepper
        self._mail_key = ring.mail_key

    @staticmethod
    def prefix_of(key_id: str) -> bytes:
        """Returns the first bytes of all secrets that a key has encrypted."""
        return bytes([len(key_id)]) + key_id.encode()

    @property
    def active_prefix(self) -> bytes:
        return self.prefix_of(self._active)

    def seal(self, plaintext: str, context: bytes) -> bytes:
        nonce = os.urandom(_NONCE)
        sealed = self._ciphers[self._active].encrypt(nonce, plaintext.encode(), context)
        return self.active_prefix + nonce + sealed

    def open(self, sealed: bytes, context: bytes) -> str:
        """Decrypts a secret. Raises SecretUnreadable if the key or the context is wrong."""
        body = 1 + sealed[0] if sealed else 0
        cipher = self._ciphers.get(sealed[1:body].decode(errors="replace"))
        nonce, ciphertext = sealed[body : body + _NONCE], sealed[body + _NONCE :]
        if cipher is None:
            raise SecretUnreadable("unknown encryption key")
        try:
            return cipher.decrypt(nonce, ciphertext, context).decode()
        except (InvalidTag, ValueError):
            raise SecretUnreadable("wrong context or changed ciphertext") from None

    def fingerprint(self, purpose: str, text: str) -> bytes:
        """Returns a 32-byte lookup key for `text`, useless without the pepper.

        Raises KeyRingError for an exported ring, which has no pepper.
        """
        if not self._pepper:
            raise KeyRingError("The key ring has no pepper; this process needs the complete ring.")
        message = purpose.encode() + b"\0" + text.encode()
        return hmac.digest(self._pepper, message, hashlib.sha256)

    def mail_fingerprint(self, text: str) -> bytes:
        """Returns a 32-byte keyed hash for links in mails. An exported ring is sufficient."""
        return hmac.digest(self._mail_key, text.encode(), hashlib.sha256)
