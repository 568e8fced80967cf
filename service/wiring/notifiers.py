"""The channels that `aftertone notifier` runs, each built from settings by its name."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Protocol

import msgspec

from service.bus import Bus
from service.domain.clock import utc_now
from service.postgres.pool import Database
from service.security import SecretBox
from service.settings import Settings, SettingsError
from service.wiring.factories import (
    key_ring_of,
    open_audio,
    open_bus,
    open_database,
    open_webhook_sender,
)
from service.wiring.lamps import following_lamps
from service.wiring.process import serving
from service.workers.channels.callback import CallbackChannel
from service.workers.channels.email import (
    AddressUnusable,
    EmailChannel,
    EmailSettings,
    Mail,
    MailKind,
    Rendered,
    SmtpSender,
    SmtpServer,
    Templates,
    TemplatesError,
    preview,
)
from service.workers.channels.transcription import (
    Engine,
    EngineSettings,
    TranscriptionChannel,
)
from service.workers.channels.webhook import WebhookChannel
from service.workers.notifier import Notifier, NotifierTimings

_PREVIEW_SENDER = "Voicemail <voicemail@example.com>"


class Loop(Protocol):
    """What a channel's process does until it is to stop."""

    async def run(self, stop: asyncio.Event) -> None: ...


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """What the channels of one process share."""

    settings: Settings
    database: Database
    bus: Bus

    @property
    def pace(self) -> NotifierTimings:
        settings = self.settings
        waits = settings.notifier_retries_s.split(",")
        return NotifierTimings(
            retries_s=tuple(float(wait) for wait in waits if wait),
            lease_margin_s=settings.notifier_lease_margin_s,
            ack_wait_s=settings.notifier_ack_wait_s,
        )


async def run_notifiers(settings: Settings, names: Sequence[str]) -> None:
    """Runs channels until SIGTERM or SIGINT; what is in hand is finished."""
    name = f"aftertone notifier {' '.join(names)}"
    async with AsyncExitStack() as stack:
        process = await stack.enter_async_context(serving(settings, settings.database_url, name))
        parts = Parts(
            settings=settings,
            database=await stack.enter_async_context(open_database(settings, name)),
            bus=await stack.enter_async_context(open_bus(settings, name)),
        )
        loops = [await stack.enter_async_context(CHANNELS[one](parts)) for one in names]
        process.started()
        async with asyncio.TaskGroup() as group:
            for loop in loops:
                group.create_task(loop.run(process.stop))


def preview_mail(settings: Settings, kind: MailKind) -> tuple[Rendered, Mail]:
    """A mail of invented facts, made of the templates as they are."""
    return preview(_templates(settings), kind, settings.email_sender or _PREVIEW_SENDER)


def preview_as(settings: Settings, kind: str, form: str) -> bytes:
    """The preview as `text` (with its subject), `html` or `eml`. Raises SettingsError."""
    _check_mails(settings)
    words, letter = preview_mail(settings, MailKind(kind))
    match form:
        case "text":
            return f"Subject: {words.subject}\n\n{words.text}".encode()
        case "html":
            return words.html.encode()
        case _:
            return letter.content


@asynccontextmanager
async def _email(parts: Parts) -> AsyncIterator[Loop]:
    settings = parts.settings
    async with (
        # Channels that touch no audio are given no credentials for it.
        open_smtp(settings) as smtp,
        open_audio(settings) as audio,
    ):
        channel = EmailChannel(
            parts.database,
            audio,
            smtp,
            _templates(settings),
            EmailSettings(
                sender=settings.email_sender,
                retention_days=settings.retention_days,
                transcription_wait_s=settings.email_transcription_wait_s,
                # A mail is a few answers of the server, each within its own time.
                timeout_s=4 * settings.smtp_timeout_s,
                concurrency=settings.email_concurrency,
            ),
            utc_now,
        )
        yield Notifier(parts.database, parts.bus, channel, parts.pace)


def open_smtp(settings: Settings) -> AbstractAsyncContextManager[SmtpSender]:
    """The server that takes mails, when settings make mails possible at all; else SettingsError."""
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
async def _webhook(parts: Parts) -> AsyncIterator[Loop]:
    settings = parts.settings
    async with open_webhook_sender(settings, SecretBox(key_ring_of(settings))) as posts:
        channel = WebhookChannel(parts.database, posts, concurrency=settings.webhook_concurrency)
        yield Notifier(parts.database, parts.bus, channel, parts.pace)


def _check_mails(settings: Settings) -> None:
    """A template or sender that is no good shows here, not at the first message."""
    try:
        for kind in MailKind:
            preview_mail(settings, kind)
    except AddressUnusable as error:
        raise SettingsError(f"AFTERTONE_EMAIL_SENDER is not usable: {error}.") from None
    except TemplatesError as error:
        raise SettingsError(f"No mail can be made: {error}.") from None


def _templates(settings: Settings) -> Templates:
    folder = settings.email_templates_folder
    try:
        return Templates(Path(folder) if folder else None)
    except TemplatesError as error:
        raise SettingsError(f"AFTERTONE_EMAIL_TEMPLATES_FOLDER is not usable: {error}") from None


def _smtp_server(settings: Settings) -> SmtpServer:
    try:
        return SmtpServer.parse(settings.smtp_url)
    except ValueError as error:
        raise SettingsError(f"AFTERTONE_SMTP_URL is not usable: {error}.") from None


@asynccontextmanager
async def _mwi(parts: Parts) -> AsyncIterator[Loop]:
    async with following_lamps(parts.settings, parts.database, parts.bus) as loops:
        yield _Together(loops)


@asynccontextmanager
async def _callback(parts: Parts) -> AsyncIterator[Loop]:
    yield Notifier(parts.database, parts.bus, CallbackChannel(parts.database), parts.pace)


@asynccontextmanager
async def _transcription(parts: Parts) -> AsyncIterator[Loop]:
    settings = parts.settings
    async with open_engine(settings) as engine, open_audio(settings) as audio:
        channel = TranscriptionChannel(
            parts.database,
            audio,
            engine,
            timeout_s=settings.transcription_timeout_s,
            concurrency=settings.transcription_concurrency,
        )
        yield Notifier(parts.database, parts.bus, channel, parts.pace)


def open_engine(settings: Settings) -> AbstractAsyncContextManager[Engine]:
    """The engine for speech recognition. Raises SettingsError where there is none."""
    if not settings.transcription_url:
        raise SettingsError("The transcription channel needs AFTERTONE_TRANSCRIPTION_URL.")
    return Engine.open(
        EngineSettings(
            url=settings.transcription_url,
            key=settings.transcription_key,
            model=settings.transcription_model,
            language=settings.transcription_language,
            timeout_s=settings.transcription_timeout_s,
        )
    )


class _Together(msgspec.Struct, frozen=True):
    """Several loops as one."""

    loops: Sequence[Loop]

    async def run(self, stop: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as group:
            for loop in self.loops:
                group.create_task(loop.run(stop))


CHANNELS: Mapping[str, Callable[[Parts], AbstractAsyncContextManager[Loop]]] = {
    "email": _email,
    "webhook": _webhook,
    "mwi": _mwi,
    "callback": _callback,
    "transcription": _transcription,
}
"""By name; a channel is added here and in nothing else of this package."""
