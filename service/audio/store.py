"""AudioStore: stores, reads, copies, lists and deletes the audio objects of one S3 bucket."""

import asyncio
from base64 import b64decode, b64encode
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

import aiohttp
import msgspec
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from service.audio.cache import AudioCache
from service.audio.multipart import MultipartUploads
from service.audio.s3_client import S3Request, S3Response, SignedS3Client
from service.audio.s3_session import BucketSettings, connect
from service.audio.spool import Spool
from service.audio.timing import Operation, timed
from service.domain.audio_errors import AudioMissing
from service.domain.errors import StorageUnavailable
from service.domain.message import Audio
from service.metrics import AUDIO_CACHE_READS

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

# A read fetches one block at a time and holds no connection between blocks, so hundreds of slow
# downloads do not block uploads. The first block is small. The later ones grow up to the memory
# limit that all reads share, because each request has a fixed cost. (The HTTP server holds about
# three blocks per download.)
READ_BLOCK_BYTES = 64 * 1024
_MAX_BLOCK_BYTES = 1024 * 1024
_TOTAL_BLOCK_BYTES = 16 * 1024 * 1024
_CONCURRENT_DELETES = 16
_PRESIGNED_LIFETIME_S = 60
_CHECKSUM = "x-amz-checksum-sha256"


class ListedObject(msgspec.Struct, frozen=True, kw_only=True):
    key: str
    size: int
    modified: datetime


class ObjectStart(msgspec.Struct, frozen=True, kw_only=True):
    """First bytes of an object, and the size and type of the whole object."""

    size: int
    content_type: str
    block: bytes


class PresignedUpload(msgspec.Struct, frozen=True, kw_only=True):
    """PUT request that stores one object. `headers` are part of its signature."""

    url: str
    headers: Mapping[str, str]


