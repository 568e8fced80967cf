"""The transcription channel: the texts of messages, from an engine for speech recognition."""

from service.workers.channels.transcription.channel import TranscriptionChannel
from service.workers.channels.transcription.engine import Engine, EngineSettings

__all__ = ["Engine", "EngineSettings", "TranscriptionChannel"]
