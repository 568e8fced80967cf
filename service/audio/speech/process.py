"""SpeechProcess: one child process with a model in memory, which transcribes one recording."""

import asyncio
import os
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import msgspec

from service.audio.speech.messages import (
    MAX_ANSWER_BYTES,
    JobAnswer,
    NotReady,
    SpeechJob,
    StartAnswer,
)

_BLOCK_BYTES = 64 * 1024
# The child gets no other variable of this process: some hold passwords.
_INHERITED = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "SYSTEMROOT")
# One arena: otherwise the allocator reserves address space for each thread.
_ENVIRONMENT = {"MALLOC_ARENA_MAX": "1", "PYTHONDONTWRITEBYTECODE": "1", "HF_HUB_OFFLINE": "1"}


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


class SpeechProcess:
    """Child process with a socket. After an error of `recognize` it must be closed."""

    def __init__(
        self, process: asyncio.subprocess.Process, channel: socket.socket, limits: SpeechLimits
    ) -> None:
        self.jobs = 0
        self._process = process
        self._channel = channel
        self._limits = limits

    @classmethod
    async def start(cls, model: Path, limits: SpeechLimits) -> Self:
        """Starts a process and waits for its model. Raises SpeechUnavailable."""
        parent, child = socket.socketpair()
        parent.setblocking(False)
        with child:
            try:
                process = cls(await _spawn(child, model, limits), parent, limits)
            except OSError as error:
                parent.close()
                raise SpeechUnavailable(f"the process cannot start: {error.strerror}") from error
            except BaseException:
                parent.close()
                raise
        try:
            await process._wait_until_ready()
        except BaseException:
            await process.close()
            raise
        return process

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.returncode is None

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

    async def close(self) -> None:
        """Ends the process at once. It has no state to save."""
        self._channel.close()
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()

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
        loop, line = asyncio.get_running_loop(), bytearray()
        while not line.endswith(b"\n") and len(line) <= MAX_ANSWER_BYTES:
            block = await loop.sock_recv(self._channel, _BLOCK_BYTES)
            if not block:
                break
            line += block
        return msgspec.json.decode(line, type=kind)


async def _spawn(
    child: socket.socket, model: Path, limits: SpeechLimits
) -> asyncio.subprocess.Process:
    variables = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    return await asyncio.create_subprocess_exec(
        # -P: a folder `service` in the current folder must not be imported.
        *(sys.executable, "-P", "-m", "service.audio.speech.child"),
        *(str(os.getpid()), str(limits.memory_bytes), str(limits.threads), str(model)),
        stdin=child.fileno(),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        env={**variables, **_ENVIRONMENT, "OMP_NUM_THREADS": str(limits.threads)},
        # Ctrl-C in a terminal goes to the parent only.
        start_new_session=True,
    )
