"""Demonstration account: three boxes with a dozen spoken messages. The voices are synthetic."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from importlib.resources import files

import msgspec

from service.domain.message import Folder
from service.transfer.source import (
    OpenAudio,
    Skipped,
    SourceAccount,
    SourceBox,
    SourceGreeting,
    SourceMessage,
    SourceUser,
)

NAME = "demo"
REALM = "demo.localhost"
_BOXES = {"100": "Front desk", "101": "Sales", "102": "Workshop"}


class _Clip(msgspec.Struct, frozen=True):
    """Recording `<name>.mp3`, received `minutes` before the import."""

    name: str
    box: str
    minutes: int
    caller: str
    number: str
    text: str
    folder: Folder = Folder.NEW


_CLIPS = (
    _Clip(
        *("delivery", "100", 6, "Maria Lindqvist", "+44 20 7946 0018"),
        "Hello, this is Maria from Harbour Logistics. Your delivery of twelve boxes arrives on "
        "Thursday between ten and eleven. Please call me back if nobody is there.",
    ),
    _Clip(
        *("appointment", "100", 95, "Dental practice", "+44 20 7946 0311"),
        "Good morning, this is the dental practice. Your appointment on Monday has moved to nine "
        "thirty. Thank you.",
    ),
    _Clip(
        *("callback", "100", 60 * 20, "Ann Example", "+1 415 555 0100"),
        "Hi, it is Ann. Please call me back when you have a minute. There is no hurry.",
        Folder.SAVED,
    ),
    _Clip(
        *("outage", "100", 60 * 50, "", "+44 20 7946 0900"),
        "This is an automatic message. Power in your street will be off on Friday from eight "
        "until noon.",
        Folder.SAVED,
    ),
    _Clip(
        *("thanks", "100", 60 * 24 * 6, "Grace", "+44 20 7946 0144"),
        "It is only me. Thank you for yesterday, everything went very well. Speak soon!",
        Folder.SAVED,
    ),
    _Clip(
        *("invoice", "101", 25, "Tom Becker", "+1 415 555 0123"),
        "Hi, Tom Becker here. I have a question about invoice 4711. The amount does not match our "
        "order. My number is 415 555 0123.",
    ),
    _Clip(
        *("reservation", "101", 180, "Claire Dubois", "+33 1 99 00 12 34"),
        "Bonjour, ici Claire Dubois. Je voudrais réserver une table pour quatre personnes samedi à "
        "vingt heures. Merci de me rappeler.",
    ),
    _Clip(
        *("order", "101", 60 * 27, "Lucía Romero", "+34 910 00 12 12"),
        "Hola, soy Lucía Romero. Quisiera saber si mi pedido ya ha salido. El número es 2805. "
        "Gracias.",
    ),
    _Clip(
        *("interview", "101", 60 * 24 * 3, "Daniel Okafor", "+1 415 555 0177"),
        "Hello, this is Daniel Okafor. I am calling about the interview next week. Wednesday at "
        "two works well for me.",
        Folder.SAVED,
    ),
    _Clip(
        *("garage", "102", 40, "Werkstatt Weber", "+49 30 23125 001"),
        "Hallo, hier ist die Werkstatt. Der Wagen braucht neue Bremsen. Bitte rufen Sie zurück, "
        "damit wir beginnen können.",
    ),
    _Clip(
        *("repair", "102", 60 * 5, "Jonas Weber", "+49 30 23125 042"),
        "Guten Tag, hier ist Jonas Weber. Ihr Fahrrad ist repariert und kann ab sofort abgeholt "
        "werden. Wir haben bis 18 Uhr geöffnet.",
        Folder.SAVED,
    ),
    _Clip(
        *("support", "102", 60 * 24 * 2, "Priya Nair", "+1 415 555 0188"),
        "This is Priya from the support desk. The new phones are ready. You can collect them at "
        "reception this afternoon.",
        Folder.SAVED,
    ),
)


class DemoSource:
    """Source of the demonstration account. Messages are received before `now`."""

    name = NAME

    def __init__(self, now: datetime) -> None:
        self._now = now

    async def accounts(self) -> AsyncIterator[SourceAccount | Skipped]:
        yield SourceAccount(key=NAME, name=NAME, realm=REALM)

    async def users(self) -> AsyncIterator[SourceUser | Skipped]:
        return
        yield

    async def boxes(self) -> AsyncIterator[SourceBox | Skipped]:
        for number, name in _BOXES.items():
            document = {"name": name, "mailbox": number}
            yield SourceBox(key=number, account_key=NAME, document=document)

    async def greetings(self) -> AsyncIterator[SourceGreeting | Skipped]:
        return
        yield

    async def messages(self) -> AsyncIterator[SourceMessage | Skipped]:
        for clip in _CLIPS:
            yield SourceMessage(
                key=clip.name,
                box_key=clip.box,
                received_at=self._now - timedelta(minutes=clip.minutes),
                folder=clip.folder,
                caller_id_number=clip.number,
                caller_id_name=clip.caller,
                transcription={"result": "success", "text": clip.text},
                filename=f"{clip.name}.mp3",
                content_type="audio/mpeg",
                open=_opener(clip.name),
            )

    async def count_messages(self) -> int | None:
        return len(_CLIPS)

    async def close(self) -> None:
        """Has nothing to close."""


def _opener(name: str) -> OpenAudio:
    async def read() -> AsyncIterator[bytes]:
        yield (files(__name__) / f"{name}.mp3").read_bytes()

    return read
