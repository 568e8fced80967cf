"""Opens the components of processes from settings."""

import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from service.audio.conversion.limits import ConversionLimits
from service.audio.conversion.pool import ConversionPool
from service.audio.s3_session import AccessKey, BucketSettings
from service.audio.store import AudioStore
from service.bus import Bus, BusAccess, StreamSettings
from service.domain.account import Quotas
from service.domain.clock import utc_now
from service.domain.errors import DnsUnavailable
from service.domain.retention import Retention
from service.logs import get_logger
from service.postgres.pool import Database, Pooler, is_pooler
from service.postgres.standby import PrimaryPosition, Reads, StandbyReads
from service.security import (
    LOOPBACK,
    CredentialProofs,
    Issuer,
    IssuerSettings,
    KeyRing,
    KeyRingError,
    OutboundHttp,
    OutboundLimits,
    SecretBox,
    Tokens,
    is_within,
    load_key_ring,
)
from service.settings import PREFIX, Settings, SettingsError, parse_networks
from service.usecases.account_cache import AccountCache
from service.usecases.accounts import Accounts
from service.usecases.audit import AuditQueue
from service.usecases.renditions import Renditions
from service.usecases.sessions import Sessions
from service.usecases.sign_in_limits import SignInGuard, SignInLimits
from service.usecases.slots import SharedSlots
from service.usecases.users import Users
from service.usecases.webhook_sender import WebhookSender

log = get_logger(__name__)

_POOLER_TIMEOUT_S = 5.0


def open_database(
    settings: Settings, name: str, size: int | None = None, *, generic_plans: bool = False
) -> AbstractAsyncContextManager[Database]:
    if not settings.database_url:
        raise SettingsError("AFTERTONE_DATABASE_URL is not set.")
    return Database.open(
        settings.database_url,
        size=size or settings.database_pool_size,
        timeout_s=settings.database_timeout_s,
        name=name,
        pool_name="hot" if generic_plans else "main",
        generic_plans=generic_plans,
        pooler=Pooler(settings.database_pooler),
    )


@asynccontextmanager
async def open_reads(
    settings: Settings, name: str, database: Database, hot: Database
) -> AsyncIterator[tuple[Reads, Reads]]:
    """Opens the pools of the standby. Returns `database` and `hot` if there is none."""
    if not settings.read_database_url:
        yield database, hot
        return
    async with (
        _open_standby(settings, name) as main,
        _open_standby(settings, name, hot=True) as other,
    ):
        position = PrimaryPosition(database)
        yield StandbyReads(database, main, position), StandbyReads(hot, other, position)


def _open_standby(
    settings: Settings, name: str, *, hot: bool = False
) -> AbstractAsyncContextManager[Database]:
    return Database.open(
        settings.read_database_url,
        size=settings.database_pool_size,
        timeout_s=settings.database_timeout_s,
        name=name,
        pool_name="standby hot" if hot else "standby",
        generic_plans=hot,
    )


async def require_direct(settings: Settings, name: str) -> Settings:
    """Returns the settings of a process whose connections are direct.

    Raises SettingsError if a connection pooler answers at the URL of the setting `name`. If
    nothing answers, each connection is checked later.
    """
    url: str = getattr(settings, name)
    if url and await is_pooler(url, _POOLER_TIMEOUT_S):
        raise SettingsError(
            f"{PREFIX}{name.upper()} is the URL of a connection pooler. Relay and keeper hold "
            "locks of a session, which a pooler shares: set the URL of Postgres itself for them."
        )
    return msgspec.structs.replace(settings, database_pooler="none")


def open_owner_database(
    settings: Settings, timeout_s: float | None = None
) -> AbstractAsyncContextManager[Database]:
    if not settings.owner_database_url:
        raise SettingsError("AFTERTONE_OWNER_DATABASE_URL is not set. The keeper needs it.")
    return Database.open(
        settings.owner_database_url,
        size=4,
        timeout_s=timeout_s or settings.database_timeout_s,
        name="aftertone keeper",
    )


