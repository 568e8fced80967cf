"""Runs one measurement: the load in its process, and the CPU time before and after."""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from tests.benchmarks.cpu import Seconds, cpu_of, spent
from tests.benchmarks.load import Job, Report

REPOSITORY = Path(__file__).parents[2]


class BenchFailed(Exception):
    """The measurement is not valid. The text is the reason."""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """`cpu_ms` is CPU per request by process, `load` being the generator; None without /proc."""

    name: str
    clients: int
    requests: int
    rate: float
    p50_ms: float
    p99_ms: float
    cpu_ms: Seconds | None = None

    @classmethod
    def of(
        cls,
        name: str,
        clients: int,
        latencies_ms: Sequence[float],
        seconds: float,
        cpu_ms: Seconds | None,
    ) -> "Result":
        """`latencies_ms` in ascending order."""
        if not latencies_ms:
            raise BenchFailed(f"{name}: not one request ended within {seconds:.1f} s")
        return cls(
            name=name,
            clients=clients,
            requests=len(latencies_ms),
            rate=len(latencies_ms) / seconds,
            p50_ms=percentile(latencies_ms, 50),
            p99_ms=percentile(latencies_ms, 99),
            cpu_ms=cpu_ms,
        )


def percentile(ascending: Sequence[float], percent: int) -> float:
    """Returns a percentile by the nearest rank."""
    return ascending[max(0, -(-len(ascending) * percent // 100) - 1)]


async def loaded(name: str, job: Job, trees: Mapping[str, int]) -> Result:
    """The job's measurement. BenchFailed on any answer but a 2xx."""
    report, before, after = await _generate(name, job, trees)
    cpu_ms = spent(before, after, len(report.latencies_ms))
    if cpu_ms is not None and report.latencies_ms:
        cpu_ms["load"] = report.cpu_s * 1000 / len(report.latencies_ms)
    return Result.of(name, job.clients, report.latencies_ms, report.seconds, cpu_ms)


async def sent_once(name: str, job: Job) -> None:
    """Sends each request of the job once."""
    await _generate(name, msgspec.structs.replace(job, once=True), {})


async def _generate(
    name: str, job: Job, trees: Mapping[str, int]
) -> tuple[Report, Seconds | None, Seconds | None]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.benchmarks.load"),
        cwd=REPOSITORY,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=256 * 1024 * 1024,
        start_new_session=True,  # Ctrl-C in the terminal is for us alone
    )
    assert process.stdin is not None
    assert process.stdout is not None
    record: dict[bytes, Seconds | None] = {}
    try:
        process.stdin.write(msgspec.msgpack.encode(job))
        process.stdin.close()
        while (line := await process.stdout.readline()) in (b"measuring\n", b"measured\n"):
            record[line] = cpu_of(trees)
        await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if not line:
        raise BenchFailed(f"{name}: the load generator ended with {process.returncode}")
    report = msgspec.json.decode(line, type=Report)
    if report.failure:
        raise BenchFailed(f"{name}: {report.failure}")
    return report, record.get(b"measuring\n"), record.get(b"measured\n")
