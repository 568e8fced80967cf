"""Tokens, and secrets at rest: the only home of keys and of cryptography."""

from service.security.credentials import CredentialProofs
from service.security.issuer import Issuer, IssuerSettings
from service.security.keys import (
    KeyRing,
    KeyRingError,
    generate_key_ring,
    load_key_ring,
    rotate_key_ring,
)
from service.security.sealing import SecretBox, SecretUnreadable, new_api_key
from service.security.tokens import Tokens

__all__ = [
    "CredentialProofs",
    "Issuer",
    "IssuerSettings",
    "KeyRing",
    "KeyRingError",
    "SecretBox",
    "SecretUnreadable",
    "Tokens",
    "generate_key_ring",
    "load_key_ring",
    "new_api_key",
    "rotate_key_ring",
]
