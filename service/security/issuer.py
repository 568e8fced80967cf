"""Tokens of an outside issuer (OpenID Connect or a like one), verified by its published keys.

The keys are a JSON Web Key Set (RFC 7517), fetched in the background; while it cannot be fetched,
what is known stays in use.
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
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from service.domain.account import Claims, Method
from service.domain.errors import IssuerUnavailable, TokenInvalid
from service.logs import get_logger
from service.security.tokens import MAX_TOKEN, Remembered

log = get_logger(__name__)

_ALGORITHMS = frozenset(
    {f"{kind}{bits}" for kind in ("RS", "PS", "ES") for bits in (256, 384, 512)} | {"EdDSA"}
)
_MIN_RSA_BITS = 2048
_MOST_BYTES = 262_144
_MOST_UNKNOWN = 1_000
_CLOCK_SKEW = timedelta(seconds=60)
_CHECKS: Any = {
    "require": ["iss", "aud", "exp"],
    "verify_exp": False,
    "verify_iat": False,
    "verify_nbf": False,
}


class IssuerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Whose tokens count: `iss`, where its keys are, `aud`, and the claim that names an account."""

    url: str
    jwks_url: str
    audience: str
    account_claim: str = "account_id"


class Issuer:
    """Verifies tokens by the `kid` of their key, which alone says what algorithm it is for.

    A `kid` that is not known has the keys fetched, at most once in `pause_s`; one that is unknown
    even then is refused for `forget_s` without another look.
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
        self._forget_s = forget_s
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._published: dict[str, Any] = {}
        self._keys: dict[str, jwt.PyJWK] = {}
        self._unknown: dict[str, float] = {}
        self._verified = Remembered(10_000)
        self._asking = asyncio.Lock()
        self._asked_at = float("-inf")
        self._failing = False

    @asynccontextmanager
    async def kept_fresh(self) -> AsyncIterator["Issuer"]:
        """Fetches the keys now and then until the end. Does not wait for the first time."""
        task = asyncio.create_task(self._beat(), name="issuer keys")
        try:
            yield self
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def verify(self, token: str, now: datetime) -> Claims:
        """What `token` says; TokenInvalid when it is none of this issuer's or is over.

        Raises IssuerUnavailable when its key is not known and the keys cannot be fetched.
        """
        claims = self._verified.get(token)
        if claims is None:
            claims = self._verified.put(token, await self._read(token, now))
        if now >= claims.expires_at:
            self._verified.drop(token)
            raise TokenInvalid
        return claims

    async def refresh(self) -> int:
        """Fetches the keys; how many can be used.

        Raises IssuerUnavailable; those that are known stay then.
        """
        self._asked_at = time.monotonic()
        try:
            published = await self._fetch()
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            self._note_failure(error)
            raise IssuerUnavailable(type(error).__name__) from error
        self._failing = False
        if published != self._published:
            self._keys = _usable(published)
            self._published = published
            # What a withdrawn key has signed counts no more.
            self._verified.clear()
            self._unknown.clear()
            log.info("The outside issuer's keys were read.", keys=len(self._keys))
        return len(self._keys)

    async def _read(self, token: str, now: datetime) -> Claims:
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
            return _claims(token, payload, settings.account_claim, now)
        except (jwt.PyJWTError, KeyError, TypeError, ValueError, OverflowError, OSError):
            raise TokenInvalid from None

    def _key_id(self, token: str) -> str:
        """The key that a token names. Says nothing of one of another issuer, before any fetch."""
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
        if key_id not in self._keys and self._unknown.get(key_id, 0) <= time.monotonic():
            async with self._asking:
                if time.monotonic() - self._asked_at >= self._pause_s:
                    await self.refresh()
        key = self._keys.get(key_id)
        if key is not None:
            return key
        if self._failing:
            raise IssuerUnavailable("unknown key")
        self._note_unknown(key_id)
        raise TokenInvalid

    def _note_unknown(self, key_id: str) -> None:
        now = time.monotonic()
        if len(self._unknown) >= _MOST_UNKNOWN:
            self._unknown.clear()
        if self._unknown.get(key_id, 0) <= now:
            self._unknown[key_id] = now + self._forget_s

    async def _fetch(self) -> dict[str, Any]:
        """The published keys by id."""
        body = bytearray()
        async with (
            aiohttp.ClientSession(timeout=self._timeout, raise_for_status=True) as session,
            session.get(self._settings.jwks_url, allow_redirects=False) as answer,
        ):
            async for chunk in answer.content.iter_chunked(65_536):
                body += chunk
                if len(body) > _MOST_BYTES:
                    raise ValueError("The key set is too large")
        keys = msgspec.json.decode(body, type=_KeySet).keys
        return {key["kid"]: key for key in keys if isinstance(key.get("kid"), str)}

    async def _beat(self) -> None:
        while True:
            with suppress(IssuerUnavailable):
                async with self._asking:
                    await self.refresh()
            await asyncio.sleep(self._pause_s if self._failing else self._refresh_s)

    def _note_failure(self, error: Exception) -> None:
        if not self._failing:
            log.warning(
                "The outside issuer's keys cannot be read; those known stay in use.",
                reason=str(error) or type(error).__name__,
            )
        self._failing = True


class _KeySet(msgspec.Struct):
    keys: list[dict[str, Any]]


def _usable(published: Mapping[str, Any]) -> dict[str, jwt.PyJWK]:
    """The keys that may verify tokens: asymmetric ones for signatures, none too weak."""
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


def _claims(token: str, payload: Mapping[str, Any], account_claim: str, now: datetime) -> Claims:
    identity = f"{payload['iss']}\0{payload.get('jti') or token}"
    return Claims(
        # Its own name for the token may be no UUID, or be another issuer's too.
        token_id=UUID(bytes=hashlib.sha256(identity.encode()).digest()[:16]),
        account_id=UUID(str(payload[account_claim])),
        method=Method.ISSUER,
        auth_epoch=None,
        issued_at=datetime.fromtimestamp(payload.get("iat", now.timestamp()), UTC),
        expires_at=datetime.fromtimestamp(payload["exp"], UTC),
    )
