"""Transcription channel: transcribes messages with a speech recognition engine."""

from service.workers.channels.transcription.channel import TranscriptionChannel
from service.workers.channels.transcription.engine import Engine, EngineSettings

__all__ = ["Engine", "EngineSettings", "TranscriptionChannel"]
