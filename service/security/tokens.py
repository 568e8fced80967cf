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
MAX_TOKEN = 4096
# Time is checked against the caller's clock and on every use, not once by the library.
_CHECKS: Any = {
    "require": ["iss", "exp", "iat", "jti"],
    "verify_exp": False,
    "verify_iat": False,
    "verify_nbf": False,
    "verify_aud": False,
}


class _Payload(msgspec.Struct, kw_only=True):
    iss: str
    jti: UUID
    account_id: UUID
    owner_id: UUID | None = None
    user_epoch: int | None = None
    method: Method
    auth_epoch: int
    iat: int
    exp: int


class Remembered:
    """Tokens that were verified, at most `limit`: a signature costs more than the other checks."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._claims: OrderedDict[str, Claims] = OrderedDict()

    def __len__(self) -> int:
        return len(self._claims)

    def get(self, token: str) -> Claims | None:
        claims = self._claims.get(token)
        if claims is not None:
            self._claims.move_to_end(token)
        return claims

    def put(self, token: str, claims: Claims) -> Claims:
        self._claims[token] = claims
        if len(self._claims) > self._limit:
            self._claims.popitem(last=False)
        return claims

    def drop(self, token: str) -> None:
        self._claims.pop(token, None)

    def clear(self) -> None:
        self._claims.clear()


class Tokens:
    """Issues with the ring's active key and verifies with any of its keys, found by `kid`.

    Whether a token was revoked is not known here.
    """

    def __init__(self, ring: KeyRing, lifetime_s: int, *, remembered: int = 10_000) -> None:
        self._keys = ring.signing
        self._public = {key_id: key.public for key_id, key in ring.signing.items()}
        self._active = ring.signing[ring.active_signing]
        self._lifetime_s = lifetime_s
        self._verified = Remembered(remembered)

    def issue(
        self,
        account_id: UUID,
        *,
        auth_epoch: int,
        method: Method,
        now: datetime,
        owner_id: UUID | None = None,
        user_epoch: int | None = None,
        lifetime_s: int | None = None,
    ) -> tuple[str, Claims]:
        """A new token and what it says; valid for the deployment's time unless told otherwise."""
        issued_at = now.replace(microsecond=0)
        claims = Claims(
            token_id=uuid4(),
            account_id=account_id,
            owner_id=owner_id,
            user_epoch=user_epoch,
            method=method,
            auth_epoch=auth_epoch,
            issued_at=issued_at,
            expires_at=issued_at + timedelta(seconds=lifetime_s or self._lifetime_s),
        )
        return _sign(claims, self._active), claims

    def verify(self, token: str, now: datetime) -> Claims:
        """What `token` says; TokenInvalid when it is not one of ours, was changed, or is over."""
        claims = self._verified.get(token) or self._verified.put(token, self._read(token))
        if now >= claims.expires_at:
            self._verified.drop(token)
            raise TokenInvalid
        return claims

    def _read(self, token: str) -> Claims:
        if len(token) > MAX_TOKEN:
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
    fields = {
        "iss": ISSUER,
        "jti": claims.token_id.hex,
        "account_id": claims.account_id.hex,
        "method": claims.method.value,
        "auth_epoch": claims.auth_epoch,
        "iat": int(claims.issued_at.timestamp()),
        "exp": int(claims.expires_at.timestamp()),
    }
    if claims.owner_id is not None:
        fields |= {"owner_id": claims.owner_id.hex, "user_epoch": claims.user_epoch}
    return jwt.encode(fields, key.private, algorithm=key.algorithm, headers={"kid": key.key_id})


def _claims(payload: _Payload) -> Claims:
    return Claims(
        token_id=payload.jti,
        account_id=payload.account_id,
        owner_id=payload.owner_id,
        user_epoch=payload.user_epoch,
        method=payload.method,
        auth_epoch=payload.auth_epoch,
        issued_at=datetime.fromtimestamp(payload.iat, UTC),
        expires_at=datetime.fromtimestamp(payload.exp, UTC),
    )
