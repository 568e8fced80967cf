"""Tokens of this service: JWTs (RFC 7519), signed with asymmetric keys only."""

from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID, uuid4

import jwt
import msgspec
from cachetools import LRUCache

from service.domain.account import Claims, Method
from service.domain.api_key import ApiKey
from service.domain.errors import TokenInvalid
from service.security.keys import KeyRing

Payload = TypeVar("Payload", bound=msgspec.Struct)

ISSUER = "aftertone"
MAX_TOKEN = 4096
# The service checks the times on every use of a token, because tokens are cached. The library
# checks them only once.
_CHECKS: Any = {
    "require": ["iss", "exp", "iat", "jti"],
    "verify_exp": False,
    "verify_iat": False,
    "verify_nbf": False,
}


class ClaimsPayload(msgspec.Struct, kw_only=True):
    """Claims as JSON. Claims of another issuer have no `auth_epoch`."""

    jti: UUID
    account_id: UUID
    owner_id: UUID | None = None
    user_epoch: int | None = None
    key_id: UUID | None = None
    method: Method
    auth_epoch: int | None = None
    is_admin: bool = False
    iat: int
    exp: int


class _Payload(ClaimsPayload, kw_only=True):
    auth_epoch: int


class TokenSigner:
    """Signs payloads with the active key and verifies them with the key that `kid` names.

    A token is valid for one audience only: a token of one purpose cannot serve another one. Tokens
    for API requests have no audience.
    """

    def __init__(self, ring: KeyRing, audience: str | None = None) -> None:
        self._keys = ring.signing
        self._public = {key_id: key.public for key_id, key in ring.signing.items()}
        self._active = ring.signing[ring.active_signing]
        self._audience = audience

    def sign(self, payload: dict[str, Any]) -> str:
        key = self._active
        fields = {"iss": ISSUER, **payload}
        if self._audience is not None:
            fields["aud"] = self._audience
        return jwt.encode(fields, key.private, algorithm=key.algorithm, headers={"kid": key.key_id})

    def verify(self, token: str, kind: type[Payload]) -> Payload:
        """Returns the payload of `token`, without a check of its times. Raises TokenInvalid."""
        if len(token) > MAX_TOKEN:
            raise TokenInvalid
        try:
            key = self._keys[jwt.get_unverified_header(token)["kid"]]
            # The algorithm comes from the key; the header cannot choose another one.
            payload = jwt.decode(
                token,
                self._public[key.key_id],
                algorithms=[key.algorithm],
                issuer=ISSUER,
                audience=self._audience,
                options=_CHECKS,
            )
            return msgspec.convert(payload, kind)
        except (jwt.PyJWTError, KeyError, TypeError, ValueError, OverflowError):
            raise TokenInvalid from None


class Tokens:
    """Issues and verifies tokens. Revocation is checked elsewhere, against the database."""

    def __init__(self, ring: KeyRing, lifetime_s: int, *, cache_size: int = 10_000) -> None:
        self._signer = TokenSigner(ring)
        self._lifetime_s = lifetime_s
        self._verified: LRUCache[str, Claims] = LRUCache(cache_size)

    def issue(
        self,
        account_id: UUID,
        *,
        auth_epoch: int,
        method: Method,
        now: datetime,
        owner_id: UUID | None = None,
        user_epoch: int | None = None,
        key: ApiKey | None = None,
        lifetime_s: int | None = None,
    ) -> tuple[str, Claims]:
        """Returns a new token and its claims; `lifetime_s` defaults to the configured lifetime.

        The token expires no later than `key`.
        """
        issued_at = now.replace(microsecond=0)
        expires_at = issued_at + timedelta(seconds=lifetime_s or self._lifetime_s)
        if key is not None and key.expires_at is not None:
            expires_at = min(expires_at, key.expires_at.replace(microsecond=0))
        claims = Claims(
            token_id=uuid4(),
            account_id=account_id,
            owner_id=owner_id,
            user_epoch=user_epoch,
            key_id=None if key is None else key.key_id,
            method=method,
            auth_epoch=auth_epoch,
            issued_at=issued_at,
            expires_at=expires_at,
        )
        return self._signer.sign(payload_of(claims)), claims

    def verify(self, token: str, now: datetime) -> Claims:
        """Returns the claims of `token`. Raises TokenInvalid when it is not valid or has expired.

        Verified tokens are cached: checking a signature costs more than all other checks.
        """
        claims = self._verified.get(token)
        if claims is None:
            claims = self._verified[token] = self._decode(token)
        if now >= claims.expires_at:
            del self._verified[token]
            raise TokenInvalid
        return claims

    def _decode(self, token: str) -> Claims:
        try:
            return claims_of(self._signer.verify(token, _Payload))
        except (ValueError, OverflowError):
            raise TokenInvalid from None


def payload_of(claims: Claims) -> dict[str, Any]:
    """Returns the payload of a token with these claims."""
    fields = {
        "jti": claims.token_id.hex,
        "account_id": claims.account_id.hex,
        "method": claims.method.value,
        "auth_epoch": claims.auth_epoch,
        "iat": int(claims.issued_at.timestamp()),
        "exp": int(claims.expires_at.timestamp()),
    }
    if claims.owner_id is not None:
        fields |= {"owner_id": claims.owner_id.hex, "user_epoch": claims.user_epoch}
    if claims.key_id is not None:
        fields["key_id"] = claims.key_id.hex
    if claims.is_admin:
        fields["is_admin"] = True
    return fields


def claims_of(payload: ClaimsPayload) -> Claims:
    """Returns the claims of a payload. Raises ValueError, OverflowError for impossible times."""
    return Claims(
        token_id=payload.jti,
        account_id=payload.account_id,
        owner_id=payload.owner_id,
        user_epoch=payload.user_epoch,
        key_id=payload.key_id,
        method=payload.method,
        auth_epoch=payload.auth_epoch,
        is_admin=payload.is_admin,
        issued_at=datetime.fromtimestamp(payload.iat, UTC),
        expires_at=datetime.fromtimestamp(payload.exp, UTC),
    )
