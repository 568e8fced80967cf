"""Environments of client libraries: made once, kept in a folder that git ignores."""

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
_NPM = ("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries", "1")
# What pip and npm say when nobody answers, as opposed to an answer that is wrong.
_UNREACHABLE = (
    *("No matching distribution found", "Could not fetch", "Connection", "timed out"),
    *("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ETIMEDOUT"),
)
_PIP_LIMIT_S = 90
_NPM_LIMIT_S = 400


class NoIndex(Exception):
    """No package index answers, or there is no npm; the text is the reason."""


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


async def node_folder(cache: Path) -> Path:
    """The folder with `node_modules`, of the packages that `typescript/` lists. Raises NoIndex."""
    files = [_HERE / "typescript" / name for name in ("package.json", "package-lock.json")]
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]
    folder = cache / f"typescript-{digest}"
    if shutil.which("npm") is None or shutil.which("node") is None:
        raise NoIndex("node and npm are not installed")
    if (folder / "complete").exists():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for file in files:
        shutil.copy(file, folder)
    await _install(*_NPM, folder=folder, limit_s=_NPM_LIMIT_S)
    (folder / "complete").touch()
    return folder


async def _pip(python: Path, *arguments: str) -> None:
    pip = (sys.executable, "-m", "pip", "--python", str(python), *_PIP)
    await _install(*pip, *arguments, folder=_HERE, limit_s=_PIP_LIMIT_S)


async def _install(*command: str, folder: Path, limit_s: int) -> None:
    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        async with asyncio.timeout(limit_s):
            output = (await process.communicate())[0].decode()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise NoIndex(f"nothing was installed within {limit_s} seconds") from None
    if process.returncode == 0:
        return
    last = output.strip().splitlines()[-1]
    if any(words in output for words in _UNREACHABLE):
        raise NoIndex(last)
    raise AssertionError(output)
