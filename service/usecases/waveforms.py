"""Use cases of waveforms: outlines of recordings, stored by the media channel or read on demand."""

import tempfile

from cachetools import TTLCache

from service.audio.conversion.files import fetch_audio
from service.audio.conversion.operations import PeaksRead, ReadPeaks
from service.audio.conversion.pool import AudioInput, ConversionPool
from service.audio.store import AudioStore
from service.domain.account import AccountFacts
from service.domain.audio_errors import AudioUnreadable, ConversionUnavailable, WaveformUnavailable
from service.domain.media import Waveform
from service.domain.message import Audio
from service.domain.recording import Recording
from service.postgres import media as rows
from service.postgres.messages import MessageKey
from service.postgres.pool import Database

# Audio that cannot be decoded is not tried again during this time.
_FAILURE_S = 600
_MAX_FAILURES = 4096


class Waveforms:
    """Reads stored outlines, and makes and stores those that are missing."""

    def __init__(self, database: Database, audio: AudioStore, pool: ConversionPool) -> None:
        self._database = database
        self._audio = audio
        self._pool = pool
        self._failures: TTLCache[str, str] = TTLCache(_MAX_FAILURES, _FAILURE_S)

    async def get(self, account: AccountFacts, recording: Recording) -> Waveform:
        """Returns the outline of a recording.

        Raises AudioUnreadable, AudioMissing, WaveformUnavailable, Unavailable.
        """
        message, audio = recording.message, recording.audio
        key = MessageKey(account.account_id, message.vmbox_id, message.id)
        async with self._database.connection() as connection:
            waveform = await rows.get_waveform(connection, key, audio.key)
        if waveform is not None:
            return waveform
        if audio.key in self._failures:
            raise AudioUnreadable(self._failures[audio.key])
        try:
            waveform = await self._read_peaks(account, audio)
        except AudioUnreadable as error:
            self._failures[audio.key] = error.cause
            raise
        except ConversionUnavailable:
            raise WaveformUnavailable from None
        async with self._database.connection() as connection:
            await rows.save_waveform(connection, key, audio.key, waveform)
        return waveform

    async def _read_peaks(self, account: AccountFacts, audio: Audio) -> Waveform:
        # Without a place in the pool there are no temporary files.
        async with self._pool.reserve(account.account_id):
            with tempfile.TemporaryFile() as file:
                await fetch_audio(self._audio, audio, file)
                source = AudioInput(file, audio.content_type)
                result = await self._pool.run_reserved(ReadPeaks(), [source])
        assert isinstance(result, PeaksRead)
        return result.waveform
