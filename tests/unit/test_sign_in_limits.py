"""Locks after wrong credentials, and shares of the slots for hashing."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from uuid import UUID

import pytest

from service.domain.errors import CredentialsInvalid, SignInLocked, TooManySignIns
from service.domain.user import CredentialMethod, Credentials
from service.usecases.sign_in_limits import SignInGuard, SignInLimits

PEER, OTHER_PEER = "192.0.2.1", "192.0.2.2"


class Clock:
    """A clock that the test sets."""

    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def credentials(
    digest: object, account: str = "acme", username: str | None = None
) -> tuple[Credentials]:
    method = CredentialMethod.MD5
    return (
        Credentials(method=method, digest=str(digest), account_name=account, username=username),
    )


def guess(
    guard: SignInGuard, digest: object, account: str = "acme", *, peer: str = PEER, **more: str
) -> None:
    with (
        pytest.raises(CredentialsInvalid),
        guard.attempt(credentials(digest, account, **more), peer),
    ):
        raise CredentialsInvalid


def is_locked(guard: SignInGuard, account: str = "acme", *, peer: str = PEER, **more: str) -> bool:
    try:
        with guard.attempt(credentials("good", account, **more), peer):
            return False
    except SignInLocked:
        return True


@contextmanager
def hold(
    guard: SignInGuard, count: int, candidates: Sequence[Credentials], peer: str
) -> Iterator[None]:
    with ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(guard.attempt(candidates, peer))
        yield


def is_busy(guard: SignInGuard, candidates: Sequence[Credentials], peer: str) -> bool:
    try:
        with guard.attempt(candidates, peer):
            return False
    except TooManySignIns:
        return True


def a_guard(clock: Clock | None = None, slots: int = 8, **limits: int) -> SignInGuard:
    return SignInGuard(SignInLimits(**limits), slots, clock or Clock())


def test_wrong_credentials_lock_an_account_for_one_peer_and_for_a_time() -> None:
    clock = Clock()
    guard = a_guard(clock, per_user=3)
    for digest in range(3):
        assert not is_locked(guard, "another")
        guess(guard, digest)

    with pytest.raises(SignInLocked) as raised, guard.attempt(credentials("good"), PEER):
        pass
    assert 900 <= raised.value.wait_s <= 901
    assert not is_locked(guard, peer=OTHER_PEER)
    assert not is_locked(guard, "another")

    clock.now += 901
    assert not is_locked(guard)


def test_the_same_wrong_credentials_count_once() -> None:
    guard = a_guard(per_user=3)
    for _ in range(50):
        guess(guard, "an old password")
    assert not is_locked(guard)


def test_failures_are_counted_per_user_where_the_client_sends_a_name() -> None:
    guard = a_guard(per_user=3)
    for digest in range(3):
        guess(guard, digest, username="ann")

    assert is_locked(guard, username="ann")
    assert not is_locked(guard, username="bob")
    for digest in range(3, 9):
        guess(guard, digest, username=f"user {digest}")
    assert is_locked(guard, username="bob")


def test_an_account_is_locked_for_new_peers_after_guesses_from_many() -> None:
    guard = a_guard(per_user=3, per_account=6)
    assert not is_locked(guard, peer="198.51.100.1")
    for number in range(6):
        guess(guard, number, peer=f"203.0.113.{number}")

    assert is_locked(guard, peer=OTHER_PEER)
    assert not is_locked(guard, peer="198.51.100.1"), "it has signed in before"


def test_a_peer_is_locked_after_guesses_at_many_accounts() -> None:
    guard = a_guard(per_peer=5)
    for number in range(5):
        guess(guard, number, f"account {number}")

    assert is_locked(guard, "another")
    assert not is_locked(guard, "another", peer=OTHER_PEER)


def test_another_name_of_an_account_does_not_avoid_its_lock() -> None:
    guard = a_guard(per_user=3)
    method = CredentialMethod.MD5
    for number in range(3):
        wrong = Credentials(
            method=method, digest=str(number), realm=f"{number}.example.com", account_name="ACME"
        )
        with pytest.raises(CredentialsInvalid), guard.attempt([wrong], PEER):
            raise CredentialsInvalid

    assert is_locked(guard)


def test_a_limit_of_0_is_no_limit() -> None:
    guard = a_guard(per_user=0, per_account=0, per_peer=0)
    for digest in range(500):
        guess(guard, digest)
    assert not is_locked(guard)


def test_an_account_and_a_peer_get_a_share_of_the_hashing_slots() -> None:
    guard = a_guard(slots=16)
    account = [Credentials(method=CredentialMethod.MD5, digest="x", account_id=UUID(int=1))]
    with hold(guard, 2, account, PEER):
        assert is_busy(guard, account, PEER)
        with hold(guard, 2, account, OTHER_PEER):
            assert is_busy(guard, account, "198.51.100.1")
            with (
                hold(guard, 2, credentials("x"), PEER),
                hold(guard, 2, credentials("x", "b"), PEER),
                hold(guard, 2, credentials("x", "c"), PEER),
            ):
                assert is_busy(guard, credentials("x", "d"), PEER)
                assert not is_busy(guard, credentials("x", "d"), OTHER_PEER)


def test_guesses_from_other_peers_leave_hashing_slots_for_a_trusted_peer() -> None:
    guard = a_guard(slots=16)
    assert not is_locked(guard)
    with ExitStack() as stack:
        # Guesses at this account and at others, as many as there are slots for peers not trusted.
        for account in ("acme", "b", "c"):
            for number in range(2):
                peer = f"{OTHER_PEER}{number}"
                stack.enter_context(hold(guard, 2, credentials("x", account), peer))
        assert is_busy(guard, credentials("x"), "198.51.100.1")
        assert is_busy(guard, credentials("x", "d"), "198.51.100.1")
        with hold(guard, 4, credentials("good"), PEER):
            assert is_busy(guard, credentials("good"), PEER)
