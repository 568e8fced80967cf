"""E-mail channel: recipients of an event, content of the mail, folder change afterwards."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from uuid import uuid4

import msgspec

from service.audio.store import AudioStore
from service.domain.audio_errors import AudioMissing, AudioUnreadable, ConversionUnavailable
from service.domain.errors import MessageNotFound, TooManyConversions, VmboxNotFound
from service.domain.events import Event, EventType, VmboxWasFull, decode_data
from service.domain.message import Audio, Message, MessageId
from service.domain.recipient import MAX_RECIPIENTS, MailRecipient
from service.domain.recording import LinkRecipient, MailLink
from service.domain.rendition import RenditionFormat
from service.domain.retention import Retention
from service.domain.vmbox import addresses_of
from service.logs import get_logger
from service.postgres.accounts import read_account
from service.postgres.mail import reserve_mail
from service.postgres.messages import MessageKey, get_message
from service.postgres.pool import Connection, Database
from service.security import MailLinkTokens
from service.usecases.mail_recipients import (
    MailContext,
    full_box_recipients,
    message_recipients,
    read_mail_context,
)
from service.usecases.renditions import Renditions
from service.workers.channels import Delivery, Done, Failed, Ignored, Outcome, Postponed, Target
from service.workers.channels.email.after_notify import change_folder_after_notify
from service.workers.channels.email.consent import (
    RecipientLinks,
    is_consent_request,
    permitted_targets,
    recipient_of,
    refusal_of,
)
from service.workers.channels.email.headers import to_single_line
from service.workers.channels.email.mime import (
    Attachment,
    InvalidAddress,
    Mail,
    build_mail,
    file_name,
)
from service.workers.channels.email.smtp import SmtpSender
from service.workers.channels.email.template_context import (
    consent_variables,
    full_box_variables,
    message_variables,
)
from service.workers.channels.email.templates import (
    MailKind,
    MailVariables,
    Templates,
    TemplatesError,
)
from service.workers.channels.message_new import decode_message_new, is_new_voicemail
from service.workers.channels.stored_audio import AudioDamaged, read_whole_audio

log = get_logger(__name__)

_TRANSCRIPTION_POLL_S = 5.0
_CONVERSION_POLL_S = 5.0
# Key in the state of a delivery that is counted in the mail rate.
_RESERVED = "reserved"


class EmailSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`sender` is `Name <address>`. 0 for `transcription_wait_s` means no wait.

    `needs_confirmation`: addresses that belong to no user get mails only after they have confirmed.
    `rate_per_hour` is the maximum for one account, 0 for none.
    `from_domains` are the domains, in lower case, that every account may use in From.
    `inbox_url` is the address of the web inbox. If it is empty, mails have no link to it.
    `link_days` are the days for which the link works without sign-in, 0 for none.
    """

    sender: str
    from_domains: frozenset[str] = frozenset()
    retention: Retention
    rate_per_hour: int = 0
    needs_confirmation: bool = False
    inbox_url: str = ""
    link_days: int = 0
    transcription_wait_s: float = 0.0
    timeout_s: float = 120.0
    concurrency: int = 8


