"""Builds the channels of `aftertone notifier` from settings.

The docstring of a function that opens a channel is its description in `aftertone notifier --help`.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Protocol

import msgspec

from service.bus import Bus
from service.domain.clock import utc_now
from service.postgres.pool import Database
from service.security import MailLinkTokens, RecipientTokens, SecretBox
from service.settings import Settings, SettingsError
from service.wiring.factories import (
    key_ring_of,
    open_audio,
    open_bus,
    open_conversion,
    open_database,
    open_renditions,
    open_webhook_sender,
    retention_of,
)
from service.wiring.lamps import open_lamp_consumers
from service.wiring.process import open_process
from service.wiring.transcription import concurrency_of, open_engine
from service.workers.channels.callback import CallbackChannel
from service.workers.channels.email import (
    EmailChannel,
    EmailSettings,
    InvalidAddress,
    Mail,
    MailKind,
    RecipientLinks,
    RenderedMail,
    SmtpSender,
    SmtpServer,
    Templates,
    TemplatesError,
    preview,
)
from service.workers.channels.media import MediaChannel
from service.workers.channels.transcription import TranscriptionChannel
from service.workers.channels.webhook import WebhookChannel
from service.workers.notifier import Notifier, NotifierTimings

_PREVIEW_SENDER = "Voicemail <voicemail@example.com>"


class ChannelLoop(Protocol):
    """Work of a channel until `stop` is set."""

    async def run(self, stop: asyncio.Event) -> None: ...


class ChannelResources(msgspec.Struct, frozen=True, kw_only=True):
    """Resources that the channels of one process share."""

    settings: Settings
    database: Database
    bus: Bus

    @property
    def timings(self) -> NotifierTimings:
        settings = self.settings
        delays = settings.notifier_retries_s.split(",")
        return NotifierTimings(
            retries_s=tuple(float(delay) for delay in delays if delay),
            lease_margin_s=settings.notifier_lease_margin_s,
            ack_wait_s=settings.notifier_ack_wait_s,
        )


async def run_notifiers(settings: Settings, names: Sequence[str]) -> None:
    """Runs channels until SIGTERM or SIGINT, then completes the deliveries in progress."""
    name = f"aftertone notifier {' '.join(names)}"
    async with AsyncExitStack() as stack:
        process = await stack.enter_async_context(
            open_process(settings, settings.database_url, name)
        )
        resources = ChannelResources(
            settings=settings,
            database=await stack.enter_async_context(open_database(settings, name)),
            bus=await stack.enter_async_context(open_bus(settings, name)),
        )
        loops = [await stack.enter_async_context(CHANNELS[channel](resources)) for channel in names]
        process.mark_started()
        async with asyncio.TaskGroup() as group:
            for loop in loops:
                group.create_task(loop.run(process.stop))


def preview_mail(settings: Settings, kind: MailKind) -> tuple[RenderedMail, Mail]:
    """Renders a sample mail. Raises SettingsError."""
    _check_mails(settings)
    return _preview(settings, kind)


def _preview(settings: Settings, kind: MailKind) -> tuple[RenderedMail, Mail]:
    return preview(_templates(settings), kind, settings.email_sender or _PREVIEW_SENDER)


@asynccontextmanager
async def _email(resources: ChannelResources) -> AsyncIterator[ChannelLoop]:
    """Mails the owner of a box about new messages and a full box."""
    settings = resources.settings
    async with (
        open_smtp(settings) as smtp,
        open_audio(settings) as audio,
        open_renditions(settings, resources.database, audio) as renditions,
    ):
        channel = EmailChannel(
            resources.database,
            audio,
            smtp,
            _templates(settings),
            EmailSettings(
                sender=settings.email_sender,
                from_domains=frozenset(settings.email_from_domains.lower().split(",")) - {""},
                needs_confirmation=settings.email_confirm_recipients,
                inbox_url=_inbox_url(settings),
                link_days=settings.email_link_days,
                rate_per_hour=settings.email_rate_per_hour,
                retention=retention_of(settings),
                transcription_wait_s=settings.email_transcription_wait_s,
                # The server sends a few replies for a mail. Each has its own timeout.
                timeout_s=4 * settings.smtp_timeout_s,
                concurrency=settings.email_concurrency,
            ),
            utc_now,
            _recipient_links(settings),
            MailLinkTokens(SecretBox(key_ring_of(settings))) if settings.key_ring_file else None,
            renditions,
        )
        yield Notifier(resources.database, resources.bus, channel, resources.timings)


def _inbox_url(settings: Settings) -> str:
    """Returns the address of the web inbox; empty without a public URL or without the inbox."""
    has_page = settings.web_inbox and settings.public_url
    return f"{settings.public_url.rstrip('/')}/inbox" if has_page else ""


def _recipient_links(settings: Settings) -> RecipientLinks | None:
    """Returns None if there is no public URL. Raises SettingsError if confirmation needs it."""
    if settings.public_url and settings.key_ring_file:
        tokens = RecipientTokens(SecretBox(key_ring_of(settings)))
        return RecipientLinks(tokens, settings.public_url.rstrip("/"))
    if settings.email_confirm_recipients:
        raise SettingsError(
            "AFTERTONE_EMAIL_CONFIRM_RECIPIENTS needs AFTERTONE_PUBLIC_URL and "
            "AFTERTONE_KEY_RING_FILE."
        )
    return None


def open_smtp(settings: Settings) -> AbstractAsyncContextManager[SmtpSender]:
    """Opens the SMTP client. Raises SettingsError if no mail can be sent with the settings."""
    if not (settings.smtp_url and settings.email_sender):
        raise SettingsError(
            "The e-mail channel needs AFTERTONE_SMTP_URL and AFTERTONE_EMAIL_SENDER."
        )
    _check_mails(settings)
    return SmtpSender.open(
        _smtp_server(settings),
        timeout_s=settings.smtp_timeout_s,
        ca_file=settings.smtp_ca_file,
        hostname=settings.smtp_hostname,
    )


@asynccontextmanager
async def _webhook(resources: ChannelResources) -> AsyncIterator[ChannelLoop]:
    """Posts events to the webhooks of an account."""
    settings = resources.settings
    async with open_webhook_sender(settings, SecretBox(key_ring_of(settings))) as sender:
        channel = WebhookChannel(
            resources.database, sender, concurrency=settings.webhook_concurrency
        )
        yield Notifier(resources.database, resources.bus, channel, resources.timings)


def _check_mails(settings: Settings) -> None:
    """Raises SettingsError for an invalid template or sender, before the first message."""
    try:
        for kind in MailKind:
            _preview(settings, kind)
    except InvalidAddress as error:
        raise SettingsError(f"AFTERTONE_EMAIL_SENDER is not valid: {error}.") from None
    except TemplatesError as error:
        raise SettingsError(f"A mail template cannot be rendered: {error}.") from None


def _templates(settings: Settings) -> Templates:
    folder = settings.email_templates_folder
    try:
        return Templates(Path(folder) if folder else None)
    except TemplatesError as error:
        raise SettingsError(f"AFTERTONE_EMAIL_TEMPLATES_FOLDER is not valid: {error}") from None


def _smtp_server(settings: Settings) -> SmtpServer:
    try:
        return SmtpServer.parse(settings.smtp_url)
    except ValueError as error:
        raise SettingsError(f"AFTERTONE_SMTP_URL is not valid: {error}.") from None


@asynccontextmanager
async def _mwi(resources: ChannelResources) -> AsyncIterator[ChannelLoop]:
    """Sets the message-waiting lamps, in NATS and on Asterisk."""
    async with open_lamp_consumers(resources.settings, resources.database, resources.bus) as loops:
        yield _CombinedLoop(loops)


@asynccontextmanager
async def _callback(resources: ChannelResources) -> AsyncIterator[ChannelLoop]:
    """Requests a call to the owner of a box about new messages."""
    numbers = re.compile(resources.settings.callback_number_pattern)
    channel = CallbackChannel(resources.database, numbers)
    yield Notifier(resources.database, resources.bus, channel, resources.timings)


@asynccontextmanager
async def _transcription(resources: ChannelResources) -> AsyncIterator[ChannelLoop]:
    """Transcribes new messages with a speech recognition engine."""
    settings = resources.settings
    async with open_engine(settings) as engine, open_audio(settings) as audio:
        channel = TranscriptionChannel(
            resources.database,
            audio,
            engine,
            language=settings.transcription_language,
            timeout_s=settings.transcription_timeout_s,
            concurrency=concurrency_of(settings),
        )
        yield Notifier(resources.database, resources.bus, channel, resources.timings)


@asynccontextmanager
async def _media(resources: ChannelResources) -> AsyncIterator[ChannelLoop]:
    """Measures the audio of new messages, and normalizes it."""
    settings = resources.settings
    async with open_conversion(settings) as pool, open_audio(settings) as audio:
        if not pool.is_available:
            raise SettingsError("The media channel needs PyAV; install aftertone[audio].")
        channel = MediaChannel(resources.database, audio, pool)
        yield Notifier(resources.database, resources.bus, channel, resources.timings)


class _CombinedLoop(msgspec.Struct, frozen=True):
    """Loop that runs several loops at the same time."""

    loops: Sequence[ChannelLoop]

    async def run(self, stop: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as group:
            for loop in self.loops:
                group.create_task(loop.run(stop))


CHANNELS: Mapping[str, Callable[[ChannelResources], AbstractAsyncContextManager[ChannelLoop]]] = {
    "email": _email,
    "webhook": _webhook,
    "mwi": _mwi,
    "callback": _callback,
    "transcription": _transcription,
    "media": _media,
}
"""Functions that open a channel, by its name. To add a channel, add it here."""
