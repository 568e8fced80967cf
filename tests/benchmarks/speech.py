"""`python -m tests.benchmarks.speech`: word error rate and throughput of the local speech engine.

espeak-ng reads 40 sentences with figures and names. One process with one thread transcribes them.
"""

import asyncio
import re
import time
from collections.abc import Sequence
from pathlib import Path

import click
import msgspec

from service.audio.speech.messages import Recognized
from service.audio.speech.models import find_model, is_installed
from service.audio.speech.pool import SpeechPool
from service.audio.speech.process import SpeechLimits
from tests.benchmarks.cpu import cpu_of
from tests.support.speech import ESPEAK, MODEL, speak

SENTENCES = Path(__file__).with_name("sentences.txt")
_NUMBERS = "zero one two three four five six seven eight nine ten eleven twelve"
_SPELLINGS = {word: str(number) for number, word in enumerate(_NUMBERS.split(" "))}
_SPELLINGS |= {"third": "3", "dr": "doctor"}
_ORDINAL = re.compile(r"(\d)(?:st|nd|rd|th)\b")
_TOKEN = re.compile(r"[a-z]+(?:'[a-z]+)?|\d")


class Transcribed(msgspec.Struct, frozen=True, kw_only=True):
    """Transcript of a sentence."""

    sentence: str
    text: str
    errors: int
    words: int


class SpeechResult(msgspec.Struct, frozen=True, kw_only=True):
    """Result of one voice: the sentences, and one recording of all of them."""

    voice: str
    transcripts: list[Transcribed]
    short: "Throughput"
    long: "Throughput"

    @property
    def word_error_rate(self) -> float:
        return sum(each.errors for each in self.transcripts) / sum(
            each.words for each in self.transcripts
        )


class Throughput(msgspec.Struct, frozen=True, kw_only=True):
    """Cost of recordings. `cpu_s` is CPU time of the speech process."""

    audio_s: float
    wall_s: float
    cpu_s: float

    def __str__(self) -> str:
        return (
            f"{self.audio_s:.0f} s of audio, {self.audio_s / self.cpu_s:.1f} s per second of CPU "
            f"time, {self.audio_s / self.wall_s:.1f} s per second"
        )


def tokens_of(text: str) -> list[str]:
    """Returns the words of a text, and each digit of a figure: spellings of figures vary."""
    text = _ORDINAL.sub(r"\1", text.lower().replace("$", "").replace("dollars", ""))
    text = text.replace("thousand", "000")
    tokens = _TOKEN.findall(text.replace("a.m.", "").replace("p.m.", ""))
    spelled = [_SPELLINGS.get(token, token) for token in tokens]
    return [part for token in spelled for part in (token if token.isdigit() else [token])]


def count_errors(expected: Sequence[str], actual: Sequence[str]) -> int:
    """Returns the Levenshtein distance of two texts in words."""
    row = list(range(len(actual) + 1))
    for index, word in enumerate(expected, 1):
        previous, row = row, [index]
        for column, other in enumerate(actual, 1):
            row.append(
                min(previous[column] + 1, row[-1] + 1, previous[column - 1] + (word != other))
            )
    return row[-1]


def _cpu_s(process: int) -> float:
    """Returns the CPU time of a process, or the elapsed time if the system has no `/proc`."""
    seconds = cpu_of({"speech": process})
    return time.perf_counter() if seconds is None else seconds["speech"]


async def measure(pool: SpeechPool, voice: str, sentences: Sequence[str]) -> SpeechResult:
    recordings = [await speak(sentence, voice=voice) for sentence in sentences]
    whole = await speak(" ".join(sentences), voice=voice)
    texts, short = await _transcribe(pool, recordings)
    _, long = await _transcribe(pool, [whole])
    pairs = zip(sentences, texts, strict=True)
    return SpeechResult(
        voice=voice, transcripts=[_compare(*pair) for pair in pairs], short=short, long=long
    )


async def _transcribe(
    pool: SpeechPool, recordings: Sequence[bytes]
) -> tuple[list[str], Throughput]:
    [process] = pool.process_ids
    started, cpu_before, texts, audio_s = time.perf_counter(), _cpu_s(process), [], 0.0
    for recording in recordings:
        answer = await pool.recognize(recording, "audio/wav", "en")
        assert isinstance(answer, Recognized)
        texts.append(answer.text)
        audio_s += answer.length_s
    wall_s, cpu_s = time.perf_counter() - started, _cpu_s(process) - cpu_before
    return texts, Throughput(audio_s=audio_s, wall_s=wall_s, cpu_s=cpu_s)


def _compare(sentence: str, text: str) -> Transcribed:
    expected = tokens_of(sentence)
    errors = count_errors(expected, tokens_of(text))
    return Transcribed(sentence=sentence, text=text, errors=errors, words=len(expected))


async def run(model: str, voices: Sequence[str]) -> list[SpeechResult]:
    folder = find_model(model)
    if ESPEAK is None or not is_installed() or folder is None:
        raise click.ClickException(
            "This bench needs espeak-ng, the extra `transcription` and a model."
        )
    sentences = SENTENCES.read_text().splitlines()
    async with SpeechPool.open(folder, SpeechLimits(processes=1, threads=1)) as pool:
        return [await measure(pool, voice, sentences) for voice in voices]


@click.command()
@click.option("--model", default=MODEL, show_default=True, help="Folder or package of the model.")
@click.option("--voice", "voices", multiple=True, default=("en-us",), help="May be repeated.")
@click.option("--errors", is_flag=True, help="Print the sentences with errors.")
def main(model: str, voices: tuple[str, ...], *, errors: bool) -> None:
    """Measure the word error rate and the throughput of the local speech engine."""
    for result in asyncio.run(run(model, voices)):
        count = len(result.transcripts)
        click.echo(f"{result.voice}: word error rate {result.word_error_rate:.1%} of {count} texts")
        click.echo(f"  one recording for each sentence: {result.short}")
        click.echo(f"  one recording of all sentences: {result.long}")
        for each in result.transcripts:
            if errors and each.errors:
                click.echo(f"  {each.errors}  {each.sentence}\n     {each.text}")


if __name__ == "__main__":
    main()
