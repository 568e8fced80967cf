"""Proofs of credentials: argon2id, equal time for unknown credentials, limited concurrency."""

import asyncio
import time

from service.domain.errors import TooManySignIns
from service.security import CredentialProofs


async def test_a_proof_proves_its_credential_and_no_other() -> None:
    proofs = CredentialProofs()
    proof = await proofs.make("a")
    assert proof.startswith("$argon2id$")
    assert proof != await proofs.make("a")
    assert await proofs.check(proof, "a")
    assert not await proofs.check(proof, "b")
    assert not await proofs.check("no proof", "a")


async def test_an_unknown_credential_costs_as_much_cpu_time() -> None:
    proofs = CredentialProofs()
    proof = await proofs.make("a")
    await proofs.check(None, "a")
    seconds = []
    for value in (proof, None):
        began = time.process_time()
        await proofs.check(value, "a")
        seconds.append(time.process_time() - began)
    assert min(seconds) > max(seconds) / 10


async def test_excess_verifications_are_refused_and_the_others_succeed() -> None:
    proofs = CredentialProofs(threads=1, waiting=2)
    outcomes = await asyncio.gather(
        *(proofs.check(None, "a") for _ in range(6)), return_exceptions=True
    )
    assert outcomes.count(False) == 3
    assert sum(isinstance(outcome, TooManySignIns) for outcome in outcomes) == 3
    assert not await proofs.check(None, "a")