class AudioStore:
    """The objects of one bucket.

    Every method is idempotent, ends within the timeout, and raises StorageUnavailable if the store
    refuses the request or does not respond.
    """

    def __init__(
        self,
        objects: SignedS3Client,
        client: "S3Client",
        settings: BucketSettings,
        cache: AudioCache | None = None,
    ) -> None:
        self._objects = objects
        self._client = client
        self._settings = settings
        self._bucket = settings.bucket
        self._open_reads = 0
        self._cache = cache

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: BucketSettings) -> AsyncIterator[Self]:
        """Opens the store. botocore resolves the credentials as the AWS tools do."""
        async with AsyncExitStack() as stack:
            with _translated_errors("connect"):
                objects, client = await stack.enter_async_context(connect(settings))
            cache = None
            if settings.cache_bytes:
                cache = stack.enter_context(AudioCache(settings.cache_bytes))
            yield cls(objects, client, settings, cache)

    async def put(self, key: str, spool: Spool, content_type: str) -> None:
        """Stores the spool under a key that no other object uses."""
        headers = {
            "Content-Type": content_type,
            "Content-Length": str(spool.size),
            **self._encryption_headers(),
        }
        request = S3Request(
            method="PUT",
            key=key,
            headers=headers,
            body=spool.body,
            sha256=spool.sha256().hex(),
            body_bytes=spool.size,
        )
        with timed("put"):
            response = await self._objects.send(request)
            if response.status != HTTPStatus.OK:
                raise response.failure("PUT")
        await self.add_to_cache(key, spool)

    @asynccontextmanager
    async def read(self, key: str, start: int, length: int) -> AsyncIterator[AsyncIterator[bytes]]:
        """Opens a stream of `length` (> 0) bytes from `start`.

        The first block is fetched before the context is entered, so errors are raised before any
        byte is sent on. Raises AudioMissing if the object is missing or ends before `start`.
        """
        first = await self._read_block(key, start, min(length, READ_BLOCK_BYTES))
        blocks = self._iterate_blocks(key, first, start, length)
        del first
        self._open_reads += 1
        try:
            yield blocks
        finally:
            self._open_reads -= 1
            await blocks.aclose()

    @property
    def public_origin(self) -> str | None:
        """Scheme and host of the URLs of `presign`, or None."""
        url = self._objects.public_url
        return None if url is None else f"{urlsplit(url).scheme}://{urlsplit(url).netloc}"

    @property
    def has_public_url(self) -> bool:
        """True if the store has an endpoint that clients reach."""
        return self._objects.public_url is not None

    async def presign(self, key: str, method: str, headers: Mapping[str, str]) -> str:
        """Returns a URL of an object at the public endpoint, valid for one method and 60 s.

        `headers` replace headers of its response. Without `has_public_url` there is no such URL.
        """
        query = {f"response-{name.lower()}": value for name, value in headers.items()}
        return await self._objects.presign(method, key, query, _PRESIGNED_LIFETIME_S)

    async def presign_upload(
        self, audio: Audio, now: datetime, lifetime: timedelta
    ) -> PresignedUpload:
        """Returns a request that stores `audio` and no other bytes, valid for `lifetime`.

        The store refuses a body of another length, type or SHA-256. The object can be written
        again, with the same bytes only. Without `has_public_url` there is no such request.
        """
        headers = {
            "Content-Length": str(audio.size),
            "Content-Type": audio.content_type,
            _CHECKSUM: b64encode(audio.sha256).decode(),
            **self._encryption_headers(),
        }
        life_s = int(lifetime.total_seconds())
        url = await self._objects.presign("PUT", audio.key, {}, life_s, now, headers)
        return PresignedUpload(url=url, headers=headers)

    async def read_start(self, key: str) -> ObjectStart:
        """Returns the first READ_BLOCK_BYTES of an object. Raises AudioMissing."""
        request = S3Request(
            method="GET",
            key=key,
            headers={"Range": f"bytes=0-{READ_BLOCK_BYTES - 1}"},
            response_bytes=READ_BLOCK_BYTES,
            allow_shorter=True,
        )
        response = await self._get(request)
        return ObjectStart(
            size=int(response.headers["Content-Range"].rpartition("/")[2]),
            content_type=response.headers.get("Content-Type", ""),
            block=response.body,
        )

    async def read_sha256(self, key: str) -> bytes | None:
        """Returns the SHA-256 that the store has verified, or None. Raises AudioMissing."""
        request = S3Request(method="HEAD", key=key, headers={"x-amz-checksum-mode": "ENABLED"})
        with timed("head"):
            response = await self._objects.send(request)
            if response.status == HTTPStatus.NOT_FOUND:
                raise AudioMissing
            if response.status != HTTPStatus.OK:
                raise response.failure("HEAD")
        try:
            return b64decode(response.headers[_CHECKSUM], validate=True)
        except (KeyError, ValueError):
            # A composite checksum of several parts is not that of the bytes.
            return None

    async def add_to_cache(self, key: str, spool: Spool) -> None:
        """Copies a stored object to the cache of this process, if it has one."""
        if self._cache is not None:
            await self._cache.add(key, spool)

    async def copy(self, source: str, target: str) -> None:
        """Copies an object within the bucket. Raises AudioMissing if the source is missing."""
        async with self._operation("copy"):
            await self._client.copy_object(
                Bucket=self._bucket,
                Key=target,
                CopySource={"Bucket": self._bucket, "Key": source},
                **self._encryption_arguments(),
            )

    async def delete(self, key: str) -> None:
        """Deletes an object. A missing object is not an error."""
        self.evict(key)
        with timed("delete"):
            response = await self._objects.send(S3Request(method="DELETE", key=key))
            deleted = response.status in {HTTPStatus.OK, HTTPStatus.NO_CONTENT}
            if not deleted and response.code != "NoSuchKey":
                raise response.failure("DELETE")

    def evict(self, key: str) -> None:
        """Removes an object from the cache of this process."""
        if self._cache is not None:
            self._cache.remove(key)

    async def delete_many(self, keys: Sequence[str]) -> None:
        """Deletes objects in parallel. After a failure, an unknown part of them is deleted."""
        for start in range(0, len(keys), _CONCURRENT_DELETES):
            batch = keys[start : start + _CONCURRENT_DELETES]
            results = await asyncio.gather(*map(self.delete, batch), return_exceptions=True)
            if failures := [result for result in results if result is not None]:
                raise failures[0]

    async def list(self, prefix: str) -> AsyncIterator[ListedObject]:
        """Yields all objects whose keys start with `prefix`, in key order."""
        async for page in self._list_pages(Prefix=prefix):
            for item in page.get("Contents", ()):
                yield ListedObject(
                    key=item["Key"],
                    size=item["Size"],
                    modified=item["LastModified"].astimezone(UTC),
                )

    async def list_folders(self, prefix: str) -> AsyncIterator[str]:
        """Yields the prefixes, up to the next `/`, of all objects whose keys start with `prefix`.

        `prefix` and the results end with `/`.
        """
        async for page in self._list_pages(Prefix=prefix, Delimiter="/"):
            for item in page.get("CommonPrefixes", ()):
                yield item["Prefix"]

    async def get_size(self, key: str) -> int | None:
        """Returns the size of an object in bytes, or None if it does not exist."""
        async with self._operation("head"):
            try:
                head = await self._client.head_object(Bucket=self._bucket, Key=key)
            except ClientError as error:
                if _status(error) != HTTPStatus.NOT_FOUND:
                    raise
                return None
            return head["ContentLength"]

    async def ensure_bucket(self) -> None:
        """Creates the bucket if it does not exist."""
        async with self._operation("create"):
            if not await self._bucket_exists():
                await self._create_bucket()

    async def ping(self) -> None:
        """Raises StorageUnavailable if the bucket cannot be reached with these credentials."""
        async with self._operation("head"):
            if not await self._bucket_exists():
                raise StorageUnavailable("the bucket does not exist")

    async def _list_pages(self, **arguments: Any) -> AsyncIterator[Any]:
        token: dict[str, Any] = {}
        while True:
            async with self._operation("list"):
                page = await self._client.list_objects_v2(Bucket=self._bucket, **arguments, **token)
            yield page
            if not page["IsTruncated"]:
                return
            token = {"ContinuationToken": page["NextContinuationToken"]}

    @property
    def multipart(self) -> MultipartUploads:
        """Uploads of large objects to the bucket."""
        arguments = self._encryption_arguments()
        return MultipartUploads(self._client, self._bucket, arguments, self._operation)

    @asynccontextmanager
    async def _operation(self, name: Operation) -> AsyncIterator[None]:
        with timed(name), _translated_errors(name):
            async with asyncio.timeout(self._settings.timeout_s):
                yield

    async def _bucket_exists(self) -> bool:
        try:
            await self._client.head_bucket(Bucket=self._bucket)
        except ClientError as error:
            if _status(error) != HTTPStatus.NOT_FOUND:
                raise
            return False
        return True

    def _encryption_headers(self) -> dict[str, str]:
        headers = {
            "x-amz-server-side-encryption": self._settings.sse,
            "x-amz-server-side-encryption-aws-kms-key-id": self._settings.sse_kms_key_id,
        }
        return {name: value for name, value in headers.items() if value}

    def _encryption_arguments(self) -> dict[str, Any]:
        settings = self._settings
        arguments = {"ServerSideEncryption": settings.sse, "SSEKMSKeyId": settings.sse_kms_key_id}
        return {name: value for name, value in arguments.items() if value}

    async def _create_bucket(self) -> None:
        # S3 rejects us-east-1 as a location constraint.
        location: dict[str, Any] = {}
        if self._settings.region != "us-east-1":
            location = {"CreateBucketConfiguration": {"LocationConstraint": self._settings.region}}
        try:
            await self._client.create_bucket(Bucket=self._bucket, **location)
        except self._client.exceptions.BucketAlreadyOwnedByYou:
            return  # another process created it

    async def _iterate_blocks(
        self, key: str, first: bytes, start: int, length: int
    ) -> AsyncGenerator[bytes, None]:
        position, end = start + len(first), start + length
        yield first
        del first  # a local name would keep the block in memory
        while position < end:
            share = min(_TOTAL_BLOCK_BYTES // self._open_reads, _MAX_BLOCK_BYTES)
            size = min(end - position, max(share, READ_BLOCK_BYTES))
            position += size
            yield await self._read_block(key, position - size, size)

    async def _read_block(self, key: str, start: int, length: int) -> bytes:
        if self._cache is not None:
            block = await self._cache.read(key, start, length)
            AUDIO_CACHE_READS.labels("miss" if block is None else "hit").inc()
            if block is not None:
                return block
        headers = {"Range": f"bytes={start}-{start + length - 1}"}
        request = S3Request(method="GET", key=key, headers=headers, response_bytes=length)
        return (await self._get(request)).body

    async def _get(self, request: S3Request) -> S3Response:
        with timed("get"):
            response = await self._objects.send(request)
            if (
                response.code == "NoSuchKey"
                or response.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
            ):
                raise AudioMissing
            if response.status != HTTPStatus.PARTIAL_CONTENT:
                raise response.failure("GET")
            return response


@contextmanager
def _translated_errors(action: str) -> Iterator[None]:
    """Translates botocore's exceptions. Their texts may contain names, so only codes are kept."""
    try:
        yield
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        if code == "NoSuchKey":
            raise AudioMissing from error
        # The response to a HEAD has no body; botocore then uses the status as the code.
        status = " ".join(dict.fromkeys((str(_status(error)), code)))
        raise StorageUnavailable(f"{action} returned {status}") from error
    except NoCredentialsError as error:
        raise StorageUnavailable(
            "no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or a workload identity"
        ) from error
    except (BotoCoreError, aiohttp.ClientError, TimeoutError, OSError) as error:
        raise StorageUnavailable(f"{action} failed: {type(error).__name__}") from error


def _status(error: ClientError) -> int:
    return error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