def open_audio(
    settings: Settings, cache_mb: int = 0, access_key: AccessKey | None = None
) -> AbstractAsyncContextManager[AudioStore]:
    if settings.redirect_audio and not settings.s3_public_endpoint:
        raise SettingsError("AFTERTONE_REDIRECT_AUDIO needs AFTERTONE_S3_PUBLIC_ENDPOINT.")
    return AudioStore.open(
        BucketSettings(
            endpoint=settings.s3_endpoint or None,
            bucket=settings.s3_bucket,
            region=settings.s3_region,
            addressing_style=settings.s3_addressing_style,
            sse=settings.s3_sse or None,
            sse_kms_key_id=settings.s3_sse_kms_key_id or None,
            pool_size=settings.s3_pool_size,
            connect_timeout_s=settings.s3_connect_timeout_s,
            timeout_s=settings.s3_timeout_s,
            public_endpoint=settings.s3_public_endpoint or None,
            cache_bytes=cache_mb * 1_000_000,
            access_key=access_key,
        )
    )


def open_conversion(settings: Settings) -> AbstractAsyncContextManager[ConversionPool]:
    """Opens the child processes that read audio. They start when they are needed."""
    return ConversionPool.open(
        ConversionLimits(
            processes=settings.conversion_processes,
            queue=settings.conversion_queue,
            memory_bytes=settings.conversion_memory_mb * 1_000_000,
            cpu_s=settings.conversion_cpu_s,
            timeout_s=settings.conversion_timeout_s,
            output_bytes=settings.conversion_output_mb * 1_000_000,
            jobs_per_process=settings.conversion_jobs_per_process,
        )
    )


@asynccontextmanager
async def open_renditions(
    settings: Settings, database: Database, audio: AudioStore
) -> AsyncIterator[Renditions]:
    """Opens the conversion of stored audio with child processes of its own."""
    async with open_conversion(settings) as pool:
        renditions = Renditions(database, audio, pool, utc_now, quotas_of(settings))
        async with renditions.convert_in_background():
            yield renditions


def open_bus(settings: Settings, name: str) -> AbstractAsyncContextManager[Bus]:
    return Bus.open(
        settings.nats_url,
        name=name,
        stream=stream_settings(settings),
        access=bus_access(settings),
    )


def bus_access(settings: Settings) -> BusAccess:
    if settings.nats_key_file and not settings.nats_certificate_file:
        raise SettingsError("AFTERTONE_NATS_KEY_FILE needs AFTERTONE_NATS_CERTIFICATE_FILE.")
    return BusAccess(
        credentials_file=settings.nats_credentials_file,
        ca_file=settings.nats_ca_file,
        certificate_file=settings.nats_certificate_file,
        key_file=settings.nats_key_file,
    )


def stream_settings(settings: Settings) -> StreamSettings:
    return StreamSettings(
        name=settings.stream_name,
        max_bytes=settings.stream_max_bytes,
        replicas=settings.stream_replicas,
    )


@asynccontextmanager
async def open_accounts(settings: Settings, database: Database) -> AsyncIterator[Accounts]:
    ring = key_ring_of(settings)
    if not ring.signing:
        raise KeyRingError("The key ring has no signing key; this process needs the complete ring.")
    secrets = SecretBox(ring)
    async with AsyncExitStack() as stack:
        account_cache = await stack.enter_async_context(AccountCache(database).poll_in_background())
        audit = await stack.enter_async_context(AuditQueue().write_in_background(database))
        issuer = issuer_of(settings)
        if issuer is not None:
            await stack.enter_async_context(issuer.poll_in_background())
        proofs = CredentialProofs(threads=settings.sign_in_threads)
        sessions = Sessions(
            database=database,
            account_cache=account_cache,
            tokens=Tokens(ring, settings.token_lifetime_s),
            secrets=secrets,
            proofs=proofs,
            guard=SignInGuard(sign_in_limits_of(settings), proofs.limit, time.monotonic),
            issuer=issuer,
            users_are_admins=settings.user_access == "account",
            audit=audit,
        )
        yield Accounts(
            database=database, account_cache=account_cache, sessions=sessions, secrets=secrets
        )


