"""Tokens of this service: signatures, keys, expiry."""

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from service.domain.account import Claims, Method
from service.domain.errors import TokenInvalid
from service.security import KeyRing, Tokens, generate_key_ring, load_key_ring
from service.security.keys import SigningKey

NOW = datetime(2026, 7, 1, 12, 0, 0, 500_000, tzinfo=UTC)
ACCOUNT = UUID("0191f3a0-0000-7000-8000-000000000001")


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    path = tmp_path / "keys.json"
    path.write_bytes(generate_key_ring())
    path.chmod(0o600)
    return load_key_ring(path)


@pytest.fixture
def tokens(ring: KeyRing) -> Tokens:
    return Tokens(ring, 3600)


def issue(tokens: Tokens, **changes: Any) -> tuple[str, Claims]:
    parameters: dict[str, Any] = {"auth_epoch": 1, "method": Method.API_KEY, "now": NOW}
    return tokens.issue(ACCOUNT, **(parameters | changes))


def part(fields: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(fields).encode()).rstrip(b"=").decode()


def signed(key: SigningKey, *, kid: Any = None, **changes: Any) -> str:
    """A token with a good signature whose payload differs from what the service writes."""
    payload = {
        "iss": "aftertone",
        "jti": uuid4().hex,
        "account_id": ACCOUNT.hex,
        "method": "api_key",
        "auth_epoch": 1,
        "iat": int(NOW.timestamp()),
        "exp": int(NOW.timestamp()) + 60,
    }
    payload = {name: value for name, value in (payload | changes).items() if value is not None}
    return jwt.encode(payload, key.private, key.algorithm, {"kid": kid or key.key_id})


def test_a_verified_token_has_the_issued_claims(tokens: Tokens, ring: KeyRing) -> None:
    token, claims = issue(tokens, owner_id=uuid4(), user_epoch=3, auth_epoch=7, method=Method.USER)
    assert Tokens(ring, 1).verify(token, NOW) == claims
    assert claims.account_id == ACCOUNT
    assert claims.expires_at == NOW.replace(microsecond=0) + timedelta(hours=1)


def test_ids_in_a_token_have_the_format_of_the_wire(tokens: Tokens, ring: KeyRing) -> None:
    token, claims = issue(tokens)
    payload = jwt.decode(token, options={"verify_signature": False})
    assert jwt.get_unverified_header(token)["kid"] == ring.active_signing
    assert payload["account_id"] == ACCOUNT.hex
    assert payload["jti"] == claims.token_id.hex
    assert "owner_id" not in payload


def test_a_cached_token_expires(tokens: Tokens) -> None:
    token, claims = issue(tokens)
    assert tokens.verify(token, claims.expires_at - timedelta(seconds=1)) == claims
    for _ in range(2):
        with pytest.raises(TokenInvalid):
            tokens.verify(token, claims.expires_at)


def test_a_token_can_have_its_own_lifetime(tokens: Tokens) -> None:
    _, claims = issue(tokens, lifetime_s=86_400)
    assert claims.expires_at - claims.issued_at == timedelta(days=1)


@pytest.mark.parametrize("changed_part", [0, 1, 2])
def test_a_token_changed_in_any_part_is_refused(tokens: Tokens, changed_part: int) -> None:
    token, _ = issue(tokens)
    parts = token.split(".")
    text = parts[changed_part]
    parts[changed_part] = text[:9] + ("A" if text[9] != "A" else "B") + text[10:]
    with pytest.raises(TokenInvalid):
        tokens.verify(".".join(parts), NOW)


def test_the_payload_of_one_token_under_the_signature_of_another_is_refused(
    tokens: Tokens,
) -> None:
    header, _, signature = issue(tokens)[0].split(".")
    _, payload, _ = issue(tokens, auth_epoch=2)[0].split(".")
    with pytest.raises(TokenInvalid):
        tokens.verify(f"{header}.{payload}.{signature}", NOW)


def test_a_token_without_a_signature_is_refused(tokens: Tokens, ring: KeyRing) -> None:
    _, payload, _ = issue(tokens)[0].split(".")
    for algorithm in ("none", "None", "EdDSA"):
        header = part({"alg": algorithm, "typ": "JWT", "kid": ring.active_signing})
        with pytest.raises(TokenInvalid):
            tokens.verify(f"{header}.{payload}.", NOW)


def hs256_with_public_key(ring: KeyRing, payload: str, encoding: Encoding) -> str:
    """Algorithm confusion attack: a token that is signed by HMAC with the public key."""
    public = ring.signing[ring.active_signing].public
    form = PublicFormat.Raw if encoding is Encoding.Raw else PublicFormat.SubjectPublicKeyInfo
    header = part({"alg": "HS256", "typ": "JWT", "kid": ring.active_signing})
    algorithm = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    message = f"{header}.{payload}"
    signature = algorithm.sign(message.encode(), public.public_bytes(encoding, form))
    return f"{message}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


