import random

from service.audio.cache import MAX_AGE_S, AudioCache
from service.audio.spool import Spool

LIMIT = 80_000


async def add(cache: AudioCache, key: str, audio: bytes) -> None:
    with Spool(LIMIT) as spool:
        await spool.write(audio)
        await cache.add(key, spool)


async def test_an_entry_is_complete_or_absent_and_the_oldest_are_evicted_first() -> None:
    choose = random.Random(1)
    written: dict[str, bytes] = {}
    with AudioCache(LIMIT) as cache:
        for number in range(500):
            key = str(number)
            written[key] = choose.randbytes(choose.randint(1, LIMIT // 8))
            await add(cache, key, written[key])
            if choose.random() < 0.1:
                removed = choose.choice(list(written))
                cache.remove(removed)
                del written[removed]
            if number % 10:
                continue
            present = []
            for old in list(written)[-40:]:
                block = await cache.read(old, 0, len(written[old]))
                assert block in (None, written[old])
                present.append(block is not None)
            assert present == sorted(present)
            sizes = [len(audio) for audio in list(written.values())[-7:]]
            assert all(present[-len(sizes) :]), "an eighth of the ring is the largest entry"


async def test_an_entry_ends_after_its_age_and_a_part_beyond_its_end_is_absent() -> None:
    now = 0.0
    with AudioCache(LIMIT, lambda: now) as cache:
        await add(cache, "a", b"audio")
        assert await cache.read("a", 2, 3) == b"dio"
        assert await cache.read("a", 2, 4) is None
        now = MAX_AGE_S - 0.1
        assert await cache.read("a", 0, 5) == b"audio"
        now = MAX_AGE_S
        assert await cache.read("a", 0, 5) is None


async def test_audio_above_an_eighth_of_the_cache_is_not_kept() -> None:
    with AudioCache(LIMIT) as cache:
        await add(cache, "a", bytes(LIMIT // 8 + 1))
        await add(cache, "b", bytes(LIMIT // 8))
        assert await cache.read("a", 0, 1) is None
        assert await cache.read("b", 0, 1) == b"\0"
