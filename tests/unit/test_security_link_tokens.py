"""Tokens of recording links: their content, their expiry, and other purposes of the same keys."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import jwt
import pytest

from service.domain.account import Claims, Method
from service.domain.errors import TokenInvalid
from service.domain.message import MessageId
from service.domain.recording import RecordingLink
from service.security import KeyRing, LinkTokens, Tokens
from tests.support.accounts import a_key_ring

NOW = datetime(2026, 7, 1, 12, 0, 0, 500_000, tzinfo=UTC)


@pytest.fixture(scope="module")
def ring() -> KeyRing:
    return a_key_ring()


def a_signer(**changes: object) -> Claims:
    claims = {
        "token_id": uuid4(),
        "account_id": uuid4(),
        "method": Method.API_KEY,
        "auth_epoch": 3,
        "issued_at": NOW.replace(microsecond=0),
        "expires_at": NOW.replace(microsecond=0) + timedelta(hours=1),
    }
    return Claims(**{**claims, **changes})  # type: ignore[arg-type]


def a_link(signer: Claims) -> RecordingLink:
    return RecordingLink(
        link_id=uuid4(),
        account_id=uuid4(),
        vmbox_id=uuid4(),
        message_id=MessageId.generate(NOW, NOW),
        signer=signer,
        expires_at=NOW.replace(microsecond=0) + timedelta(minutes=5),
    )


@pytest.mark.parametrize(
    "signer",
    [
        a_signer(),
        a_signer(method=Method.USER, owner_id=uuid4(), user_epoch=7),
        a_signer(method=Method.ISSUER, auth_epoch=None),
    ],
    ids=["API key", "user", "other issuer"],
)
def test_a_verified_token_has_the_link_with_the_claims_of_its_signer(
    ring: KeyRing, signer: Claims
) -> None:
    link = a_link(signer)
    token = LinkTokens(ring).issue(link, NOW)
    assert LinkTokens(ring).verify(token, NOW) == link


def test_a_link_outlives_the_token_that_signed_it_and_ends_at_its_own_time(ring: KeyRing) -> None:
    link = a_link(a_signer(expires_at=NOW.replace(microsecond=0)))
    tokens = LinkTokens(ring)
    token = tokens.issue(link, NOW)
    assert tokens.verify(token, link.expires_at - timedelta(microseconds=1)) == link
    with pytest.raises(TokenInvalid):
        tokens.verify(token, link.expires_at)


def test_a_link_is_no_token_for_the_api_and_the_reverse(ring: KeyRing) -> None:
    with pytest.raises(TokenInvalid):
        Tokens(ring, 60).verify(LinkTokens(ring).issue(a_link(a_signer()), NOW), NOW)
    token, _ = Tokens(ring, 60).issue(UUID(int=1), auth_epoch=1, method=Method.API_KEY, now=NOW)
    with pytest.raises(TokenInvalid):
        LinkTokens(ring).verify(token, NOW)


def test_the_audience_alone_makes_a_payload_unfit_for_the_api(ring: KeyRing) -> None:
    token, _ = Tokens(ring, 60).issue(UUID(int=1), auth_epoch=1, method=Method.API_KEY, now=NOW)
    payload = jwt.decode(token, options={"verify_signature": False})
    key = ring.signing[ring.active_signing]
    for audience in ("recording", ["recording"], "other"):
        other = jwt.encode(
            payload | {"aud": audience}, key.private, key.algorithm, {"kid": key.key_id}
        )
        with pytest.raises(TokenInvalid):
            Tokens(ring, 60).verify(other, NOW)


def test_a_changed_token_and_one_of_another_ring_are_refused(ring: KeyRing) -> None:
    signer = a_signer()
    link = a_link(signer)
    token = LinkTokens(ring).issue(link, NOW)
    head, body, signature = token.split(".")
    _, other_body, _ = LinkTokens(ring).issue(a_link(signer), NOW).split(".")
    for changed in (
        f"{head}.{other_body}.{signature}",
        f"{head}.{body}.{signature[::-1]}",
        f"{head}.{body}.",
        token[:-5],
        "x" * 5000,
        LinkTokens(a_key_ring()).issue(link, NOW),
    ):
        with pytest.raises(TokenInvalid):
            LinkTokens(ring).verify(changed, NOW)
