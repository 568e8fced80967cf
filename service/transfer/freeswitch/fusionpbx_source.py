"""Source of an import: the database of FusionPBX. Each domain becomes an account."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from functools import partial

import msgspec

from service.domain.transcription import successful_transcription
from service.transfer.files import printable_path
from service.transfer.freeswitch import fusionpbx
from service.transfer.freeswitch.audio import Names, base64_opener
from service.transfer.freeswitch.database import Row
from service.transfer.freeswitch.fusionpbx import to_text
from service.transfer.freeswitch.switch_source import SwitchSource
from service.transfer.source import (
    GreetingKind,
    OpenAudio,
    Skipped,
    SourceAccount,
    SourceBox,
    SourceGreeting,
    SourceMessage,
    SourceUser,
)
from service.transfer.times import length_ms_of, time_of_epoch

_MESSAGES = "v_voicemail_messages"
_EXTENSIONS = ("wav", "mp3", "ogg")


class _Column(msgspec.Struct, frozen=True):
    """Column of base64, and the row that has it."""

    table: str
    name: str
    key: str
    value: object


class FusionPbxSource(SwitchSource):
    """Records of FusionPBX."""

    name = "fusionpbx"
    messages_table = _MESSAGES

    async def accounts(self) -> AsyncIterator[SourceAccount | Skipped]:
        await self._tables.require("v_voicemails", "FusionPBX")
        zones = {
            to_text(row["domain_uuid"]): to_text(row["domain_setting_value"])
            for row in await self._tables.select(
                "v_domain_settings",
                fusionpbx.SETTING_COLUMNS,
                "WHERE domain_setting_subcategory = 'time_zone'",
            )
        }
        for row in await self._domains():
            key, realm = to_text(row["domain_uuid"]), to_text(row["domain_name"])
            zone = {"timezone": zones[key]} if zones.get(key) else {}
            yield SourceAccount(key=key, name=realm, realm=realm, document=zone)

    async def users(self) -> AsyncIterator[SourceUser | Skipped]:
        """Yields nothing: the users of the web interface are not users of boxes."""
        return
        yield

    async def boxes(self) -> AsyncIterator[SourceBox | Skipped]:
        boxes = await self._boxes()
        numbers = {to_text(row["voicemail_uuid"]): to_text(row["voicemail_id"]) for row in boxes}
        options: defaultdict[str, list[Row]] = defaultdict(list)
        for row in await self._tables.select("v_voicemail_options", fusionpbx.OPTION_COLUMNS):
            options[to_text(row["voicemail_uuid"])].append(row)
        copies: defaultdict[str, list[str]] = defaultdict(list)
        for row in await self._tables.select(
            "v_voicemail_destinations", fusionpbx.DESTINATION_COLUMNS
        ):
            copy = to_text(row["voicemail_uuid_copy"])
            copies[to_text(row["voicemail_uuid"])].append(numbers.get(copy, copy))
        for row in boxes:
            key = to_text(row["voicemail_uuid"])
            yield SourceBox(
                key=key,
                account_key=to_text(row["domain_uuid"]),
                document=fusionpbx.box_document(row, options[key], copies[key]),
            )

    async def greetings(self) -> AsyncIterator[SourceGreeting | Skipped]:
        names = await self._domain_names()
        by_box: defaultdict[tuple[str, str], list[Row]] = defaultdict(list)
        for row in await self._tables.select("v_voicemail_greetings", fusionpbx.GREETING_COLUMNS):
            by_box[to_text(row["domain_uuid"]), to_text(row["voicemail_id"])].append(row)
        for box in await self._boxes():
            domain, number = to_text(box["domain_uuid"]), to_text(box["voicemail_id"])
            place = (names.get(domain, domain), number)
            for row in by_box[domain, number]:
                yield await self._greeting(box, row, place)
            if (name := await self._recorded_name(box, place)) is not None:
                yield name

    async def messages(self) -> AsyncIterator[SourceMessage | Skipped]:
        names = await self._domain_names()
        for box in await self._boxes():
            domain, number = to_text(box["domain_uuid"]), to_text(box["voicemail_id"])
            place = (names.get(domain, domain), number)
            for row in await self._tables.select(
                _MESSAGES,
                fusionpbx.MESSAGE_COLUMNS,
                "WHERE voicemail_uuid = $1 ORDER BY created_epoch, voicemail_message_uuid",
                box["voicemail_uuid"],
            ):
                yield await self._message(to_text(box["voicemail_uuid"]), row, place)
        for row in await self._tables.select(
            _MESSAGES,
            ("voicemail_message_uuid",),
            "WHERE voicemail_uuid IS NULL"
            " OR voicemail_uuid NOT IN (SELECT voicemail_uuid FROM v_voicemails)",
        ):
            yield Skipped(f"message {to_text(row['voicemail_message_uuid'])}", "it has no box")

    async def _domains(self) -> list[Row]:
        return await self._tables.select(
            "v_domains", fusionpbx.DOMAIN_COLUMNS, "ORDER BY domain_name, domain_uuid"
        )

    async def _domain_names(self) -> dict[str, str]:
        return {
            to_text(row["domain_uuid"]): to_text(row["domain_name"])
            for row in await self._domains()
        }

    async def _boxes(self) -> list[Row]:
        return await self._tables.select(
            "v_voicemails", fusionpbx.BOX_COLUMNS, "ORDER BY domain_uuid, voicemail_id"
        )

    async def _greeting(self, box: Row, row: Row, place: Names) -> SourceGreeting | Skipped:
        number, key = to_text(row["greeting_id"]), to_text(row["voicemail_greeting_uuid"])
        name = printable_path(*place, f"greeting_{number}")
        if number != to_text(box["greeting_id"]):
            return Skipped(name, "the box does not use this greeting")
        column = _Column(
            "v_voicemail_greetings",
            "greeting_base64",
            "voicemail_greeting_uuid",
            row["voicemail_greeting_uuid"],
        )
        stems = (to_text(row["greeting_filename"]).rpartition(".")[0], f"greeting_{number}")
        audio = await self._audio(column, place, *stems)
        if audio is None:
            return Skipped(name, "its audio is neither in the database nor in the folder")
        texts = {
            "name": to_text(row["greeting_name"]),
            "description": to_text(row["greeting_description"]),
        }
        return SourceGreeting(
            key=key,
            account_key=to_text(box["domain_uuid"]),
            box_key=to_text(box["voicemail_uuid"]),
            kind=GreetingKind.UNAVAILABLE,
            document={field: text for field, text in texts.items() if text},
            open=audio,
        )

    async def _recorded_name(self, box: Row, place: Names) -> SourceGreeting | None:
        column = _Column(
            "v_voicemails", "voicemail_name_base64", "voicemail_uuid", box["voicemail_uuid"]
        )
        audio = await self._audio(column, place, "recorded_name")
        if audio is None:
            return None
        key = to_text(box["voicemail_uuid"])
        return SourceGreeting(
            key=f"{key}/name",
            account_key=to_text(box["domain_uuid"]),
            box_key=key,
            kind=GreetingKind.NAME,
            open=audio,
        )

    async def _message(self, box_key: str, row: Row, place: Names) -> SourceMessage | Skipped:
        key = to_text(row["voicemail_message_uuid"])
        name = printable_path(*place, f"msg_{key}")
        received_at = time_of_epoch(row["created_epoch"])
        if received_at is None:
            return Skipped(name, "the message has no time (created_epoch)")
        column = _Column(
            _MESSAGES, "message_base64", "voicemail_message_uuid", row["voicemail_message_uuid"]
        )
        audio = await self._audio(column, place, f"msg_{key}")
        if audio is None:
            return Skipped(name, "its audio is neither in the database nor in the folder")
        transcription = to_text(row["message_transcription"])
        return SourceMessage(
            key=key,
            box_key=box_key,
            name=name,
            received_at=received_at,
            length_ms=length_ms_of(row["message_length"]),
            folder=fusionpbx.folder_of(row),
            caller_id_number=to_text(row["caller_id_number"]),
            caller_id_name=to_text(row["caller_id_name"]),
            transcription=successful_transcription(transcription) if transcription else None,
            open=audio,
            introduction=await self._introduction(row, place),
        )

    async def _introduction(self, row: Row, place: Names) -> OpenAudio | None:
        key = row["voicemail_message_uuid"]
        column = _Column(_MESSAGES, "message_intro_base64", "voicemail_message_uuid", key)
        return await self._audio(column, place, f"intro_{to_text(key)}")

    async def _audio(self, column: _Column, place: Names, *stems: str) -> OpenAudio | None:
        """Returns the audio of a column or, without it, of a file in the folder of the box."""
        read = partial(self._tables.read_text, column.table, column.name, column.key, column.value)
        if await self._tables.has_column(column.table, column.name) and await read(0, 1):
            return base64_opener(read)
        paths = [
            (*parents, *place, f"{stem}.{extension}")
            for parents in (("default",), ())
            for stem in stems
            for extension in _EXTENSIONS
        ]
        file = await asyncio.to_thread(self._folder.find, *paths)
        return None if file is None else self._folder.opener(file)