class EmailChannel:
    """Sends one mail per recipient. The target is the address."""

    name = "email"
    events: tuple[str, ...] = (EventType.MESSAGE_NEW.value, EventType.VMBOX_FULL.value)
    per_target = 2

    def __init__(
        self,
        database: Database,
        audio: AudioStore,
        smtp: SmtpSender,
        templates: Templates,
        settings: EmailSettings,
        clock: Callable[[], datetime],
        links: RecipientLinks | None = None,
        mail_links: MailLinkTokens | None = None,
        renditions: Renditions | None = None,
    ) -> None:
        """Without `links`, mails have no links to unsubscribe. `needs_confirmation` requires them.

        Without `renditions`, mails have the stored audio.

        Without `mail_links`, the links to messages need sign-in.
        """
        assert links is not None or not settings.needs_confirmation
        self.timeout_s = settings.timeout_s
        self.concurrency = settings.concurrency
        self._database = database
        self._audio = audio
        self._smtp = smtp
        self._templates = templates
        self._settings = settings
        self._clock = clock
        self._links = links
        self._mail_links = mail_links
        self._renditions = renditions

    def handles(self, event: Event) -> bool:
        return event.type == EventType.VMBOX_FULL or is_new_voicemail(event)

    async def targets(self, connection: Connection, event: Event) -> Sequence[Target]:
        try:
            context = await read_mail_context(connection, event.account_id, event.vmbox_id)
        except VmboxNotFound:
            return []
        if (number := len(addresses_of(context.settings))) > MAX_RECIPIENTS:
            log.warning(
                "recipients above limit ignored",
                account_id=event.account_id.hex,
                vmbox_id=event.vmbox_id.hex,
                ignored=number - MAX_RECIPIENTS,
            )
        is_full_event = event.type == EventType.VMBOX_FULL
        addresses = full_box_recipients(context) if is_full_event else message_recipients(context)
        return await permitted_targets(
            connection,
            event.account_id,
            addresses,
            self._clock(),
            needs_confirmation=self._settings.needs_confirmation,
        )

    async def deliver(self, delivery: Delivery) -> Outcome:
        try:
            mail = await self._build_mail(delivery)
        except (VmboxNotFound, MessageNotFound):
            return Ignored("the message or its box was deleted")
        except InvalidAddress as error:
            return Failed(error=str(error), permanent=True)
        except (TemplatesError, AudioDamaged) as error:
            return Failed(error=str(error))
        except TooManyConversions:
            return Postponed(delay_s=_CONVERSION_POLL_S, state=delivery.state)
        if not isinstance(mail, Mail):
            return mail
        outcome = await self._smtp.send(mail.sender, mail.recipient, mail.content, utf8=mail.utf8)
        if isinstance(outcome, Done) and is_consent_request(delivery):
            # The recipient did not get the message, so its folder must not change.
            return Ignored("the recipient was asked to confirm")
        return outcome

    async def settle(self, connection: Connection, delivery: Delivery, outcome: Outcome) -> None:
        """Changes the folder of the message after the mail to the last recipient."""
        if not isinstance(outcome, Done) or delivery.event.type != EventType.MESSAGE_NEW:
            return
        message_id = _message_id(delivery.event)
        await change_folder_after_notify(
            connection,
            delivery,
            delivery.event.vmbox_id,
            message_id,
            self._settings.retention,
            self._clock(),
        )

    async def _build_mail(self, delivery: Delivery) -> Mail | Postponed | Ignored:
        """Returns the mail, or the outcome if it must be sent later or not at all."""
        context, message, recipient = await self._read(delivery)
        outcome = (
            self._refuse(delivery, recipient)
            or self._wait_for_transcription(delivery, context, message)
            or await self._wait_for_turn(delivery)
        )
        if outcome is not None:
            return outcome
        if is_consent_request(delivery):
            assert self._links is not None
            variables = consent_variables(context, self._links.confirm(recipient), self._clock())
            return await self._render(delivery, context, recipient, MailKind.CONFIRM, variables)
        if message is None:
            event = delivery.event
            variables = full_box_variables(context, _decode_full(event), event.created_at)
            return await self._render(delivery, context, recipient, MailKind.FULL, variables)
        attachment = await self._read_attachment(delivery, context, message)
        variables = message_variables(
            context,
            message,
            has_audio=attachment is not None,
            listen_url=self._listen_url(delivery, context, message),
        )
        kind = MailKind.MESSAGE
        return await self._render(delivery, context, recipient, kind, variables, attachment)

    def _listen_url(self, delivery: Delivery, context: MailContext, message: Message) -> str:
        """Returns the address of the message in the web inbox.

        It works without sign-in if the mail could contain the audio.
        """
        inbox, days = self._settings.inbox_url, self._settings.link_days
        if not inbox:
            return ""
        if self._mail_links is None or not days or not context.includes_audio:
            return f"{inbox}#box={message.vmbox_id.hex}&message={message.id}"
        now = self._clock()
        link = MailLink(
            link_id=uuid4(),
            account_id=delivery.account_id,
            vmbox_id=message.vmbox_id,
            message_id=message.id,
            recipient=LinkRecipient(address=delivery.target.lower()),
            expires_at=now + timedelta(days=days),
        )
        return f"{inbox}#mail={self._mail_links.issue(link)}"

    async def _read(self, delivery: Delivery) -> tuple[MailContext, Message | None, MailRecipient]:
        """Returns the current data of a mail. The message is None for a full box."""
        event, message = delivery.event, None
        async with self._database.connection() as connection:
            context = await read_mail_context(connection, event.account_id, event.vmbox_id)
            if event.type == EventType.MESSAGE_NEW:
                key = MessageKey(event.account_id, event.vmbox_id, _message_id(event))
                message = await get_message(connection, key)
            return context, message, await recipient_of(connection, delivery)

    def _refuse(self, delivery: Delivery, recipient: MailRecipient) -> Ignored | None:
        needs_confirmation = self._settings.needs_confirmation
        reason = refusal_of(delivery, recipient, needs_confirmation=needs_confirmation)
        return None if reason is None else Ignored(reason)

    def _wait_for_transcription(
        self, delivery: Delivery, context: MailContext, message: Message | None
    ) -> Postponed | None:
        wait = timedelta(seconds=self._settings.transcription_wait_s)
        must_wait = (
            message is not None
            and context.settings.get("transcribe") is True
            and context.includes_transcription
            and message.transcription is None
            and self._clock() < delivery.created_at + wait
        )
        if not must_wait:
            return None
        return Postponed(delay_s=_TRANSCRIPTION_POLL_S, state=delivery.state)

    async def _wait_for_turn(self, delivery: Delivery) -> Postponed | None:
        """Counts the mail in the rate of its account, once, at its first attempt."""
        rate = self._settings.rate_per_hour
        if not rate or delivery.attempt > 1 or delivery.state.get(_RESERVED):
            return None
        async with self._database.connection() as connection:
            delay_s = await reserve_mail(connection, delivery.account_id, 3600 / rate)
        if delay_s == 0:
            return None
        return Postponed(delay_s=delay_s, state={**delivery.state, _RESERVED: True})

    async def _convert(
        self,
        delivery: Delivery,
        message: Message,
        audio: Audio,
        target: RenditionFormat,
        renditions: Renditions,
    ) -> Audio:
        async with self._database.connection() as connection:
            account = await read_account(connection, delivery.account_id)
        return (
            audio
            if account is None
            else await renditions.of_message(account, message, audio, target)
        )

    async def _read_attachment(
        self, delivery: Delivery, context: MailContext, message: Message
    ) -> Attachment | None:
        """Returns the audio in the format of the box, or as it is stored if it cannot be converted.

        Raises AudioMissing, AudioDamaged, Unavailable.
        """
        if not context.includes_audio:
            return None
        if (audio := message.audio) is None:
            raise AudioMissing
        if self._renditions is not None and (target := context.audio_format) is not None:
            with suppress(AudioUnreadable, ConversionUnavailable):
                audio = await self._convert(delivery, message, audio, target, self._renditions)
        content = await read_whole_audio(self._audio, audio)
        local = message.received_at.astimezone(context.zone)
        return Attachment(
            content=content,
            content_type=audio.content_type,
            name=file_name(message.caller_id, local, audio.extension),
        )

    async def _render(
        self,
        delivery: Delivery,
        context: MailContext,
        recipient: MailRecipient,
        kind: MailKind,
        variables: MailVariables,
        attachment: Attachment | None = None,
    ) -> Mail:
        # A request for consent has no text of the account.
        settings = {} if kind is MailKind.CONFIRM else context.mail_settings
        subject = settings.get("subject") if kind is MailKind.MESSAGE else None
        rendered = self._templates.render(
            kind,
            variables,
            subject if isinstance(subject, str) and to_single_line(subject) else None,
        )
        from_header = settings.get("from")
        # Encoding megabytes as base64 would block the event loop.
        return await asyncio.to_thread(
            build_mail,
            sender=self._settings.sender,
            from_header=from_header if isinstance(from_header, str) else None,
            from_domains=self._settings.from_domains | context.from_domains,
            recipient=delivery.target,
            message_id=delivery.key.hex,
            date=delivery.event.created_at,
            rendered=rendered,
            attachment=attachment,
            unsubscribe_url=self._links.unsubscribe(recipient) if self._links else None,
        )


def _decode_full(event: Event) -> VmboxWasFull:
    data = decode_data(EventType.VMBOX_FULL, event.data)
    assert isinstance(data, VmboxWasFull)
    return data


def _message_id(event: Event) -> MessageId:
    message_id = MessageId.parse(decode_message_new(event).message.media_id)
    if message_id is None:
        raise MessageNotFound
    return message_id
