"""Tokens: JWTs (RFC 7519) that this service issues and verifies, by asymmetric keys only."""

from collections import OrderedDict
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import jwt
import msgspec

from service.domain.account import Claims, Method
from service.domain.errors import TokenInvalid
from service.security.keys import KeyRing, SigningKey

ISSUER = "aftertone"
_MAX_TOKEN = 4096
# Time is checked against the caller's clock and on every use, not once by the library.
_CHECKS: Any = {
    "require": ["iss", "exp", "iat", "jti"],
    "verify_exp": False,
    "verify_iat": False,
    "verify_nbf": False,
    "verify_aud": False,
}


class _Payload(msgspec.Struct, kw_only=True, omit_defaults=True):
    iss: str
    jti: UUID
    account_id: UUID
    owner_id: str | None = None
    method: Method
    auth_epoch: int
    iat: int
    exp: int


class Tokens:
    """Issues with the ring's active key and verifies with any of its keys, found by `kid`.

    What was verified once is remembered (at most `remembered` tokens), since a signature costs
    more than the rest of a request's checks. Whether a token was revoked is not known here.
    """

    def __init__(self, ring: KeyRing, lifetime_s: int, *, remembered: int = 10_000) -> None:
        self._keys = ring.signing
        self._public = {key_id: key.public for key_id, key in ring.signing.items()}
        self._active = ring.signing[ring.active_signing]
        self._lifetime_s = lifetime_s
        self._remembered = remembered
        self._verified: OrderedDict[str, Claims] = OrderedDict()

    def issue(
        self,
        account_id: UUID,
        *,
        auth_epoch: int,
        method: Method,
        now: datetime,
        owner_id: str | None = None,
        lifetime_s: int | None = None,
    ) -> tuple[str, Claims]:
        """A new token and what it says; valid for the deployment's time unless told otherwise."""
        issued_at = now.replace(microsecond=0)
        claims = Claims(
            token_id=uuid4(),
            account_id=account_id,
            owner_id=owner_id,
            method=method,
            auth_epoch=auth_epoch,
            issued_at=issued_at,
            expires_at=issued_at + timedelta(seconds=lifetime_s or self._lifetime_s),
        )
        return _sign(claims, self._active), claims

    def verify(self, token: str, now: datetime) -> Claims:
        """What `token` says; TokenInvalid when it is not one of ours, was changed, or is over."""
        claims = self._verified.get(token)
        if claims is None:
            claims = self._remember(token, self._read(token))
        else:
            self._verified.move_to_end(token)
        if now >= claims.expires_at:
            del self._verified[token]
            raise TokenInvalid
        return claims

    def _remember(self, token: str, claims: Claims) -> Claims:
        self._verified[token] = claims
        if len(self._verified) > self._remembered:
            self._verified.popitem(last=False)
        return claims

    def _read(self, token: str) -> Claims:
        if len(token) > _MAX_TOKEN:
            raise TokenInvalid
        try:
            key = self._keys[jwt.get_unverified_header(token)["kid"]]
            # Only the key says which algorithm it is for: what the header says must agree.
            payload = jwt.decode(
                token,
                self._public[key.key_id],
                algorithms=[key.algorithm],
                issuer=ISSUER,
                options=_CHECKS,
            )
            return _claims(msgspec.convert(payload, _Payload))
        except (jwt.PyJWTError, KeyError, TypeError, ValueError, OverflowError):
            raise TokenInvalid from None


def _sign(claims: Claims, key: SigningKey) -> str:
    payload = _Payload(
        iss=ISSUER,
        jti=claims.token_id,
        account_id=claims.account_id,
        owner_id=claims.owner_id,
        method=claims.method,
        auth_epoch=claims.auth_epoch,
        iat=int(claims.issued_at.timestamp()),
        exp=int(claims.expires_at.timestamp()),
    )
    fields = msgspec.to_builtins(payload)
    fields |= {"jti": claims.token_id.hex, "account_id": claims.account_id.hex}
    return jwt.encode(fields, key.private, algorithm=key.algorithm, headers={"kid": key.key_id})


def _claims(payload: _Payload) -> Claims:
    return Claims(
        token_id=payload.jti,
        account_id=payload.account_id,
        owner_id=payload.owner_id,
        method=payload.method,
        auth_epoch=payload.auth_epoch,
        issued_at=datetime.fromtimestamp(payload.iat, UTC),
        expires_at=datetime.fromtimestamp(payload.exp, UTC),
    )
