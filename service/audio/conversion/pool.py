"""ConversionPool: child processes that read and write audio, with limits."""

import asyncio
import importlib.util
import time
from collections.abc import AsyncIterator, Hashable, Sequence
from contextlib import asynccontextmanager
from typing import IO, Self, overload

import msgspec

from service.audio.conversion.fair_slots import FairSlots
from service.audio.conversion.limits import ConversionLimits
from service.audio.conversion.operations import (
    Convert,
    Converted,
    Job,
    Join,
    Measure,
    Measured,
    Operation,
    OperationResult,
    PeaksRead,
    ReadPeaks,
    UnreadableCause,
)
from service.audio.conversion.process import ConversionProcess
from service.domain.audio_errors import AudioUnreadable, ConversionUnavailable
from service.domain.errors import TooManyConversions
from service.logs import get_logger
from service.metrics import CONVERSION_DURATION, CONVERSION_PROCESSES, CONVERSIONS

log = get_logger(__name__)


class AudioInput(msgspec.Struct, frozen=True):
    """File with audio. The content type is the stored one."""

    file: IO[bytes]
    content_type: str


def is_installed() -> bool:
    """Returns True if the extra `audio` is installed."""
    return importlib.util.find_spec("av") is not None


class ConversionPool:
    """At most `limits.processes` child processes. They are started when they are needed.

    A process performs up to `limits.jobs_per_process` operations. It is ended after a crash, a
    limit that was exceeded, a cancellation, or some time without work.
    """

    def __init__(self, limits: ConversionLimits) -> None:
        self.limits = limits
        self._slots = FairSlots(limits.processes, limits.queue, TooManyConversions)
        # The timer of a process ends it.
        self._idle: dict[ConversionProcess, asyncio.TimerHandle] = {}
        self._ending: set[asyncio.Task[None]] = set()

    @classmethod
    @asynccontextmanager
    async def open(cls, limits: ConversionLimits) -> AsyncIterator[Self]:
        """Opens the pool. It ends its processes when the block ends.

        No operation may be in progress then.
        """
        pool = cls(limits)
        try:
            yield pool
        finally:
            await pool._close()

    @property
    def is_available(self) -> bool:
        return is_installed()

    @overload
    async def run(
        self,
        operation: Convert | Join,
        inputs: Sequence[AudioInput],
        output: IO[bytes],
        *,
        owner: Hashable,
    ) -> Converted: ...

    @overload
    async def run(
        self, operation: Measure, inputs: Sequence[AudioInput], *, owner: Hashable
    ) -> Measured: ...

    @overload
    async def run(
        self, operation: ReadPeaks, inputs: Sequence[AudioInput], *, owner: Hashable
    ) -> PeaksRead: ...

    @overload
    async def run(
        self,
        operation: Operation,
        inputs: Sequence[AudioInput],
        output: IO[bytes] | None = None,
        *,
        owner: Hashable,
    ) -> OperationResult: ...

    async def run(
        self,
        operation: Operation,
        inputs: Sequence[AudioInput],
        output: IO[bytes] | None = None,
        *,
        owner: Hashable,
    ) -> OperationResult:
        """Performs an operation. `owner` is the account, since accounts share the pool fairly.

        Files must have a descriptor and be open for reading and writing. Raises AudioUnreadable,
        TooManyConversions, ConversionUnavailable.
        """
        async with self.reserve(owner):
            return await self.run_reserved(operation, inputs, output)

    @asynccontextmanager
    async def reserve(self, owner: Hashable) -> AsyncIterator[None]:
        """Holds the place of one operation for `run_reserved`, for example to fetch its inputs.

        Raises TooManyConversions, ConversionUnavailable.
        """
        if not self.is_available:
            raise ConversionUnavailable
        async with self._slots.hold(owner):
            yield

    async def run_reserved(
        self,
        operation: Operation,
        inputs: Sequence[AudioInput],
        output: IO[bytes] | None = None,
    ) -> OperationResult:
        """Performs an operation within `reserve`. Raises AudioUnreadable, TooManyConversions."""
        job = Job(
            operation=operation,
            content_types=[item.content_type for item in inputs],
            has_output=output is not None,
            cpu_s=self.limits.cpu_s,
            output_bytes=self.limits.output_bytes,
        )
        files = [item.file for item in inputs] + ([output] if output is not None else [])
        return await self._measured(job, files)

    async def _measured(self, job: Job, files: Sequence[IO[bytes]]) -> OperationResult:
        name = type(job.operation).__name__.lower()
        started = time.perf_counter()
        outcome = "cancelled"
        try:
            result = await self._perform(job, files)
            outcome = "done"
        except AudioUnreadable as error:
            outcome = error.cause
            log.warning("audio unreadable", operation=name, cause=error.cause)
            raise
        finally:
            CONVERSIONS.labels(name, outcome).inc()
            CONVERSION_DURATION.labels(name).observe(time.perf_counter() - started)
        return result

    async def _perform(self, job: Job, files: Sequence[IO[bytes]]) -> OperationResult:
        process = self._take_idle()
        if process is not None:
            try:
                return await self._perform_in(process, job, files)
            except AudioUnreadable as error:
                # An earlier input may have damaged the process.
                if error.cause != UnreadableCause.CRASH:
                    raise
        return await self._perform_in(await self._start(), job, files)

    async def _perform_in(
        self, process: ConversionProcess, job: Job, files: Sequence[IO[bytes]]
    ) -> OperationResult:
        is_kept = False
        try:
            result = await process.perform(job, files)
            is_kept = process.jobs < self.limits.jobs_per_process
        except AudioUnreadable as error:
            # A new process for each bad file would cost more than the file.
            is_kept = error.cause == UnreadableCause.MALFORMED and (
                process.jobs < self.limits.jobs_per_process
            )
            raise
        finally:
            if is_kept:
                self._keep(process)
            else:
                await self._end(process)
        return result

    async def _start(self) -> ConversionProcess:
        try:
            process = await ConversionProcess.start(self.limits)
        except OSError as error:
            log.warning("conversion process cannot start", error=error.strerror)
            raise TooManyConversions from error
        CONVERSION_PROCESSES.inc()
        return process

    async def _end(self, process: ConversionProcess) -> None:
        CONVERSION_PROCESSES.dec()
        await process.close()

    def _keep(self, process: ConversionProcess) -> None:
        loop = asyncio.get_running_loop()
        self._idle[process] = loop.call_later(self.limits.idle_s, self._end_idle, process)

    def _take_idle(self) -> ConversionProcess | None:
        if not self._idle:
            return None
        process, timer = self._idle.popitem()
        timer.cancel()
        return process

    def _end_idle(self, process: ConversionProcess) -> None:
        if self._idle.pop(process, None) is not None:
            task = asyncio.create_task(self._end(process), name="end conversion process")
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    async def _close(self) -> None:
        while (process := self._take_idle()) is not None:
            await self._end(process)
        await asyncio.gather(*self._ending)
