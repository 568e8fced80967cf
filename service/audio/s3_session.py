"""S3 session: credentials, endpoint and region as botocore resolves them, and the HTTP pool."""

import ssl
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import aiohttp
import msgspec
from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession
from botocore.exceptions import NoCredentialsError
from botocore.utils import get_environ_proxies

from service.audio.s3_client import SignedS3Client

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client


class AccessKey(msgspec.Struct, frozen=True):
    """Credentials of a bucket. Its text form contains no secret."""

    key_id: str
    secret: str

    def __repr__(self) -> str:
        return f"AccessKey({self.key_id!r})"


class BucketSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Location of the bucket, encryption at rest, limits of the connections.

    `endpoint` is None for AWS; `public_endpoint` is the URL for clients, or None.
    `addressing_style` is `path`, `virtual` or `auto`; `sse` is `AES256` or `aws:kms`. `timeout_s`
    bounds one operation with its retries. `cache_bytes` is the size of the local cache of audio; 0
    is none. Without `access_key`, botocore resolves the credentials as the AWS tools do.
    """

    endpoint: str | None
    bucket: str
    region: str
    addressing_style: str
    pool_size: int
    connect_timeout_s: float
    timeout_s: float
    sse: str | None = None
    sse_kms_key_id: str | None = None
    public_endpoint: str | None = None
    cache_bytes: int = 0
    access_key: AccessKey | None = None


@asynccontextmanager
async def connect(settings: BucketSettings) -> AsyncIterator[tuple[SignedS3Client, "S3Client"]]:
    """Opens the client for PUT and GET and botocore's client, with the same credentials.

    Raises botocore's exceptions if there are no credentials or the settings are invalid.
    """
    session = AioSession()
    if settings.access_key is not None:
        session.set_credentials(settings.access_key.key_id, settings.access_key.secret)
    credentials = await session.get_credentials()
    if credentials is None:
        raise NoCredentialsError
    async with _create_client(session, settings, settings.endpoint) as client:
        base_url, region = await resolve_base_url(client, settings.bucket)
        public_url = await _resolve_public_url(session, settings)
        ca_bundle = session.get_config_variable("ca_bundle")
        async with _http_session(settings, base_url, ca_bundle) as http_session:
            objects = SignedS3Client(
                http_session,
                credentials,
                base_url=base_url,
                public_url=public_url,
                region=region,
                timeout_s=settings.timeout_s,
                max_connections=settings.pool_size,
                max_large_uploads=max(1, settings.pool_size // 8),
            )
            yield objects, client


def _create_client(
    session: AioSession, settings: BucketSettings, endpoint: str | None
) -> AbstractAsyncContextManager["S3Client"]:
    return session.create_client(
        "s3",
        endpoint_url=endpoint,
        region_name=settings.region,
        config=_client_config(settings),
    )


async def _resolve_public_url(session: AioSession, settings: BucketSettings) -> str | None:
    if settings.public_endpoint is None:
        return None
    async with _create_client(session, settings, settings.public_endpoint) as client:
        return (await resolve_base_url(client, settings.bucket))[0]


def _client_config(settings: BucketSettings) -> AioConfig:
    # Stores other than AWS do not support the optional checksums of botocore.
    checksums = "when_supported" if settings.endpoint is None else "when_required"
    return AioConfig(
        signature_version="s3v4",
        s3={"addressing_style": _addressing_style(settings)},
        max_pool_connections=settings.pool_size,
        connect_timeout=settings.connect_timeout_s,
        read_timeout=settings.timeout_s,
        retries={"mode": "standard", "total_max_attempts": 3},
        request_checksum_calculation=checksums,
        response_checksum_validation=checksums,
    )


def _addressing_style(settings: BucketSettings) -> str:
    # Equals `auto` on AWS. It must be explicit: with `auto`, botocore presigns URLs for the global
    # endpoint, which redirects while a bucket is new.
    on_aws = settings.endpoint is None
    if settings.addressing_style == "auto" and on_aws and "." not in settings.bucket:
        return "virtual"
    return settings.addressing_style


async def resolve_base_url(client: "S3Client", bucket: str) -> tuple[str, str]:
    """Returns the URL prefix of objects and the signing region, as botocore resolves them.

    A presigned URL is the only public interface that exposes both.
    """
    url = await client.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "key"})
    parts = urlsplit(url)
    scope = parse_qs(parts.query)["X-Amz-Credential"][0].split("/")
    return f"{parts.scheme}://{parts.netloc}{parts.path.removesuffix('key')}", scope[-3]


def _http_session(
    settings: BucketSettings, base_url: str, ca_bundle: str | None
) -> aiohttp.ClientSession:
    """Returns a session with at most `pool_size` connections that adds no headers."""
    proxies = get_environ_proxies(base_url)
    ssl_context = ssl.create_default_context(cafile=ca_bundle) if ca_bundle else True
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=settings.pool_size, ssl=ssl_context),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=settings.connect_timeout_s),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        skip_auto_headers=("Accept-Encoding", "User-Agent", "Content-Type"),
        proxy=proxies.get(urlsplit(base_url).scheme),
    )
