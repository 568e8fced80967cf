"""Use cases of transcriptions: read one with its words, request one or many."""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from service.domain.account import AccountFacts
from service.domain.audio_errors import AudioMissing
from service.domain.errors import MessageNotFound, TranscriptionMissing, VmboxNotFound
from service.domain.message import MessageId
from service.domain.transcription import DetailedTranscription, TranscriptionSelection
from service.postgres import transcriptions as rows
from service.postgres.messages import MessageKey, get_message
from service.postgres.pool import Database

_PAGE = 200


@dataclass(frozen=True)
class Transcriptions:
    """Use cases of transcriptions. The transcription channel performs the requests."""

    database: Database

    async def get(
        self, account: AccountFacts, vmbox_id: UUID, message_id: MessageId
    ) -> DetailedTranscription:
        """Returns the transcription of a message.

        Raises VmboxNotFound, MessageNotFound, TranscriptionMissing.
        """
        key = MessageKey(account.account_id, vmbox_id, message_id)
        async with self.database.connection() as connection:
            message = await get_message(connection, key)
            if message.transcription is None:
                raise TranscriptionMissing(str(message_id))
            words = await rows.get_transcription_words(connection, key)
        return DetailedTranscription(transcription=message.transcription, words=words)

    async def request(self, account: AccountFacts, vmbox_id: UUID, message_id: MessageId) -> None:
        """Requests a transcription, unless a request is pending.

        Raises VmboxNotFound, MessageNotFound, AudioMissing.
        """
        key = MessageKey(account.account_id, vmbox_id, message_id)
        async with self.database.connection() as connection:
            await rows.request_transcription(connection, key)

    async def count(self, account_id: UUID, selection: TranscriptionSelection, limit: int) -> int:
        """Returns the number of messages of an account that `request_many` requests."""
        async with self.database.connection() as connection:
            return await rows.count_transcribable(connection, account_id, selection, limit)

    async def request_many(
        self,
        account_id: UUID,
        selection: TranscriptionSelection,
        limit: int,
        advance: Callable[[int], None],
    ) -> int:
        """Requests transcriptions of up to `limit` messages, the oldest first.

        Returns their number. A second run requests only messages that have no text and no request.
        """
        count, after = 0, selection.first
        while count < limit:
            async with self.database.connection() as connection:
                keys = await rows.list_transcribable(
                    connection, account_id, selection, after, min(_PAGE, limit - count)
                )
            if not keys:
                break
            for key in keys:
                count += await self._request_if_present(key)
                advance(1)
            after = keys[-1].message_id
        return count

    async def _request_if_present(self, key: MessageKey) -> bool:
        try:
            async with self.database.connection() as connection:
                return await rows.request_transcription(connection, key)
        except (VmboxNotFound, MessageNotFound, AudioMissing):
            # It was deleted in the meantime.
            return False
