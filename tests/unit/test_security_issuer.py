"""Tokens of an external issuer: accepted keys, key changes, outages."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from jwt.algorithms import OKPAlgorithm, RSAAlgorithm

from service.domain.account import Method
from service.domain.errors import IssuerUnavailable, TokenInvalid
from service.security import Issuer, IssuerSettings
from tests.support.issuer import EC, EC_JWK, URL, Publisher
from tests.support.waiting import wait_until

NOW = datetime.now(UTC)
ACCOUNT = UUID("0191f3a0-0000-7000-8000-000000000001")
ED = ed25519.Ed25519PrivateKey.generate()
RSA = rsa.generate_private_key(65537, 2048)
ED_JWK = {**OKPAlgorithm.to_jwk(ED.public_key(), as_dict=True), "kid": "ed"}
RSA_JWK = {**RSAAlgorithm.to_jwk(RSA.public_key(), as_dict=True), "kid": "rsa", "alg": "RS256"}


@pytest.fixture
async def publisher() -> AsyncIterator[Publisher]:
    async with Publisher(EC_JWK, ED_JWK, RSA_JWK).running() as running:
        yield running


def an_issuer(publisher: Publisher, **patience: float) -> Issuer:
    settings = IssuerSettings(
        url=URL, jwks_url=publisher.url, audience="voicemail", account_claim="tenant"
    )
    return Issuer(settings, **{"pause_s": 0, "forget_s": 60, **patience})


def a_token(key: Any = EC, algorithm: str = "ES256", kid: str = "ec", **changes: Any) -> str:
    payload = {
        "iss": URL,
        "aud": "voicemail",
        "exp": int(NOW.timestamp()) + 600,
        "tenant": ACCOUNT.hex,
        "jti": "1",
        **changes,
    }
    parameters = {name: value for name, value in payload.items() if value is not None}
    return jwt.encode(parameters, key, algorithm, headers={"kid": kid})


@pytest.mark.parametrize(
    ("key", "algorithm", "kid"), [(EC, "ES256", "ec"), (ED, "EdDSA", "ed"), (RSA, "RS256", "rsa")]
)
async def test_a_token_of_each_key_type_is_accepted(
    publisher: Publisher, key: Any, algorithm: str, kid: str
) -> None:
    issuer = an_issuer(publisher)
    claims = await issuer.verify(a_token(key, algorithm, kid), NOW)
    assert (claims.account_id, claims.method) == (ACCOUNT, Method.ISSUER)
    assert (claims.auth_epoch, claims.owner_id) == (None, None)
    assert await issuer.verify(a_token(key, algorithm, kid), NOW) == claims
    with pytest.raises(TokenInvalid):
        await issuer.verify(a_token(key, algorithm, kid), NOW + timedelta(seconds=601))


@pytest.mark.parametrize(
    ("access", "is_admin"), [("admin", True), ("user", False), ("Admin", False), (True, False)]
)
async def test_only_a_claim_makes_an_administrator(
    publisher: Publisher, access: Any, is_admin: bool
) -> None:
    issuer = an_issuer(publisher)
    claims = await issuer.verify(a_token(access=access, owner_id=ACCOUNT.hex), NOW)
    assert (claims.is_admin, claims.owner_id) == (is_admin, ACCOUNT)
    assert (await issuer.verify(a_token(owner_id="no id"), NOW)).owner_id is None


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://other.example"},
        {"iss": None},
        {"aud": "other"},
        {"aud": None},
        {"exp": None},
        {"exp": 2**70},
        {"tenant": None},
        {"tenant": "xyz"},
        {"tenant": 5},
        {"nbf": int(NOW.timestamp()) + 300},
        {"exp": int(NOW.timestamp()) + 86_401},
        {"exp": int(NOW.timestamp()) + 60, "iat": int(NOW.timestamp()) - 86_341},
        {"exp": int(NOW.timestamp()) + 10_000_000, "iat": int(NOW.timestamp()) + 9_999_000},
        {"key": ED, "algorithm": "EdDSA"},
        {"key": "s" * 64, "algorithm": "HS256"},
        {"key": RSA, "algorithm": "PS256", "kid": "rsa"},
    ],
)
async def test_a_token_with_one_wrong_part_is_refused(
    publisher: Publisher, changes: dict[str, Any]
) -> None:
    with pytest.raises(TokenInvalid):
        await an_issuer(publisher).verify(a_token(**changes), NOW)


async def test_symmetric_weak_and_encryption_keys_are_not_used(publisher: Publisher) -> None:
    weak = rsa.generate_private_key(65537, 1024)  # noqa: S505
    publisher.keys = [
        {"kty": "oct", "k": "c2VjcmV0", "kid": "oct", "alg": "HS256"},
        {**RSAAlgorithm.to_jwk(weak.public_key(), as_dict=True), "kid": "weak"},
        {**EC_JWK, "kid": "enc", "use": "enc"},
        {"kty": "EC", "kid": "broken"},
        {"kid": 5},
    ]
    issuer = an_issuer(publisher)
    with pytest.raises(TokenInvalid):
        await issuer.verify(a_token("secret" * 8, "HS256", "oct"), NOW)
    with pytest.warns(jwt.InsecureKeyLengthWarning):
        token = a_token(weak, "RS256", "weak")
    with pytest.raises(TokenInvalid):
        await issuer.verify(token, NOW)
    with pytest.raises(TokenInvalid):
        await issuer.verify(a_token(kid="enc"), NOW)


async def test_an_unknown_key_causes_one_fetch(publisher: Publisher) -> None:
    issuer = an_issuer(publisher)
    for _ in range(3):
        with pytest.raises(TokenInvalid):
            await issuer.verify(a_token(kid="new"), NOW)
    assert publisher.request_count == 1
    for other in (a_token(iss="https://other.example", kid="x"), "garbage", "x" * 9000):
        with pytest.raises(TokenInvalid):
            await issuer.verify(other, NOW)
    assert publisher.request_count == 1
    await issuer.verify(a_token(), NOW)
    assert publisher.request_count == 1


async def test_many_unknown_keys_do_not_cause_more_fetches_than_allowed(
    publisher: Publisher,
) -> None:
    issuer = an_issuer(publisher, pause_s=60)
    for number in range(20):
        with pytest.raises(TokenInvalid):
            await issuer.verify(a_token(kid=f"new {number}"), NOW)
    assert publisher.request_count == 1


async def test_a_new_key_is_accepted_and_a_withdrawn_one_is_refused(publisher: Publisher) -> None:
    issuer = an_issuer(publisher)
    old = a_token()
    await issuer.verify(old, NOW)
    publisher.keys = [{**EC_JWK, "kid": "next"}]
    await issuer.verify(a_token(kid="next"), NOW)
    with pytest.raises(TokenInvalid):
        await issuer.verify(old, NOW)


async def test_fetched_keys_stay_in_use_while_the_issuer_fails(publisher: Publisher) -> None:
    issuer = an_issuer(publisher)
    with_nothing = an_issuer(publisher)
    await issuer.verify(a_token(), NOW)
    publisher.status = 500
    with pytest.raises(IssuerUnavailable):
        await issuer.refresh()
    await issuer.verify(a_token(jti="2"), NOW)
    for lost in (issuer.verify(a_token(kid="new"), NOW), with_nothing.verify(a_token(), NOW)):
        with pytest.raises(IssuerUnavailable):
            await lost
    publisher.status = 200
    await with_nothing.verify(a_token(), NOW)


async def test_keys_are_fetched_in_the_background(publisher: Publisher) -> None:
    async with an_issuer(publisher, refresh_s=0.02).poll_in_background():
        await wait_until(lambda: publisher.request_count >= 3)
