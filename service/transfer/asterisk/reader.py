"""Messages and audio of a spool, as records of an import."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

from service.transfer.asterisk import spool
from service.transfer.asterisk.audio import RAW_FORMATS
from service.transfer.asterisk.message_file import (
    MAX_BYTES,
    Incomplete,
    MessageFile,
    parse_message_file,
)
from service.transfer.asterisk.spool import FOLDERS, SpoolFile, SpoolRecording
from service.transfer.files import BLOCK_BYTES, printable_path
from service.transfer.source import OpenAudio, Skipped, SourceError, SourceMessage
from service.transfer.times import length_ms_of

# Asterisk writes the duration at the end of the recording.
_LONGEST_RECORDING_S = 60 * 60


class SpoolReader:
    """Reads the recordings below `root`. `charset` is that of text that is not UTF-8."""

    def __init__(self, root: Path, charset: str) -> None:
        self._root = root
        self._charset = charset

    async def messages(
        self, context: str, number: str, box_key: str
    ) -> AsyncIterator[SourceMessage | Skipped]:
        """Yields the messages of a mailbox, in the order of folders and numbers."""
        folders, skipped = await asyncio.to_thread(spool.folders_of, self._root, context, number)
        for each in skipped:
            yield each
        names: dict[str, str] = {}
        for folder in folders:
            recordings = await asyncio.to_thread(self._list, context, number, folder)
            for recording in recordings:
                if isinstance(recording, Skipped):
                    yield recording
                else:
                    yield await asyncio.to_thread(self._message, recording, box_key, names)

    def opener(self, recording: SpoolRecording) -> OpenAudio:
        """Returns a function that streams the best format of a recording."""

        async def stream() -> AsyncIterator[bytes]:
            audio, position = recording.audio[0], 0
            raw = RAW_FORMATS.get(audio.extension)
            if raw is not None:
                yield raw.wav_header(audio.size)
            while position < audio.size:
                block = await asyncio.to_thread(self._read_block, recording, position)
                position += len(block)
                yield block
            if raw is not None and position % 2:
                # The next chunk of a WAV file would begin at an even position.
                yield b"\0"

        return stream

    @staticmethod
    def filename(audio: SpoolFile) -> str:
        """Returns the name of the audio as it is imported: raw audio becomes WAV."""
        name = printable_path(audio.names[-1])
        return f"{name.partition('.')[0]}.wav" if audio.extension in RAW_FORMATS else name

    def _list(self, *folder: str) -> list[SpoolRecording | Skipped]:
        return list(spool.messages_of(self._root, *folder))

    def _message(
        self, recording: SpoolRecording, box_key: str, names: dict[str, str]
    ) -> SourceMessage | Skipped:
        """Returns a message. `names` has the names of the messages before it by digest. Blocks."""
        name = printable_path(*recording.names)
        try:
            properties = self._properties(recording)
        except (SourceError, Incomplete) as error:
            return Skipped(name, str(error))
        first = names.setdefault(properties.digest, name)
        if first != name:
            return Skipped(name, f"the same message as {first}")
        audio, introduction = recording.audio[0], recording.introduction
        return SourceMessage(
            key=f"{box_key}/{properties.digest}",
            box_key=box_key,
            name=name,
            received_at=properties.received_at,
            length_ms=length_ms_of(properties.duration_s),
            folder=FOLDERS[recording.names[-2]],
            caller_id_number=properties.caller_id_number,
            caller_id_name=properties.caller_id_name,
            filename=self.filename(audio),
            open=self.opener(recording),
            introduction=self.opener(introduction) if introduction else None,
            introduction_filename=self.filename(introduction.audio[0]) if introduction else None,
        )

    def _properties(self, recording: SpoolRecording) -> MessageFile:
        """Reads the text file. Raises SourceError, Incomplete."""
        assert recording.text is not None, "a message has a text file"
        content = spool.read_text(self._root, recording.text, MAX_BYTES)
        audio = recording.audio[0]
        properties = parse_message_file(content, self._charset, audio.size)
        is_recent = time.time() - audio.modified_ns / 1e9 < _LONGEST_RECORDING_S
        if properties.duration_s is None and is_recent:
            raise Incomplete("the message is still being recorded; run the import again")
        return properties

    def _read_block(self, recording: SpoolRecording, position: int) -> bytes:
        """Reads a block of audio, unless the files have changed since they were listed. Blocks."""
        if recording.text is not None:
            with spool.open_listed_file(self._root, recording.text):
                pass
        with spool.open_listed_file(self._root, recording.audio[0]) as descriptor:
            block = os.pread(descriptor, BLOCK_BYTES, position)
        if not block:
            raise SourceError(spool.CHANGED)
        return block
