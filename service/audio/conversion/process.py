"""ConversionProcess: one child process, which performs one operation at a time."""

import asyncio
import signal
import socket
from collections.abc import Sequence
from typing import IO, Self

import msgspec

from service.audio.conversion.limits import ConversionLimits
from service.audio.conversion.operations import (
    MAX_JOB_BYTES,
    MAX_RESULT_BYTES,
    Job,
    OperationFailed,
    OperationResult,
    UnreadableCause,
)
from service.audio.sandboxed_process import SandboxedProcess, start_process
from service.domain.audio_errors import AudioUnreadable

# By the signal that ended the process.
_CAUSES: dict[int, UnreadableCause] = {signal.SIGXCPU: UnreadableCause.CPU}


class ConversionProcess(SandboxedProcess):
    """Child process of conversions. After an error of `perform` it must be closed."""

    def __init__(
        self, process: asyncio.subprocess.Process, channel: socket.socket, limits: ConversionLimits
    ) -> None:
        super().__init__(process, channel)
        self._limits = limits

    @classmethod
    async def start(cls, limits: ConversionLimits) -> Self:
        """Starts a process. Raises OSError."""
        started = await start_process("service.audio.conversion.child", limits.memory_bytes)
        return cls(*started, limits)

    async def perform(self, job: Job, files: Sequence[IO[bytes]]) -> OperationResult:
        """Performs an operation within the time limit. Raises AudioUnreadable."""
        self.jobs += 1
        try:
            async with asyncio.timeout(self._limits.timeout_s):
                line = await self._exchange(job, files)
        except TimeoutError:
            raise AudioUnreadable(UnreadableCause.TIME) from None
        except OSError:
            line = b""
        try:
            result: OperationResult | OperationFailed = msgspec.json.decode(
                line, type=OperationResult | OperationFailed
            )
        except msgspec.DecodeError:
            raise AudioUnreadable(await self._cause_of_exit()) from None
        if isinstance(result, OperationFailed):
            raise AudioUnreadable(result.cause)
        return result

    async def _exchange(self, job: Job, files: Sequence[IO[bytes]]) -> bytes:
        message = msgspec.json.encode(job)
        assert len(message) <= MAX_JOB_BYTES
        socket.send_fds(self._channel, [message], [file.fileno() for file in files])
        return await self._receive_line(MAX_RESULT_BYTES)

    async def _cause_of_exit(self) -> UnreadableCause:
        # The socket is closed, so the process has ended or ends now.
        code = await self._process.wait()
        return _CAUSES.get(-code, UnreadableCause.CRASH)
