"""SpeechProcess: one child process with a model in memory, which transcribes one recording."""

import asyncio
import socket
from pathlib import Path
from typing import Any, Self

import msgspec

from service.audio.sandboxed_process import SandboxedProcess, start_process
from service.audio.speech.messages import (
    MAX_ANSWER_BYTES,
    JobAnswer,
    NotReady,
    SpeechJob,
    StartAnswer,
)


class SpeechLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of a pool. `memory_bytes` is address space, of each process."""

    processes: int = 1
    threads: int = 1
    memory_bytes: int = 4_000_000_000
    timeout_s: float = 300.0
    start_timeout_s: float = 120.0
    jobs_per_process: int = 500

    @property
    def cpu_s(self) -> int:
        return int(self.timeout_s * self.threads) + 1


class SpeechUnavailable(Exception):
    """The process or its model cannot start. The text is the reason."""


class SpeechProcessFailed(Exception):
    """The process crashed, or exceeded a limit. The text is the reason."""


class SpeechProcess(SandboxedProcess):
    """Child process of a model. After an error of `recognize` it must be closed."""

    def __init__(
        self, process: asyncio.subprocess.Process, channel: socket.socket, limits: SpeechLimits
    ) -> None:
        super().__init__(process, channel)
        self._limits = limits

    @classmethod
    async def start(cls, model: Path, limits: SpeechLimits) -> Self:
        """Starts a process and waits for its model. Raises SpeechUnavailable."""
        try:
            started = await start_process(
                "service.audio.speech.child",
                *(limits.memory_bytes, limits.threads, model),
                HF_HUB_OFFLINE="1",
                OMP_NUM_THREADS=str(limits.threads),
            )
        except OSError as error:
            raise SpeechUnavailable(f"the process cannot start: {error.strerror}") from error
        process = cls(*started, limits)
        try:
            await process._wait_until_ready()
        except BaseException:
            await process.close()
            raise
        return process

    async def recognize(self, job: SpeechJob, audio: bytes) -> JobAnswer:
        """Transcribes a recording within the time limit. Raises SpeechProcessFailed."""
        self.jobs += 1
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._limits.timeout_s):
                await loop.sock_sendall(self._channel, msgspec.json.encode(job) + b"\n" + audio)
                answer = await self._receive(JobAnswer)
        except TimeoutError:
            raise SpeechProcessFailed(
                f"the speech process did not finish within {self._limits.timeout_s:g} s"
            ) from None
        except (OSError, msgspec.DecodeError):
            raise SpeechProcessFailed("the speech process ended") from None
        assert isinstance(answer, JobAnswer)
        return answer

    async def _wait_until_ready(self) -> None:
        try:
            async with asyncio.timeout(self._limits.start_timeout_s):
                answer = await self._receive(StartAnswer)
        except TimeoutError:
            raise SpeechUnavailable(
                f"the model was not loaded within {self._limits.start_timeout_s:g} s"
            ) from None
        except (OSError, msgspec.DecodeError):
            raise SpeechUnavailable(
                "the process ended while it loaded the model; it may need more memory"
            ) from None
        if isinstance(answer, NotReady):
            raise SpeechUnavailable(answer.error)

    async def _receive(self, kind: Any) -> Any:
        return msgspec.json.decode(await self._receive_line(MAX_ANSWER_BYTES), type=kind)
