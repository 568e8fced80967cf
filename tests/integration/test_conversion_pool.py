"""The processes that read audio: their limits, their failures, their end."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from service.audio.conversion.limits import ConversionLimits
from service.audio.conversion.operations import UnreadableCause
from service.audio.conversion.pool import ConversionPool
from service.domain.audio_errors import AudioUnreadable
from service.domain.errors import TooManyConversions
from service.domain.rendition import RenditionFormat
from tests.support.audio_samples import MEDIARECORDER_WEBM, PCM, a_wav, riff
from tests.support.conversion import convert, descendants, file_of
from tests.support.waiting import wait_until

LONG = riff(PCM, 16, 8000, bytes(16_000 * 600))
"""Ten minutes of silence."""
MP3, OPUS = RenditionFormat.MP3, RenditionFormat.OPUS


@asynccontextmanager
async def a_pool(**limits: Any) -> AsyncIterator[ConversionPool]:
    async with ConversionPool.open(ConversionLimits(**limits)) as pool:
        yield pool


def the_pid() -> int:
    (child,) = descendants()
    return child.pid


async def cause_of(pool: ConversionPool, audio: Any) -> str:
    with pytest.raises(AudioUnreadable) as refusal:
        await convert(pool, audio, OPUS)
    return refusal.value.cause


def peak_address_space(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"^VmPeak:\s+(\d+) kB$", status, re.MULTILINE)
    assert found
    return int(found[1]) * 1024


async def test_one_process_converts_one_file_after_the_other() -> None:
    async with a_pool(processes=1) as pool:
        result, output = await convert(pool, a_wav(1.0), RenditionFormat.MU_LAW)
        pid = the_pid()
        _, again = await convert(pool, a_wav(1.0), RenditionFormat.MU_LAW)

        assert the_pid() == pid

    assert result.length_ms == 1000
    assert result.size == len(output)
    assert again == output
    assert not descendants()


async def test_a_killed_process_is_one_refusal_and_the_next_file_is_converted() -> None:
    async with a_pool(processes=1) as pool:
        conversion = asyncio.create_task(cause_of(pool, LONG))
        await wait_until(lambda: bool(descendants()))
        os.kill(the_pid(), signal.SIGKILL)

        assert await conversion == UnreadableCause.CRASH
        assert not descendants()
        assert await convert(pool, a_wav())


async def test_a_process_that_was_damaged_by_an_earlier_file_is_replaced() -> None:
    async with a_pool(processes=1) as pool:
        await convert(pool, a_wav())
        os.kill(the_pid(), signal.SIGKILL)

        assert await convert(pool, a_wav())


async def test_a_file_that_needs_too_much_time_is_refused() -> None:
    async with a_pool(timeout_s=0.3) as pool:
        assert await cause_of(pool, LONG) == UnreadableCause.TIME
        assert not descendants()


async def test_a_file_that_needs_too_much_cpu_time_is_refused() -> None:
    # Two hours.
    async with a_pool(cpu_s=1) as pool:
        assert await cause_of(pool, riff(PCM, 16, 8000, bytes(16_000 * 7200))) == "cpu"


async def test_a_file_with_too_much_output_is_refused() -> None:
    async with a_pool(output_bytes=50_000) as pool:
        assert await cause_of(pool, LONG) == UnreadableCause.OUTPUT


async def test_a_file_that_needs_much_memory_gets_no_more_than_the_limit() -> None:
    # A block of 250 MB, which the demuxer reads at once. The file is sparse.
    cluster = b"\x1f\x43\xb6\x75\x01" + b"\xff" * 7 + b"\xe7\x81\x00"
    block = b"\xa3" + (0x1000_0000 | 250_000_000).to_bytes(4) + b"\x81\x00\x00\x80"
    file = file_of(MEDIARECORDER_WEBM.read_bytes() + cluster + block)
    file.truncate(file.tell() + 250_000_000)
    async with a_pool(memory_bytes=256_000_000) as pool:
        result, _ = await convert(pool, file)
        assert peak_address_space(the_pid()) <= 256_000_000

    assert 900 <= result.length_ms <= 1100


@pytest.mark.parametrize(
    "audio", [b"RIFF", b"OggS" + bytes(100), b"#EXTM3U\nhttp://127.0.0.1/", bytes(5000)]
)
async def test_a_file_that_is_not_audio_is_refused(audio: bytes) -> None:
    async with a_pool() as pool:
        assert await cause_of(pool, audio) == UnreadableCause.MALFORMED
        assert await convert(pool, a_wav())


async def test_a_cancelled_conversion_ends_its_process() -> None:
    async with a_pool() as pool:
        conversion = asyncio.create_task(convert(pool, LONG, OPUS))
        await wait_until(lambda: bool(descendants()))
        conversion.cancel()
        await asyncio.wait([conversion])

        assert not descendants()


async def test_a_process_ends_after_its_number_of_files_and_after_idle_time() -> None:
    async with a_pool(jobs_per_process=2) as pool:
        await convert(pool, a_wav())
        await convert(pool, a_wav())
        assert not descendants()

    async with a_pool(idle_s=0.01) as pool:
        await convert(pool, a_wav())
        await wait_until(lambda: not descendants())


async def test_an_account_cannot_fill_the_queue() -> None:
    async with a_pool(processes=2, queue=4) as pool:
        running = asyncio.create_task(convert(pool, LONG, OPUS, "greedy"))
        await wait_until(lambda: bool(descendants()))
        waiting = asyncio.create_task(convert(pool, LONG, OPUS, "greedy"))
        await asyncio.sleep(0)

        with pytest.raises(TooManyConversions):
            await convert(pool, a_wav(), OPUS, "greedy")
        assert await convert(pool, a_wav(), OPUS, "other")

        assert not running.done()
        for task in (running, waiting):
            task.cancel()
        await asyncio.wait([running, waiting])


async def test_a_process_has_no_secrets_and_no_network() -> None:
    os.environ["AFTERTONE_SMTP_URL"] = "smtp://user:password@host"
    try:
        async with a_pool() as pool:
            await convert(pool, a_wav())
            child = Path(f"/proc/{the_pid()}")
            variables = (child / "environ").read_bytes()
            interfaces = (child / "net/dev").read_text()
    finally:
        del os.environ["AFTERTONE_SMTP_URL"]

    assert b"AFTERTONE" not in variables
    if os.geteuid() == 0 or "eth" not in interfaces:
        assert [row.partition(":")[0].strip() for row in interfaces.splitlines()[2:]] == ["lo"]


PARENT = """
import asyncio, sys
from service.audio.conversion.limits import ConversionLimits
from service.audio.conversion.pool import ConversionPool
from tests.integration.test_conversion_pool import LONG, OPUS
from tests.support.conversion import convert

async def main():
    async with ConversionPool.open(ConversionLimits()) as pool:
        while True:
            await convert(pool, LONG, OPUS)

asyncio.run(main())
"""


@pytest.mark.long
async def test_the_processes_end_when_their_parent_is_killed() -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, cwd=Path(__file__).parents[2]
    )
    await wait_until(lambda: bool(descendants(parent.pid)))
    (child,) = descendants(parent.pid)
    parent.kill()
    await parent.wait()

    await wait_until(lambda: not is_alive(child.pid))


def is_alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
