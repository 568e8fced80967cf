"""Damaged recordings in every format: each gets an answer, and nothing is lost or left behind.

`AFTERTONE_TEST_MUTATIONS` is the number of files for each format (5 000).
"""

import asyncio
import os
import random
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from service.audio.conversion.limits import ConversionLimits
from service.audio.conversion.operations import Measure
from service.audio.conversion.pool import AudioInput, ConversionPool
from service.domain.audio_errors import AudioUnreadable
from service.domain.rendition import RenditionFormat
from tests.support.audio_files import SOURCES, make_source, needs_ffmpeg
from tests.support.conversion import convert, descendants, file_of
from tests.support.running import AccountClient

COUNT = int(os.environ.get("AFTERTONE_TEST_MUTATIONS", "5000"))
API_SHARE = 50
PARALLEL = 4
FORMATS = tuple(RenditionFormat)
# Memory of this process that is not released: fragments, and caches that fill up.
GROWTH_BYTES = 64_000_000

pytestmark = [pytest.mark.long, needs_ffmpeg, pytest.mark.timeout(6 * 3600)]


def mutated(content: bytes, chance: random.Random) -> bytes:
    """A copy with damage: other bytes, a missing end, a repeated part, or large numbers."""
    damaged = bytearray(content)
    match chance.randrange(5):
        case 0:
            del damaged[chance.randrange(len(damaged)) :]
        case 1:
            start = chance.randrange(len(damaged))
            damaged[start:start] = damaged[start : start + chance.randrange(4096)]
        case 2:
            # Sizes and counts are near the beginning.
            position = chance.randrange(min(len(damaged), 512))
            damaged[position : position + 4] = chance.choice((b"\xff" * 4, bytes(4), b"\x7f" * 4))
        case _:
            for _ in range(chance.randrange(1, 64)):
                damaged[chance.randrange(len(damaged))] = chance.randrange(256)
    return bytes(damaged)


def resident_bytes(pid: int | str = "self") -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def outcome_of(pool: ConversionPool, content: bytes, number: int) -> str:
    """Converts a file into one of the formats, or measures it."""
    owner, turn = f"account{number % 3}", number % (len(FORMATS) + 1)
    try:
        if turn < len(FORMATS):
            await convert(pool, content, FORMATS[turn], owner=owner)
            return "converted"
        with file_of(content) as file:
            source = AudioInput(file, "application/octet-stream")
            await pool.run(Measure(), [source], owner=owner)
    except AudioUnreadable as error:
        return error.cause
    return "measured"


async def convert_all(pool: ConversionPool, files: Sequence[bytes]) -> Counter[str]:
    """Converts files, some at once. Every file has an outcome."""
    outcomes, queue = Counter[str](), iter(enumerate(files))

    async def work() -> None:
        for number, content in queue:
            outcomes[await outcome_of(pool, content, number)] += 1

    await asyncio.gather(*(work() for _ in range(PARALLEL)))
    return outcomes


@pytest.mark.parametrize("name", SOURCES)
async def test_every_damaged_file_has_an_outcome(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = make_source(name, tmp_path, seconds=1.0).read_bytes()
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    chance = random.Random(name)
    limits = ConversionLimits(processes=2, cpu_s=10, timeout_s=60, output_bytes=64_000_000)
    async with ConversionPool.open(limits) as pool:
        await convert_all(pool, [mutated(content, chance) for _ in range(20)])
        files, resident = open_files(), resident_bytes()
        damaged = [mutated(content, chance) for _ in range(COUNT)]
        own_bytes = sum(map(len, damaged))
        outcomes = await convert_all(pool, damaged)

        assert outcomes.total() == COUNT
        assert open_files() <= files + limits.processes
        assert resident_bytes() - resident < GROWTH_BYTES + own_bytes
        assert len(descendants()) <= limits.processes
        assert all(child.state != "Z" for child in descendants())
        assert await outcome_of(pool, content, 1) == "converted"
    print(f"{name}: {dict(outcomes)}")
    assert not descendants()
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("name", SOURCES)
async def test_the_api_answers_every_request_for_a_damaged_recording(
    account: AccountClient, name: str, tmp_path: Path
) -> None:
    content = make_source(name, tmp_path, seconds=1.0).read_bytes()
    chance = random.Random(name)
    api = account.service.processes["api"].pid
    vmbox_id = await account.a_vmbox()
    statuses = Counter[int]()
    for _ in range(max(COUNT // API_SHARE, 1)):
        left = await account.http.put(
            account.path("vmboxes", vmbox_id, "messages"),
            content=mutated(content, chance),
            headers={"Content-Type": "application/octet-stream"},
        )
        statuses[left.status_code] += 1
        if left.status_code == 201:
            media_id = left.json()["data"]["media_id"]
            path = account.path("vmboxes", vmbox_id, "messages", media_id, "raw")
            answer = await account.http.get(path, params={"format": "wav"})
            statuses[answer.status_code] += 1

    print(f"{name}: {dict(statuses)}")
    assert statuses.keys() <= {200, 201, 400, 415, 422}
    assert account.service.processes["api"].pid == api
    assert account.service.processes["api"].alive
    assert all(child.state != "Z" for child in descendants(api))