@pytest.mark.parametrize("encoding", [Encoding.Raw, Encoding.PEM, Encoding.DER])
def test_a_token_signed_with_the_public_key_as_a_secret_is_refused(
    tokens: Tokens, ring: KeyRing, encoding: Encoding
) -> None:
    _, payload, _ = issue(tokens)[0].split(".")
    with pytest.raises(TokenInvalid):
        tokens.verify(hs256_with_public_key(ring, payload, encoding), NOW)


def test_a_key_verifies_its_own_algorithm_only(ring: KeyRing) -> None:
    rsa = SigningKey(key_id="rsa", algorithm="RS256", private=generate_private_key(65537, 2048))
    both = Tokens(
        KeyRing(
            signing={**ring.signing, "rsa": rsa},
            active_signing="rsa",
            encryption=ring.encryption,
            active_encryption=ring.active_encryption,
            pepper=ring.pepper,
            mail_key=bytes(32),
        ),
        3600,
    )
    assert both.verify(signed(rsa), NOW).account_id == ACCOUNT
    with pytest.raises(TokenInvalid):
        both.verify(signed(rsa, kid=ring.active_signing), NOW)
    with pytest.raises(TokenInvalid):
        both.verify(signed(ring.signing[ring.active_signing], kid="rsa"), NOW)


@pytest.mark.parametrize("kid", ["unknown", "", "../keys.json", "' OR 1=1 --"])
def test_an_unknown_key_id_is_refused(tokens: Tokens, ring: KeyRing, kid: str) -> None:
    with pytest.raises(TokenInvalid):
        tokens.verify(signed(ring.signing[ring.active_signing], kid=kid or " "), NOW)


def test_a_token_without_a_key_id_is_refused(tokens: Tokens, ring: KeyRing) -> None:
    key = ring.signing[ring.active_signing]
    _, payload, _ = issue(tokens)[0].split(".")
    token = jwt.api_jws.encode(payload.encode(), key.private, key.algorithm)
    with pytest.raises(TokenInvalid):
        tokens.verify(token, NOW)


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "kazoo"},
        {"iss": None},
        {"exp": None},
        {"exp": "soon"},
        {"exp": 10**30},
        {"exp": float("inf")},
        {"iat": None},
        {"jti": None},
        {"jti": "7"},
        {"account_id": None},
        {"account_id": "x"},
        {"account_id": 5},
        {"method": "guess"},
        {"auth_epoch": None},
        {"auth_epoch": "1"},
    ],
)
def test_a_token_with_a_missing_or_wrong_claim_is_refused(
    tokens: Tokens, ring: KeyRing, changes: dict[str, Any]
) -> None:
    with pytest.raises(TokenInvalid):
        tokens.verify(signed(ring.signing[ring.active_signing], **changes), NOW)


@pytest.mark.parametrize(
    "token", ["", ".", "..", "...", "a.b.c", "ä.ö.ü", "\0", "x" * 5000, "[].e30.e30", "e30.e30.e30"]
)
def test_text_that_is_not_a_token_is_refused(tokens: Tokens, token: str) -> None:
    with pytest.raises(TokenInvalid):
        tokens.verify(token, NOW)


def test_after_rotation_the_old_key_verifies_and_the_new_one_signs(
    tokens: Tokens, ring: KeyRing, tmp_path: Path
) -> None:
    old_token, old_claims = issue(tokens)
    path = tmp_path / "other.json"
    path.write_bytes(generate_key_ring())
    path.chmod(0o600)
    new = load_key_ring(path)
    both = KeyRing(
        signing=ring.signing | new.signing,
        active_signing=new.active_signing,
        encryption=ring.encryption,
        active_encryption=ring.active_encryption,
        pepper=ring.pepper,
        mail_key=bytes(32),
    )
    rotated = Tokens(both, 3600)
    assert rotated.verify(old_token, NOW) == old_claims
    new_token, new_claims = issue(rotated)
    assert Tokens(new, 3600).verify(new_token, NOW) == new_claims
    with pytest.raises(TokenInvalid):
        Tokens(new, 3600).verify(old_token, NOW)


def test_tokens_that_leave_the_cache_stay_valid(ring: KeyRing) -> None:
    tokens = Tokens(ring, 3600, cache_size=3)
    issued = [issue(tokens) for _ in range(5)]
    for _ in range(2):
        assert [tokens.verify(token, NOW) for token, _ in issued] == [said for _, said in issued]
