"""Limits of the child processes that read audio."""

import msgspec


class ConversionLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of a pool. `memory_bytes` is address space; the interpreter needs 130 MB of it."""

    processes: int = 2
    queue: int = 32
    memory_bytes: int = 512_000_000
    cpu_s: int = 60
    timeout_s: float = 120.0
    output_bytes: int = 128_000_000
    jobs_per_process: int = 100
    idle_s: float = 60.0
