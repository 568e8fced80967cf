"""Proofs of sign-in credentials: argon2id (RFC 9106), in few threads, for few at a time."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher, Type
from argon2.exceptions import Argon2Error, InvalidHashError

from service.domain.errors import TooManySignIns

Result = TypeVar("Result")

# OWASP's least for argon2id. What is proved is looked up by a keyed hash first, so that guessing
# needs the pepper as well as the database.
_MEMORY_KIB = 19 * 1024
_PASSES = 2


class CredentialProofs:
    """Makes and checks proofs. Each takes 20 ms and 19 MiB, so `threads` bounds what they cost.

    A credential that nobody has is checked as well, against a proof of nothing: the time taken
    does not tell whether somebody has it.
    """

    def __init__(self, *, threads: int = 2, waiting: int = 64) -> None:
        self._hasher = PasswordHasher(
            time_cost=_PASSES, memory_cost=_MEMORY_KIB, parallelism=1, type=Type.ID
        )
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="credentials")
        self._most = threads + waiting
        self._asked = 0
        self._nothing: str | None = None

    async def make(self, credential: str) -> str:
        """A proof of `credential`. Raises TooManySignIns."""
        return await self._run(lambda: self._hasher.hash(credential))

    async def check(self, proof: str | None, credential: str) -> bool:
        """Whether `proof` proves it; without one never, but not sooner. Raises TooManySignIns."""
        if proof is None:
            await self._run(lambda: self._check(self._proof_of_nothing(), credential))
            return False
        return await self._run(lambda: self._check(proof, credential))

    async def _run(self, work: Callable[[], Result]) -> Result:
        if self._asked >= self._most:
            raise TooManySignIns
        self._asked += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._asked -= 1

    def _check(self, proof: str, credential: str) -> bool:
        try:
            return self._hasher.verify(proof, credential)
        except (Argon2Error, InvalidHashError):
            return False

    def _proof_of_nothing(self) -> str:
        if self._nothing is None:
            self._nothing = self._hasher.hash("")
        return self._nothing
