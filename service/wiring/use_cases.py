"""Builds the use cases of the API process."""

import re
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import msgspec

from service.api.dependencies import UseCases
from service.api.http.auth import AuthOptions
from service.api.http.peer import IPNetwork
from service.api.http.rate_limit import RateLimit
from service.audio.conversion.pool import ConversionPool
from service.audio.store import AudioStore
from service.domain.account import Quotas
from service.domain.clock import utc_now
from service.postgres.pool import Database
from service.postgres.standby import Reads
from service.security import LinkTokens, MailLinkTokens, RecipientTokens, UploadTokens
from service.settings import Settings, SettingsError, parse_networks
from service.usecases.accounts import Accounts
from service.usecases.api_keys import ApiKeys
from service.usecases.audit import Audit
from service.usecases.batches import Batches
from service.usecases.credential_cache import CredentialCache
from service.usecases.deliveries import DeadDeliveries
from service.usecases.direct_uploads import DirectUploads
from service.usecases.erasures import ErasureRequests
from service.usecases.exports import Exports
from service.usecases.feed import Feed
from service.usecases.forwards import Forwards
from service.usecases.greetings import Greetings
from service.usecases.holds import Holds
from service.usecases.idempotency import Idempotency
from service.usecases.mail_consents import MailConsents
from service.usecases.mail_links import MailLinks
from service.usecases.message_lists import MessageLists
from service.usecases.messages import Messages
from service.usecases.pin_check import PinChecks
from service.usecases.recipients import Recipients
from service.usecases.recording_links import RecordingLinks
from service.usecases.recordings import Recordings
from service.usecases.relay_wakeup import RelayWakeup
from service.usecases.renditions import Renditions
from service.usecases.retention import RetentionLookup
from service.usecases.retention_preview import RetentionPreviews
from service.usecases.searches import Searches
from service.usecases.slots import StreamSlots
from service.usecases.transcriptions import Transcriptions
from service.usecases.transfers import Transfers
from service.usecases.trash import Trash
from service.usecases.uploads import Uploads
from service.usecases.vmbox_trash import VmboxTrash
from service.usecases.vmboxes import Vmboxes
from service.usecases.waveforms import Waveforms
from service.usecases.webhook_sender import WebhookSender
from service.usecases.webhooks import Webhooks
from service.wiring.factories import (
    key_ring_of,
    open_accounts,
    open_audio,
    open_conversion,
    open_database,
    open_reads,
    open_webhook_sender,
    quotas_of,
    retention_of,
    users_of,
)


class _Shared(msgspec.Struct, frozen=True, kw_only=True):
    """Components that several use cases share. `hot` is the pool of the frequent statements.

    `reads` are the same pools for lists and audit, which may use a standby.
    """

    database: Database
    hot: Database
    reads: tuple[Reads, Reads]
    audio: AudioStore
    conversion: ConversionPool
    accounts: Accounts
    feed: Feed
    sender: WebhookSender
    idempotency: Idempotency
    retention: RetentionLookup
    uploads: Uploads
    quotas: Quotas
    renditions: Renditions


@asynccontextmanager
async def open_use_cases(settings: Settings, name: str) -> AsyncIterator[UseCases]:
    """Opens connections and background tasks, and closes them at the end."""
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        database = await enter(open_database(settings, name))
        hot = await enter(open_database(settings, name, generic_plans=True))
        accounts = await enter(open_accounts(settings, database))
        audio = await enter(open_audio(settings, settings.audio_cache_mb))
        quotas = quotas_of(settings)
        conversion = await enter(open_conversion(settings))
        renditions = Renditions(database, audio, conversion, utc_now, quotas)
        shared = _Shared(
            database=database,
            hot=hot,
            reads=await enter(open_reads(settings, name, database, hot)),
            audio=audio,
            conversion=conversion,
            accounts=accounts,
            feed=await enter(Feed(database).tail_in_background()),
            sender=await enter(open_webhook_sender(settings, accounts.secrets)),
            idempotency=Idempotency(hot),
            retention=RetentionLookup(hot, retention_of(settings)),
            uploads=_uploads(settings),
            quotas=quotas,
            renditions=await enter(renditions.convert_in_background()),
        )
        yield _create_use_cases(settings, shared)


