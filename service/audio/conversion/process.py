"""ConversionProcess: one child process, which performs one operation at a time."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
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
from service.domain.errors import AudioUnreadable

_BLOCK_BYTES = 64 * 1024
# The child gets no other variable of this process: some hold passwords.
_INHERITED = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "SYSTEMROOT")
# One arena: otherwise the allocator reserves address space for each thread.
_ENVIRONMENT = {"MALLOC_ARENA_MAX": "1", "PYTHONDONTWRITEBYTECODE": "1"}
# By the signal that ended the process.
_CAUSES: dict[int, UnreadableCause] = {signal.SIGXCPU: UnreadableCause.CPU}


class ConversionProcess:
    """Child process with a socket. After an error of `perform` it must be closed."""

    def __init__(
        self, process: asyncio.subprocess.Process, channel: socket.socket, limits: ConversionLimits
    ) -> None:
        self.jobs = 0
        self._process = process
        self._channel = channel
        self._limits = limits

    @classmethod
    async def start(cls, limits: ConversionLimits) -> Self:
        parent, child = socket.socketpair()
        parent.setblocking(False)
        variables = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        with child:
            try:
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    *("-m", "service.audio.conversion.child"),
                    *(str(os.getpid()), str(limits.memory_bytes)),
                    stdin=child.fileno(),
                    stdout=asyncio.subprocess.DEVNULL,
                    stderr=asyncio.subprocess.DEVNULL,
                    env={**variables, **_ENVIRONMENT},
                    # Ctrl-C in a terminal goes to the parent only.
                    start_new_session=True,
                )
            except BaseException:
                parent.close()
                raise
        return cls(process, parent, limits)

    @property
    def pid(self) -> int:
        return self._process.pid

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

    async def close(self) -> None:
        """Ends the process at once. It has no state to save."""
        self._channel.close()
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()

    async def _exchange(self, job: Job, files: Sequence[IO[bytes]]) -> bytes:
        message = msgspec.json.encode(job)
        assert len(message) <= MAX_JOB_BYTES
        socket.send_fds(self._channel, [message], [file.fileno() for file in files])
        loop, line = asyncio.get_running_loop(), bytearray()
        while not line.endswith(b"\n") and len(line) <= MAX_RESULT_BYTES:
            block = await loop.sock_recv(self._channel, _BLOCK_BYTES)
            if not block:
                break
            line += block
        return bytes(line)

    async def _cause_of_exit(self) -> UnreadableCause:
        # The socket is closed, so the process has ended or ends now.
        code = await self._process.wait()
        return _CAUSES.get(-code, UnreadableCause.CRASH)
