"""Composition of the move of an account: the two deployments."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from service.audio.s3_session import AccessKey
from service.postgres.pool import Database
from service.settings import Settings
from service.transfer.move.sides import MoveProgress, Side, Sides
from service.usecases.account_cache import POLL_S
from service.wiring.factories import key_ring_of, open_audio, open_owner_database

# A digest of a large account reads all its rows.
_STATEMENT_S = 3600.0
# A process applies a change within two polls.
_CACHE_S = 2 * POLL_S


@asynccontextmanager
async def open_sides(
    source: Settings,
    target: Settings,
    target_key: AccessKey | None,
    url: str,
    wait_s: float,
    progress: MoveProgress,
) -> AsyncIterator[Sides]:
    """Opens databases and buckets of both deployments. Raises SettingsError, KeyRingError.

    Without `target_key`, the bucket of the target has the credentials of this process.
    """
    async with AsyncExitStack() as stack:
        yield Sides(
            source=await _open_side(stack, source, None),
            target=await _open_side(stack, target, target_key),
            url=url,
            settle_s=_CACHE_S + max(source.request_deadline_s, target.request_deadline_s),
            wait_s=wait_s,
            progress=progress,
        )


async def _open_side(
    stack: AsyncExitStack, settings: Settings, access_key: AccessKey | None
) -> Side:
    enter = stack.enter_async_context
    database: Database = await enter(open_owner_database(settings, _STATEMENT_S))
    return Side(
        database=database,
        audio=await enter(open_audio(settings, access_key=access_key)),
        keys=key_ring_of(settings),
    )
