"""The e-mail channel: whom an event is mailed to, the mail, and what becomes of the message."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import msgspec

from service.audio.formats import extension_of
from service.audio.store import AudioStore
from service.domain.errors import AudioMissing, MessageNotFound, VmboxNotFound
from service.domain.events import (
    Event,
    EventType,
    MessageNew,
    OriginReason,
    VmboxWasFull,
    decode_data,
)
from service.domain.message import Folder, Message, MessageId, retained_since
from service.postgres.messages import MessageKey, get_message
from service.postgres.pool import Connection, Database
from service.workers.channels import Delivery, Done, Failed, Ignored, Outcome, Postponed, Target
from service.workers.channels.email.after_notify import file_notified
from service.workers.channels.email.mime import (
    AddressUnusable,
    Attachment,
    Mail,
    build_mail,
    file_name,
)
from service.workers.channels.email.recipients import (
    MailContext,
    of_full_box,
    of_message,
    read_mail_context,
)
from service.workers.channels.email.smtp import SmtpSender
from service.workers.channels.email.template_context import (
    full_facts,
    message_facts,
    wants_transcription,
)
from service.workers.channels.email.templates import (
    MailFacts,
    MailKind,
    Templates,
    TemplatesError,
    clean,
)
from service.workers.channels.stored_audio import AudioDamaged, whole_audio

_TRANSCRIPTION_EVERY_S = 5.0


class EmailSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`sender` as `Name <address>`. A mail waits so long for its transcription, 0 not at all."""

    sender: str
    retention_days: int
    transcription_wait_s: float = 0.0
    timeout_s: float = 120.0
    concurrency: int = 8


class EmailChannel:
    """One mail per recipient; its target is the address. `clock` gives aware UTC."""

    name = "email"
    events = (EventType.MESSAGE_NEW.value, EventType.VMBOX_FULL.value)
    per_target = 2

    def __init__(
        self,
        database: Database,
        audio: AudioStore,
        smtp: SmtpSender,
        templates: Templates,
        settings: EmailSettings,
        clock: Callable[[], datetime],
    ) -> None:
        self.timeout_s = settings.timeout_s
        self.concurrency = settings.concurrency
        self._database = database
        self._audio = audio
        self._smtp = smtp
        self._templates = templates
        self._settings = settings
        self._clock = clock

    def handles(self, event: Event) -> bool:
        """Full boxes, and messages that somebody left, not moved, and that are for listening."""
        if event.type == EventType.VMBOX_FULL:
            return True
        data = _message_new(event)
        return data.origin.reason is OriginReason.STORED and data.message.folder is Folder.NEW

    async def targets(self, connection: Connection, event: Event) -> Sequence[Target]:
        try:
            now = await read_mail_context(connection, event.account_id, event.vmbox_id)
        except VmboxNotFound:
            return []
        full = event.type == EventType.VMBOX_FULL
        return [Target(name=one) for one in (of_full_box(now) if full else of_message(now))]

    async def deliver(self, delivery: Delivery) -> Outcome:
        try:
            letter = await self._mail(delivery)
        except (VmboxNotFound, MessageNotFound):
            return Ignored("the message or its box is gone")
        except AddressUnusable as error:
            return Failed(error=str(error), permanent=True)
        except (TemplatesError, AudioDamaged) as error:
            return Failed(error=str(error))
        if letter is None:
            return Postponed(delay_s=_TRANSCRIPTION_EVERY_S)
        return await self._smtp.send(
            letter.sender, letter.recipient, letter.content, utf8=letter.utf8
        )

    async def settle(self, connection: Connection, delivery: Delivery, outcome: Outcome) -> None:
        """Files the message with the mail of its last recipient."""
        if not isinstance(outcome, Done) or delivery.event.type != EventType.MESSAGE_NEW:
            return
        message_id = _message_id(delivery.event)
        since = retained_since(self._clock(), self._settings.retention_days)
        await file_notified(connection, delivery, delivery.event.vmbox_id, message_id, since)

    async def _mail(self, delivery: Delivery) -> Mail | None:
        """None while the transcription is waited for."""
        event, message = delivery.event, None
        async with self._database.connection() as connection:
            now = await read_mail_context(connection, event.account_id, event.vmbox_id)
            if event.type == EventType.MESSAGE_NEW:
                place = MessageKey(event.account_id, event.vmbox_id, _message_id(event))
                message = await get_message(connection, place)
        if message is None:
            facts = full_facts(now, _full(event), event.created_at)
            return await self._written(delivery, now, MailKind.FULL, facts)
        if self._must_wait(delivery, now, message):
            return None
        attachment = await self._attachment(now, message)
        facts = message_facts(now, message, has_audio=attachment is not None)
        return await self._written(delivery, now, MailKind.MESSAGE, facts, attachment)

    def _must_wait(self, delivery: Delivery, now: MailContext, message: Message) -> bool:
        wait = timedelta(seconds=self._settings.transcription_wait_s)
        return (
            now.settings.get("transcribe") is True
            and wants_transcription(now)
            and message.transcription is None
            and self._clock() < delivery.created_at + wait
        )

    async def _attachment(self, now: MailContext, message: Message) -> Attachment | None:
        """The stored audio as it is. Raises AudioMissing, AudioDamaged, Unavailable."""
        if now.settings.get("include_message_on_notify") is False:
            return None
        if (audio := message.audio) is None:
            raise AudioMissing
        content = await whole_audio(self._audio, audio)
        caller = clean(message.caller_id.name) or clean(message.caller_id.number)
        local = message.received_at.astimezone(now.zone)
        return Attachment(
            content=content,
            content_type=audio.content_type,
            name=file_name(caller, local, extension_of(audio.content_type)),
        )

    async def _written(
        self,
        delivery: Delivery,
        now: MailContext,
        kind: MailKind,
        facts: MailFacts,
        attachment: Attachment | None = None,
    ) -> Mail:
        own = now.mail_settings
        subject = own.get("subject") if kind is MailKind.MESSAGE else None
        words = self._templates.render(
            kind, facts, subject if isinstance(subject, str) and clean(subject) else None
        )
        shown = own.get("from")
        # Megabytes of base64 take a while.
        return await asyncio.to_thread(
            build_mail,
            sender=self._settings.sender,
            shown_sender=shown if isinstance(shown, str) else None,
            recipient=delivery.target,
            message_id=delivery.key.hex,
            date=delivery.event.created_at,
            words=words,
            attachment=attachment,
        )


def _message_new(event: Event) -> MessageNew:
    data = decode_data(EventType.MESSAGE_NEW, event.data)
    assert isinstance(data, MessageNew)
    return data


def _full(event: Event) -> VmboxWasFull:
    data = decode_data(EventType.VMBOX_FULL, event.data)
    assert isinstance(data, VmboxWasFull)
    return data


def _message_id(event: Event) -> MessageId:
    message_id = MessageId.parse(_message_new(event).message.media_id)
    if message_id is None:
        raise MessageNotFound
    return message_id
