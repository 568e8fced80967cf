"""Limits of failed sign-ins: locks per user, account and peer. Each process counts separately.

Only different wrong credentials are counted, so a client that repeats an old password is not
locked. A client that sends a hash of its name and password does not reveal its user. All users of
its account then count as one.
"""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import msgspec
from cachetools import TTLCache

from service.domain.errors import (
    CredentialsInvalid,
    SignInLocked,
    TokenInvalid,
    TooManySignIns,
)
from service.domain.user import Credentials
from service.logs import get_logger
from service.metrics import SIGN_INS
from service.usecases.slots import SharedSlots

log = get_logger(__name__)

# Each failure needs the time of a hash, which bounds their number in the window. The caches
# therefore use only a few megabytes.
_MAX_ENTRIES = 20_000
_TRUST_S = 86_400.0
_USERS_OF_A_PEER = 3

Limits = Mapping[Hashable, int]


class SignInLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers of different wrong credentials in `window_s` that cause a lock; 0 is no limit.

    `per_user` is for a user from one peer, `per_account` for an account from all peers, `per_peer`
    for a peer and all accounts. A lock lasts `window_s`.
    """

    per_user: int = 10
    per_account: int = 100
    per_peer: int = 100
    window_s: int = 900


class SignInGuard:
    """Locks sign-ins after wrong credentials, and shares the slots for hashing.

    A peer is trusted by an account after a success in the last 24 hours. It is then exempt from the
    limits of the account and of the peer, and has its own slots. Guesses from other peers do not
    lock or delay the users of a trusted peer.
    """

    def __init__(self, limits: SignInLimits, slots: int, clock: Callable[[], float]) -> None:
        self._limits = limits
        self._clock = clock
        self._failures: TTLCache[Hashable, set[int]] = self._cache(limits.window_s)
        self._locked_until: TTLCache[Hashable, float] = self._cache(limits.window_s)
        self._trusted: TTLCache[Hashable, bool] = self._cache(_TRUST_S)
        # To leave slots for others, an account uses at most a quarter of them and a peer a half. A
        # peer that the account does not trust uses an eighth, and all such peers three quarters.
        self.accounts = SharedSlots(slots, max(1, slots // 4), TooManySignIns)
        self._peers = SharedSlots(slots, max(1, slots // 2), TooManySignIns)
        self._untrusted = SharedSlots(slots * 3 // 4, max(1, slots // 8), TooManySignIns)

    @contextmanager
    def attempt(
        self,
        candidates: Sequence[Credentials],
        peer: str,
        on_lock: Callable[[], object] = lambda: None,
    ) -> Iterator[None]:
        """Counts the result of the block. The block raises CredentialsInvalid when it fails.

        Calls `on_lock` when this failure causes a lock. Raises SignInLocked, TooManySignIns.
        """
        identities, first = _identities(candidates), candidates[0]
        is_trusted = all((identity, peer) in self._trusted for identity in identities)
        limits = self._limits_of(identities, first.username, peer, is_trusted)
        try:
            self._check(limits)
            with self._slot(identities[0], peer, is_trusted):
                yield
        except CredentialsInvalid:
            SIGN_INS.labels("wrong").inc()
            if self._record_failure(limits, hash(first.digest)):
                on_lock()
            raise
        except SignInLocked:
            SIGN_INS.labels("locked").inc()
            raise
        except TooManySignIns:
            SIGN_INS.labels("busy").inc()
            raise
        SIGN_INS.labels("success").inc()
        self._trusted.update(((identity, peer), True) for identity in identities)

    @contextmanager
    def check_token(self, token: str, peer: str, on_lock: Callable[[], object]) -> Iterator[None]:
        """Counts the result of the block. The block raises TokenInvalid for a wrong token.

        A lock applies only to these checks by the peer, so that clients with expired tokens do not
        lock the sign-ins of their network. Calls `on_lock` and raises as `attempt`.
        """
        per_peer = self._limits.per_peer
        limits: Limits = {("token", peer): per_peer} if per_peer else {}
        self._check(limits)
        try:
            yield
        except TokenInvalid:
            if self._record_failure(limits, hash(token)):
                on_lock()
            raise

    @contextmanager
    def _slot(self, identity: Hashable, peer: str, is_trusted: bool) -> Iterator[None]:
        pair = (identity, peer)
        with (
            nullcontext() if is_trusted else self._untrusted.hold(pair),
            self.accounts.hold(pair if is_trusted else identity),
            self._peers.hold(peer),
        ):
            yield

    def _limits_of(
        self, identities: Sequence[Hashable], username: str | None, peer: str, is_trusted: bool
    ) -> Limits:
        """Returns the keys of the counters of an attempt, with the limit of each."""
        per_user = self._limits.per_user
        limits: dict[Hashable, int] = {}
        for identity in identities:
            limits[identity, peer, username] = per_user
            limits[identity, peer] = per_user * (_USERS_OF_A_PEER if username else 1)
        if not is_trusted:
            limits |= dict.fromkeys(identities, self._limits.per_account)
            limits[peer] = self._limits.per_peer
        return {key: limit for key, limit in limits.items() if limit}

    def _check(self, limits: Limits) -> None:
        until = max((self._locked_until.get(key, 0.0) for key in limits), default=0.0)
        wait_s = until - self._clock()
        if wait_s > 0:
            raise SignInLocked(int(wait_s) + 1)

    def _record_failure(self, limits: Limits, digest: int) -> bool:
        """Returns True when the failure causes a lock."""
        has_locked = False
        for key, limit in limits.items():
            failures = self._failures.get(key)
            if failures is None:
                failures = self._failures[key] = set()
            failures.add(digest)
            if len(failures) >= limit:
                del self._failures[key]
                self._locked_until[key] = self._clock() + self._limits.window_s
                has_locked = True
                log.warning("sign-in locked", failures=limit)
        return has_locked

    def _cache(self, lifetime_s: float) -> "TTLCache[Hashable, Any]":
        return TTLCache(_MAX_ENTRIES, lifetime_s, timer=self._clock)


def _identities(candidates: Sequence[Credentials]) -> list[Hashable]:
    """Returns the account by each of the names that the client sent."""
    names = [
        name
        for credentials in candidates
        for name in (credentials.account_id, credentials.realm, credentials.account_name)
    ]
    named = dict.fromkeys(("account", str(name).lower()) for name in names if name is not None)
    return list(named) or [("account", "")]
