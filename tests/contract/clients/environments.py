"""Virtual environments of client libraries: made once, kept in a folder that git ignores."""

import asyncio
import hashlib
import shutil
import sys
import venv
from pathlib import Path

_HERE = Path(__file__).parent
_BUILD = _HERE / "build.txt"
_PIP = (
    *("install", "--quiet", "--no-input", "--disable-pip-version-check"),
    *("--retries", "1", "--timeout", "15", "--require-hashes"),
)
# What pip says when nobody answers, as opposed to an answer that is wrong.
_UNREACHABLE = ("No matching distribution found", "Could not fetch", "Connection", "timed out")
_LIMIT_S = 90


class NoIndex(Exception):
    """No package index answers; the text is pip's last word."""


async def interpreter(name: str, cache: Path) -> Path:
    """The Python that has what `<name>.txt` lists. Raises NoIndex.

    The libraries come as source: what builds them is pinned like everything else.
    """
    expected = _HERE / f"{name}.txt"
    content = expected.read_bytes() + _BUILD.read_bytes() + sys.version.encode()
    folder = cache / f"{name}-{hashlib.sha256(content).hexdigest()[:16]}"
    python = folder / "bin" / "python"
    if (folder / "complete").exists():
        return python
    shutil.rmtree(folder, ignore_errors=True)
    await asyncio.to_thread(venv.create, folder, symlinks=True)
    await _pip(python, "-r", str(_BUILD))
    await _pip(python, "--no-build-isolation", "-r", str(expected))
    (folder / "complete").touch()
    return python


async def _pip(python: Path, *arguments: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pip", "--python", str(python), *_PIP, *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(_LIMIT_S):
            output = (await process.communicate())[0].decode()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise NoIndex(f"nothing was installed within {_LIMIT_S} seconds") from None
    if process.returncode == 0:
        return
    last = output.strip().splitlines()[-1]
    if any(words in output for words in _UNREACHABLE):
        raise NoIndex(last)
    raise AssertionError(output)