def _create_use_cases(settings: Settings, shared: _Shared) -> UseCases:
    database, hot, audio, accounts = shared.database, shared.hot, shared.audio, shared.accounts
    quotas, retention = shared.quotas, shared.retention
    numbers = re.compile(settings.callback_number_pattern)
    vmboxes = Vmboxes(database, accounts.secrets, utc_now, quotas, numbers, accounts.account_cache)
    recordings = Recordings(database, hot, audio)
    trash = _trash(settings, shared)
    messages = _messages(settings, shared)
    return UseCases(
        accounts=accounts,
        api_keys=_api_keys(shared),
        users=users_of(accounts, settings),
        credentials=CredentialCache(accounts.sessions),
        vmboxes=vmboxes,
        recipients=Recipients(vmboxes),
        mail_consents=MailConsents(database, RecipientTokens(accounts.secrets)),
        messages=messages,
        direct_uploads=_direct_uploads(settings, shared, messages),
        dead_deliveries=DeadDeliveries(database),
        message_lists=MessageLists(*shared.reads, utc_now, retention),
        searches=Searches(shared.reads[0], utc_now),
        pin_checks=PinChecks(vmboxes),
        recordings=recordings,
        recording_links=_recording_links(settings, shared, recordings),
        renditions=shared.renditions,
        waveforms=Waveforms(database, audio, shared.conversion),
        transcriptions=Transcriptions(database),
        forwards=Forwards(database, messages, shared.conversion),
        greetings=Greetings(database, audio, utc_now, shared.uploads, quotas),
        webhooks=Webhooks(database=database, sender=shared.sender, quotas=quotas),
        erasures=ErasureRequests(database),
        holds=Holds(database, accounts.sessions.audit),
        exports=Exports(database, audio, utc_now),
        batches=Batches(database, utc_now, retention),
        retention=retention,
        retention_previews=RetentionPreviews(database, retention, utc_now),
        transfers=_transfers(shared),
        trash=trash,
        vmbox_trash=VmboxTrash(database, shared.idempotency, utc_now, trash, quotas),
        feed=shared.feed,
        audit=Audit(shared.reads[0], accounts.sessions.audit),
        relay_wakeup=RelayWakeup(database),
        auth_options=AuthOptions(
            tokens_in_query=settings.tokens_in_query,
            trusted_proxies=_trusted_proxies(settings),
        ),
        stream_slots=_stream_slots(settings),
        rate_limit=RateLimit(settings.rate_limit_per_s, settings.rate_limit_burst, time.monotonic),
        public_url=settings.public_url.rstrip("/"),
        kazoo_neighbours=settings.kazoo_neighbours,
        has_web_inbox=settings.web_inbox,
        redirect_audio=settings.redirect_audio,
        strict_metadata=settings.strict_metadata,
    )


def _api_keys(shared: _Shared) -> ApiKeys:
    return ApiKeys(
        database=shared.database,
        account_cache=shared.accounts.account_cache,
        secrets=shared.accounts.secrets,
        clock=utc_now,
        quotas=shared.quotas,
    )


def _messages(settings: Settings, shared: _Shared) -> Messages:
    return Messages(
        hot=shared.hot,
        audio=shared.audio,
        idempotency=shared.idempotency,
        clock=utc_now,
        retention=shared.retention,
        oldest_month=settings.oldest_month,
        uploads=shared.uploads,
        quotas=shared.quotas,
    )


def _direct_uploads(settings: Settings, shared: _Shared, messages: Messages) -> DirectUploads:
    return DirectUploads(
        messages=messages,
        tokens=UploadTokens(shared.accounts.secrets),
        max_bytes=settings.max_direct_upload_bytes,
    )


def _recording_links(settings: Settings, shared: _Shared, recordings: Recordings) -> RecordingLinks:
    accounts = shared.accounts
    return RecordingLinks(
        sessions=accounts.sessions,
        recordings=recordings,
        tokens=LinkTokens(key_ring_of(settings)),
        mail_links=MailLinks(
            database=shared.database,
            account_cache=accounts.account_cache,
            tokens=MailLinkTokens(accounts.secrets),
        ),
    )


def _transfers(shared: _Shared) -> Transfers:
    return Transfers(
        database=shared.database,
        audio=shared.audio,
        idempotency=shared.idempotency,
        clock=utc_now,
        retention=shared.retention,
        quotas=shared.quotas,
    )


def _trash(settings: Settings, shared: _Shared) -> Trash:
    return Trash(
        database=shared.database,
        audio=shared.audio,
        idempotency=shared.idempotency,
        clock=utc_now,
        retention=shared.retention,
        trash_days=settings.purge_grace_days,
        quotas=shared.quotas,
    )


def _uploads(settings: Settings) -> Uploads:
    return Uploads(
        settings.max_uploads_in_flight,
        settings.max_uploads_per_account,
        settings.max_upload_bytes,
    )


def _stream_slots(settings: Settings) -> StreamSlots:
    """Returns the slots of event streams. At least a quarter of the connections is for others."""
    total = settings.max_connections * 3 // 4
    return StreamSlots(
        min(settings.max_streams or total, total),
        settings.max_streams_per_account,
        settings.max_streams_per_token,
    )


def _trusted_proxies(settings: Settings) -> tuple[IPNetwork, ...]:
    try:
        return parse_networks(settings.trusted_proxies)
    except ValueError as error:
        raise SettingsError(f"AFTERTONE_TRUSTED_PROXIES is not valid: {error}.") from None
