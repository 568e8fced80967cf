"""Commands of the root README, run as they are printed."""

import asyncio
import re
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]


def readme_block(name: str) -> str:
    """Returns the shell block after the comment `<!-- tested: name -->`."""
    text = (ROOT / "README.md").read_text()
    match = re.search(rf"^<!-- tested: {name} -->\n```sh\n(.+?)^```$", text, re.M | re.S)
    assert match is not None, name
    return match[1]


async def run_block(name: str, environment: Mapping[str, str], status: int = 0) -> str:
    """Runs a block in a shell in the folder of the project; returns what it prints.

    `environment` may have variables whose default the block sets with `NAME="${NAME:-default}"`.
    """
    # The block runs `.venv/bin/aftertone`; the tests may run in another environment.
    block = readme_block(name).replace(".venv/bin/aftertone", f"{sys.executable} -m service")
    process = await asyncio.create_subprocess_exec(
        *("bash", "-euo", "pipefail", "-c", block),
        cwd=ROOT,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed, _ = await process.communicate()
    assert process.returncode == status, printed.decode()
    return printed.decode()
