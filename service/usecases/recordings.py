"""Use cases of recordings: read and list stored audio."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from uuid import UUID

from service.audio.store import AudioStore
from service.domain.account import AccountFacts
from service.domain.message import Audio, MessageId
from service.domain.recording import Recording
from service.postgres import recordings as rows
from service.postgres.messages import MessageKey
from service.postgres.pool import Database


@dataclass(frozen=True)
class Recordings:
    """Use cases of stored audio. `hot` is a pool with generic plans."""

    database: Database
    hot: Database
    audio: AudioStore

    async def get(self, account: AccountFacts, vmbox_id: UUID, message_id: MessageId) -> Recording:
        """Returns a message with audio. Raises VmboxNotFound, MessageNotFound, AudioMissing."""
        async with self.hot.connection() as connection:
            return await rows.get_recording(
                connection, MessageKey(account.account_id, vmbox_id, message_id), account.timezone
            )

    async def list(
        self, account: AccountFacts, vmbox_id: UUID, ids: Sequence[MessageId]
    ) -> list[Recording]:
        """Returns the messages of `ids` that exist and have audio, in the order of `ids`.

        Raises VmboxNotFound.
        """
        async with self.database.connection() as connection:
            return await rows.get_recordings(
                connection, account.account_id, vmbox_id, ids, account.timezone
            )

    def read(
        self, audio: Audio, start: int, length: int
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Streams a part of the audio. Raises AudioMissing and Unavailable on entry."""
        return self.audio.read(audio.key, start, length)

    @property
    def public_origin(self) -> str | None:
        """Scheme and host from which clients read redirected audio, or None."""
        return self.audio.public_origin

    @property
    def has_public_url(self) -> bool:
        """True if clients can read audio from the store."""
        return self.audio.has_public_url

    async def presign(self, audio: Audio, method: str, headers: Mapping[str, str]) -> str:
        """Returns a URL of the audio at the store, valid for one method and 60 s.

        `headers` replace headers of its response. Raises Unavailable.
        """
        return await self.audio.presign(audio.key, method, headers)
