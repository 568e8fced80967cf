"""Tokens, encryption at rest, credentials, and HTTP requests to untrusted hosts."""

from service.security.credentials import CredentialProofs
from service.security.encryption import SecretBox, SecretUnreadable, new_api_key
from service.security.issuer import Issuer, IssuerSettings
from service.security.keys import (
    KeyRing,
    KeyRingError,
    export_key_ring,
    generate_key_ring,
    load_key_ring,
    retire_key,
    rotate_key_ring,
)
from service.security.link_tokens import LinkTokens
from service.security.mail_link_tokens import MailLinkTokens
from service.security.outbound_http import (
    LOOPBACK,
    OutboundHttp,
    OutboundLimits,
    TargetForbidden,
    is_within,
    retry_after_of,
)
from service.security.recipient_tokens import RecipientTokens
from service.security.tokens import MAX_TOKEN, Tokens
from service.security.upload_tokens import UploadTokens

__all__ = [
    "LOOPBACK",
    "MAX_TOKEN",
    "CredentialProofs",
    "Issuer",
    "IssuerSettings",
    "KeyRing",
    "KeyRingError",
    "LinkTokens",
    "MailLinkTokens",
    "OutboundHttp",
    "OutboundLimits",
    "RecipientTokens",
    "SecretBox",
    "SecretUnreadable",
    "TargetForbidden",
    "Tokens",
    "UploadTokens",
    "export_key_ring",
    "generate_key_ring",
    "is_within",
    "load_key_ring",
    "new_api_key",
    "retire_key",
    "retry_after_of",
    "rotate_key_ring",
]
