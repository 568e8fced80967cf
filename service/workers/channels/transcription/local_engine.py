"""LocalEngine: recognizes speech on this machine with faster-whisper."""

from service.audio.speech.messages import Recognized
from service.audio.speech.pool import SpeechPool
from service.audio.speech.process import SpeechProcessFailed, SpeechUnavailable
from service.domain.transcription import Recognition
from service.workers.channels import Failed
from service.workers.channels.transcription.engine import EngineCrashed


class LocalEngine:
    """Engine that uses a pool of child processes. `model` is its name in the settings."""

    name = "faster-whisper"

    def __init__(self, pool: SpeechPool, model: str) -> None:
        self.model = model
        self._pool = pool

    async def transcribe(
        self, audio: bytes, content_type: str, _extension: str, language: str
    ) -> Recognition | Failed:
        """Returns the text of a recording with its words."""
        try:
            answer = await self._pool.recognize(audio, content_type, language)
        except SpeechProcessFailed as error:
            return EngineCrashed(error=str(error))
        except SpeechUnavailable as error:
            return Failed(error=str(error))
        if isinstance(answer, Recognized):
            return Recognition(text=answer.text, language=answer.language, words=answer.words)
        return Failed(error=answer.error, permanent=True)
