"""Models: a folder, an installed Python package, or a download."""

import asyncio
import importlib.util
import os
import sys
from pathlib import Path

from service.logs import get_logger

MODEL_FILE = "model.bin"
# A large model has 3 GB.
_DOWNLOAD_TIMEOUT_S = 3600.0

log = get_logger(__name__)


class ModelNotFound(Exception):
    """There is no such model."""


def is_installed() -> bool:
    """Returns True if the extra `transcription` is installed."""
    return importlib.util.find_spec("faster_whisper") is not None


async def prepare_model(name: str, download_folder: str) -> Path:
    """Returns the folder of a model. Raises ModelNotFound.

    A model that is not a folder or a package is downloaded if there is a folder for downloads.
    """
    folder = find_model(name)
    if folder is not None:
        return folder
    if not download_folder:
        raise ModelNotFound
    return await _download(name, download_folder)


def find_model(name: str) -> Path | None:
    """Returns the folder of a model on this machine: `name` itself, or a folder of a package."""
    if not name:
        return None
    candidates = [Path(name), *_folders_of_package(name.replace("-", "_"))]
    return next((folder for folder in candidates if (folder / MODEL_FILE).is_file()), None)


def _folders_of_package(name: str) -> list[Path]:
    if not name.isidentifier():
        return []
    try:
        package = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return []
    places = [] if package is None else package.submodule_search_locations or []
    return [folder for place in places for folder in (Path(place), Path(place, "model"))]


async def _download(name: str, folder: str) -> Path:
    log.info("speech model download started", model=name)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "service.audio.speech.child.download", name, folder),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={key: value for key, value in os.environ.items() if not key.startswith("AFTERTONE_")},
    )
    try:
        async with asyncio.timeout(_DOWNLOAD_TIMEOUT_S):
            output, _ = await process.communicate()
    except TimeoutError:
        raise ModelNotFound from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise ModelNotFound
    return Path(output.decode().strip())
