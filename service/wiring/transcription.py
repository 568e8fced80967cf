"""Builds the speech recognition engine from settings."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from service.audio.speech.models import ModelNotFound, find_model, is_installed, prepare_model
from service.audio.speech.pool import SpeechPool
from service.audio.speech.process import SpeechLimits, SpeechUnavailable
from service.settings import Settings, SettingsError
from service.workers.channels.transcription import (
    Engine,
    HttpEngine,
    HttpEngineSettings,
    LocalEngine,
)

_WORKERS_PER_CORE = 2
_MEGABYTE = 1_000_000
_MODEL = (
    "AFTERTONE_TRANSCRIPTION_MODEL is not a folder with a CTranslate2 model and not an installed "
    "package that contains one"
)


def is_local(settings: Settings) -> bool:
    """Returns True if this machine recognizes the speech."""
    return settings.transcription_engine == LocalEngine.name


def concurrency_of(settings: Settings) -> int:
    """Returns the number of messages that are transcribed at the same time in one process."""
    if is_local(settings):
        return min(_limits(settings).processes, settings.transcription_concurrency)
    return settings.transcription_concurrency


@asynccontextmanager
async def open_engine(settings: Settings) -> AsyncIterator[Engine]:
    """Opens the speech recognition engine. Raises SettingsError if it cannot work."""
    if not is_local(settings):
        async with open_http_engine(settings) as engine:
            yield engine
        return
    async with open_local_engine(settings) as local:
        yield local


@asynccontextmanager
async def open_http_engine(settings: Settings) -> AsyncIterator[HttpEngine]:
    """Opens the engine over HTTP. Raises SettingsError if none is configured."""
    if not settings.transcription_url:
        raise SettingsError(
            "The transcription channel needs AFTERTONE_TRANSCRIPTION_URL, or "
            "AFTERTONE_TRANSCRIPTION_ENGINE=faster-whisper."
        )
    http_settings = HttpEngineSettings(
        url=settings.transcription_url,
        key=settings.transcription_key,
        model=settings.transcription_model,
        timeout_s=settings.transcription_timeout_s,
    )
    async with HttpEngine.open(http_settings) as engine:
        yield engine


@asynccontextmanager
async def open_local_engine(settings: Settings) -> AsyncIterator[LocalEngine]:
    """Starts the speech processes. Raises SettingsError if the model cannot be loaded."""
    check_local_engine(settings)
    limits = _limits(settings)
    try:
        folder = await prepare_model(
            settings.transcription_model, settings.transcription_download_folder
        )
    except ModelNotFound:
        raise SettingsError(f"{_MODEL}, and it could not be downloaded.") from None
    try:
        async with SpeechPool.open(folder, limits) as pool:
            yield LocalEngine(pool, settings.transcription_model)
    except SpeechUnavailable as error:
        raise SettingsError(f"The speech model cannot be loaded: {error}.") from error


def check_local_engine(settings: Settings) -> None:
    """Raises SettingsError if the library is not installed, or the model is not on this machine."""
    if not is_installed():
        raise SettingsError(
            "AFTERTONE_TRANSCRIPTION_ENGINE=faster-whisper needs the package: install "
            "`aftertone[transcription]`."
        )
    if find_model(settings.transcription_model) or settings.transcription_download_folder:
        return
    raise SettingsError(
        f"{_MODEL}. Set it to one of these, or set AFTERTONE_TRANSCRIPTION_DOWNLOAD_FOLDER."
    )


def _limits(settings: Settings) -> SpeechLimits:
    cores = _available_cores()
    processes = settings.transcription_workers or cores
    if processes > _WORKERS_PER_CORE * cores:
        raise SettingsError(
            f"AFTERTONE_TRANSCRIPTION_WORKERS must be at most {_WORKERS_PER_CORE * cores}: "
            f"{_WORKERS_PER_CORE} for each of the {cores} cores of this machine."
        )
    return SpeechLimits(
        processes=processes,
        threads=max(cores // processes, 1),
        memory_bytes=settings.transcription_memory_mb * _MEGABYTE,
        timeout_s=settings.transcription_timeout_s,
    )


def _available_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
