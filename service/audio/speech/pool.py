"""SpeechPool: child processes that recognize speech, each with the model in memory."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

from service.audio.speech.messages import JobAnswer, SpeechJob
from service.audio.speech.process import (
    SpeechLimits,
    SpeechProcess,
    SpeechProcessFailed,
)
from service.logs import get_logger

log = get_logger(__name__)


class SpeechPool:
    """At most `limits.processes` child processes. The first one is started at once.

    A process is ended after a failure, a cancellation, or `limits.jobs_per_process` recordings.
    The next recording starts a new one.
    """

    def __init__(self, model: Path, limits: SpeechLimits) -> None:
        self.model = model
        self.limits = limits
        self._slots = asyncio.Semaphore(limits.processes)
        self._idle: list[SpeechProcess] = []
        self._busy: set[SpeechProcess] = set()

    @classmethod
    @asynccontextmanager
    async def open(cls, model: Path, limits: SpeechLimits) -> AsyncIterator[Self]:
        """Opens the pool and loads the model once. Raises SpeechUnavailable.

        Ends its processes when the block ends; no recording may be in progress then.
        """
        pool = cls(model, limits)
        pool._idle.append(await SpeechProcess.start(model, limits))
        try:
            yield pool
        finally:
            for process in pool._idle:
                await process.close()

    @property
    def process_ids(self) -> list[int]:
        return [process.pid for process in self._idle] + self.busy_process_ids

    @property
    def busy_process_ids(self) -> list[int]:
        return [process.pid for process in self._busy]

    async def recognize(self, audio: bytes, content_type: str, language: str) -> JobAnswer:
        """Transcribes a recording. Waits for a free process.

        Raises SpeechProcessFailed, SpeechUnavailable.
        """
        job = SpeechJob(
            content_type=content_type,
            language=language,
            size=len(audio),
            cpu_s=self.limits.cpu_s,
        )
        async with self._slots:
            process = await self._take()
            try:
                return await self._recognize_in(process, job, audio)
            except SpeechProcessFailed as error:
                log.warning("speech process failed", reason=str(error))
                raise

    async def _recognize_in(
        self, process: SpeechProcess, job: SpeechJob, audio: bytes
    ) -> JobAnswer:
        is_kept = False
        self._busy.add(process)
        try:
            answer = await process.recognize(job, audio)
            is_kept = process.jobs < self.limits.jobs_per_process
        finally:
            self._busy.discard(process)
            if is_kept:
                self._idle.append(process)
            else:
                await process.close()
        return answer

    async def _take(self) -> SpeechProcess:
        while self._idle:
            process = self._idle.pop()
            if process.is_running:
                return process
            await process.close()
        return await SpeechProcess.start(self.model, self.limits)
