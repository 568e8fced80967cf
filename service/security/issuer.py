"""Tokens of an external issuer (OpenID Connect or similar), verified with its published keys.

The keys are a JSON Web Key Set (RFC 7517), fetched in the background. While a fetch fails, the
keys of the last one stay in use.
"""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import aiohttp
import jwt
import msgspec
from cachetools import LRUCache, TTLCache
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from service.domain.access import PrivLevel
from service.domain.account import Claims, Method
from service.domain.errors import IssuerUnavailable, TokenInvalid
from service.logs import get_logger
from service.security.tokens import MAX_TOKEN
from service.tasks import background_task

log = get_logger(__name__)

_ALGORITHMS = frozenset(
    {f"{kind}{bits}" for kind in ("RS", "PS", "ES") for bits in (256, 384, 512)} | {"EdDSA"}
)
_MIN_RSA_BITS = 2048
_MAX_KEY_SET_BYTES = 262_144
_MAX_UNKNOWN_KEYS = 1_000
_MAX_VERIFIED = 10_000
_CLOCK_SKEW = timedelta(seconds=60)
_CHECKS: Any = {
    "require": ["iss", "aud", "exp"],
    "verify_exp": False,
    "verify_iat": False,
    "verify_nbf": False,
}


class IssuerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Accepted issuer: `iss`, the address of its keys, `aud`, and the claim with the account id.

    Tokens that are valid for longer than `max_lifetime_s` are refused.
    """

    url: str
    jwks_url: str
    audience: str
    account_claim: str = "account_id"
    max_lifetime_s: int = 86_400


class Issuer:
    """Verifies tokens with the key that `kid` names; the key determines the algorithm.

    An unknown `kid` causes a fetch of the keys, at most once in `pause_s`. A `kid` that is still
    unknown after that is rejected for `forget_s` without a fetch.
    """

    def __init__(
        self,
        settings: IssuerSettings,
        *,
        refresh_s: float = 300,
        pause_s: float = 10,
        forget_s: float = 60,
        timeout_s: float = 5,
    ) -> None:
        self._settings = settings
        self._refresh_s = refresh_s
        self._pause_s = pause_s
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._event_of: dict[str, Any] = {}
        self._keys: dict[str, jwt.PyJWK] = {}
        self._unknown_keys: TTLCache[str, bool] = TTLCache(_MAX_UNKNOWN_KEYS, forget_s)
        self._verified: LRUCache[str, Claims] = LRUCache(_MAX_VERIFIED)
        self._fetch_lock = asyncio.Lock()
        self._fetched_at = float("-inf")
        self._failing = False

    @asynccontextmanager
    async def poll_in_background(self) -> AsyncIterator["Issuer"]:
        """Fetches the keys in the background. Does not wait for the first fetch."""
        async with background_task(self._poll(), "issuer keys"):
            yield self

    async def verify(self, token: str, now: datetime) -> Claims:
        """Returns the claims of `token`. Raises TokenInvalid when it is invalid or expired.

        Raises IssuerUnavailable when its key is unknown and the keys cannot be fetched.
        """
        claims = self._verified.get(token)
        if claims is None:
            claims = self._verified[token] = await self._decode(token, now)
        if now >= claims.expires_at:
            self._verified.pop(token, None)
            raise TokenInvalid
        return claims

    async def refresh(self) -> int:
        """Fetches the keys; returns the number of usable ones.

        Raises IssuerUnavailable; the keys of the last fetch stay in use.
        """
        self._fetched_at = time.monotonic()
        try:
            published = await self._fetch()
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            self._note_failure(error)
            raise IssuerUnavailable(type(error).__name__) from error
        self._failing = False
        if published != self._event_of:
            self._keys = _usable_keys(published)
            self._event_of = published
            # Tokens that a withdrawn key has signed are no longer valid.
            self._verified.clear()
            self._unknown_keys.clear()
            log.info("issuer keys loaded", keys=len(self._keys))
        return len(self._keys)

    async def _decode(self, token: str, now: datetime) -> Claims:
        settings = self._settings
        key = await self._key(self._key_id(token))
        try:
            payload = jwt.decode(
                token,
                key,
                algorithms=[key.algorithm_name],
                issuer=settings.url,
                audience=settings.audience,
                options=_CHECKS,
            )
            if datetime.fromtimestamp(payload.get("nbf", 0), UTC) > now + _CLOCK_SKEW:
                raise TokenInvalid
            claims = _claims_of(token, payload, settings.account_claim, now)
            self._check_lifetime(claims, now)
            return claims
        except (jwt.PyJWTError, KeyError, TypeError, ValueError, OverflowError, OSError):
            raise TokenInvalid from None

    def _check_lifetime(self, claims: Claims, now: datetime) -> None:
        """Raises TokenInvalid if the lifetime is too long or begins in the future."""
        lifetime = claims.expires_at - claims.issued_at
        too_long = lifetime > timedelta(seconds=self._settings.max_lifetime_s)
        if too_long or claims.issued_at > now + _CLOCK_SKEW:
            raise TokenInvalid

    def _key_id(self, token: str) -> str:
        """Returns the `kid` of a token. A token of another issuer causes no fetch."""
        if len(token) > MAX_TOKEN:
            raise TokenInvalid
        try:
            parts = jwt.decode_complete(token, options={"verify_signature": False})
        except (jwt.PyJWTError, ValueError):
            raise TokenInvalid from None
        key_id = parts["header"].get("kid")
        if not isinstance(key_id, str) or parts["payload"].get("iss") != self._settings.url:
            raise TokenInvalid
        return key_id

    async def _key(self, key_id: str) -> jwt.PyJWK:
        if key_id not in self._keys and key_id not in self._unknown_keys:
            async with self._fetch_lock:
                if time.monotonic() - self._fetched_at >= self._pause_s:
                    await self.refresh()
        key = self._keys.get(key_id)
        if key is not None:
            return key
        if self._failing:
            raise IssuerUnavailable("unknown key")
        self._unknown_keys.setdefault(key_id, True)
        raise TokenInvalid

    async def _fetch(self) -> dict[str, Any]:
        """Returns the published keys by id."""
        body = bytearray()
        async with (
            aiohttp.ClientSession(timeout=self._timeout, raise_for_status=True) as session,
            session.get(self._settings.jwks_url, allow_redirects=False) as response,
        ):
            async for chunk in response.content.iter_chunked(65_536):
                body += chunk
                if len(body) > _MAX_KEY_SET_BYTES:
                    raise ValueError("key set too large")
        keys = msgspec.json.decode(body, type=_KeySet).keys
        return {key["kid"]: key for key in keys if isinstance(key.get("kid"), str)}

    async def _poll(self) -> None:
        while True:
            with suppress(IssuerUnavailable):
                async with self._fetch_lock:
                    await self.refresh()
            await asyncio.sleep(self._pause_s if self._failing else self._refresh_s)

    def _note_failure(self, error: Exception) -> None:
        if not self._failing:
            log.warning(
                "issuer keys unavailable",
                reason=str(error) or type(error).__name__,
            )
        self._failing = True


class _KeySet(msgspec.Struct):
    keys: list[dict[str, Any]]


def _usable_keys(published: Mapping[str, Any]) -> dict[str, jwt.PyJWK]:
    """Returns the keys that may verify tokens: asymmetric, for signatures, and strong enough."""
    usable = {}
    for key_id, fields in published.items():
        if fields.get("kty") not in ("RSA", "EC", "OKP") or fields.get("use", "sig") != "sig":
            continue
        try:
            key = jwt.PyJWK(fields)
        except jwt.PyJWTError:
            continue
        weak = isinstance(key.key, RSAPublicKey) and key.key.key_size < _MIN_RSA_BITS
        if key.algorithm_name in _ALGORITHMS and not weak:
            usable[key_id] = key
    return usable


def _claims_of(token: str, payload: Mapping[str, Any], account_claim: str, now: datetime) -> Claims:
    identity = f"{payload['iss']}\0{payload.get('jti') or token}"
    return Claims(
        # `jti` may be any text, and another issuer may use the same one.
        token_id=UUID(bytes=hashlib.sha256(identity.encode()).digest()[:16]),
        account_id=UUID(str(payload[account_claim])),
        owner_id=_uuid_or_none(payload.get("owner_id")),
        is_admin=payload.get("access") == PrivLevel.ADMIN,
        method=Method.ISSUER,
        auth_epoch=None,
        issued_at=datetime.fromtimestamp(payload.get("iat", now.timestamp()), UTC),
        expires_at=datetime.fromtimestamp(payload["exp"], UTC),
    )


def _uuid_or_none(value: Any) -> UUID | None:
    try:
        return UUID(str(value))
    except ValueError:
        return None
