"""Transcription channel: transcribes messages with a speech recognition engine."""

from service.workers.channels.transcription.channel import TranscriptionChannel
from service.workers.channels.transcription.engine import Engine
from service.workers.channels.transcription.http_engine import HttpEngine, HttpEngineSettings
from service.workers.channels.transcription.local_engine import LocalEngine

__all__ = ["Engine", "HttpEngine", "HttpEngineSettings", "LocalEngine", "TranscriptionChannel"]
