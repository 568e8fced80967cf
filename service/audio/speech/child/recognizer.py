"""Recognizer: text and words of a recording, with a model of faster-whisper."""

from itertools import chain
from typing import IO

import av
import numpy as np
from faster_whisper import WhisperModel
from faster_whisper.transcribe import Segment
from numpy.typing import NDArray

from service.audio.conversion.child.decoding import Unreadable, decode, open_audio, resample
from service.audio.speech.messages import MAX_AUDIO_S, JobAnswer, NotRecognized, Recognized
from service.domain.transcription import Word

_RATE = 16_000
_MIN_SAMPLES = _RATE // 10
# The model is asked again with these temperatures if a text repeats itself or is unlikely.
_TEMPERATURES = (0.0, 0.4, 0.8)

Samples = NDArray[np.float32]


class Recognizer:
    """Model in memory. It computes with 8-bit integers on the CPU."""

    def __init__(self, folder: str, threads: int) -> None:
        self._model = WhisperModel(
            folder, device="cpu", compute_type="int8", cpu_threads=threads, local_files_only=True
        )

    def recognize(self, file: IO[bytes], content_type: str, language: str) -> JobAnswer:
        if language and language not in self._model.supported_languages:
            return NotRecognized(error=f"the model does not support the language {language}")
        try:
            samples = _read_samples(file, content_type)
        except (Unreadable, av.FFmpegError, ValueError, ArithmeticError) as error:
            if isinstance(error, MemoryError):
                raise
            return NotRecognized(error="the audio cannot be decoded")
        length_s = round(len(samples) / _RATE, 2)
        if len(samples) < _MIN_SAMPLES:
            return Recognized(text="", language=language, words=(), length_s=length_s)
        segments, info = self._model.transcribe(
            samples,
            language=language or None,
            temperature=_TEMPERATURES,
            # A mistake at the beginning must not spread over the rest of the message.
            condition_on_previous_text=False,
            word_timestamps=True,
            vad_filter=True,
        )
        parts = list(segments)
        return Recognized(
            text="".join(part.text for part in parts).strip(),
            language=info.language if parts else language,
            words=tuple(chain.from_iterable(map(_words_of, parts))),
            length_s=length_s,
        )


def _words_of(segment: Segment) -> list[Word]:
    return [
        Word(
            start_ms=round(word.start * 1000),
            end_ms=round(word.end * 1000),
            confidence=round(min(max(word.probability, 0.0), 1.0) * 100),
            text=word.word.strip(),
        )
        for word in segment.words or []
    ]


def _read_samples(file: IO[bytes], content_type: str) -> Samples:
    """Decodes the audio up to the maximum length."""
    blocks, count = [], 0
    with open_audio(file, content_type) as container:
        for frame in resample(decode(container), "s16", _RATE):
            blocks.append(frame.to_ndarray()[0])
            count += frame.samples
            if count >= MAX_AUDIO_S * _RATE:
                break
    samples = np.concatenate(blocks) if blocks else np.empty(0, np.int16)
    return samples[: MAX_AUDIO_S * _RATE].astype(np.float32) / np.float32(32768)