def retention_of(settings: Settings) -> Retention:
    """Returns the retention of accounts and boxes without a rule."""
    return Retention(
        message_days=settings.retention_days, deleted_days=settings.deleted_retention_days
    )


def quotas_of(settings: Settings) -> Quotas:
    return Quotas(
        boxes=settings.quota_boxes,
        users=settings.quota_users,
        webhooks=settings.quota_webhooks,
        api_keys=settings.quota_api_keys,
        stored_bytes=settings.quota_stored_bytes,
        rendition_bytes=settings.quota_rendition_bytes,
    )


def sign_in_limits_of(settings: Settings) -> SignInLimits:
    return SignInLimits(
        per_user=settings.sign_in_max_failures,
        per_account=settings.sign_in_max_failures_per_account,
        per_peer=settings.sign_in_max_failures_per_peer,
        window_s=settings.sign_in_lock_s,
    )


def users_of(accounts: Accounts, settings: Settings) -> Users:
    """Returns the user use cases that share the components of `accounts`."""
    return Users(
        database=accounts.database,
        account_cache=accounts.account_cache,
        secrets=accounts.secrets,
        proofs=accounts.sessions.proofs,
        guard=accounts.sessions.guard,
        audit=accounts.sessions.audit,
        clock=utc_now,
        min_password=settings.password_min_length,
        quotas=quotas_of(settings),
    )


@asynccontextmanager
async def open_webhook_sender(
    settings: Settings, secrets: SecretBox
) -> AsyncIterator[WebhookSender]:
    limits = OutboundLimits(
        private_networks=_private_networks(settings),
        allow_http=settings.webhook_allow_http,
        connect_timeout_s=settings.webhook_connect_timeout_s,
        timeout_s=settings.webhook_timeout_s,
        max_lookups=2 * settings.webhook_concurrency,
    )
    async with OutboundHttp.open(limits, lookup_slots(limits.max_lookups)) as outward:
        yield WebhookSender(secrets=secrets, outbound_http=outward, clock=utc_now)


def _private_networks(settings: Settings) -> tuple[IPv4Network | IPv6Network, ...]:
    networks = parse_networks(settings.webhook_allow_private)
    if any(network.prefixlen == 0 for network in networks):
        log.warning("webhooks may reach all private addresses", setting="WEBHOOK_ALLOW_PRIVATE")
    return networks


def lookup_slots(size: int) -> SharedSlots:
    """Returns the slots of DNS lookups. One account can hold an eighth of them."""
    return SharedSlots(size, max(1, size // 8), lambda: DnsUnavailable("too many lookups"))


def issuer_of(settings: Settings) -> Issuer | None:
    if not settings.issuer_url:
        return None
    if not (settings.issuer_jwks_url and settings.issuer_audience):
        raise SettingsError(
            "AFTERTONE_ISSUER_URL needs AFTERTONE_ISSUER_JWKS_URL and AFTERTONE_ISSUER_AUDIENCE."
        )
    _check_encrypted(settings)
    return Issuer(
        IssuerSettings(
            url=settings.issuer_url,
            jwks_url=settings.issuer_jwks_url,
            audience=settings.issuer_audience,
            account_claim=settings.issuer_account_claim,
            max_lifetime_s=settings.issuer_max_lifetime_s or settings.token_lifetime_s,
        )
    )


def _check_encrypted(settings: Settings) -> None:
    """Raises SettingsError if the keys of the issuer could be replaced in the network."""
    parts = urlsplit(settings.issuer_jwks_url)
    host = "127.0.0.1" if parts.hostname == "localhost" else parts.hostname or ""
    if not (parts.scheme == "https" or settings.issuer_allow_http or is_within(host, LOOPBACK)):
        raise SettingsError(
            "AFTERTONE_ISSUER_JWKS_URL must begin with https://. To use http in a network that you "
            "trust, set AFTERTONE_ISSUER_ALLOW_HTTP=true."
        )


def key_ring_of(settings: Settings) -> KeyRing:
    if not settings.key_ring_file:
        raise SettingsError(
            "AFTERTONE_KEY_RING_FILE is not set. `aftertone keys generate FILE` creates a key ring."
        )
    return load_key_ring(Path(settings.key_ring_file))
