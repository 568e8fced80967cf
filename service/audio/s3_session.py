"""How a bucket is reached: the library's credentials, endpoint and region; our connections."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
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


class BucketAddress(msgspec.Struct, frozen=True, kw_only=True):
    """Where the bucket is, and how long and over how many connections it may be asked.

    `endpoint` is None for AWS; `addressing_style` is `path`, `virtual` or `auto`. `timeout_s`
    bounds one operation with its retries.
    """

    endpoint: str | None
    bucket: str
    region: str
    addressing_style: str
    pool_size: int
    connect_timeout_s: float
    timeout_s: float


@asynccontextmanager
async def connect(address: BucketAddress) -> AsyncIterator[tuple[SignedS3Client, "S3Client"]]:
    """The hot path and the library's client, both for one bucket with one set of credentials.

    Raises botocore's exceptions when there are no credentials or the address makes no sense.
    """
    library = AioSession()
    credentials = await library.get_credentials()
    if credentials is None:
        raise NoCredentialsError
    async with library.create_client(
        "s3",
        endpoint_url=address.endpoint,
        region_name=address.region,
        config=_client_config(address),
    ) as client:
        base_url, region = await resolve(client, address.bucket)
        ca_bundle = library.get_config_variable("ca_bundle")
        async with _http_session(address, base_url, ca_bundle) as session:
            objects = SignedS3Client(
                session,
                credentials,
                base_url=base_url,
                region=region,
                timeout_s=address.timeout_s,
                at_once=address.pool_size,
                large_at_once=max(1, address.pool_size // 8),
            )
            yield objects, client


def _client_config(address: BucketAddress) -> AioConfig:
    # Stores other than AWS do not know the checksums that the library adds where it need not.
    checksums = "when_supported" if address.endpoint is None else "when_required"
    return AioConfig(
        signature_version="s3v4",
        s3={"addressing_style": _addressing_style(address)},
        max_pool_connections=address.pool_size,
        connect_timeout=address.connect_timeout_s,
        read_timeout=address.timeout_s,
        retries={"mode": "standard", "total_max_attempts": 3},
        request_checksum_calculation=checksums,
        response_checksum_validation=checksums,
    )


def _addressing_style(address: BucketAddress) -> str:
    # What `auto` means on AWS; said outright, because with `auto` the library presigns URLs for
    # the global endpoint, which redirects while a bucket is young.
    on_aws = address.endpoint is None
    if address.addressing_style == "auto" and on_aws and "." not in address.bucket:
        return "virtual"
    return address.addressing_style


async def resolve(client: "S3Client", bucket: str) -> tuple[str, str]:
    """The URL before an object's key and the region to sign for, as the library sees them.

    A presigned URL is the one public place where it says both.
    """
    url = await client.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "key"})
    parts = urlsplit(url)
    scope = parse_qs(parts.query)["X-Amz-Credential"][0].split("/")
    return f"{parts.scheme}://{parts.netloc}{parts.path.removesuffix('key')}", scope[-3]


def _http_session(
    address: BucketAddress, base_url: str, ca_bundle: str | None
) -> aiohttp.ClientSession:
    """One pool of at most `pool_size` connections; it adds no headers of its own."""
    proxies = get_environ_proxies(base_url)
    trust = ssl.create_default_context(cafile=ca_bundle) if ca_bundle else True
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=address.pool_size, ssl=trust),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=address.connect_timeout_s),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        skip_auto_headers=("Accept-Encoding", "User-Agent", "Content-Type"),
        proxy=proxies.get(urlsplit(base_url).scheme),
    )
