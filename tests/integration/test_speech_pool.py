"""Speech recognition on this machine: texts, words, and processes that crash or hang."""

import asyncio
import io
import os
import signal
import sys
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from service.audio.speech.messages import NotRecognized, Recognized
from service.audio.speech.models import find_model
from service.audio.speech.pool import SpeechPool
from service.audio.speech.process import SpeechLimits, SpeechProcessFailed, SpeechUnavailable
from tests.support.speech import MODEL, requires_speech, speak
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.long, requires_speech]

SENTENCE = "Hello Peter, this is Mary Johnson. Please call me back before Friday."
_PARENT = """
import asyncio, sys
from pathlib import Path
from service.audio.speech.pool import SpeechPool
from service.audio.speech.process import SpeechLimits

async def main():
    async with SpeechPool.open(Path(sys.argv[1]), SpeechLimits()) as pool:
        print(*pool.process_ids, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


def the_model() -> Path:
    folder = find_model(MODEL)
    assert folder is not None
    return folder


@asynccontextmanager
async def a_pool(**limits: Any) -> AsyncIterator[SpeechPool]:
    async with SpeechPool.open(the_model(), SpeechLimits(**limits)) as pool:
        yield pool


def joined(*recordings: bytes, pause_s: float) -> bytes:
    """Returns recordings of espeak-ng in one file, with silence between them."""
    output = io.BytesIO()
    with wave.open(output, "wb") as sound:
        sound.setparams((1, 2, 22_050, 0, "NONE", ""))
        for index, recording in enumerate(recordings):
            if index:
                sound.writeframes(bytes(2 * int(22_050 * pause_s)))
            # espeak-ng writes to a pipe, so the header has no length.
            sound.writeframes(recording[44:])
    return output.getvalue()


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


async def test_speech_becomes_text_with_words_in_the_order_of_their_times() -> None:
    async with a_pool() as pool:
        answer = await pool.recognize(await speak(SENTENCE), "audio/wav", "")

    assert isinstance(answer, Recognized)
    assert {"Mary", "Johnson.", "Friday."} <= set(answer.text.split())
    assert answer.language == "en"
    assert " ".join(word.text for word in answer.words) == answer.text
    times = [time for word in answer.words for time in (word.start_ms, word.end_ms)]
    assert times == sorted(times)
    assert 0 <= times[0] < times[-1] <= answer.length_s * 1000 + 500
    assert all(0 <= word.confidence <= 100 for word in answer.words)


async def test_silence_has_no_text_and_other_bytes_are_refused() -> None:
    silence = joined(bytes(44), bytes(44), pause_s=5)
    async with a_pool() as pool:
        quiet = await pool.recognize(silence, "audio/wav", "")
        noise = await pool.recognize(b"RIFF" + b"x" * 5000, "audio/wav", "")
        foreign = await pool.recognize(await speak(SENTENCE), "audio/wav", "de")
        [pid] = pool.process_ids
        assert is_running(pid)

    assert isinstance(quiet, Recognized)
    assert (quiet.text, quiet.words) == ("", ())
    assert noise == NotRecognized(error="the audio cannot be decoded")
    assert foreign == NotRecognized(error="the model does not support the language de")


async def test_a_pause_of_a_minute_is_skipped_and_later_words_keep_their_times() -> None:
    recording = joined(await speak("Good morning."), await speak("Call me today."), pause_s=60)
    async with a_pool() as pool:
        answer = await pool.recognize(recording, "audio/wav", "en")

    assert isinstance(answer, Recognized)
    assert answer.words[-1].text.strip(".").lower() == "today"
    assert answer.words[-1].start_ms > 60_000


async def test_a_killed_process_is_one_failure_and_the_next_recording_succeeds() -> None:
    recording = await speak(SENTENCE * 20)
    async with a_pool() as pool:
        [first] = pool.process_ids
        attempt = asyncio.create_task(pool.recognize(recording, "audio/wav", "en"))
        await wait_until(lambda: bool(pool.busy_process_ids))
        os.kill(first, signal.SIGKILL)
        with pytest.raises(SpeechProcessFailed, match="ended"):
            await attempt
        assert not is_running(first)
        answer = await pool.recognize(await speak(SENTENCE), "audio/wav", "en")
        [second] = pool.process_ids

    assert isinstance(answer, Recognized)
    assert answer.text
    assert first != second
    assert not is_running(second)


async def test_a_process_that_was_killed_while_idle_is_no_failure() -> None:
    async with a_pool() as pool:
        [pid] = pool.process_ids
        os.kill(pid, signal.SIGKILL)
        await wait_until(lambda: not is_running(pid))
        assert isinstance(await pool.recognize(await speak("Hi."), "audio/wav", "en"), Recognized)


async def test_a_process_that_hangs_is_ended_after_the_timeout() -> None:
    async with a_pool(timeout_s=3) as pool:
        [pid] = pool.process_ids
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(SpeechProcessFailed, match="did not finish within 3 s"):
            await pool.recognize(b"audio", "audio/wav", "en")
        assert not is_running(pid)
        assert pool.process_ids == []


async def test_a_process_without_enough_memory_is_reported() -> None:
    with pytest.raises(SpeechUnavailable):
        async with a_pool(memory_bytes=300_000_000):
            pass


async def test_the_processes_end_when_their_parent_is_killed() -> None:
    parent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _PARENT, str(the_model())), stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    pid = int(await parent.stdout.readline())
    assert is_running(pid)
    parent.kill()
    await parent.wait()
    await wait_until(lambda: not is_running(pid))
