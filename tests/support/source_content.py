"""Results of an import that tests compare: of a source, and of the service after the import."""

import msgspec

from service.domain.message import Folder
from service.transfer.source import (
    OpenAudio,
    Skipped,
    Source,
    SourceAccount,
    SourceBox,
    SourceGreeting,
    SourceMessage,
)


class ImportedMessage(msgspec.Struct, frozen=True, order=True):
    """Message in the box `realm/number`. Times are epochs; `length_s` None: it is measured."""

    box: str
    received_at: int
    number: str
    name: str
    folder: Folder
    length_s: int | None
    audio: bytes


class SourceContent(msgspec.Struct, frozen=True):
    """All records of a source. Greetings and documents by box; `skipped` has reasons by name."""

    realms: list[str]
    documents: dict[str, dict[str, object]]
    greetings: dict[str, bytes]
    messages: list[ImportedMessage]
    keys: list[str]
    skipped: dict[str, str]


async def read_audio(opener: OpenAudio) -> bytes:
    return b"".join([block async for block in opener()])


async def read_source(source: Source) -> SourceContent:
    """Reads everything that a source yields, with all audio."""
    skipped: dict[str, str] = {}
    accounts = [each async for each in source.accounts() if isinstance(each, SourceAccount)]
    realms = {account.key: account.realm for account in accounts}
    names: dict[str, str] = {}
    documents: dict[str, dict[str, object]] = {}
    async for box in source.boxes():
        if isinstance(box, SourceBox):
            names[box.key] = f"{realms[box.account_key]}/{box.document['mailbox']}"
            documents[names[box.key]] = box.document
        else:
            skipped[box.name] = box.reason
    greetings: dict[str, bytes] = {}
    async for greeting in source.greetings():
        if isinstance(greeting, SourceGreeting):
            assert greeting.open is not None
            assert greeting.box_key is not None
            name = f"{names[greeting.box_key]} {greeting.kind}"
            greetings[name] = await read_audio(greeting.open)
        else:
            skipped[greeting.name] = greeting.reason
    messages, keys = [], []
    async for message in source.messages():
        if isinstance(message, Skipped):
            skipped[message.name] = message.reason
        else:
            messages.append(await _imported(message, names))
            keys.append(message.key)
    return SourceContent(
        sorted(realms.values()), documents, greetings, sorted(messages), keys, skipped
    )


async def _imported(message: SourceMessage, names: dict[str, str]) -> ImportedMessage:
    return ImportedMessage(
        box=names[message.box_key],
        received_at=int(message.received_at.timestamp()),
        number=message.caller_id_number,
        name=message.caller_id_name,
        folder=message.folder,
        length_s=message.length_ms and message.length_ms // 1000,
        audio=await read_audio(message.open),
    )
