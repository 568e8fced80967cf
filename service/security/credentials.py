"""Proofs of credentials: argon2id hashes (RFC 9106), computed in a bounded thread pool."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TypeVar

from argon2 import PasswordHasher, Type
from argon2.exceptions import Argon2Error, InvalidHashError

from service.domain.errors import TooManySignIns

Result = TypeVar("Result")

# Minimum of OWASP for argon2id. A credential is looked up by its keyed hash, so an attacker needs
# the pepper as well as the database.
_MEMORY_KIB = 19 * 1024
_TIME_COST = 2


class CredentialProofs:
    """Makes and checks proofs. Each takes 20 ms and 19 MiB; `threads` limits the total.

    An unknown credential is checked against a dummy proof, so that the time of a check does not
    reveal that it is unknown.
    """

    def __init__(self, *, threads: int = 2, waiting: int = 64) -> None:
        self._hasher = PasswordHasher(
            time_cost=_TIME_COST, memory_cost=_MEMORY_KIB, parallelism=1, type=Type.ID
        )
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="credentials")
        self.limit = threads + waiting
        self._in_progress = 0

    async def make(self, credential: str) -> str:
        """Returns a proof of `credential`. Raises TooManySignIns."""
        return await self._run(lambda: self._hasher.hash(credential))

    async def check(self, proof: str | None, credential: str) -> bool:
        """Returns True if `proof` matches. None never matches. Raises TooManySignIns."""
        if proof is None:
            await self._run(lambda: self._check(self._dummy_proof, credential))
            return False
        return await self._run(lambda: self._check(proof, credential))

    async def _run(self, work: Callable[[], Result]) -> Result:
        if self._in_progress >= self.limit:
            raise TooManySignIns
        self._in_progress += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._in_progress -= 1

    def _check(self, proof: str, credential: str) -> bool:
        try:
            return self._hasher.verify(proof, credential)
        except (Argon2Error, InvalidHashError):
            return False

    @cached_property
    def _dummy_proof(self) -> str:
        return self._hasher.hash("")
