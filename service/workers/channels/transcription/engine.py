"""Engine: recognizes speech. The channel uses an HTTP engine or the local one."""

from typing import Protocol

from service.domain.transcription import Recognition
from service.workers.channels import Failed


class Engine(Protocol):
    """Interface of an engine."""

    name: str
    """Name in stored transcriptions."""
    model: str

    async def transcribe(
        self, audio: bytes, content_type: str, extension: str, language: str
    ) -> Recognition | Failed:
        """Returns the text of a recording. An empty `language` means that it is detected.

        Returns a permanent Failed if another attempt cannot succeed, and EngineCrashed if the audio
        may be the cause of a crash.
        """


class EngineCrashed(Failed, frozen=True, kw_only=True):
    """The engine crashed or exceeded a limit."""
