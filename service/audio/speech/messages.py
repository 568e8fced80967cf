"""Messages between the pool and its child processes: one line of JSON each."""

import msgspec

from service.domain.transcription import Word

MAX_JOB_BYTES = 4096
MAX_ANSWER_BYTES = 4 * 1024 * 1024
MAX_AUDIO_S = 3600
"""Length of the audio that is transcribed; the rest of a longer recording is not."""


class SpeechJob(msgspec.Struct, frozen=True, kw_only=True):
    """Request to a child process. `size` bytes of audio follow it.

    An empty `language` means that the model detects it.
    """

    content_type: str
    language: str
    size: int
    cpu_s: int


class Ready(msgspec.Struct, frozen=True, kw_only=True, tag="ready"):
    """The model is loaded."""


class NotReady(msgspec.Struct, frozen=True, kw_only=True, tag="not_ready"):
    """The model cannot be loaded."""

    error: str


class Recognized(msgspec.Struct, frozen=True, kw_only=True, tag="recognized"):
    """Text of a recording. `length_s` is the length of the audio."""

    text: str
    language: str
    words: tuple[Word, ...]
    length_s: float


class NotRecognized(msgspec.Struct, frozen=True, kw_only=True, tag="refused"):
    """The audio or its language cannot be transcribed. Another attempt would fail too."""

    error: str


StartAnswer = Ready | NotReady
JobAnswer = Recognized | NotRecognized
